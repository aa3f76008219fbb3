shared <- local({
  made <- NULL
  function() {
    if (is.null(made)) {
      made <<- suppressWarnings(hte_compare(hte_study(experiment(11), y ~ x + z, treatment = "d", cluster = "village"),
        list(hte_feols(), hte_causal_forest(num.trees = 50, seed = 1)), seed = 1))
    }
    made
  }
})

test_that("R's generics read a table as they read a fit", {
  skip_without_python()
  table <- shared()
  rows <- tidy(table)
  told <- is.finite(rows$estimate)
  expect_identical(coef(table), stats::setNames(rows$estimate[told], rows$term[told]))
  expect_identical(nobs(table), 400L)
  ends <- confint(table, "feols: ate")
  expect_identical(unname(ends[1L, ]), unlist(rows[rows$term == "feols: ate", c("conf.low", "conf.high")], use.names = FALSE))
  expect_identical(colnames(ends), c("2.5 %", "97.5 %"))
  expect_lt(ends[1L, 1L], confint(table, "feols: ate", level = 0.5)[1L, 1L])
  expect_sentence(confint(table, "atee"), "InvalidOption", "`parm` must name rows.")
  expect_identical(table$estimate, rows$estimate)
  expect_identical(head(table, 2), head(rows, 2))
  expect_identical(names(table), names(rows))
  expect_identical(table[["term"]], rows$term)
  expect_identical(table[table$engine == "grf", "estimand"], rows$estimand[rows$engine == "grf"])
  expect_output(print(summary(table)), "Effect of d on y")
  expect_setequal(tidy(table, engine = "grf")$engine, "grf")
  expect_sentence(tidy(table, engine = "forest"), "InvalidOption", "They are `feols`")
})

test_that("the covariance has the errors on its diagonal, and a difference of rows is that of differences()", {
  skip_without_python()
  table <- shared()
  joint <- vcov(table)
  rows <- tidy(table)[is.finite(tidy(table)$estimate), ]
  expect_equal(sqrt(diag(joint)), stats::setNames(rows$std.error, rows$term))
  pair <- c("feols: ate", "grf: ate")
  found <- sqrt(sum(c(1, -1) %*% joint[pair, pair] * c(1, -1)))
  told <- tidy(differences(table))
  expect_equal(found, told$std.error[told$estimand == "ate" & !grepl("coefficient", told$term)][1L], tolerance = 1e-6)
  groups <- gate(table, ~ x > 0, joint = FALSE)
  expect_true(any(grepl("x > 0 = TRUE", groups$term, fixed = TRUE)))
  expect_identical(dim(vcov(groups, engine = "feols"))[1L], sum(is.finite(tidy(groups, engine = "feols")$estimate)))
  file <- tempfile(fileext = ".rds")
  saveRDS(table, file)
  expect_identical(vcov(readRDS(file)), joint)
})

test_that("effects at new rows and held-out ones come by predict() and augment()", {
  skip_without_python()
  table <- shared()
  new <- data.frame(x = c(-1, 1), z = 0, row.names = c("low", "high"))
  expect_sentence(predict(table, newdata = new), "InvalidOption", "It was left out. They are `feols`")
  found <- cate(table, "feols", new)
  expect_equal(predict(table, new, "feols"), c(low = found$estimate[1L], high = found$estimate[2L]))
  both <- predict(table, new, "feols", se.fit = TRUE, interval = "confidence")
  expect_identical(unname(both$fit[, "upr"]), found$conf.high)
  expect_identical(unname(both$se.fit), found$std.error)
  data <- experiment(11)
  data$y[3] <- NA
  one <- hte_compare(hte_study(data, y ~ x, treatment = "d"), list(hte_feols()), seed = 1)
  own <- predict(one)
  expect_identical(which(is.na(own)), 3L)
  expect_identical(augment(one)$.cate, own)
  expect_named(augment(table, newdata = new), c("x", "z", paste0(rep(c(".cate", ".std.error", ".conf.low", ".conf.high"), 2), ".",
    rep(c("feols", "grf"), each = 4))))
  expect_sentence(predict(one, se.fit = TRUE), "InvalidOption", "`newdata` must be given where errors are wanted.")
})

test_that("bands of another level are made anew, and other errors are for a verb's own rows", {
  skip_without_python()
  table <- shared()
  bands <- gate(table, ~ x > 0)
  wide <- tidy(bands)
  narrow <- tidy(bands, conf.level = 0.5)
  told <- is.finite(wide$conf.low)
  expect_true(all((narrow$conf.high - narrow$conf.low)[told] < (wide$conf.high - wide$conf.low)[told]))
  family <- tidy(adjusted(table, bands))
  expect_identical(family$term, wide$term)
  expect_true(all(grepl("Romano-Wolf", family$note[told])))
  expect_false(identical(tidy(with_vcov(table, list(CRV3 = "village"), rows = bands))$std.error, wide$std.error))
})

