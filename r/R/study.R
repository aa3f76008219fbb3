#' What is studied
#'
#' Checks the columns of a data frame once; every engine then uses the same rows. Rows with a missing outcome,
#' treatment, cluster or effect, or alone in their effect, are dropped and counted; missing covariates stay.
#'
#' @param data Data frame, tibble or data.table. Factors, ordered factors, logicals, 64-bit integers and labelled
#'   columns are understood.
#' @param formula Instead of `outcome`, `covariates` and `fixed_effects`: `y ~ x1 + x2 | effect`, names of columns only.
#' @param outcome,treatment Names of numeric or logical columns. The treatment is 0/1, or a dose.
#' @param covariates Names of the columns along which effects may differ.
#' @param fixed_effects Names of the effects in the model, such as person and year.
#' @param cluster Name of the column of clusters; a one-sided formula is understood too. Units of a cluster share a
#'   fold, and every interval allows for their dependence.
#' @param weight Name of the column of sampling weights.
#' @param propensity Known probability of treatment: the name of a column, or one number.
#' @param treatment_type `"binary"` or `"continuous"`, needed only where a treatment has three to ten whole values.
#' @return An object of class `hte_study`.
#' @seealso [hte_compare()]
#' @examplesIf nzchar(htebridge::hte_python())
#' df <- data.frame(y = c(1, 2, 4, 3), d = c(0, 1, 1, 0), x = c(0.1, 0.4, 0.2, 0.9))
#' hte_study(df, outcome = "y", treatment = "d", covariates = "x")
#' hte_study(df, y ~ x, treatment = "d")
#' @export
hte_study <- function(data, formula = NULL, outcome = NULL, treatment, covariates = NULL, fixed_effects = NULL,
                      cluster = NULL, weight = NULL, propensity = NULL, treatment_type = NULL) {
  if (missing(treatment)) {
    abort("InvalidOption", "`hte_study()` needs `treatment`. It was not given. Add treatment = ... to the call.")
  }
  if (!is.null(formula)) {
    check_formula_alone(outcome, covariates, fixed_effects)
    parts <- formula_parts(formula)
    outcome <- parts$outcome
    covariates <- parts$covariates
    fixed_effects <- parts$fixed_effects
  }
  options <- list(
    outcome = outcome, treatment = treatment, covariates = as.list(one_sided(covariates)),
    fixed_effects = if (length(fixed_effects)) as.list(one_sided(fixed_effects)), cluster = one_sided(cluster),
    weight = one_sided(weight), propensity = one_sided(propensity), treatment_type = treatment_type
  )
  options <- options[!vapply(options, is.null, NA)]
  study <- structure(
    list(data = sendable(data, unlist(options[names(options) != "treatment_type"])), options = options,
      ref = new.env(parent = emptyenv())),
    class = "hte_study"
  )
  study$about <- send_study(study)
  study
}

one_sided <- function(value) if (inherits(value, "formula")) all.vars(value) else value

check_formula_alone <- function(outcome, covariates, fixed_effects) {
  if (!is.null(outcome) || !is.null(covariates) || !is.null(fixed_effects)) {
    abort("InvalidOption", "A formula says `outcome`, `covariates` and `fixed_effects` all at once. One of them was ",
      "given too. Leave it out, or leave out the formula.")
  }
}

formula_parts <- function(formula) {
  if (!inherits(formula, "formula") || length(formula) != 3L) {
    abort("InvalidOption", "`formula` must be two-sided, such as y ~ x1 + x2 | effect. `", deparse1(formula),
      "` was given. Write the outcome on the left.")
  }
  right <- formula[[3L]]
  effects <- NULL
  if (is.call(right) && identical(right[[1L]], as.name("|"))) {
    effects <- column_names(right[[3L]])
    right <- right[[2L]]
  }
  list(outcome = column_names(formula[[2L]]), covariates = column_names(right), fixed_effects = effects)
}

# Names between plus signs.
column_names <- function(expression) {
  if (is.name(expression)) return(as.character(expression))
  if (is.call(expression) && identical(expression[[1L]], as.name("+")) && length(expression) == 3L) {
    return(c(column_names(expression[[2L]]), column_names(expression[[3L]])))
  }
  abort("InvalidOption", "`formula` must hold names of columns with + between them. `", deparse1(expression),
    "` is not one. Make that column first, then name it.")
}

# The columns that can travel; a named one that cannot is an error.
sendable <- function(data, named) {
  if (!is.data.frame(data)) {
    abort("InvalidData", "The data must be a data frame. A ", class(data)[1L],
      " was found. Put it into a data frame with named columns.")
  }
  repeated <- names(data)[duplicated(names(data))]
  if (length(repeated)) {
    abort("InvalidData", "Each column name must occur once. `", repeated[1L], "` occurs ",
      sum(names(data) == repeated[1L]), " times. Rename or drop one of them.")
  }
  fits <- vapply(as.list(data), function(column) is.atomic(column) && is.null(dim(column)) && !is.complex(column) &&
    !is.raw(column), NA)
  bad <- intersect(named, names(data)[!fits])
  if (length(bad)) {
    column <- data[[bad[1L]]]
    abort("InvalidData", "`", bad[1L], "` must hold numbers, yes/no or text. It holds values of type ",
      if (is.list(column)) "list" else if (is.null(dim(column))) typeof(column) else "matrix",
      ". Turn it into one of these.")
  }
  as.data.frame(data)[fits]
}

send_study <- function(study) {
  about <- ask("study", data = study$data, options = study$options)
  study$ref$token <- state$token
  study$ref$handle <- about$handle
  reg.finalizer(study$ref, function(ref) forget(ref))
  about
}

# Its handle in the process at hand; a process that was started anew is told the study again.
study_handle <- function(study) {
  if (!alive() || !identical(study$ref$token, state$token)) send_study(study)
  study$ref$handle
}

forget <- function(ref) {
  if (identical(ref$token, state$token)) state$drop <- c(state$drop, ref$handle)
}

#' @export
print.hte_study <- function(x, ...) {
  about <- x$about
  cat("Study of", comma(about$n), "units: effect of", about$names$treatment, "on", about$names$outcome, "\n")
  cat("  covariates:", paste(unlist(about$names$covariates), collapse = ", "), "\n")
  if (length(about$names$fixed_effects)) {
    cat("  fixed effects:", paste(unlist(about$names$fixed_effects), collapse = ", "), "\n")
  }
  if (about$clustered) cat("  ", comma(about$n_clusters), " clusters of ", about$names$cluster, "\n", sep = "")
  for (reason in names(about$dropped)) cat("  dropped,", reason, ":", comma(about$dropped[[reason]]), "rows\n")
  invisible(x)
}
