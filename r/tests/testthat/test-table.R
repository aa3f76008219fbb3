test_that("a table prints, and has broom's columns", {
  skip_without_python()
  table <- linear_table(1)
  expect_output(print(table), "estimate")
  rows <- tidy(table)
  expect_named(rows, c("term", "estimate", "std.error", "statistic", "p.value", "conf.low", "conf.high", "engine",
    "estimand", "level", "df", "vcov", "n_obs", "n_clusters", "note"))
  expect_identical(anyDuplicated(rows$term), 0L)
  row <- rows[rows$term == "ate", ]
  expect_lt(abs(row$conf.high - row$estimate - stats::qt(0.975, row$df) * row$std.error), 1e-12)
  expect_identical(glance(table)$nobs, 400L)
  expect_identical(glance(table)$n.clusters, 40L)
})

test_that("the same seed gives the same table, another another", {
  skip_without_python()
  ate <- function(seed) with(tidy(linear_table(1, seed = seed)), estimate[estimand == "ate"])
  expect_identical(ate(1), ate(1))
  expect_false(ate(1) == ate(2))
})

test_that("verbs answer from the same fits", {
  skip_without_python()
  table <- linear_table(2)
  groups <- as.data.frame(gate(table, by = "town"))
  expect_true(all(is.finite(groups$std.error[grepl("north|south", groups$term)][1:2])))
  expect_s3_class(calibration(table), "hte_table")
  expect_true(all(c("gate", "cate", "differences", "report") %in% names(hte_verbs(table))))
  expect_sentence(hte_verb(table, "gat"), "InvalidOption", "The nearest")
  expect_sentence(gate(table, bye = "x"), "InvalidOption", "`bye` is not one.")
  expect_sentence(gate(table), "InvalidOption", "`gate()` needs `by`.")
  expect_sentence(hte_verb(table, "gate", "x"), "InvalidOption", "was given without a name")
  expect_sentence(cate(table, "grf", data.frame(x = 1, z = 1)), "InvalidOption", "must name an engine that ran")
  expect_sentence(cate(table, "feols", data.frame(x = 1)), "InvalidNewData", "`z` is missing.")
})

test_that("options are checked before any work", {
  skip_without_python()
  study <- hte_study(experiment(3), y ~ x, treatment = "d")
  expect_sentence(hte_compare(study, list(hte_feols()), level = 95), "InvalidOption", "Did you mean 0.95?")
  expect_sentence(hte_compare(study, list(hte_feols()), estimands = "atee"), "InvalidOption", "`atee` is not one.")
  expect_sentence(hte_compare(study, "greedy"), "InvalidOption", "`greedy` is not one.")
  expect_sentence(hte_compare(study, list(hte_causal_forest(trees = 5))), "InvalidOption", "`trees` is not one.")
  expect_sentence(hte_compare(study, list(hte_causal_forest(num.trees = 0))), "InvalidOption", "`num_trees` must be")
  expect_sentence(hte_compare(experiment(3)), "InvalidOption", "`study` must be made by hte_study()")
})

test_that("a table survives saveRDS and the end of Python", {
  skip_without_python()
  table <- linear_table(4)
  file <- tempfile(fileext = ".rds")
  saveRDS(table, file)
  hte_stop()
  again <- readRDS(file)
  expect_identical(tidy(again), tidy(table))
  expect_output(print(again), "ate")
  expect_false(htebridge:::alive()) # none of this needed Python
  expect_sentence(gate(again, by = "town"), "FitsAreGone", "Run hte_compare() again")
  saved <- tempfile(fileext = ".parquet")
  hte_save(again, saved)
  expect_identical(tidy(hte_load(saved)), tidy(table))
  expect_sentence(hte_load("nowhere.parquet"), "UnreadableFile", "There is no")
})

test_that("a plot draws the rows that have estimates", {
  skip_without_python()
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  table <- linear_table(5)
  expect_identical(nrow(plot(table, estimand = "ate")), 1L)
  expect_sentence(plot(table, estimand = "none"), "InvalidOption", "A plot needs rows")
})

test_that("a report is one file", {
  skip_without_python()
  file <- tempfile(fileext = ".html")
  hte_report(linear_table(6), file)
  expect_match(readLines(file, n = 1L), "doctype html", ignore.case = TRUE)
})

