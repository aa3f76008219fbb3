# What R users ask of any fitted thing, of a table.

#' A table as R's generics see it
#'
#' `coef()`, `vcov()`, `confint()` and `nobs()` are what `modelsummary`, `marginaleffects`, `lmtest` and `car` read:
#' `marginaleffects::hypotheses(table, "b1 = b2", df = ...)` tests rows against each other (its default is the normal law; give `df` for
#' Student's t, and `df = c(rows, clusters - 1)` with `joint =`, where its default counts units). Its predictions and slopes are of outcomes and do not apply; effects at new rows are [cate()] and [predict()]. Rows without an
#' estimate are left out. The covariance has each row's own variance (as its error has it), and correlations from the influence of the
#' clusters that rows share; it is `NA` between rows of which one has none (feols' coefficients of another sample, tests).
#'
#' `table$estimate`, `table[["term"]]`, `head(table)`, `table[table$engine == "grf", ]`: as of the data frame [tidy.hte_table()] gives.
#'
#' @param object,x Made by [hte_compare()] or one of its verbs.
#' @param engine Name in the column `engine`; needed where there are several and one is meant.
#' @param parm Names or numbers of rows; all where left out.
#' @param level Coverage of the intervals; that of the table where left out.
#' @param newdata Data frame with the covariates of the study. Where left out `predict()` gives held-out effects of the study's own rows:
#'   by models that did not see the row, `NA` for rows that the study dropped.
#' @param se.fit Whether standard errors are wanted too.
#' @param interval `"none"` or `"confidence"`.
#' @param data Data frame along the rows of the study; the study's own where left out.
#' @param name,i,j,... As of a data frame.
#' @return `coef()`: a named vector. `vcov()`, `confint()`: named matrices. `nobs()`: units. `predict()`: a vector, with
#'   `interval = "confidence"` a matrix with columns `fit`, `lwr` and `upr`, with `se.fit = TRUE` a list of `fit` and `se.fit`, as
#'   [predict.lm()]. `augment()`: the data with `.cate`, and for `newdata` also `.std.error`, `.conf.low` and `.conf.high`; with
#'   several engines each name ends in the engine's. `summary()`: the table with what was fitted, where and on what.
#' @examplesIf nzchar(htebridge::hte_python())
#' set.seed(1)
#' df <- data.frame(x = rnorm(200), d = rbinom(200, 1, 0.5))
#' df$y <- df$d * (1 + df$x) + rnorm(200)
#' table <- hte_compare(hte_study(df, y ~ x, treatment = "d"), list(hte_feols()), seed = 1)
#' coef(table)
#' confint(table, "ate", level = 0.9)
#' sqrt(diag(vcov(table)))
#' predict(table, newdata = data.frame(x = c(-1, 1)), interval = "confidence")
#' head(augment(table))
#' @name methods.hte_table
NULL

#' @rdname methods.hte_table
#' @export
coef.hte_table <- function(object, engine = NULL, ...) {
  rows <- tidy(object, engine = engine)
  told <- is.finite(rows$estimate)
  stats::setNames(rows$estimate[told], rows$term[told])
}

#' @rdname methods.hte_table
#' @export
vcov.hte_table <- function(object, engine = NULL, ...) {
  inner <- unclass(object)
  rows <- tidy(object, engine = engine)
  joint <- inner$joint
  if (is.null(joint)) { # read from a file of rows
    joint <- matrix(NA_real_, nrow(inner$rows), nrow(inner$rows))
    diag(joint) <- inner$rows$std.error^2
  }
  joint <- matrix(joint, nrow(inner$rows))[of_engine(object, engine), of_engine(object, engine), drop = FALSE]
  joint[is.nan(joint)] <- NA_real_
  told <- is.finite(rows$estimate)
  structure(joint[told, told, drop = FALSE], dimnames = list(rows$term[told], rows$term[told]))
}

#' @rdname methods.hte_table
#' @export
confint.hte_table <- function(object, parm, level = NULL, engine = NULL, ...) {
  rows <- tidy(object, conf.level = level, engine = engine)
  rows <- rows[is.finite(rows$estimate), ]
  at <- if (is.null(level)) unlist(unclass(object)$meta$level) else level
  at <- if (length(at) == 1L) at else 0.95
  ends <- cbind(rows$conf.low, rows$conf.high)
  dimnames(ends) <- list(rows$term, paste(format(100 * c((1 - at) / 2, (1 + at) / 2), trim = TRUE, digits = 3), "%"))
  if (missing(parm)) return(ends)
  if (is.character(parm) && !all(parm %in% rows$term)) {
    abort("InvalidOption", "`parm` must name rows. ", quoted(setdiff(parm, rows$term)[1L]), " is none. They are ",
      quoted(rows$term), ".")
  }
  ends[parm, , drop = FALSE]
}

