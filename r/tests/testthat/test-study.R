test_that("a formula and named columns make the same study", {
  skip_without_python()
  df <- experiment(1)
  by_name <- hte_study(df, outcome = "y", treatment = "d", covariates = c("x", "z"), cluster = "village")
  by_formula <- hte_study(df, y ~ x + z, treatment = "d", cluster = ~village)
  expect_identical(by_name$about[-1], by_formula$about[-1])
  expect_output(print(by_name), "400 units: effect of d on y")
  panel <- hte_study(df, y ~ x | village, treatment = "d")
  expect_identical(unlist(panel$about$names$fixed_effects), "village")
})

test_that("columns of every type survive the way to Python and back", {
  skip_without_python()
  df <- experiment(2)
  n <- nrow(df)
  df$f <- factor(rep(c("b", "a"), n / 2), levels = c("b", "a", "unused"))
  df$o <- factor(rep(c("low", "mid", "high", "mid"), n / 4), levels = c("low", "mid", "high"), ordered = TRUE)
  df$yes <- df$z > 0
  df$yes[3] <- NA
  df$text <- ifelse(seq_len(n) %% 3 == 0, "\u00fcber", "or")
  df$whole <- c(NA, seq_len(n - 1L))
  df$`odd name $` <- df$z^2
  df$long <- structure(rep(c(5e-324, 1e-323, 1.5e-323, 2e-323), n / 4), class = "integer64") # 1, 2, 3, 4
  df$lab <- structure(df$z^3, class = c("haven_labelled", "vctrs_vctr"), label = "a label")
  df$z[5] <- NA
  study <- hte_study(df, outcome = "y", treatment = "d", cluster = "village",
    covariates = c("x", "z", "f", "o", "yes", "text", "whole", "odd name $", "long", "lab"))
  expect_identical(
    unlist(study$about$names$covariates),
    c("x", "z", "f[a]", "o", "yes", "text[\u00fcber]", "whole", "odd name $", "long", "lab")
  )
  expect_identical(study$about$n, n)
  expect_warning(table <- hte_compare(study, list(hte_feols()), estimands = "ate"), "`o` enters as one rank")
  new <- cate(table, engine = "feols", newdata = df[11:13, ])
  expect_named(new, c("estimate", "std.error", "conf.low", "conf.high"))
  expect_identical(row.names(new), c("11", "12", "13"))
})

test_that("tibbles and data.tables are data frames", {
  skip_without_python()
  df <- experiment(3)
  plain <- hte_study(df, y ~ x, treatment = "d")$about[-1]
  dt <- structure(df, class = c("data.table", "data.frame"))
  expect_identical(hte_study(dt, y ~ x, treatment = "d")$about[-1], plain)
  tagged <- structure(df, class = c("tbl_df", "tbl", "data.frame"))
  expect_identical(hte_study(tagged, y ~ x, treatment = "d")$about[-1], plain)
})

test_that("bad input is told with Python's sentence, rows counted as R counts them", {
  skip_without_python()
  df <- experiment(4)
  spoilt <- function(...) {
    columns <- list(...)
    for (name in names(columns)) df[[name]] <- columns[[name]]
    df
  }
  study <- function(data, treatment = "d", ...) hte_study(data, outcome = "y", treatment = treatment, covariates = "x", ...)
  expect_sentence(study(spoilt(d = c(2, df$d[-1]))), "InvalidData",
    "`treatment` must hold only 0 (control) and 1 (treated). 1 of 400 values do not; the first is 2, in row 1.")
  expect_sentence(study(spoilt(d = 1)), "InvalidData", "`treatment` must vary.")
  expect_sentence(study(spoilt(y = 1)), "InvalidData", "`outcome` must vary.")
  expect_sentence(study(df, treatment = "dd"), "InvalidData", "`treatment` must name a column of the data. `dd` is not one.")
  expect_sentence(study(df[0, ]), "InvalidData", "The frame must have rows. It has none.")
  expect_sentence(study(spoilt(x = df$y)), "InvalidData", "A covariate must be known before treatment.")
  expect_sentence(study(spoilt(x = c(Inf, df$x[-1]))), "InvalidData", "`x` must be finite or missing.")
  expect_sentence(study(spoilt(x = as.Date("2020-01-01") + 1:400)), "InvalidData", "It holds dates.")
  expect_sentence(study(spoilt(x = I(as.list(df$x)))), "InvalidData", "It holds values of type list.")
  expect_sentence(study(spoilt(village = "one"), cluster = "village"), "TooFewClusters", "at least two clusters")
  expect_sentence(study(spoilt(w = -1), weight = "w"), "InvalidData", "`weight` must not be negative.")
  expect_sentence(study(df, propensity = 2), "InvalidData", "`propensity` must lie strictly between 0 and 1.")
  expect_sentence(study(as.list(df)), "InvalidData", "The data must be a data frame. A list was found.")
})

