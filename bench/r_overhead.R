# What hte_compare() costs over grf alone, in R. Usage: Rscript bench/r_overhead.R alone|compare|warm OUT N TREES
# Prints seconds to OUT; the peak memory of this process is read by bench/r_overhead.py.

arguments <- commandArgs(trailingOnly = TRUE)
n <- as.integer(arguments[3L])
trees <- as.integer(arguments[4L])

set.seed(1)
x <- matrix(rnorm(n * 10), n, dimnames = list(NULL, paste0("x", 1:10)))
d <- rbinom(n, 1, 0.5)
df <- data.frame(x, d = d, y = d * (1 + x[, 1]) + x[, 2] + rnorm(n))
seconds <- function(code) system.time(code)[["elapsed"]]

alone <- function() {
  forest <- grf::causal_forest(x, df$y, d, num.trees = trees, seed = 1)
  grf::average_treatment_effect(forest)
}

if (arguments[1L] == "alone") {
  grf::causal_forest(x[1:100, ], df$y[1:100], d[1:100], num.trees = 50) # loaded, as in the other run
  took <- seconds(alone())
} else {
  library(htebridge)
  small <- hte_study(df[1:200, ], outcome = "y", treatment = "d", covariates = colnames(x))
  engines <- list(hte_causal_forest(num.trees = trees, seed = 1))
  hte_compare(small, list(hte_causal_forest(num.trees = 50, seed = 1))) # Python is started and warm
  took <- seconds(hte_compare(hte_study(df, outcome = "y", treatment = "d", covariates = colnames(x)), engines))
  if (arguments[1L] == "warm") { # a small study: all that is not the fit
    few <- list(hte_causal_forest(num.trees = 50, seed = 1))
    whole <- min(replicate(5, seconds(hte_compare(small, few))))
    fit <- min(replicate(5, seconds(grf::causal_forest(x[1:200, ], df$y[1:200], d[1:200], num.trees = 50, seed = 1))))
    took <- whole - fit
  }
}
writeLines(format(took, digits = 6), arguments[2L])
