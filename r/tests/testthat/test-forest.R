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