test_that("a formula that cannot be read is a sentence", {
  df <- experiment(5)
  expect_sentence(hte_study(df, y ~ paste(x), treatment = "d"), "InvalidOption", "`paste(x)` is not one")
  expect_sentence(hte_study(df, ~x, treatment = "d"), "InvalidOption", "`formula` must be two-sided")
  expect_sentence(hte_study(df, y ~ x, outcome = "y", treatment = "d"), "InvalidOption", "One of them was given too")
  expect_sentence(hte_study(df, y ~ x), "InvalidOption", "needs `treatment`")
  twice <- data.frame(y = 1:2, y = 1:2, check.names = FALSE)
  expect_sentence(hte_study(twice, y ~ x, treatment = "d"), "InvalidData", "Each column name must occur once.")
})

test_that("a role is the name of a column, and a slip names the argument", {
  df <- experiment(6)
  slip <- function(..., sentence) expect_sentence(hte_study(df, y ~ x, ...), "InvalidOption", sentence)
  slip(treatment = df$d, sentence = "`treatment` must be the name of one column, in quotes. 400 values of class")
  slip(treatment = c("d", "x"), sentence = "`treatment` must be the name of one column")
  slip(treatment = "d", weight = ~ village + x, sentence = "`weight` must name one column. `village`, `x` were given.")
  slip(treatment = "d", cluster = y ~ village, sentence = "`cluster` must be a name, or a formula without a left side.")
  slip(treatment = "d", weight = ~ log(x), sentence = "`log(x)` is not one")
  slip(treatment = "d", weight = 1, sentence = "`weight` must be the name of one column, in quotes. 1 value of class numeric was given.")
  slip(treatment = "d", propensity = rep(0.5, 400), sentence = "`propensity` must be the name of one column or one number")
  expect_sentence(hte_study(df, outcome = "y", treatment = "d", covariates = df[c("x", "z")]), "InvalidOption",
    "`covariates` must be names of columns")
  expect_sentence(hte_study(df, y ~ x, treatment = "d", cluster = "vilage"), "InvalidData",
    "`cluster` must name a column of the data. `vilage` is not one. The nearest is `village`")
})

test_that("a copy of a study outlives its original", {
  skip_without_python()
  file <- tempfile(fileext = ".rds")
  saveRDS(hte_study(experiment(7), y ~ x, treatment = "d"), file)
  gc() # the original is let go of
  copy <- readRDS(file)
  expect_s3_class(hte_compare(copy, list(hte_feols())), "hte_table")
  hte_stop()
  expect_s3_class(hte_compare(copy, list(hte_feols())), "hte_table")
})

test_that("a study of files is read by Python and answers as that of the frame", {
  skip_without_python()
  folder <- tempfile("clicks")
  dir.create(folder)
  on.exit(unlink(folder, recursive = TRUE))
  df <- experiment(7)
  nanoparquet::write_parquet(df[1:150, ], file.path(folder, "a.parquet"))
  nanoparquet::write_parquet(df[151:400, ], file.path(folder, "b.parquet"))
  files <- hte_study(folder, y ~ x + z, treatment = "d", cluster = "village")
  expect_null(files$data)
  expect_output(print(files), "400 units: effect of d on y")
  held <- hte_compare(hte_study(df, y ~ x + z, treatment = "d", cluster = "village"), list(hte_feols()), seed = 1)
  table <- hte_compare(files, list(hte_feols()), seed = 1)
  same <- function(one, other) expect_lt(max(abs(tidy(one)$std.error - tidy(other)$std.error), na.rm = TRUE), 1e-8)
  same(table, held)
  same(average(table, "ate", where = "x > 0"), average(held, "ate", where = "x > 0"))
  same(gate(table, by = "town"), gate(held, by = "town"))
  expect_length(predict(table, engine = "feols"), 400)
  expect_sentence(average(table, "ate", where = df$x > 0), "InvalidOption", "400 values were given. Name a column")
  expect_sentence(augment(table), "InvalidOption", "Its rows are not in R")
  expect_sentence(hte_study("nowhere/", y ~ x, treatment = "d"), "UnreadableFile", "None is at `nowhere/`")
  expect_sentence(hte_study(folder, y ~ log(x), treatment = "d"), "InvalidOption", "The formula computes some")
})
