#' Predictions made elsewhere, as an engine
#'
#' `hte_from_forest()` takes the out-of-bag columns of a forest that you already have; `hte_given()` takes columns from
#' anywhere; both are engines for [hte_compare()]. `hte_add()` fits one more engine on the study and folds of a table, and of several arms
#' in each contrast.
#'
#' @param forest A [grf::causal_forest()], grown on the rows of the study, in their order, with its clusters and weights;
#'   one that was grown otherwise is refused with a sentence. It stays in this session: [cate()] at new rows is grf's own
#'   prediction. Columns of `hte_given()` are known for the study's rows alone.
#' @param label Name in the table.
#' @param cate,outcome_mean,propensity Held-out effect, E(Y | x) and E(T | x): one value for each row of the data that
#'   the study was made of, or for each row that it kept. `propensity` may be left out where the study knows it.
#' @param treatment_variance Var(T | x), for a dose or a treatment with fixed effects.
#' @param held_out `TRUE` if no unit was predicted by a model that saw it. Unsaid, each row carries a note; `FALSE`
#'   leaves them without numbers.
#' @param table,name A table made by [hte_compare()], and the name of the new rows.
#' @param ... Columns as in `hte_given()`.
#' @return An object of class `hte_engine`; `hte_add()` the table with the new rows.
#' @references Athey, Tibshirani and Wager (2019), Annals of Statistics 47(2).
#' @examples
#' hte_given("mine", cate = c(0.1, 0.2), outcome_mean = c(1, 1), propensity = c(0.5, 0.5), held_out = TRUE)
#' @export
hte_from_forest <- function(forest, label = "grf") {
  if (!inherits(forest, "causal_forest")) {
    abort("InvalidOption", "`forest` must be a grf::causal_forest. A ", class(forest)[1L],
      " was given. Grow one, or give its columns to hte_given().")
  }
  binary <- all(forest$W.orig %in% c(0, 1))
  engine <- hte_given(label,
    cate = as.numeric(stats::predict(forest)$predictions), outcome_mean = as.numeric(forest$Y.hat),
    propensity = as.numeric(forest$W.hat), treatment_variance = if (!binary) rooms_of(forest)
  )
  grown <- list(
    outcome = as.numeric(forest$Y.orig), treatment = as.numeric(forest$W.orig),
    covariates = unname(as.matrix(forest$X.orig)), covariate_names = as.list(colnames(forest$X.orig)),
    clusters = if (length(forest$clusters)) as.integer(forest$clusters),
    weights = if (length(forest$sample.weights)) as.numeric(forest$sample.weights),
    equalized = isTRUE(forest$equalize.cluster.weights), variance = isTRUE(forest$ci.group.size > 1)
  )
  grown <- grown[!vapply(grown, is.null, NA)]
  structure(list(engine = "forest", options = c(engine$options, grown), forest = forest), class = "hte_engine")
}

# Var(T | x) out of bag, by the code that the Python engine uses.
rooms_of <- function(forest) {
  python_process()
  rooms()$treatment_variance(forest)
}

#' @rdname hte_from_forest
#' @export
hte_given <- function(label, cate, outcome_mean, propensity = NULL, treatment_variance = NULL, held_out = NULL) {
  columns <- list(cate = cate, outcome_mean = outcome_mean, propensity = propensity,
    treatment_variance = treatment_variance)
  columns <- lapply(columns[!vapply(columns, is.null, NA)], as.numeric)
  sizes <- lengths(columns)
  if (length(unique(sizes)) > 1L) {
    abort("InvalidData", "Held-out columns must have one value per unit. `", names(sizes)[sizes != sizes[1L]][1L],
      "` has ", comma(sizes[sizes != sizes[1L]][1L]), " values, `cate` has ", comma(sizes[1L]),
      ". Hand over columns of the same rows.")
  }
  options <- list(name = label, data = as.data.frame(columns))
  if (!is.null(held_out)) options$held_out <- held_out
  structure(list(engine = "given", options = options), class = "hte_engine")
}

#' @rdname hte_from_forest
#' @export
hte_add <- function(table, name, ...) {
  check_table(table)
  engine <- if (inherits(name, "hte_engine")) name else hte_given(name, ...)
  study <- study_of(table)
  added <- ask("add", table = table, engine = engine)
  remember(added, study)
  say_warnings(added)
}
