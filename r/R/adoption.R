#' Who adopts a treatment, and when
#'
#' Checks the columns of a panel in which units adopt a treatment at different times, for good. Each pair of cohort and
#' period is a comparison of changes of the outcome between adopters and units that are not treated (yet);
#' [hte_compare()] answers with every engine: rows `att_gt` (cohort, period), `att_event` (periods since treatment
#' began), `att_group` (cohort), `att_calendar` (period) and `att_simple`, as did has them.
#'
#' @param data Data frame, tibble or data.table with one row for each unit and period.
#' @param formula `y ~ x1 + x2 | unit + period`, names of columns only; `y ~ 1 | unit + period` without covariates.
#'   Covariates that move count at the period before treatment.
#' @param first_treated Name of the column with the period in which a unit is first treated; `NA`, `Inf` and 0 are never.
#' @param cluster Name of a column of clusters that are coarser than units, or `NULL`.
#' @param controls `"not_yet"`: adopters are compared with units not treated yet; `"never"`: with those never treated.
#' @param anticipation Number of periods before treatment in which units may react to it.
#' @param base_period Effects before treatment are against the period before each (`"varying"`) or all against the last
#'   one (`"universal"`).
#' @return A study for [hte_compare()].
#' @seealso [hte_compare()], [hte_verb()]: `bands`, `gate`, `projection`, `pretrends`, `differences`, `cate` with
#'   `event_time`.
#' @references Callaway and Sant'Anna (2021), Journal of Econometrics 225(2).
#' @examplesIf nzchar(htebridge::hte_python())
#' set.seed(1)
#' df <- data.frame(id = rep(1:60, each = 4), t = rep(1:4, 60), first = rep(rep(c(0, 3, 4), each = 20), each = 4))
#' df$y <- (df$t >= df$first & df$first > 0) + df$t / 2 + rnorm(240)
#' table <- hte_compare(hte_adoption(df, y ~ 1 | id + t, first_treated = "first"), list(hte_feols()))
#' tidy(table)
#' @export
hte_adoption <- function(data, formula, first_treated, cluster = NULL, controls = c("not_yet", "never"),
                         anticipation = 0, base_period = c("varying", "universal")) {
  if (missing(first_treated)) {
    abort("InvalidOption", "`hte_adoption()` needs `first_treated`. It was not given. Add first_treated = \"column\" to the call.")
  }
  check_frame(data)
  parts <- adoption_parts(formula)
  options <- list(
    outcome = parts$outcome, unit = parts$unit, period = parts$period,
    first_treated = one_name("first_treated", first_treated), cluster = cluster
  )
  options <- check_roles(options[!vapply(options, is.null, NA)])
  options$covariates <- as.list(parts$covariates)
  columns <- named_columns(data, options)
  options$controls <- if (missing(controls)) "not_yet" else controls
  options$base_period <- if (missing(base_period)) "varying" else base_period
  options$anticipation <- anticipation
  new_study(data, options, names(columns), "hte_adoption")
}

# Outcome, covariates, unit and period of `y ~ x | unit + period`.
adoption_parts <- function(formula) {
  right <- if (inherits(formula, "formula") && length(formula) == 3L) formula[[3L]]
  if (!is.call(right) || !identical(right[[1L]], as.name("|"))) {
    abort("InvalidOption", "`formula` must name unit and period after a bar, such as y ~ x | unit + period. `",
      substr(deparse1(formula), 1L, 80L), "` was given. Write y ~ 1 | unit + period where there are no covariates.")
  }
  effects <- column_names(right[[3L]])
  if (length(effects) != 2L) {
    abort("InvalidOption", "`formula` must name two columns after the bar, the unit and then the period. ", quoted(effects),
      " were given. Write | unit + period.")
  }
  covariates <- if (!identical(right[[2L]], 1)) column_names(right[[2L]])
  list(outcome = column_names(formula[[2L]]), covariates = covariates, unit = effects[1L], period = effects[2L])
}

#' @export
print.hte_adoption <- function(x, ...) {
  about <- x$about
  cat("Adoption by", comma(about$n), "units: effect of", about$names$first_treated, "on", about$names$outcome, "\n")
  if (length(about$names$covariates)) cat("  covariates:", paste(unlist(about$names$covariates), collapse = ", "), "\n")
  if (about$clustered) cat("  ", comma(about$n_clusters), " clusters of ", about$names$cluster, "\n", sep = "")
  for (reason in names(about$dropped)) cat("  dropped,", reason, ":", comma(about$dropped[[reason]]), "rows\n")
  invisible(x)
}