test_that("a dot takes the columns without another role, and a factor's first level is the control", {
  skip_without_python()
  data <- experiment(12)[c("y", "d", "x", "z", "village")]
  dotted <- hte_study(data, y ~ ., treatment = "d", cluster = ~ village)
  expect_setequal(unlist(dotted$options$covariates), c("x", "z"))
  named <- data
  named$d <- factor(ifelse(data$d == 1, "voucher", "control"), c("control", "voucher"))
  expect_message(again <- hte_study(named, y ~ x + z, treatment = "d", cluster = "village"), "`control` is the control (0)", fixed = TRUE)
  row <- function(study) tidy(hte_compare(study, list(hte_feols()), seed = 1))$estimate
  expect_identical(row(again), row(dotted))
})

test_that("sentences speak R", {
  skip_without_python()
  found <- tryCatch(hte_compare(hte_study(experiment(13), y ~ x, treatment = "d"), list(), seed = 1), htebridge_error = conditionMessage)
  expect_match(found, "hte_feols()", fixed = TRUE)
  found <- tryCatch(hte_verb(shared(), "at_level", level = 95), htebridge_error = conditionMessage)
  expect_no_match(found, "hb[.]|True|None")
})

test_that("columns have R's names in rows as in print, and num_trees is num.trees", {
  skip_without_python()
  data <- transform(experiment(14), k = rep(1:3, length.out = 400))
  study <- hte_study(data, y ~ x + factor(k), treatment = "d")
  table <- hte_compare(study, list(hte_feols()), seed = 1)
  expect_true("projection (factor(k)[2])" %in% tidy(table)$term)
  expect_true("projection (factor(k)[2])" %in% names(coef(table)))
  expect_output(print(study), "factor(k)[2]", fixed = TRUE)
  expect_identical(hte_causal_forest(num_trees = 5)$options, hte_causal_forest(num.trees = 5)$options)
})

test_that("autoplot() draws every row with an estimate", {
  skip_without_python()
  skip_if_not_installed("ggplot2")
  drawn <- ggplot2::autoplot(shared(), c("ate", "att"))
  expect_s3_class(drawn, "ggplot")
  expect_identical(nrow(drawn$data), 4L)
})

test_that("there is a model for each engine", {
  skip_without_python()
  models <- hte_models(shared())
  expect_named(models, c("feols", "grf"))
  expect_true(all(c("ate", "projection (x)") %in% tidy(models$grf)$term))
  expect_identical(names(coef(models$grf)), rownames(vcov(models$grf)))
  expect_identical(nobs(models$feols), 400L)
  expect_output(print(models$grf), "Rows of grf")
})

test_that("modelsummary has a column for each engine", {
  skip_without_python()
  skip_if_not_installed("modelsummary")
  rows <- modelsummary::modelsummary(hte_models(shared()), output = "data.frame", gof_map = "nobs")
  expect_true("ate" %in% rows$term)
  expect_true(all(c("feols", "grf") %in% names(rows)))
  expect_sentence(modelsummary::modelsummary(hte_models(shared()), output = "data.frame", vcov = "HC3"), "InvalidOption",
    "with_vcov(table, ...) first")
})

test_that("other packages read estimates and joint covariance by their own generics", {
  skip_without_python()
  table <- shared()
  expect_true(all(c("hte_table", "hte_model") %in% getOption("marginaleffects_model_classes")))
  moved <- coef(table) + 1
  expect_identical(coef(set_coef.hte_table(table, moved)), moved)
  model <- hte_models(table)$grf
  expect_identical(coef(set_coef.hte_model(model, coef(model) * 2)), coef(model) * 2)
  expect_identical(coef(set_coef.hte_model(model, coef(model) * 2)$table, engine = "feols"), coef(table, engine = "feols"))
  expect_identical(get_parameters.hte_model(model)$Estimate, unname(coef(model)))
  expect_identical(get_vcov.hte_table(table), vcov(table))
  expect_sentence(get_vcov.hte_table(table, vcov = "HC3"), "InvalidOption", "with_vcov(table, ...) first")
  expect_sentence(get_varcov.hte_model(model, vcov = "HC3"), "InvalidOption", "with_vcov(table, ...) first")
  rows <- tidy(table, engine = "grf")
  expect_identical(get_statistic.hte_model(model)$Statistic, rows$statistic[is.finite(rows$estimate)])
})

test_that("parameters prints a table's rows with our intervals, without another error under our name", {
  skip_without_python()
  found <- model_parameters.hte_table(shared(), ci = 0.9)
  rows <- tidy(shared(), conf.level = 0.9)
  rows <- rows[is.finite(rows$estimate), ]
  expect_s3_class(found, "parameters_model")
  expect_identical(found$Parameter, names(coef(shared())))
  expect_identical(found$Coefficient, unname(coef(shared())))
  expect_identical(found$CI_low, rows$conf.low)
  expect_identical(found$p, rows$p.value)
  expect_sentence(model_parameters.hte_table(shared(), vcov = "HC3"), "InvalidOption", "`vcov` must be left out")
})