test_that("columns from elsewhere become rows", {
  skip_without_python()
  df <- experiment(7)
  table <- linear_table(7)
  truth <- list(cate = 1 + df$x, outcome_mean = (1 + df$x) / 2, propensity = rep(0.5, 400))
  added <- tidy(hte_add(table, "truth", cate = truth$cate, outcome_mean = truth$outcome_mean,
    propensity = truth$propensity, held_out = TRUE))
  row <- added[added$engine == "truth" & added$estimand == "ate", ]
  gamma <- truth$cate + (df$d - 0.5) / 0.25 * (df$y - truth$outcome_mean - (df$d - 0.5) * truth$cate)
  expect_lt(abs(row$estimate - mean(gamma)), 1e-12)
  before <- tidy(table)
  kept <- added[added$engine == "feols", c("estimate", "std.error")]
  expect_lt(max(abs(kept$estimate - before$estimate), na.rm = TRUE), 1e-15) # nothing was fitted anew
  expect_sentence(hte_given("m", cate = 1:2, outcome_mean = 1:3), "InvalidData", "one value per unit")
  expect_sentence(hte_add(table, "short", cate = 1:3, outcome_mean = 1:3, propensity = c(.5, .5, .5)), "InvalidData",
    "must cover the study's 400 rows")
})

test_that("tidy() forms intervals of the level that is asked for, or says that it cannot", {
  skip_without_python()
  table <- linear_table(8)
  rows <- tidy(table, conf.level = 0.9)
  row <- rows[rows$term == "ate", ]
  expect_lt(abs(row$conf.high - row$estimate - stats::qt(0.95, row$df) * row$std.error), 1e-12)
  expect_identical(row$level, 0.9)
  asked <- linear_table(8, level = 0.9)
  expect_lt(max(abs(rows$conf.low - tidy(asked)$conf.low), na.rm = TRUE), 1e-10)
  expect_identical(tidy(table, conf.level = 0.95), tidy(table))
  expect_false("conf.low" %in% names(tidy(table, conf.int = FALSE)))
  bands <- gate(table, by = "town")
  expect_lt(max(tidy(bands, conf.level = 0.9)$conf.high - tidy(bands)$conf.high, na.rm = TRUE), 0) # bands anew
  expect_identical(tidy(bands, conf.level = 0.95), tidy(bands))
  file <- tempfile(fileext = ".rds")
  saveRDS(bands, file)
  hte_stop() # those who made the bands are gone
  expect_sentence(tidy(readRDS(file), conf.level = 0.9), "InvalidOption", "`conf.level` can change intervals by Student's t alone.")
  for (level in list(90, 0, NA_real_, c(0.9, 0.95), "0.9")) {
    expect_sentence(tidy(table, conf.level = level), "InvalidOption", "`conf.level` must be one number between 0 and 1")
  }
})

test_that("a relative path is one of R's folder of now", {
  skip_without_python()
  table <- linear_table(9)
  folder <- tempfile()
  dir.create(folder)
  old <- setwd(folder)
  on.exit(setwd(old))
  hte_save(table, "here.parquet")
  hte_verb(table, "save", path = "there.csv")
  hte_report(table, "page.html")
  expect_true(all(file.exists(file.path(folder, c("here.parquet", "there.csv", "page.html")))))
  expect_identical(tidy(hte_load("here.parquet")), tidy(table))
  expect_sentence(hte_save(table, c("a.csv", "b.csv")), "InvalidOption", "`path` must be the name of one file.")
})

test_that("what a table warns of is a warning of R", {
  skip_without_python()
  df <- experiment(10)
  df$d <- as.integer(df$village %in% sprintf("v%02d", 1:5))
  study <- hte_study(df, y ~ x, treatment = "d", cluster = "village")
  suppressWarnings( # of weak overlap too
    expect_warning(table <- hte_compare(study, list(hte_feols())), "intervals are too short", class = "htebridge_warning")
  )
  expect_no_warning(calibration(table)) # once is enough
  expect_no_warning(linear_table(10))
})

test_that("what is no engine gets a sentence that names one", {
  skip_without_python()
  study <- hte_study(experiment(11), y ~ x, treatment = "d")
  expect_sentence(hte_compare(study, list()), "InvalidOption", "`engines` must be a list with at least one engine.")
  forest <- structure(list(), class = c("causal_forest", "grf"))
  expect_sentence(hte_compare(study, list(hte_feols(), forest)), "InvalidOption", "Write hte_from_forest(forest).")
  expect_sentence(hte_compare(study, forest), "InvalidOption", "Write hte_from_forest(forest).")
  expect_sentence(hte_compare(study, list(hte_feols)), "InvalidOption", "with parentheses")
  expect_sentence(hte_compare(study, lm(y ~ x, experiment(11))), "InvalidOption", "A lm was given.")
})

test_that("a table whose metadata name a file of the user's neither reads nor removes it", {
  skip_without_python()
  table <- linear_table(12)
  mine <- tempfile(fileext = ".parquet")
  nanoparquet::write_parquet(data.frame(v = 1), mine)
  plain <- function(mark) htebridge:::from_wire(mark)
  for (name in c("$frame", "$column", "$table")) {
    expect_sentence(plain(stats::setNames(list(mine, "v"), c(name, "names"))), "UnreadableFile", "that Python wrote for this session")
  }
  expect_true(file.exists(mine))
  expect_identical(plain(list(`$$frame` = mine)), list(`$frame` = mine))
})
