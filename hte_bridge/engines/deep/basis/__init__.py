"""The linear mixed model on a basis of features, for panels and large samples: one pass of sums, variances, posterior."""
