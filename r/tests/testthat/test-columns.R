# Columns that R users have: what is.na() calls missing is missing, and what no role names cannot stop a study.
survey <- function(seed, n = 240L) {
  set.seed(seed)
  df <- data.frame(x = rnorm(n), g = sample(30, n, TRUE), d = rbinom(n, 1, 0.5))
  df$y <- df$d + df$x + rnorm(n)
  df
}

ate_of <- function(df, ...) {
  study <- hte_study(df, y ~ x, treatment = "d", ...)
  rows <- as.data.frame(hte_compare(study, list(hte_feols()), estimands = "ate", seed = 1))
  unlist(rows[rows$estimand == "ate", c("estimate", "std.error", "n_obs")])
}

long <- function(values) { # integer64 without the package bit64
  halves <- rbind(ifelse(is.na(values), 0L, as.integer(values)), ifelse(is.na(values), NA_integer_, 1L))
  structure(readBin(writeBin(as.vector(halves), raw()), "double", length(values)), class = "integer64")
}

spss <- function(values, ...) structure(values, ..., class = c("haven_labelled_spss", "haven_labelled", "vctrs_vctr", "double"))

test_that("user-missing values of SPSS are missing, with haven loaded or not", {
  skip_without_python()
  df <- survey(1)
  right <- within(df, y[1:20] <- NA)
  coded <- within(df, y[1:20] <- rep(c(-99, -98), 10))
  expect_identical(ate_of(within(coded, y <- spss(y, na_values = c(-99, -98)))), ate_of(right))
  expect_identical(ate_of(within(coded, y <- spss(y, na_range = c(-Inf, -90)))), ate_of(right))
  expect_identical(ate_of(within(coded, y <- spss(y, na_range = c(-99, -99), na_values = -98))), ate_of(right))
  expect_identical(ate_of(right)[["n_obs"]], 220)
  code <- within(coded, x <- spss(ifelse(seq_along(x) < 20, -99, x), na_values = -99))
  table <- hte_compare(hte_study(code, y ~ x, treatment = "d"), list(hte_feols()))
  expect_equal(as.data.frame(hte_verb(table, "average", where = "x > -90 | x < -90"))$n_obs, 221)
})

test_that("tagged and plain missing values are the same, labels are ignored", {
  skip_without_python()
  skip_if_not_installed("haven")
  df <- survey(2)
  tagged <- within(df, y <- haven::labelled(replace(y, 1:20, haven::tagged_na("a")), c(refused = haven::tagged_na("a"))))
  expect_identical(ate_of(tagged), ate_of(within(df, y[1:20] <- NA)))
  text <- within(df, g <- haven::labelled_spss(sprintf("v%02d", g), na_values = "v01"))
  expect_identical(ate_of(text, cluster = "g"), ate_of(within(df, g[g == 1] <- NA), cluster = "g"))
})

test_that("columns that no role names cannot stop a study", {
  skip_without_python()
  df <- survey(3)
  right <- ate_of(df)
  df$note <- addNA(factor(sample(c("a", NA), 240, TRUE)))
  df$id <- long(replace(df$g, 1:3, NA))
  df$when <- as.POSIXct("2020-01-01", tz = "UTC") + seq_len(240)
  df$lists <- I(lapply(seq_len(240), identity))
  df$wide <- matrix(0, 240, 2)
  df$odd <- complex(real = df$x)
  df$latin <- rep(c("\xfcber", "or"), 120)
  df$marked <- rep(c("\xfcber", "or"), 120)
  Encoding(df$marked) <- "latin1"
  df$lt <- as.POSIXlt(df$when)
  names(df)[names(df) == "odd"] <- "wide" # twice
  expect_identical(ate_of(df), right)
  expect_sentence(ate_of(df, cluster = "latin"), "InvalidData", "It holds text that is not UTF-8")
  expect_identical(unlist(hte_study(df, y ~ x + marked, treatment = "d")$about$names$covariates), c("x", "marked[\u00fcber]"))
  expect_sentence(ate_of(df, cluster = "wide"), "InvalidData", "`wide` occurs 2 times.")
  expect_sentence(ate_of(df, cluster = "lists"), "InvalidData", "It holds values of type list.")
})

test_that("64-bit integers are exact, and missing as in bit64", {
  skip_without_python()
  df <- survey(4)
  ids <- within(df, id <- long(replace(g, 1:3, NA)))
  expect_identical(ate_of(ids, cluster = "id"), ate_of(within(df, g[1:3] <- NA), cluster = "g"))
  skip_if_not_installed("bit64")
  df$near <- bit64::as.integer64("9007199254740992") + df$g # one apart, beyond what a double holds
  expect_identical(hte_study(df, y ~ x, treatment = "d", cluster = "near")$about$n_clusters, length(unique(df$g)))
})

test_that("a level that addNA() made is a level", {
  skip_without_python()
  df <- survey(5)
  df$f <- addNA(factor(sample(c("a", "b", NA), 240, TRUE)))
  study <- hte_study(df, y ~ x + f, treatment = "d")
  expect_identical(unlist(study$about$names$covariates), c("x", "f[b]", "f[<NA>]"))
  expect_identical(study$about$n, 240L)
})

test_that("rows in another order that bring their row names keep their numbers", {
  skip_without_python()
  df <- survey(6)
  moved <- df[sample(240), ]
  expect_lt(max(abs(ate_of(moved) - ate_of(df))), 1e-10)
  expect_gt(max(abs(ate_of(data.frame(moved, row.names = NULL)) - ate_of(df))), 1e-6) # names of other rows: other folds
})
