trial <- function(seed, n = 240L) {
  set.seed(seed)
  df <- data.frame(age = rnorm(n), town = rep(c("a", "b"), n / 2), d = rbinom(n, 1, 0.5))
  df$offer <- factor(sample(c("none", "cash", "letter"), n, TRUE), c("none", "cash", "letter"))
  df$y <- (df$offer == "cash") * (1 + df$age) + df$d + rnorm(n)
  df$y2 <- rnorm(n)
  df$y2[1:9] <- NA
  df
}

test_that("a factor of three levels is a trial of arms, and a contrast is the comparison of its rows", {
  skip_without_python()
  df <- trial(1)
  expect_message(study <- hte_study(df, y ~ age, treatment = "offer", propensity = c(cash = 1 / 3, letter = 1 / 3)), "`none` is the control")
  expect_output(print(study), "arms: none .* \\(control\\), cash")
  table <- hte_compare(study, list(hte_feols()), estimands = "ate", seed = 1)
  ate <- as.data.frame(table)[as.data.frame(table)$estimand == "ate", ]
  expect_identical(ate$term, c("cash - none", "letter - none"))
  cash <- hte_part(table, "cash")
  expect_lt(abs(as.data.frame(cash)$estimate[3] - ate$estimate[1]), 1e-12)
  given <- as.data.frame(gate(table, by = "town")) # a column that was not sent
  own <- as.data.frame(gate(cash, by = ~ town))
  expect_identical(given$estimate[startsWith(given$term, "cash")], own$estimate)
  part <- df$offer != "letter"
  effect <- predict(cash)
  expect_identical(is.na(effect), !part)
  less <- as.data.frame(differences(table))
  expect_lt(abs(less$estimate[less$estimand == "ate"] - diff(ate$estimate)), 1e-12)
  expect_true(all(is.finite(vcov(table))))
  found <- cate(table, "feols", data.frame(age = c(-1, 1), row.names = c("young", "old")))
  expect_identical(found$row, c("young", "old", "young", "old"))
  expect_error(predict(table), "must be asked of one arm.*hte_part", class = "InvalidOption")
  both <- as.data.frame(hte_add(table, hte_feols(label = "again")))
  expect_identical(both$estimate[both$engine == "again" & both$estimand == "ate"], ate$estimate)
  expect_error(hte_add(table, "mine", cate = df$age, outcome_mean = df$age, propensity = rep(0.5, 240)), "must be asked of one arm", class = "InvalidOption")
  expect_error(hte_part(table, "none"), "is the control", class = "InvalidOption")
  expect_error(hte_study(df, y ~ age, treatment = "offer", propensity = c(cash = 0.3)), "That of `letter` is missing", class = "InvalidOption")
  file <- tempfile(fileext = ".hte")
  on.exit(unlink(file))
  hte_save(table, file, columns = "town")
  expect_identical(as.data.frame(gate(hte_load(file), by = "town")), given)
})

test_that("several outcomes are a family", {
  skip_without_python()
  study <- hte_study(trial(2), y ~ age, treatment = "d")
  table <- hte_compare_outcomes(study, c("y", "y2"), list(hte_feols()), estimands = "ate", seed = 1, draws = 499)
  ate <- as.data.frame(table)[as.data.frame(table)$estimand == "ate", ]
  expect_identical(ate$term, c("y", "y2"))
  expect_match(ate$note, "Romano-Wolf")
  second <- hte_part(table, "y2")
  expect_identical(sum(is.na(predict(second))), 9L)
  expect_s3_class(gate(second, by = "town"), "hte_table")
  expect_error(gate(table, by = "town"), "must be asked of one outcome", class = "InvalidOption")
  expect_error(hte_compare_outcomes(study, c("y", "yy"), list(hte_feols())), "`yy` is not one", class = "InvalidData")
})

test_that("a formula computes columns, of new rows too", {
  skip_without_python()
  df <- trial(3)
  df$`a.b` <- exp(df$age)
  k <- 2
  computed <- hte_study(df, y ~ log(a.b) + factor(town) + I(age^k), treatment = "d", controls = ~ sqrt(a.b))
  expect_identical(unlist(computed$about$names$controls), "sqrt(`a.b`)")
  own <- transform(df, l = log(a.b), q = age^2, s = sqrt(a.b))
  named <- hte_study(own, y ~ l + town + q, treatment = "d", controls = "s")
  tables <- lapply(list(computed, named), hte_compare, engines = list(hte_feols()), seed = 1)
  expect_lt(max(abs(tables[[1]]$estimate - tables[[2]]$estimate), na.rm = TRUE), 1e-10)
  new <- lapply(tables, cate, engine = "feols", newdata = own[1:4, c("a.b", "age", "town", "l", "q")])
  expect_lt(max(abs(new[[1]]$estimate - new[[2]]$estimate)), 1e-10)
  expect_error(hte_study(df, y ~ ifelse(age > 1, 1, 0), treatment = "d"), "Make that column first", class = "InvalidOption")
  expect_error(hte_study(df, y ~ log(a.c), treatment = "d"), "`a.c` is not one", class = "InvalidData")
  expect_error(hte_study(df, y ~ log(a.b) - 1, treatment = "d"), "intercept", class = "InvalidOption")
})
