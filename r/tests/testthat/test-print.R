two_engines <- function() {
  set.seed(2)
  df <- data.frame(x = stats::rnorm(120), d = rep(0:1, 60))
  df$y <- df$d * (1 + df$x) + stats::rnorm(120)
  hte_compare(hte_study(df, y ~ x, treatment = "d"), list(hte_feols(), hte_feols(vcov = "iid", label = "a second one")))
}

test_that("engines are columns in print, rows where asked for, and no line is wider than R's", {
  skip_without_python()
  table <- two_engines()
  wide <- utils::capture.output(print(table))
  expect_match(wide[1L], "^estimand +term +feols +a second one")
  expect_true(any(grepl("^ +\\([0-9.]+\\) +\\([0-9.]+\\)$", wide)))
  expect_match(utils::capture.output(print(table, long = TRUE))[1L], "^engine +estimand +term +estimate")
  narrow <- utils::capture.output(print(table, width = 50))
  expect_true(all(nchar(narrow) <= 50L))
  old <- options(width = 45)
  on.exit(options(old))
  expect_true(all(nchar(utils::capture.output(print(table))) <= 45L))
})
