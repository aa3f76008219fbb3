# R's own figures for bench/parity.py: fixest, and grf's own estimators on the forest that our engine grows.
# Usage: Rscript bench/parity.R DATA.csv PANEL.csv OUT.csv

arguments <- commandArgs(trailingOnly = TRUE)
rows <- list()

add <- function(what, term, estimate, std.error) {
  rows[[length(rows) + 1L]] <<- data.frame(what = what, term = term, estimate = unname(estimate), std.error = unname(std.error))
}

add_fixest <- function(what, model) {
  table <- fixest::coeftable(model)
  add(what, "d", table["d", 1L], table["d", 2L])
}

df <- utils::read.csv(arguments[1L])
panel <- utils::read.csv(arguments[2L])

if (requireNamespace("fixest", quietly = TRUE)) {
  fixest::setFixest_nthreads(1)
  add_fixest("feols, clustered", fixest::feols(y ~ d + x1 + x2 + x3, df, cluster = ~g, notes = FALSE))
  add_fixest("feols, weighted", fixest::feols(y ~ d + x1 + x2 + x3, df, cluster = ~g, weights = ~w, notes = FALSE))
  add_fixest("feols, heteroskedastic", fixest::feols(y ~ d + x1 + x2 + x3, df, vcov = "hetero", notes = FALSE))
  add_fixest("feols, two-way effects", fixest::feols(y ~ d + x1 | unit + year, panel, cluster = ~unit, notes = FALSE))
}

x <- as.matrix(df[c("x1", "x2", "x3")])
forest <- grf::causal_forest(x, df$y, df$d, clusters = df$g, num.trees = 500, seed = 7, num.threads = 1)
for (target in c("all", "treated", "overlap")) {
  figure <- grf::average_treatment_effect(forest, target.sample = target)
  add("average_treatment_effect", target, figure[["estimate"]], figure[["std.err"]])
}
projection <- grf::best_linear_projection(forest, x)
for (term in rownames(projection)) add("best_linear_projection", term, projection[term, 1L], projection[term, 2L])
calibration <- grf::test_calibration(forest)
for (term in rownames(calibration)) add("test_calibration", term, calibration[term, 1L], calibration[term, 2L])

# RATE asks for a ranking that did not see the scores: a covariate serves both sides
for (target in c("AUTOC", "QINI")) {
  figure <- grf::rank_average_treatment_effect(forest, df$x1, target = target, R = 2)
  add("rank_average_treatment_effect", tolower(target), figure$estimate, NA) # its error is a bootstrap's: by chance
}

dose <- grf::causal_forest(x, df$yd, df$dose, clusters = df$g, num.trees = 500, seed = 7, num.threads = 1)
figure <- grf::average_treatment_effect(dose, num.trees.for.weights = 500)
add("average_treatment_effect", "dose", figure[["estimate"]], figure[["std.err"]])

utils::write.csv(do.call(rbind, rows), arguments[3L], row.names = FALSE)
