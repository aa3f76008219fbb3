#' Compare engines in one table
#'
#' Fits each engine on the same rows and folds and forms each average from doubly robust scores, so that a difference
#' between two rows is a difference between two engines and never between two formulas.
#'
#' @param study Made by [hte_study()].
#' @param engines List of engines, or their names: `"feols"`, `"grf"`, `"deep"`.
#' @param estimands Names of the rows wanted; by default those that the treatment identifies.
#' @param level Coverage of the intervals, in (0, 1).
#' @param seed Whole number, for the folds and for engines given by name.
#' @param n_folds Number of folds.
#' @param on_error `"row"`: where an engine stops by a fault of its own, its rows say so and the others' stay; `"raise"`: that fault
#'   is an error.
#' @return An object of class `hte_table`: see [tidy.hte_table()], [hte_verb()]. A row that cannot be defended has no
#'   interval and a note that says why.
#' @examplesIf nzchar(htebridge::hte_python())
#' set.seed(1)
#' df <- data.frame(x = rnorm(200), d = rbinom(200, 1, 0.5))
#' df$y <- df$d * (1 + df$x) + rnorm(200)
#' table <- hte_compare(hte_study(df, y ~ x, treatment = "d"), list(hte_feols()), seed = 1)
#' table
#' tidy(table)
#' @export
hte_compare <- function(study, engines = list(hte_feols(), hte_causal_forest(), hte_deep()), estimands = NULL,
                        level = 0.95, seed = 0, n_folds = 5, on_error = "row") {
  check_study(study, "hte_compare(hte_study(data, ...), ...)")
  engines <- check_engines(engines)
  options <- list(level = level, seed = seed, n_folds = n_folds, on_error = on_error)
  if (!is.null(estimands)) options$estimands <- as.list(estimands)
  table <- ask("compare", study = study, engines = engines, options = options)
  remember(table, study)
  say_warnings(table)
}

check_study <- function(study, write) {
  if (inherits(study, "hte_study")) return(invisible())
  abort("InvalidOption", "`study` must be made by hte_study(). A ", class(study)[1L], " was given. Write ", write, ".")
}

check_engines <- function(engines) {
  if (inherits(engines, "hte_engine") || is.object(engines)) engines <- list(engines)
  engines <- as.list(engines)
  if (!length(engines)) {
    abort("InvalidOption", "`engines` must be a list with at least one engine. An empty one was given. Write engines = ",
      "list(hte_feols(), hte_causal_forest(), hte_deep()).")
  }
  for (each in engines) {
    if (inherits(each, "hte_engine") || is.character(each) && length(each) == 1L) next
    write <- if (inherits(each, "causal_forest")) "hte_from_forest(forest)" else if (is.function(each))
      "hte_feols(), with parentheses" else "hte_feols(), hte_causal_forest(), hte_deep() or hte_given()"
    abort("InvalidOption", "`engines` must hold engines, or their names. A ", class(each)[1L], " was given. Write ", write,
      ".")
  }
  engines
}

# What a table warns of is a warning here too: a reader of tidy() sees no footer.
say_warnings <- function(table) {
  for (sentence in unlist(table$meta$warnings)) {
    warning(structure(list(message = sentence, call = NULL), class = c("htebridge_warning", "warning", "condition")))
  }
  table
}
