#' What is studied
#'
#' Checks the columns of a data frame once; every engine then uses the same rows. Rows with a missing outcome,
#' treatment, cluster or effect, or alone in their effect, are dropped and counted; missing covariates stay.
#'
#' @param data Data frame, tibble or data.table. Factors, ordered factors, logicals, 64-bit integers and labelled
#'   columns are understood. What `is.na()` calls missing is missing, user-missing values of SPSS (haven's `na_values`
#'   and `na_range`) too. Only the columns that are named travel to Python; the others stay here and are sent when a verb
#'   names them. Or the path of a Parquet file, or a folder of them, larger than memory: Python reads it, and nothing of it goes
#'   through R; conditions of verbs are then text.
#' @param formula Instead of `outcome`, `covariates` and `fixed_effects`: `y ~ x1 + x2 | effect`. Terms are columns, or computed of one:
#'   `log(x)`, `sqrt(x)`, `I(x^2)`, `x > 3`, `I(k %in% c(1, 2))`, `factor(g)`, `relevel(g, "a")`, `poly(x, 2)`, `bs(x, df = 4)`, `x:z`,
#'   `x * z`, with the meaning that they have in [stats::lm()] (but an ordered factor enters as its rank); new rows are computed as the
#'   study's were. `y ~ .` takes all columns that have no other role.
#' @param outcome,treatment Names of numeric or logical columns. The treatment is 0/1, a dose, a factor of two levels, of which the
#'   first is the control (a message says so), or the arms of a trial: a factor of three levels or more, or any column with
#'   `treatment_type = "arms"`.
#' @param covariates Names of the columns along which effects may differ; `"all"` are those without another role.
#' @param fixed_effects Names of the effects in the model, such as person and year.
#' @param controls Names of columns to adjust for along which no effect is asked for, or a one-sided formula (`~ a + log(b)`):
#'   outcome mean and propensity are learned on covariates and controls, the effect on the covariates alone.
#' @param cluster Name of the column of clusters; a one-sided formula is understood too. Units of a cluster share a
#'   fold, and every interval allows for their dependence. Two columns: errors are clustered two ways.
#' @param weight Name of the column of sampling weights.
#' @param propensity Known probability of treatment: the name of a column, or one number. Of several arms one of these for each by its
#'   name, `c(cash = 0.3, letter = 0.3)`; the control has what is left.
#' @param treatment_type `"binary"`, `"continuous"` or `"arms"`, needed only where a treatment has three to ten whole values. `"arms"`:
#'   three or more, each set against `control` (see [hte_part()]).
#' @param control Of several arms the one that the others are set against; the first where left out.
#' @return An object of class `hte_study`. It holds the data, so that `saveRDS()` and `readRDS()` keep it.
#' @seealso [hte_compare()]
#' @examplesIf nzchar(htebridge::hte_python())
#' df <- data.frame(y = c(1, 2, 4, 3), d = c(0, 1, 1, 0), x = c(0.1, 0.4, 0.2, 0.9))
#' hte_study(df, outcome = "y", treatment = "d", covariates = "x")
#' hte_study(df, y ~ x, treatment = "d")
#' df$z <- c(3, 1, 4, 1)
#' hte_study(df, y ~ x, treatment = "d", controls = ~ z)
#'
#' set.seed(1)
#' df <- data.frame(age = 20:79, town = c("a", "b", "c"), d = rbinom(60, 1, 0.5))
#' df$y <- df$d + log(df$age) + rnorm(60)
#' hte_study(df, y ~ log(age) + factor(town), treatment = "d")
#' @export
hte_study <- function(data, formula = NULL, outcome = NULL, treatment, covariates = NULL, fixed_effects = NULL,
                      cluster = NULL, weight = NULL, propensity = NULL, treatment_type = NULL, controls = NULL, control = NULL) {
  if (missing(treatment)) {
    abort("InvalidOption", "`hte_study()` needs `treatment`. It was not given. Add treatment = ... to the call.")
  }
  of_path <- is.character(data) && length(data) == 1L && !is.na(data)
  if (!of_path) check_frame(data)
  parts <- list(outcome = outcome, covariates = covariates, fixed_effects = fixed_effects)
  if (!is.null(formula)) {
    check_formula_alone(outcome, covariates, fixed_effects)
    parts <- formula_parts(formula)
  }
  options <- list(
    treatment = treatment, cluster = cluster, weight = weight, propensity = propensity, treatment_type = treatment_type,
    controls = if (length(controls)) controls, control = control
  )
  options <- options[!vapply(options, is.null, NA)]
  if (of_path) return(study_of_files(data, parts, options))
  if (is_computed(parts, controls)) study_computed(data, parts, options) else study_named(data, parts, options)
}

