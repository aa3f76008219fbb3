# args of every process below this one, sampled while the code runs
processes_during <- function(code) {
  skip_if(!nzchar(Sys.which("ps")), "no ps to count processes with")
  log <- tempfile()
  watcher <- processx::process$new("sh", c("-c", "while :; do ps -eo pid=,ppid=,args=; sleep 0.05; done"), stdout = log)
  on.exit(watcher$kill())
  force(code)
  watcher$kill()
  lines <- trimws(unique(readLines(log)))
  parts <- regmatches(lines, regexec("^([0-9]+) +([0-9]+) +(.*)$", lines))
  parts <- do.call(rbind, parts[lengths(parts) == 4L])
  family <- as.character(Sys.getpid())
  repeat {
    grown <- union(family, parts[parts[, 3L] %in% family, 2L])
    if (length(grown) == length(family)) break
    family <- grown
  }
  unique(parts[parts[, 2L] %in% setdiff(family, Sys.getpid()), 4L])
}

is_r <- function(args) grepl("/exec/R |/R --|Rscript|rlink[.]worker", args)

test_that("the forest is grown in this session: no second R runs meanwhile", {
  skip_without_python()
  study <- hte_study(experiment(1), y ~ x + z, treatment = "d", cluster = "village")
  below <- processes_during(hte_compare(study, list(hte_causal_forest(num.trees = 200, seed = 1)), estimands = "ate"))
  expect_true(any(grepl("hte_bridge.serve", below, fixed = TRUE)))
  expect_identical(sum(is_r(below)), 0L)
})

test_that("a second R would be counted", {
  below <- processes_during(processx::run(file.path(R.home("bin"), "Rscript"), c("-e", "Sys.sleep(0.5)")))
  expect_gt(sum(is_r(below)), 0)
})

test_that("a forest of the user's gives the rows that hte_causal_forest() gives", {
  skip_without_python()
  df <- experiment(2)
  study <- hte_study(df, y ~ x + z, treatment = "d", cluster = "village")
  ours <- hte_compare(study, list(hte_causal_forest(num.trees = 200, seed = 7)))
  x <- as.matrix(df[c("x", "z")])
  clusters <- as.integer(factor(df$village))
  forest <- grf::causal_forest(x, df$y, df$d, clusters = clusters, num.trees = 200, seed = 7)
  theirs <- hte_compare(study, list(hte_from_forest(forest)))
  gap <- function(column) max(abs(tidy(ours)[[column]] - tidy(theirs)[[column]]), na.rm = TRUE)
  expect_lt(gap("estimate"), 1e-12)
  expect_lt(gap("std.error"), 1e-12)
  reference <- grf::average_treatment_effect(forest)
  row <- tidy(ours)[tidy(ours)$estimand == "ate", ]
  expect_lt(abs(row$estimate - reference[["estimate"]]), 1e-10)
  expect_lt(abs(row$std.error - reference[["std.err"]]), 1e-10)
  effects <- cate(ours, engine = "grf", newdata = df[1:5, ])
  expect_lt(max(abs(effects$estimate - predict(forest, x[1:5, ])$predictions)), 1e-12)
})

test_that("a forest that does not belong to the study is refused", {
  skip_without_python()
  df <- experiment(3)
  study <- hte_study(df, y ~ x + z, treatment = "d", cluster = "village")
  x <- as.matrix(df[c("x", "z")])
  grow <- function(rows, ...) grf::causal_forest(x[rows, ], df$y[rows], df$d[rows], num.trees = 50, seed = 1, ...)
  expect_sentence(hte_compare(study, list(hte_from_forest(grow(1:400)))), "InvalidData", "must be grown with the study's clusters")
  clusters <- as.integer(factor(df$village))
  expect_sentence(hte_compare(study, list(hte_from_forest(grow(400:1, clusters = rev(clusters))))), "InvalidData",
    "must be grown on the study's rows")
  expect_sentence(hte_compare(study, list(hte_from_forest(grow(1:300, clusters = clusters[1:300])))), "InvalidData",
    "must be grown on the study's rows")
  expect_sentence(hte_from_forest(lm(y ~ x, df)), "InvalidOption", "`forest` must be a grf::causal_forest")
})