#' @rdname methods.hte_table
#' @importFrom stats nobs
#' @method nobs hte_table
#' @export
nobs.hte_table <- function(object, ...) glance(object)$nobs

#' @export
stats::nobs

#' @rdname methods.hte_table
#' @export
predict.hte_table <- function(object, newdata = NULL, engine = NULL, se.fit = FALSE, interval = c("none", "confidence"),
                              level = NULL, ...) {
  interval <- match.arg(interval)
  engine <- one_engine(object, engine)
  if (is.null(newdata)) {
    if (se.fit || interval == "confidence") {
      abort("InvalidOption", "`newdata` must be given where errors are wanted. It was left out, and held-out effects have none. ",
        "Hand over the rows: predict(table, newdata = data, ...).")
    }
    return(heldout_effect(object, engine))
  }
  found <- cate(object, engine, newdata, level = level)
  fit <- stats::setNames(found$estimate, row.names(found))
  if (interval == "confidence") fit <- cbind(fit = fit, lwr = found$conf.low, upr = found$conf.high)
  if (se.fit) list(fit = fit, se.fit = stats::setNames(found$std.error, row.names(found))) else fit
}

# Along the rows of the data; NA where the study dropped one.
heldout_effect <- function(table, engine) {
  said <- ask("heldout", table = table, engine = engine)
  study <- study_of(table)
  if (of_files(study)) return(said)
  effect <- rep(NA_real_, nrow(study$data))
  effect[kept_rows(study)] <- said
  effect
}

engines_of <- function(table) {
  found <- unique(unclass(table)$rows$engine)
  found[nzchar(found)]
}

one_engine <- function(table, engine) {
  found <- engines_of(table)
  if (is.null(engine) && length(found) == 1L) return(found)
  if (is.character(engine) && length(engine) == 1L && engine %in% found) return(engine)
  abort("InvalidOption", "`engine` must name one engine of the table. ", if (is.null(engine)) "It was left out" else
    paste(deparse1(engine), "was given"), ". They are ", quoted(found), ".")
}

#' @importFrom generics augment
#' @export
generics::augment

#' @rdname methods.hte_table
#' @method augment hte_table
#' @export
augment.hte_table <- function(x, data = NULL, newdata = NULL, engine = NULL, ...) {
  engines <- if (is.null(engine)) engines_of(x) else vapply(engine, function(each) one_engine(x, each), "")
  suffix <- if (length(engines) > 1L) paste0(".", engines) else ""
  study <- study_of(x)
  if (is.null(newdata) && is.null(data) && of_files(study)) {
    abort("InvalidOption", "`newdata` must be given where a study is of files. Its rows are not in R. Hand over the rows that are wanted.")
  }
  out <- if (!is.null(newdata)) newdata else if (!is.null(data)) data else study$data
  for (j in seq_along(engines)) {
    if (is.null(newdata)) {
      effect <- heldout_effect(x, engines[j])
      if (length(effect) != nrow(out)) {
        abort("InvalidOption", "`data` must have the rows of the study. It has ", comma(nrow(out)), ", the study ",
          comma(length(effect)), ". For other rows give newdata = ...")
      }
      out[[paste0(".cate", suffix[j])]] <- effect
    } else {
      found <- cate(x, engines[j], newdata)
      columns <- c(estimate = ".cate", std.error = ".std.error", conf.low = ".conf.low", conf.high = ".conf.high")
      for (name in names(columns)) out[[paste0(columns[[name]], suffix[j])]] <- found[[name]]
    }
  }
  out
}

#' @rdname methods.hte_table
#' @export
summary.hte_table <- function(object, ...) structure(list(table = object), class = "summary.hte_table")

#' @export
print.summary.hte_table <- function(x, ...) {
  about <- unclass(x$table)$meta
  names <- about$names
  if (length(names)) {
    cat("Effect of", names$treatment, "on", names$outcome, "\n")
    cat("  along:", paste(in_r(unlist(names$covariates)), collapse = ", "), "\n")
    if (length(names$fixed_effects)) cat("  fixed effects:", paste(unlist(names$fixed_effects), collapse = ", "), "\n")
  }
  print(x$table)
  versions <- unlist(about$versions)
  if (length(versions)) cat("Made with ", paste(names(versions), versions, collapse = ", "), "\n", sep = "")
  invisible(x)
}

#' @rdname methods.hte_table
#' @importFrom utils head tail
#' @export
head.hte_table <- function(x, ...) utils::head(tidy(x), ...)

#' @rdname methods.hte_table
#' @export
tail.hte_table <- function(x, ...) utils::tail(tidy(x), ...)

#' @rdname methods.hte_table
#' @export
`$.hte_table` <- function(x, name) {
  inner <- unclass(x)
  if (name %in% names(inner)) inner[[name]] else tidy(x)[[name]]
}

