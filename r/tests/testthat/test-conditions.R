# Conditions and formulas are R's: what they give is what the same columns, made in R beforehand, give.
people <- function(seed, n = 300L) {
  set.seed(seed)
  df <- data.frame(x = rnorm(n), age = sample(18:80, n, TRUE), d = rbinom(n, 1, 0.5))
  df$y <- df$d * (1 + df$x) + rnorm(n)
  df$town <- sample(c("north", "south", "west"), n, TRUE) # not named by the study
  df$x[7] <- NA
  df
}

table_of <- function(df) hte_compare(hte_study(df, y ~ x + age, treatment = "d"), list(hte_feols()), seed = 1)

numbers <- function(table, estimand = NULL) {
  rows <- as.data.frame(table)
  if (!is.null(estimand)) rows <- rows[rows$estimand == estimand, ]
  as.matrix(rows[c("estimate", "std.error")])
}

expect_same <- function(one, other) expect_lt(max(abs(one - other), na.rm = TRUE), 1e-12)

test_that("conditions of R are answered, from text, formula or vector", {
  skip_without_python()
  df <- people(1)
  table <- table_of(df)
  given <- function(where) numbers(hte_verb(table, "average", where = where))
  limit <- 40
  for (case in list(
    list("age %in% 20:40", df$age %in% 20:40), list("!is.na(x)", !is.na(df$x)),
    list("x > 0 & age > 30 | town == 'west'", df$x > 0 & df$age > 30 | df$town == "west"),
    list(~ age > limit & town != "west", df$age > 40 & df$town != "west"), list("age %/% 10 == 3", df$age %/% 10 == 3),
    list("nchar(town) == 4", df$town == "west"), list(~ df$age > limit, df$age > 40)
  )) {
    expect_same(given(case[[1L]]), given(case[[2L]]))
  }
  expect_identical(as.data.frame(hte_verb(table, "average", where = ~ age > limit))$term, "age > limit")
})

test_that("rows of which a condition is unknown are neither in nor out", {
  skip_without_python()
  df <- people(2)
  df$age[11:60] <- NA
  table <- table_of(df)
  n_of <- function(where) as.data.frame(hte_verb(table, "average", where = where))$n_obs
  expect_equal(n_of("age > 30") + n_of("!(age > 30)"), sum(!is.na(df$age)))
  expect_identical(n_of(df$age > 30), n_of("age > 30"))
})

test_that("conditions follow the rows that the study kept", {
  skip_without_python()
  df <- people(3)
  df$y[c(1, 5, 9)] <- NA
  table <- table_of(df)
  kept <- !is.na(df$y)
  rows <- as.data.frame(hte_verb(table, "average", where = "age > 50"))
  expect_equal(rows$n_obs, sum(df$age[kept] > 50))
  expect_same(numbers(hte_verb(table, "average", where = df$age > 50)), numbers(hte_verb(table, "average", where = "age > 50")))
  expect_same(numbers(hte_verb(table, "average", where = (df$age > 50)[kept])), numbers(hte_verb(table, "average", where = "age > 50")))
})

test_that("what is no condition gets a sentence, and Python lives", {
  skip_without_python()
  table <- table_of(people(4))
  process <- htebridge:::state$process$get_pid()
  average <- function(where) hte_verb(table, "average", where = where)
  expect_sentence(average("x > 0 && age > 30"), "InvalidOption", "Write & in its place.")
  expect_sentence(average(~ (x > 0 || age > 30)), "InvalidOption", "Write | in its place.")
  expect_sentence(average("agee > 0"), "InvalidOption", "`agee` is not one. The nearest is `age`")
  expect_sentence(average("state > 0"), "InvalidOption", "`state` is not one.") # a variable of this package
  expect_sentence(average("age > 30 and x > 0"), "InvalidOption", "R writes & for and")
  expect_sentence(average("age = 30"), "InvalidOption", "Write == to compare.")
  expect_sentence(average("age"), "InvalidOption", "must be TRUE or FALSE for each row")
  expect_sentence(average("any(age > 30)"), "InvalidOption", "one value for each of the data's 300 rows")
  expect_sentence(average(c(TRUE, FALSE)), "InvalidOption", "one value for each of the data's 300 rows")
  expect_sentence(average(y ~ x > 0), "InvalidOption", "without a left side")
  expect_sentence(average("log(town) > 0"), "InvalidOption", "stopped: non-numeric argument")
  expect_sentence(average("nofunction(x) > 0"), "InvalidOption", "could not find function")
  expect_identical(htebridge:::state$process$get_pid(), process)
})