test_that("effects of a forest of the user's at new rows are grf's own", {
  skip_without_python()
  df <- experiment(4)
  study <- hte_study(df, y ~ x + z, treatment = "d")
  x <- as.matrix(df[c("z", "x")]) # in another order than the study's
  forest <- grf::causal_forest(x, df$y, df$d, num.trees = 100, seed = 1)
  table <- hte_compare(study, list(hte_feols(), hte_from_forest(forest)))
  new <- data.frame(x = c(-3, 0, 3), z = c(1, NA, 0), row.names = c("a", "b", "c"))
  own <- predict(forest, as.matrix(new[c("z", "x")]), estimate.variance = TRUE)
  found <- cate(table, "grf", new, level = 0.9)
  expect_lt(max(abs(found$estimate - own$predictions)), 1e-12)
  expect_lt(max(abs(found$std.error - sqrt(own$variance.estimates))), 1e-12)
  expect_lt(max(abs(found$conf.high - found$estimate - stats::qnorm(0.95) * found$std.error)), 1e-12)
  expect_identical(row.names(found), c("a", "b", "c"))
  expect_match(attr(found, "note"), "sampling noise only")
  rm(forest)
  gc()
  expect_identical(cate(table, "grf", new)$estimate, found$estimate)
  no_variance <- grf::causal_forest(x, df$y, df$d, num.trees = 100, seed = 1, ci.group.size = 1)
  added <- hte_add(table, hte_from_forest(no_variance, "plain"))
  expect_true(all(is.na(cate(added, "plain", new)$std.error)))
  expect_false(anyNA(cate(added, "plain", new)$estimate))
})

test_that("columns from elsewhere know no new rows", {
  skip_without_python()
  df <- experiment(5)
  table <- hte_add(linear_table(5), "mine", cate = df$x, outcome_mean = df$x, propensity = rep(0.5, 400), held_out = TRUE)
  expect_sentence(cate(table, "mine", df[1:2, ]), "InvalidNewData", "known for the study's own rows alone")
})

test_that("a forest of another design than the study's is refused", {
  skip_without_python()
  df <- experiment(6)
  df$w <- runif(400, 0.5, 2)
  df$units <- rep(1:20, c(rep(10, 10), rep(30, 10)))
  df$share <- 1 / as.vector(table(df$units)[as.character(df$units)])
  x <- as.matrix(df[c("x", "z")])
  grow <- function(..., X = x, rows = seq_len(400)) {
    hte_from_forest(grf::causal_forest(X[rows, ], df$y[rows], df$d[rows], num.trees = 50, seed = 1, ...))
  }
  study <- function(...) hte_study(df, y ~ x + z, treatment = "d", ...)
  rows <- function(study, forest) as.data.frame(hte_compare(study, list(forest), estimands = "ate"))
  plain <- rows(study(), grow())
  expect_true(is.finite(plain$std.error))
  expect_sentence(rows(study(), grow(clusters = df$units)), "InvalidData", "It was grown with 20 clusters; the study has none")
  expect_equal(rows(study(), grow(clusters = 1:400))$n_obs, 400) # each unit its own: none
  expect_sentence(rows(study(), grow(sample.weights = df$w)), "InvalidData", "the study weighs units equally")
  expect_sentence(rows(study(weight = "w"), grow()), "InvalidData", "grown with no weights, and the study weighs by `w`")
  expect_true(is.finite(rows(study(weight = "w"), grow(sample.weights = df$w * 7))$std.error)) # another sum
  equal <- grow(clusters = df$units, equalize.cluster.weights = TRUE)
  expect_sentence(rows(study(cluster = "units"), equal), "InvalidData", "equalize.cluster.weights = TRUE")
  expect_true(is.finite(rows(study(cluster = "units", weight = "share"), equal)$std.error))
  expect_sentence(rows(study(), grow(X = cbind(x = df$x, z = rev(df$z)))), "InvalidData", "Its covariate `z` differs from the study's in")
  expect_sentence(rows(study(), grow(X = cbind(a = df$w, b = df$w^2))), "InvalidData", "None of its 2 columns is a covariate")
  panel <- hte_study(df, y ~ x + z | units, treatment = "d")
  engines <- list(hte_feols(), hte_causal_forest(num.trees = 50, seed = 1))
  within <- as.data.frame(suppressWarnings(hte_compare(panel, engines, estimands = "ape"))) # of few units in a fold
  expect_true(is.finite(within$std.error[within$engine == "grf" & within$estimand == "ape"]))
  within <- as.data.frame(suppressWarnings(hte_compare(panel, list(hte_feols(), grow()))))
  expect_true(all(is.na(within$estimate[within$engine == "grf"])))
  expect_match(within$note[within$engine == "grf"][1L], "knows nothing of the study's fixed effects")
})

