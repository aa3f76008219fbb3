# What R writes in a formula, against R itself: the coefficient of the treatment, as lm() has it of the same formula: a wrong column would move it.
data_of_formulas <- function() {
  set.seed(21)
  n <- 240L
  df <- data.frame(x = rnorm(n, 2), z = runif(n, 0.1, 3), g = factor(sample(c("b", "a", "c"), n, TRUE), c("b", "a", "c")), k = sample(1:6, n, TRUE))
  df$yes <- runif(n) > 0.5
  df$d <- rbinom(n, 1, 0.5)
  df$y <- df$d * (1 + df$x) + df$z^2 + 2 * (df$g == "a") + df$x * (df$g == "c") + rnorm(n)
  df
}

test_that("a study's formula means what it means in lm()", {
  skip_without_python()
  df <- data_of_formulas()
  wanted <- c(1, 2)
  put_together <- call("*", call("+", as.name("x"), as.name("z")), as.name("g")) # holds no parentheses
  formulas <- list(
    y ~ x %in% g, y ~ g + x %in% g, y ~ (x + z):g, y ~ (x + z + yes)^2 - x:z, y ~ .^2, y ~ . - x, y ~ . + x:z, y ~ I(k %in% c(1, 2)),
    y ~ I(k %in% wanted), y ~ I(k %% 2) + z, y ~ I(k %/% 2 - x), y ~ log(z, 2) + log(z + x + 5, base = 10), y ~ relevel(g, "a"), y ~ (k > 3), y ~ !yes,
    y ~ I((x - z)^2 / (1 + z)), y ~ I(-x^2), y ~ base::sqrt(z), stats::as.formula(call("~", as.name("y"), put_together))
  )
  for (f in formulas) {
    environment(f) <- environment()
    study <- suppressMessages(hte_study(df, f, treatment = "d"))
    found <- tidy(hte_compare(study, list(hte_feols()), estimands = "ate", seed = 1))$estimate[1L]
    shape <- stats::terms(f, data = df[names(df) != "d"])
    columns <- cbind(d = df$d, stats::model.matrix(shape, df))
    theirs <- stats::lm.fit(columns, df$y)$coefficients[["d"]]
    expect_lt(abs(found - theirs), 1e-8, label = deparse1(f))
  }
})

test_that("what a formula cannot hold is said in R's words", {
  skip_without_python()
  df <- data_of_formulas()
  slip <- function(f, sentence) expect_sentence(hte_study(df, f, treatment = "d"), "InvalidOption", sentence)
  slip(y ~ x - 1, "takes the intercept out, which every model here has")
  slip(y ~ x - 1, "factor(region)")
  slip(y ~ log(z, 3), "`log(z, 3)` is not one")
  slip(y ~ I(x %in% nosuch), "`nosuch` is not one")
  slip(y ~ cut(x, 3), "`cut(x, 3)` is not one. Make that column first")
})

test_that("a projection knows fixest's i() with a column, and contrasts", {
  skip_without_python()
  df <- data_of_formulas()
  table <- hte_compare(hte_study(df, y ~ x + z, treatment = "d"), list(hte_feols()), estimands = "ate", seed = 1)
  estimates <- function(formula) {
    rows <- tidy(projection(table, formula))
    rows$estimate[!grepl("joint", rows$term)]
  }
  expect_equal(estimates(~ i(g, x)), estimates(~ g:x), tolerance = 1e-9)
  expect_equal(estimates(~ x + i(g, x, ref = "b")), estimates(~ x + x:g), tolerance = 1e-9)
  expect_equal(estimates(~ i(k, 3)), estimates(~ i(k, ref = 3)))
  expect_length(estimates(~ C(g, contr.sum)), 3L)
  expect_sentence(projection(table, ~ i(g, g)), "InvalidOption", "for two categories write f:g")
})