#' @rdname methods.hte_table
#' @export
`[[.hte_table` <- function(x, i, ...) if (is.character(i)) do.call(`$.hte_table`, list(x, i)) else tidy(x)[[i, ...]]

#' @rdname methods.hte_table
#' @export
`[.hte_table` <- function(x, i, j, ...) {
  rows <- tidy(x)
  if (nargs() == 2L) rows[i] else rows[i, j, ...]
}

#' @rdname methods.hte_table
#' @export
names.hte_table <- function(x) names(tidy(x))

#' @importFrom utils .DollarNames
#' @export
.DollarNames.hte_table <- function(x, pattern = "") grep(pattern, names(tidy(x)), value = TRUE)

#' Estimates and intervals by ggplot2
#'
#' @param object A table.
#' @param estimand Which rows; by default all but projections.
#' @param ... Not used.
#' @return A `ggplot`: engines as colours, a panel for each estimand, that any layer or theme can be added to.
#' @examplesIf nzchar(htebridge::hte_python()) && requireNamespace("ggplot2", quietly = TRUE)
#' df <- data.frame(x = sin(1:80), d = rep(0:1, 40), y = cos(1:80))
#' table <- hte_compare(hte_study(df, y ~ x, treatment = "d"), list(hte_feols()))
#' ggplot2::autoplot(table)
#' @exportS3Method ggplot2::autoplot
autoplot.hte_table <- function(object, estimand = setdiff(unique(object$rows$estimand), "projection"), ...) {
  rows <- drawable(object, estimand)
  rows$label <- factor(ifelse(nzchar(rows$of), rows$of, rows$estimand))
  rows$label <- factor(rows$label, rev(unique(as.character(rows$label))))
  rows$estimand <- factor(rows$estimand, unique(rows$estimand))
  aes <- ggplot2::aes(x = .data$estimate, y = .data$label, xmin = .data$conf.low, xmax = .data$conf.high, colour = .data$engine)
  ggplot2::ggplot(rows, aes) +
    ggplot2::geom_vline(xintercept = 0, linetype = 3) +
    ggplot2::geom_pointrange(position = ggplot2::position_dodge(width = 0.5), na.rm = TRUE) +
    ggplot2::facet_grid(rows = ggplot2::vars(.data$estimand), scales = "free_y", space = "free_y") +
    ggplot2::labs(x = sprintf("effect, %g%% interval", 100 * rows$level[1L]), y = NULL, colour = NULL)
}

# Rows with estimates, with what each is of as `of`.
drawable <- function(table, estimand) {
  inner <- unclass(table)
  rows <- tidy(table)
  rows$of <- inner$rows$term
  rows <- rows[rows$estimand %in% estimand & is.finite(rows$estimate), ]
  if (nrow(rows)) return(rows)
  abort("InvalidOption", "A plot needs rows with estimates. None has an estimand among ", quoted(estimand),
    ". Name others in `estimand`.")
}

utils::globalVariables(".data") # ggplot2's word for the data at hand

#' A model for each engine, for tables of several columns
#'
#' What `modelsummary()` and its like make columns of: `modelsummary(hte_models(table))` has a column for each engine, with rows of the
#' same name beside each other.
#'
#' @param table,object,x An `hte_table`; a model of it.
#' @param conf.level,... As of [tidy.hte_table()].
#' @return A list, named by engine, of models with `tidy()`, `glance()`, `coef()`, `vcov()` and `nobs()`.
#' @examplesIf nzchar(htebridge::hte_python())
#' df <- data.frame(x = sin(1:80), d = rep(0:1, 40), y = cos(1:80))
#' table <- hte_compare(hte_study(df, y ~ x, treatment = "d"), list(hte_feols()))
#' coef(hte_models(table)$feols)
#' @export
hte_models <- function(table) {
  check_table(table)
  engines <- engines_of(table)
  stats::setNames(lapply(engines, function(each) structure(list(table = table, engine = each), class = "hte_model")), engines)
}

#' @rdname hte_models
#' @export
tidy.hte_model <- function(x, conf.level = NULL, ...) tidy(x$table, conf.level = conf.level, engine = x$engine, ...)

#' @rdname hte_models
#' @export
glance.hte_model <- function(x, ...) glance(x$table)

#' @rdname hte_models
#' @export
coef.hte_model <- function(object, ...) coef.hte_table(object$table, engine = object$engine)

#' @rdname hte_models
#' @export
vcov.hte_model <- function(object, ...) vcov.hte_table(object$table, engine = object$engine)

#' @rdname hte_models
#' @method nobs hte_model
#' @export
nobs.hte_model <- function(object, ...) glance(object$table)$nobs

#' @export
print.hte_model <- function(x, ...) {
  cat("Rows of ", x$engine, ":\n", sep = "")
  print(tidy(x)[c("term", "estimate", "std.error", "conf.low", "conf.high", "p.value")])
  invisible(x)
}
