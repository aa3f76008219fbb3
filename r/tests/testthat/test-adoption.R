panel <- function(n = 60) {
  set.seed(1)
  df <- data.frame(id = rep(seq_len(n), each = 4), t = rep(1:4, n), first = rep(rep(c(0, 3, 4), length.out = n), each = 4))
  df$x <- rep(rnorm(n), each = 4)
  df$z <- rep(rep(0:1, length.out = n), each = 4)
  df$y <- (df$t >= df$first & df$first > 0) * (1 + df$z) + df$t / 2 + rnorm(4 * n)
  df
}

test_that("an adoption has the rows of did, and groups of columns that were not sent", {
  skip_without_python()
  df <- panel()
  study <- hte_adoption(df, y ~ 1 | id + t, first_treated = "first", controls = "never")
  expect_output(print(study), "Adoption by 60 units")
  table <- suppressWarnings(hte_compare(study, list(hte_feols())))
  rows <- as.data.frame(table)
  cell <- rows[rows$estimand == "att_gt" & rows$term == "3, 3", ]
  change <- function(g) with(df[df$first == g, ], y[t == 3] - y[t == 2])
  expect_lt(abs(cell$estimate - (mean(change(3)) - mean(change(0)))), 1e-10)
  error <- function(v) sum((v - mean(v))^2) / length(v)^2
  expect_lt(abs(cell$std.error - sqrt(error(change(3)) + error(change(0)))), 1e-10)
  groups <- as.data.frame(gate(table, by = "z"))
  part <- suppressWarnings(hte_compare(
    hte_adoption(df[df$z == 1, ], y ~ 1 | id + t, first_treated = "first", controls = "never"),
    list(hte_feols()), estimands = "att_simple"
  ))
  expect_lt(abs(groups$estimate[groups$term == "z = 1"] - as.data.frame(part)$estimate), 1e-10)
})

test_that("effects at new rows and by event time", {
  skip_without_python()
  study <- hte_adoption(panel(), y ~ x | id + t, first_treated = "first")
  table <- suppressWarnings(hte_compare(study, list(hte_feols()), estimands = "att_event"))
  found <- cate(table, "feols", data.frame(x = c(-1, 1)), event_time = 0)
  expect_named(found, c("estimate", "std.error", "conf.low", "conf.high"))
  expect_true(all(found$conf.low < found$conf.high))
})

test_that("bad input is a sentence", {
  skip_without_python()
  expect_error(hte_adoption(panel(), y ~ x, first_treated = "first"), "unit and period after a bar")
  expect_error(hte_adoption(panel(), y ~ x | id, first_treated = "first"), "two columns after the bar")
  expect_error(hte_adoption(panel(), y ~ x | id + t), "needs `first_treated`")
  expect_error(hte_adoption(panel(), y ~ x | id + t, first_treated = "fist"), "nearest")
  expect_error(hte_adoption(panel(), y ~ x | id + t, first_treated = "first", controls = "some"), "not_yet")
})