# Whether some roles are computed, so that Python is sent a formula.
is_computed <- function(parts, controls) {
  of_controls <- inherits(controls, "formula") && length(controls) == 2L && !is_sum(controls[[2L]])
  is.language(parts$outcome) || is.language(parts$covariates) && !inherits(parts$covariates, "formula") || of_controls
}

study_named <- function(data, parts, options) {
  parts$fixed_effects <- if (length(parts$fixed_effects)) parts$fixed_effects
  options <- c(parts[!vapply(parts, is.null, NA)], options)
  made <- with_arms(data, all_others(data, check_roles(options)))
  if (is.null(made$options$covariates)) made$options$covariates <- list()
  columns <- named_columns(made$data, made$options)
  new_study(made$data, made$options, names(columns))
}

study_computed <- function(data, parts, options) {
  further <- options$controls
  parts$fixed_effects <- several_names("fixed_effects", parts$fixed_effects)
  options <- check_roles(options[names(options) != "controls"])
  if (!is.null(further)) options$controls <- if (inherits(further, "formula")) further else several_names("controls", further)
  named_columns(data, options[names(options) != "controls"])
  made <- computed_roles(data, parts, options)
  if (is.character(further)) made$options$controls <- as.list(made$options$controls)
  armed <- with_arms(data, made$options)
  study <- new_study(armed$data, armed$options, names(sendable(armed$data, made$columns, only = TRUE)), sources = made$sources)
  study
}

# A study of options that were checked; `kind` is a class before that of all studies.
new_study <- function(data, options, sent, kind = NULL, sources = unlist(options$covariates)) {
  study <- structure(
    list(data = own_copy(data), rows = row_labels(data), options = options, sent = sent, sources = sources,
      ref = new.env(parent = emptyenv())),
    class = c(kind, "hte_study")
  )
  study$about <- send_study(study)
  study
}

# Row names, where they are not the numbers of the rows: chance belongs to them, so that rows in another order that bring
# their names keep their folds.
row_labels <- function(data) {
  labels <- attr(as.data.frame(data), "row.names")
  if (is.numeric(labels)) labels <- as.integer(labels)
  if (!identical(labels, seq_len(nrow(data)))) labels
}

# All columns, for questions that name others than the roles do; user-missing values of SPSS as NA.
own_copy <- function(data) {
  data <- as.data.frame(data) # a data.table is copied, so that := by the user changes nothing here
  spss <- vapply(unclass(data), inherits, NA, c("haven_labelled_spss", "labelled_spss"))
  data[spss] <- lapply(unclass(data)[spss], plain_column)
  attr(data, "row.names") <- .set_row_names(nrow(data))
  data
}

send_study <- function(study) {
  about <- if (of_files(study)) ask("study_of_files", path = study$path, options = study$options) else ask("study", data = sendable(study$data, study$sent, only = TRUE), options = study$options,
    labels = if (!is.null(study$rows)) along(study$rows))
  study$ref$token <- state$token
  study$ref$handle <- about$handle
  reg.finalizer(study$ref, function(ref) forget(ref))
  about
}

# Its handle in the process at hand; a process that was started anew is told the study again.
study_handle <- function(study) {
  if (!lives(study$ref)) send_study(study)
  study$ref$handle
}

# Numbers of the rows of the data that the study kept.
kept_rows <- function(study) {
  if (of_files(study)) return(seq_len(study$about$n))
  kept <- study$about$kept
  if (is.null(kept)) seq_len(nrow(study$data)) else as.integer(kept)
}

forget <- function(ref) {
  if (!identical(ref$token, state$token)) return(invisible())
  state$drop <- c(state$drop, ref$handle)
  assign(ref$handle, TRUE, envir = state$gone)
  rm(list = intersect(ref$handle, ls(state$studies)), envir = state$studies)
}

#' @export
print.hte_study <- function(x, ...) {
  about <- x$about
  cat("Study of", comma(about$n), "units: effect of", about$names$treatment, "on", about$names$outcome, "\n")
  if (length(about$arms)) {
    arms <- unlist(about$arms)
    cat("  arms:", paste0(names(arms), " ", comma(arms), c(" (control)", rep("", length(arms) - 1L)), collapse = ", "), "\n")
  }
  cat("  covariates:", paste(in_r(unlist(about$names$covariates)), collapse = ", "), "\n")
  if (length(about$names$controls)) cat("  controls:", paste(in_r(unlist(about$names$controls)), collapse = ", "), "\n")
  if (length(about$names$fixed_effects)) {
    cat("  fixed effects:", paste(unlist(about$names$fixed_effects), collapse = ", "), "\n")
  }
  if (about$clustered) cat("  ", comma(about$n_clusters), " clusters of ", about$names$cluster, "\n", sep = "")
  for (reason in names(about$dropped)) cat("  dropped,", reason, ":", comma(about$dropped[[reason]]), "rows\n")
  invisible(x)
}