test_that("formulas of R give the columns that R gives", {
  skip_without_python()
  df <- people(5)
  df$x[7] <- 0
  df$age2 <- df$age^2
  df$decade <- df$age %/% 10
  df$south <- as.numeric(df$town == "south")
  df$west <- as.numeric(df$town == "west")
  df$both <- df$x * df$age
  table <- table_of(df)
  for (case in list(
    list(~ I(age^2), ~age2), list(~ I(age %/% 10), ~decade), list("factor(town)", ~ south + west), list(~town, ~ south + west),
    list(~ x * age, ~ x + age + both), list("~ i(town) + x", ~ south + west + x), list(~ poly(age, 2, raw = TRUE), ~ age + age2)
  )) {
    expect_same(numbers(projection(table, formula = case[[1L]])), numbers(projection(table, formula = case[[2L]])))
  }
  expect_identical(as.data.frame(projection(table, formula = ~ log(age) + town))$term,
    c("(Intercept)", "log(age)", "townsouth", "townwest", "joint"))
})

test_that("formulas that a projection cannot follow are refused", {
  skip_without_python()
  table <- table_of(people(6))
  refused <- function(formula, sentence) expect_sentence(projection(table, formula = formula), "InvalidOption", sentence)
  refused(y ~ x, "it has no left side. Write ~ x")
  refused(~ age - 1, "It leaves the intercept out.")
  refused(~ 0 + town, "It leaves the intercept out.")
  refused(~., "`.` would take in the outcome.")
  refused(~1, "It names no column.")
  refused(~ age + offset(x), "It has an offset.")
  refused(~nope, "`nope` is not one.")
  refused("age +", "must be a right-hand side in R")
  refused(~x, "1 of 300 rows do; the first is row 7, in `x`")
  expect_warning(refused(~ log(age - 50), "rows do; the first is row"), "NaNs produced") # R's own
  refused(5, "must be a formula such as")
})

test_that("any column of the data answers a verb, sent or not", {
  skip_without_python()
  df <- people(7)
  df$cost <- runif(300)
  df$code <- factor(df$town, labels = 1:3)
  df$unused <- I(as.list(seq_len(300)))
  table <- table_of(df)
  sent <- htebridge:::study_of(table)$sent
  expect_setequal(sent, c("y", "x", "age", "d"))
  groups <- as.data.frame(gate(table, by = "town"))
  expect_true(all(c("north", "south", "west") %in% sub("town = ", "", groups$term)))
  expect_same(numbers(gate(table, by = df$town)), numbers(gate(table, by = "town")))
  expect_same(numbers(gate(table, by = ~ town == "west")), numbers(gate(table, by = df$town == "west")))
  expect_same(numbers(policy(table, rule = ~ as.numeric(age > 40))), numbers(policy(table, rule = as.numeric(df$age > 40))))
  expect_s3_class(policy(table, cost = "cost"), "hte_table")
  expect_s3_class(hte_verb(table, "counterfactual", to = 1, by = ~town), "hte_table")
  expect_sentence(hte_verb(table, table), "InvalidOption", "`verb` must be the name of a verb.")
  two_way <- hte_verb(table, "with_vcov", vcov = list(CRV1 = "town+code"))
  expect_s3_class(two_way, "hte_table")
  expect_sentence(gate(table, by = "twon"), "InvalidData", "The nearest is `town`")
  expect_sentence(gate(table, by = "unused"), "InvalidData", "It holds values of type list.")
  expect_sentence(gate(table, by = 1:3), "InvalidOption", "`by` must have one value for each")
})

test_that("data that change after the study was made change nothing", {
  skip_without_python()
  skip_if_not_installed("data.table")
  df <- data.table::as.data.table(people(8))
  table <- table_of(df)
  before <- numbers(hte_verb(table, "average", where = "age > 40"))
  data.table::set(df, j = "age", value = 0L) # in place
  expect_same(numbers(hte_verb(table, "average", where = "age > 40")), before)
})
