# Rules and budgets: policytree and maq, asked for what numpy has no exact answer to.

# Tree grown on the gain of treating; actions at new rows (1 treat, 0 do not) and the tree in words.
policy_tree_actions <- function(x, gain, new, depth, split_step, names) {
  x <- as.matrix(x)
  colnames(x) <- names
  tree <- policytree::policy_tree(x, cbind(0, gain), depth = depth, split.step = split_step)
  new <- matrix(new, ncol = length(names), dimnames = list(NULL, names))
  list(action = as.numeric(predict(tree, new)) - 1, text = tree_in_words(tree$nodes, names, 1L))
}

tree_in_words <- function(nodes, names, number) {
  node <- nodes[[number]]
  if (node$is_leaf) return(if (node$action == 2) "treat" else "do not treat")
  sprintf(
    "if %s <= %.4g: (%s); otherwise: (%s)", names[node$split_variable], node$split_value,
    tree_in_words(nodes, names, node$left_child), tree_in_words(nodes, names, node$right_child)
  )
}

# maq's gain at each budget for one or several arms (columns of reward, cost and scores).
budget_gain <- function(reward, cost, scores, budgets, weight = NULL, cluster = NULL, replicates = 200, seed = 0) {
  path <- maq::maq(
    as.matrix(reward), as.matrix(cost), as.matrix(scores), R = replicates, seed = seed,
    sample.weights = weight, clusters = cluster, num.threads = 1
  )
  found <- vapply(as.numeric(budgets), function(spend) maq::average_gain(path, spend), numeric(2))
  list(gain = found[1, ], std_error = found[2, ])
}