test_that("a forest on other covariates says so, and predicts by its own columns", {
  skip_without_python()
  df <- experiment(7)
  df$w <- rnorm(400)
  forest <- grf::causal_forest(as.matrix(df[c("x", "w")]), df$y, df$d, num.trees = 50, seed = 1)
  table <- hte_compare(hte_study(df, y ~ x + z, treatment = "d"), list(hte_from_forest(forest)))
  expect_match(as.data.frame(table)$note[1L], "other covariates than the study's: without `z`; with `w`", fixed = TRUE)
  own <- predict(forest, as.matrix(df[1:4, c("x", "w")]))$predictions
  expect_lt(max(abs(cate(table, "grf", df[1:4, ])$estimate - own)), 1e-12)
  expect_sentence(cate(table, "grf", df[1:4, c("x", "z")]), "InvalidNewData", "`w` is missing or no number")
})

test_that("a forest on the rows that a study kept is that study's", {
  skip_without_python()
  df <- experiment(8)
  df$y[c(3, 30)] <- NA
  full <- df[!is.na(df$y), ]
  grow <- function(data) grf::causal_forest(as.matrix(data[c("x", "z")]), data$y, data$d, num.trees = 50, seed = 1)
  study <- hte_study(df, y ~ x + z, treatment = "d")
  table <- hte_compare(study, list(hte_from_forest(grow(full))), estimands = "ate")
  reference <- grf::average_treatment_effect(grow(full))
  expect_lt(abs(as.data.frame(table)$estimate - reference[["estimate"]]), 1e-10)
  sorted <- full[order(full$d, full$x), ]
  expect_sentence(hte_compare(study, list(hte_from_forest(grow(sorted)))), "InvalidData", "in their order")
  expect_sentence(hte_compare(study, list(hte_from_forest(grow(full[-1L, ])))), "InvalidData", "grown on 397 rows, the study has 398")
})

test_that("an error of zero, as grf gives for a tiny outcome, is no error", {
  skip_without_python()
  df <- experiment(9)
  df$y <- df$y * 1e-6
  x <- as.matrix(df[c("x", "z")])
  forest <- grf::causal_forest(x, df$y, df$d, num.trees = 100, seed = 1)
  skip_if(any(predict(forest, x[1:3, ], estimate.variance = TRUE)$variance.estimates > 0), "this grf gives a variance")
  table <- hte_compare(hte_study(df, y ~ x + z, treatment = "d"), list(hte_from_forest(forest)), estimands = "ate")
  found <- cate(table, "grf", df[1:3, ])
  expect_true(all(is.na(found$std.error)))
  expect_match(attr(found, "note"), "multiply the outcome")
})
