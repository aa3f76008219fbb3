# grf's forest for several arms: doubly robust scores of each arm against the first, out of bag.

multi_arm_scores <- function(X, Y, arm, num.trees, seed, cluster = NULL, weight = NULL) {
  forest <- grf::multi_arm_causal_forest(
    as.matrix(X), Y, factor(arm), clusters = cluster, sample.weights = weight, num.trees = num.trees, seed = seed,
    num.threads = 1
  )
  n <- length(Y)
  list(
    scores = matrix(grf::get_scores(forest), nrow = n),
    cate = matrix(predict(forest)$predictions, nrow = n),
    propensity = matrix(forest$W.hat, nrow = n)
  )
}
