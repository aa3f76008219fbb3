#' One arm, or one outcome, of a table of several
#'
#' A treatment of three arms or more (`hte_study(..., treatment_type = "arms", control = )`, or a factor) gives a table of contrasts of
#' each arm with the control; every verb is asked of all of them at once. [hte_compare_outcomes()] gives a table of several outcomes.
#' `hte_part()` is the comparison of one: a table that answers every verb, `predict()`, `augment()` and `hte_add()`.
#'
#' @param table Made by [hte_compare()] for several arms, or by [hte_compare_outcomes()].
#' @param name Name of an arm other than the control, or of an outcome.
#' @return An `hte_table`.
#' @examplesIf nzchar(htebridge::hte_python())
#' set.seed(1)
#' df <- data.frame(age = rnorm(240), offer = factor(sample(c("none", "cash", "letter"), 240, TRUE), c("none", "cash", "letter")))
#' df$y <- (df$offer == "cash") * (1 + df$age) + rnorm(240)
#' table <- hte_compare(hte_study(df, y ~ age, treatment = "offer"), list(hte_feols()), estimands = "ate", seed = 1)
#' table
#' gate(table, by = ~ age > 0)
#' differences(table)
#' gate(hte_part(table, "cash"), by = ~ age > 0)
#' @export
hte_part <- function(table, name) {
  check_table(table)
  if (!is.character(name) || length(name) != 1L) {
    abort("InvalidOption", "`name` must be the name of one arm or outcome. ", deparse1(name), " was given. Write hte_part(table, \"b\").")
  }
  found <- ask("part", table = table, name = name)
  study <- study_of(table)
  if (!is.null(study) && !is.null(found$kept)) {
    study$about$kept <- found$kept # its rows alone
    study$about$n <- length(found$kept)
  }
  remember(found$table, study)
  found$table
}

#' Compare engines on several outcomes
#'
#' A comparison for each outcome, and p-values that allow for all of them: what one engine says of one question about all outcomes is a
#' family, whose p-values are those of Romano and Wolf's (2005, Econometrica 73(4)) step-down. Estimates, errors and intervals are those
#' of the single outcome. An outcome that is missing in some rows is studied on the others.
#'
#' @param study Made by [hte_study()], of one treatment of 0 and 1 or a dose.
#' @param outcomes Names of columns of its data, two or more.
#' @param engines,estimands,level,seed,n_folds,on_error As of [hte_compare()].
#' @param method `"romano-wolf"` or `"holm"`.
#' @param draws Number of draws of the multiplier bootstrap.
#' @return An `hte_table` whose terms begin with the outcome; [hte_part()] gives the comparison of one, which answers further verbs.
#' @examplesIf nzchar(htebridge::hte_python())
#' set.seed(1)
#' df <- data.frame(x = rnorm(200), d = rbinom(200, 1, 0.5))
#' df$y <- df$d + rnorm(200)
#' df$y2 <- rnorm(200)
#' study <- hte_study(df, y ~ x, treatment = "d")
#' table <- hte_compare_outcomes(study, c("y", "y2"), list(hte_feols()), estimands = "ate", seed = 1)
#' table
#' gate(hte_part(table, "y2"), by = ~ x > 0)
#' @export
hte_compare_outcomes <- function(study, outcomes, engines = list(hte_feols(), hte_causal_forest(), hte_deep()), estimands = NULL,
                                 method = "romano-wolf", draws = 4999, level = 0.95, seed = 0, n_folds = 5, on_error = "row") {
  check_study(study, "hte_compare_outcomes(study, outcomes, ...)")
  outcomes <- several_names("outcomes", outcomes)
  for (name in outcomes) check_column(study$data, "outcomes", name)
  engines <- check_engines(engines)
  options <- list(method = method, draws = draws, level = level, seed = seed, n_folds = n_folds, on_error = on_error)
  if (!is.null(estimands)) options$estimands <- as.list(estimands)
  data <- study$data[kept_rows(study), , drop = FALSE]
  unsent <- unclass(sendable(data, setdiff(outcomes, study$sent), only = TRUE))
  columns <- if (length(unsent)) along(as_frame(unsent), vector = FALSE)
  table <- ask("compare_outcomes", study = study, outcomes = as.list(outcomes), engines = engines, options = options,
    columns = columns)
  remember(table, study)
  say_warnings(table)
}
