#' Engines of a comparison
#'
#' Each is a list of options; [hte_compare()] fits it. Arguments are those of the Python engine of the same name, with
#' dots or underscores; an argument that the engine does not have is an error that names the nearest.
#'
#' @param ... Further options of the engine, by name.
#' @param seed Whole number; the same seed gives the same numbers, in R and in Python.
#' @param num.trees Trees of the forest, as in [grf::causal_forest()].
#' @param label Name in the table.
#' @return An object of class `hte_engine`.
#' @details
#' `hte_feols()`: least squares with the study's fixed effects; errors clustered where the study names a cluster.
#'
#' `hte_causal_forest()`: [grf::causal_forest()], grown in this R session; options under grf's own names
#' (`num.trees`, `min.node.size`, `tune.parameters`, `num.threads`, ...).
#'
#' `hte_deep()`: the deep estimator, by Python.
#'
#' `hte_engine()`: any other engine of the Python package, by name.
#' @references Athey, Tibshirani and Wager (2019), Annals of Statistics 47(2), for the forest.
#' @examples
#' hte_causal_forest(num.trees = 500, seed = 1)
#' @export
hte_feols <- function(..., label = NULL) hte_engine("feols", ..., label = label)

#' @rdname hte_feols
#' @export
hte_causal_forest <- function(num.trees = 2000, seed = 0, ..., label = NULL) {
  further <- list(...)
  if (missing(num.trees) && "num_trees" %in% names(further)) { # as Python writes it
    num.trees <- further$num_trees
    further$num_trees <- NULL
  }
  do.call(hte_engine, c(list("causal_forest", num.trees = num.trees, seed = seed), further, list(label = label)))
}

#' @rdname hte_feols
#' @export
hte_deep <- function(seed = 0, ..., label = NULL) hte_engine("deep", seed = seed, ..., label = label)

#' @rdname hte_feols
#' @param engine Name of the engine: `"feols"`, `"causal_forest"`, `"deep"`, `"given"`, ...
#' @export
hte_engine <- function(engine, ..., label = NULL) {
  options <- list(...)
  if (length(options) && (is.null(names(options)) || !all(nzchar(names(options))))) {
    abort("InvalidOption", "Options of an engine must be named. One was given without a name. Write name = value.")
  }
  if (!is.null(label)) options$label <- label
  structure(list(engine = engine, options = options), class = "hte_engine")
}

#' @export
print.hte_engine <- function(x, ...) {
  shown <- Filter(function(each) is.atomic(each) && length(each) < 9L, x$options) # no columns
  options <- vapply(shown, function(each) paste(format(each), collapse = " "), "")
  cat("Engine ", x$engine, if (length(options)) ": ", paste(names(options), options, sep = " = ", collapse = ", "), "\n",
    sep = "")
  invisible(x)
}
