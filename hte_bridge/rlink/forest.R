# grf's causal forest: grown, asked and stored. `...` are options of grf::causal_forest under their own names.

forest_grow <- function(X, Y, W, names, ..., mtry = NULL, dose = FALSE, controls = NULL) {
  colnames(X) <- names
  options <- list(...)
  if (!is.null(mtry)) options$mtry <- mtry # else grf's default, a formula in the number of columns
  if (!is.null(controls)) options <- adjusted_for(cbind(X, controls), Y, W, options)
  forest <- do.call(grf::causal_forest, c(list(X, Y, W), options))
  variance <- if (dose) treatment_variance(forest, cbind(X, controls))
  attr(forest, "treatment_variance") <- variance
  c(list(handle = keep(forest)), forest_heldout(forest))
}

# Y.hat and W.hat out of bag from covariates and controls, by regression forests of as many trees and the same seed; what
# grf::causal_forest hands on to its own nuisance forests, they get too.
adjusted_for <- function(both, Y, W, options) {
  own <- options[intersect(names(options), c(
    "sample.weights", "clusters", "equalize.cluster.weights", "sample.fraction", "mtry", "honesty.prune.leaves", "alpha",
    "imbalance.penalty", "tune.parameters", "num.threads", "seed"
  ))]
  own$num.trees <- max(50, options$num.trees)
  mean_of <- function(column) predict(do.call(grf::regression_forest, c(list(both, column), own)))$predictions
  if (is.null(options$Y.hat)) options$Y.hat <- mean_of(Y)
  if (is.null(options$W.hat)) options$W.hat <- mean_of(W)
  options
}

# Var(W | X) out of bag, as grf::get_scores.causal_forest learns it for a continuous treatment; X with the controls.
treatment_variance <- function(forest, X, num.trees = 500) {
  clusters <- if (length(forest$clusters) > 0) forest$clusters else seq_along(forest$Y.orig)
  learner <- grf::regression_forest(
    X, (forest$W.orig - forest$W.hat)^2,
    clusters = clusters, sample.weights = forest$sample.weights, num.trees = num.trees, ci.group.size = 1,
    seed = forest$seed, num.threads = forest$num.threads
  )
  as.numeric(predict(learner)$predictions)
}

# A round of a study with fixed effects: out-of-bag effects alone; the forest is freed.
forest_effect <- function(X, Y, W, names, ..., mtry = NULL) {
  colnames(X) <- names
  options <- list(...)
  if (!is.null(mtry)) options$mtry <- mtry
  forest <- do.call(grf::causal_forest, c(list(X, Y, W), options))
  cate <- as.numeric(forest$predictions)
  rm(forest)
  gc(full = FALSE)
  list(cate = cate)
}

# Out-of-bag prediction of a column by a regression forest.
forest_mean <- function(X, Y, ...) {
  learner <- grf::regression_forest(X, Y, ci.group.size = 1, ...)
  list(mean = as.numeric(predict(learner)$predictions))
}

forest_heldout <- function(forest) {
  list(
    cate = as.numeric(forest$predictions), outcome_mean = as.numeric(forest$Y.hat),
    propensity = as.numeric(forest$W.hat), treatment_variance = attr(forest, "treatment_variance"),
    tuned = if (!is.null(forest$tuning.output)) forest$tunable.params
  )
}

# Out of bag where X is NULL.
forest_predict <- function(handle, X = NULL, num.threads = NULL, variance = TRUE) {
  loadNamespace("grf") # a forest that was read brings no methods
  forest <- held(handle)
  said <- predict(forest, X, num.threads = num.threads, estimate.variance = variance)
  list(
    estimate = as.numeric(said$predictions),
    variance = if (variance) as.numeric(said$variance.estimates)
  )
}

forest_importance <- function(handle) as.numeric(grf::variable_importance(held(handle)))

# The file is a plain grf forest for R; what Python needs beside it is an attribute. Version 2 of R's format has vectors
# as they are; version 3 may name a class whose own code unpacks them.
forest_write <- function(handle, path, about, ..., controls = NULL) {
  forest <- held(handle)
  attr(forest, "hte_bridge_controls") <- controls
  attr(forest, "hte_bridge") <- about
  attr(forest, "hte_bridge_panel") <- list(...) # columns of a study with fixed effects
  saveRDS(forest, path, version = 2)
}

forest_read <- function(path) {
  forest <- tryCatch(suppressWarnings(readRDS(path)), error = function(e) NULL)
  about <- attr(forest, "hte_bridge")
  if (is.null(about)) return(list(readable = !is.null(forest), handle = keep(NULL)))
  panel <- attr(forest, "hte_bridge_panel")
  c(
    list(
      handle = keep(forest), about = about, X = unname(forest$X.orig), Y = forest$Y.orig, W = forest$W.orig,
      clusters = forest$clusters, sample.weights = forest$sample.weights, controls = attr(forest, "hte_bridge_controls")
    ),
    if (length(panel)) panel else forest_heldout(forest)
  )
}

# Bytes that a tree takes, measured on few trees.
forest_tree_bytes <- function(X, Y, W, num.trees, ...) {
  forest <- grf::causal_forest(
    X, Y, W, Y.hat = 0, W.hat = 0, num.trees = num.trees, compute.oob.predictions = FALSE, ...
  )
  as.numeric(object.size(forest) - object.size(X)) / num.trees
}
