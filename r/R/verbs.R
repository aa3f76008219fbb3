#' Ask a table further questions
#'
#' The general door to every verb that a table of the Python package has, under the same name and arguments (dots or
#' underscores), answered from the same held-out predictions. `hte_verbs()` lists them all with their arguments. The verbs
#' that most tables are asked have functions and pages of their own: [average()], [gate()], [gates()], [clan()],
#' [projection()], [calibration()], [rate()], [policy()], [differences()], [cate()], [with_vcov()], [sensitivity()].
#'
#' @param table Made by [hte_compare()].
#' @param verb Name of the verb, such as `"gate"`.
#' @param ... Arguments of the verb, by name. Conditions and formulas are R's and are evaluated here, on the rows of the
#'   data that the study kept: `where` takes text (`"age > 30 & !is.na(x)"`), a one-sided formula or a logical vector, and
#'   rows where it is `NA` are neither in nor out; `by`, `cost`, `rule`, `outcome` and their like take the name of any column
#'   of the data, a one-sided formula, or a vector; `formula` goes through [stats::model.matrix()]. Vectors have one value
#'   for each row of the data, or for each that the study kept.
#' @return An `hte_table`, a data frame, or a list, as the verb has it.
#' @examplesIf nzchar(htebridge::hte_python())
#' set.seed(1)
#' df <- data.frame(x = rnorm(200), d = rbinom(200, 1, 0.5))
#' df$y <- df$d * (1 + df$x) + rnorm(200)
#' table <- hte_compare(hte_study(df, y ~ x, treatment = "d"), list(hte_feols()), seed = 1)
#' names(hte_verbs(table))
#' hte_verb(table, "nuisance")
#' @export
hte_verb <- function(table, verb, ...) {
  options <- list(...)
  if (!is.character(verb) || length(verb) != 1L) {
    check_table(table)
    abort("InvalidOption", "`verb` must be the name of a verb. A ", class(verb)[1L], " was given. Write hte_verb(table, ",
      "\"gate\", ...); hte_verbs(table) lists them.")
  }
  ask_verb(table, verb, options)
}

ask_verb <- function(table, verb, options) {
  check_table(table)
  if (length(options) && (is.null(names(options)) || !all(nzchar(names(options))))) {
    abort("InvalidOption", "Arguments of a verb must be named. One of `", verb, "` was given without a name. Write ",
      "name = value.")
  }
  options <- snake(options)
  if (!is.null(options$path)) options$path <- absolute(options$path)
  study <- study_of(table)
  asked <- evaluated(study, options)
  answer <- ask("verb", table = table, name = verb, options = snake(asked$options), columns = asked$columns)
  if (inherits(answer, "hte_table")) remember(answer, study)
  answer
}

# A verb with the arguments of the function that calls this, as far as they were given, under their names.
own_verb <- function(verb, table, ...) {
  called <- parent.frame()
  names <- setdiff(names(formals(sys.function(sys.parent()))), c("table", "..."))
  given <- names[!vapply(names, function(name) eval(call("missing", as.name(name)), called), NA)]
  ask_verb(table, verb, c(mget(given, envir = called), list(...)))
}

# The study of a table whose fits live: its data stay here, for questions that name other columns.
study_of <- function(table) if (fits_live(table)) state$studies[[table$ref$handle]]

remember <- function(table, study) {
  if (!is.null(table$ref$handle) && !is.null(study)) assign(table$ref$handle, study, envir = state$studies)
}

check_table <- function(table) {
  if (!inherits(table, "hte_table")) {
    abort("InvalidOption", "`table` must be made by hte_compare(). A ", class(table)[1L], " was given. Write ",
      "table <- hte_compare(study, ...).")
  }
}

#' @rdname hte_verb
#' @export
hte_verbs <- function(table) {
  check_table(table)
  unlist(ask("verbs", table = table))
}

#' Effects at new rows
#'
#' @param table Made by [hte_compare()].
#' @param engine Name in the table's column `engine`.
#' @param newdata Data frame with the covariates of the study.
#' @param level Coverage of the intervals; that of the table where left out.
#' @param ... Further arguments of the verb, by name: of an adoption `event_time`.
#' @return A data frame with `estimate`, `std.error`, `conf.low` and `conf.high` for each row of `newdata`; its attribute
#'   `note` says what the interval of an engine leaves out. Of several arms it has the rows once for each, with columns `contrast` and
#'   `row`, the name of the row.
#' @seealso [predict.hte_table()] for the estimates alone.
#' @examplesIf nzchar(htebridge::hte_python())
#' set.seed(1)
#' df <- data.frame(x = rnorm(200), d = rbinom(200, 1, 0.5))
#' df$y <- df$d * (1 + df$x) + rnorm(200)
#' table <- hte_compare(hte_study(df, y ~ x, treatment = "d"), list(hte_feols()), seed = 1)
#' cate(table, engine = "feols", newdata = data.frame(x = c(-1, 1)))
#' @export
cate <- function(table, engine, newdata, level = NULL, ...) {
  check_table(table)
  if (!is.data.frame(newdata)) {
    abort("InvalidNewData", "New data must be a data frame. A ", class(newdata)[1L],
      " was given. Put it into a data frame with the covariates of the study.")
  }
  study <- study_of(table)
  needed <- intersect(study$sources, names(newdata))
  options <- c(list(new = labelled(newdata, needed), engine = engine), snake(list(...)))
  if (!is.null(level)) options$level <- level
  frame <- ask("verb", table = table, name = "cate", options = options)
  if ("contrast" %in% names(frame)) { # of several arms: the rows once for each
    return(data.frame(frame["contrast"], row = rep(row.names(newdata), length.out = nrow(frame)), frame[names(frame) != "contrast"]))
  }
  attr(frame, "row.names") <- attr(newdata, "row.names")
  frame
}

#' Average effects, of all or of some
#'
#' @param table Made by [hte_compare()].
#' @param estimand `"ate"` (everybody), `"att"` (the treated), `"ato"` (overlap weights), or with a dose `"ape"`.
#' @param where Who: a condition in R on columns of the data as text (`"age > 30"`), a one-sided formula, or a logical
#'   vector. Rows where it is `NA` are neither in nor out.
#' @param term Name of the row; the condition where left out.
#' @param ... Further arguments of the verb, by name; see `hte_verbs(table)`.
#' @return An `hte_table` with a row for each engine.
#' @examplesIf nzchar(htebridge::hte_python())
#' set.seed(1)
#' df <- data.frame(x = rnorm(200), d = rbinom(200, 1, 0.5))
#' df$y <- df$d * (1 + df$x) + rnorm(200)
#' table <- hte_compare(hte_study(df, y ~ x, treatment = "d"), list(hte_feols()), seed = 1)
#' average(table, where = "x > 0")
#' @export
average <- function(table, estimand = "ate", where = NULL, term = NULL, ...) own_verb("average", table, ...)

#' Effects in given groups
#'
#' `gate()`: in groups that you name. `gates()`: in groups sorted by the held-out effect, so that the data say who gains.
#' `clan()`: what the members of those groups are like.
#'
#' @param table Made by [hte_compare()].
#' @param by The groups: name of a column of the data, a one-sided formula (`~ town`, `~ age > 30`), or a vector.
#' @param bins For a numeric `by`: number of groups of equal size, or their inner edges.
#' @param joint Whether intervals are bands that hold for all groups at once.
#' @param groups How many groups.
#' @param ranking `"sequential"`: each fold is ranked by models of the folds before it, so that nobody is ranked by their own
#'   outcome (Wager, 2024). `"heldout"`: by all other folds, without intervals.
#' @param monotone Whether groups are put into ascending order (Chernozhukov, Demirer, Duflo and Fernandez-Val, 2025).
#' @param ... Further arguments of the verb, by name; see `hte_verbs(table)`.
#' @return An `hte_table`: a row for each engine and group, the difference of last and first, and a joint test.
#' @examplesIf nzchar(htebridge::hte_python())
#' set.seed(1)
#' df <- data.frame(x = rnorm(200), d = rbinom(200, 1, 0.5))
#' df$y <- df$d * (1 + df$x) + rnorm(200)
#' table <- hte_compare(hte_study(df, y ~ x, treatment = "d"), list(hte_feols()), seed = 1)
#' gate(table, by = ~ x > 0)
#' gates(table, groups = 3)
#' clan(table, groups = 3)
#' @export
gate <- function(table, by, bins = NULL, joint = TRUE, ...) own_verb("gate", table, ...)

#' @rdname gate
#' @export
gates <- function(table, groups = 5, ranking = "sequential", joint = TRUE, monotone = FALSE, ...) {
  own_verb("gates", table, ...)
}

#' @rdname gate
#' @export
clan <- function(table, groups = 5, ranking = "sequential", ...) own_verb("clan", table, ...)

#' The effect on covariates
#'
#' Best linear projection of the effect, from doubly robust scores (Semenova and Chernozhukov, 2021, Econometrics Journal).
#'
#' @param table Made by [hte_compare()].
#' @param formula Right-hand side in R (`~ age + log(income)`), evaluated by [stats::model.matrix()] on the data; the
#'   study's covariates where left out. fixest's `i(g, ref =)` and `i(g, x)` are understood.
#' @param vcov `"HC3"` (default), `"HC1"` or `"HC0"`; clustered where the study names clusters.
#' @param overlap Whether units count by their overlap.
#' @param ... Further arguments of the verb, by name; see `hte_verbs(table)`.
#' @return An `hte_table`: a row for each engine and term, and a joint test of the slopes.
#' @examplesIf nzchar(htebridge::hte_python())
#' set.seed(1)
#' df <- data.frame(x = rnorm(200), d = rbinom(200, 1, 0.5))
#' df$y <- df$d * (1 + df$x) + rnorm(200)
#' table <- hte_compare(hte_study(df, y ~ x, treatment = "d"), list(hte_feols()), seed = 1)
#' projection(table, formula = ~ x + I(x^2))
#' @export
projection <- function(table, formula = NULL, vcov = "HC3", overlap = FALSE, ...) own_verb("projection", table, ...)

#' Is the predicted heterogeneity real?
#'
#' `calibration()`: do effects vary as an engine predicts? `rate()`: does treating by the prediction gain
#' (Yadlowsky, Fleming, Shah, Brunskill and Wager, 2025)? `toc()`: the curve behind it.
#'
#' @param table Made by [hte_compare()].
#' @param method `"grf"`: the regression of [grf::test_calibration()]; `"regression"` or `"horvitz-thompson"`: the best linear
#'   predictor of generic machine learning (Chernozhukov, Demirer, Duflo and Fernandez-Val, 2025).
#' @param ranking As in [gates()].
#' @param targets `"autoc"`, `"qini"` or both.
#' @param grid Shares treated, in (0, 1].
#' @param ... Further arguments of the verb, by name; see `hte_verbs(table)`.
#' @return An `hte_table`.
#' @examplesIf nzchar(htebridge::hte_python())
#' set.seed(1)
#' df <- data.frame(x = rnorm(200), d = rbinom(200, 1, 0.5))
#' df$y <- df$d * (1 + df$x) + rnorm(200)
#' table <- hte_compare(hte_study(df, y ~ x, treatment = "d"), list(hte_feols()), seed = 1)
#' calibration(table)
#' rate(table, targets = "autoc")
#' @export
calibration <- function(table, method = "grf", ranking = NULL, ...) own_verb("calibration", table, ...)

#' @rdname calibration
#' @export
rate <- function(table, targets = c("autoc", "qini"), ranking = "sequential", ...) own_verb("rate", table, ...)

#' @rdname calibration
#' @export
toc <- function(table, grid = seq(0.1, 1, 0.1), ranking = "sequential", ...) own_verb("toc", table, ...)

#' What a rule earns
#'
#' Value of treating by the held-out effect, by a rule of yours or by a learned tree, against treating everybody, nobody, or at
#' random.
#'
#' @param table Made by [hte_compare()].
#' @param cost Of treating one unit, in units of the outcome: a number, the name of a column, a one-sided formula or a vector.
#' @param budget Share of units (or of cost) that may be treated; several at once are understood.
#' @param rule Who is treated: the name of a column of 0/1, a one-sided formula such as `~ age > 30`, or a vector.
#' @param tree,depth `tree = "exact"` or `"policytree"` learns a policy tree of that depth (Athey and Wager, 2021, Econometrica).
#' @param ranking As in [gates()].
#' @param ... Further arguments of the verb, by name; see `hte_verbs(table)`.
#' @return An `hte_table`.
#' @examplesIf nzchar(htebridge::hte_python())
#' set.seed(1)
#' df <- data.frame(x = rnorm(200), d = rbinom(200, 1, 0.5))
#' df$y <- df$d * (1 + df$x) + rnorm(200)
#' table <- hte_compare(hte_study(df, y ~ x, treatment = "d"), list(hte_feols()), seed = 1)
#' policy(table, cost = 0.5)
#' policy(table, rule = ~ x > 0)
#' @export
policy <- function(table, cost = 0, budget = NULL, rule = NULL, tree = NULL, depth = 2, ranking = "sequential", ...) {
  own_verb("policy", table, ...)
}

#' Engines set against each other
#'
#' `differences()`: engine minus engine for every row that two share, with its own error. `race()`: which predicts effects
#' better on held-out units. `agreement()`: how far they agree. `explain_gap()`: why an engine's average and feols' coefficient
#' differ.
#'
#' @param table Made by [hte_compare()], of two engines or more.
#' @param level Coverage of the intervals; that of the table where left out.
#' @param ranking As in [gates()].
#' @param depth Of the tree that says where they disagree.
#' @param engine,baseline Names in the table's column `engine`.
#' @param ... Further arguments of the verb, by name; see `hte_verbs(table)`.
#' @return An `hte_table` whose text ends in a reading of it in words.
#' @examplesIf nzchar(htebridge::hte_python())
#' set.seed(1)
#' df <- data.frame(x = rnorm(200), d = rbinom(200, 1, 0.5))
#' df$y <- df$d * (1 + df$x) + rnorm(200)
#' study <- hte_study(df, y ~ x, treatment = "d")
#' table <- hte_compare(study, list(hte_feols(), hte_causal_forest(num.trees = 50)), seed = 1)
#' differences(table)
#' @export
differences <- function(table, level = NULL, ...) own_verb("differences", table, ...)

#' @rdname differences
#' @export
race <- function(table, ranking = "sequential", level = NULL, ...) own_verb("race", table, ...)

#' @rdname differences
#' @export
agreement <- function(table, depth = 2, level = NULL, ...) own_verb("agreement", table, ...)

#' @rdname differences
#' @export
explain_gap <- function(table, engine = "grf", baseline = "feols", level = NULL, ...) own_verb("explain_gap", table, ...)

#' Other errors for the same rows
#'
#' `with_vcov()`: by another formula. `wild_bootstrap()`: by the wild cluster bootstrap, for few clusters. `adjusted()`: p-values
#' that allow for all rows at once. `randomisation()`: test of no effect on anybody, the treatment redrawn.
#'
#' @param table Made by [hte_compare()].
#' @param vcov `"iid"`, `"HC1"`, `"HC2"`, `"HC3"`, or a list such as `list(CRV1 = "village")`, `list(CRV3 = "village")`,
#'   `list(CRV1 = "village+year")`.
#' @param rows A table that a verb of `table` gave, such as `gate(table, ~ town)`; the rows of `table` where left out.
#' @param draws Number of draws.
#' @param seed Whole number; the same seed gives the same numbers.
#' @param method `"romano-wolf"` or `"holm"`.
#' @return An `hte_table` of the same estimates.
#' @examplesIf nzchar(htebridge::hte_python())
#' set.seed(1)
#' df <- data.frame(x = rnorm(200), d = rbinom(200, 1, 0.5), v = rep(1:20, 10))
#' df$y <- df$d * (1 + df$x) + rnorm(200)
#' table <- hte_compare(hte_study(df, y ~ x, treatment = "d", cluster = "v"), list(hte_feols()), seed = 1)
#' with_vcov(table, list(CRV3 = "v"))
#' adjusted(table, gate(table, ~ x > 0))
#' @export
with_vcov <- function(table, vcov, rows = NULL) ask_verb(table, "with_vcov", on_rows(rows, vcov = vcov))

#' @rdname with_vcov
#' @export
wild_bootstrap <- function(table, rows = NULL, draws = 999, seed = 0) {
  ask_verb(table, "wild_bootstrap", on_rows(rows, draws = draws, seed = seed))
}

#' @rdname with_vcov
#' @export
adjusted <- function(table, rows = NULL, method = "romano-wolf", seed = 0) {
  ask_verb(table, "adjusted", on_rows(rows, method = method, seed = seed))
}

#' @rdname with_vcov
#' @export
randomisation <- function(table, draws = 999, seed = 0) ask_verb(table, "randomisation", list(draws = draws, seed = seed))

on_rows <- function(rows, ...) {
  if (is.null(rows)) return(list(...))
  check_table(rows)
  if (lives(rows$ref)) return(list(..., table = rows))
  abort("FitsAreGone", "`rows` must be a table that a verb of `table` gave in this session. The units behind this one are gone. ",
    "Ask the verb again, such as gate(table, by = ...).")
}

#' What if something were otherwise?
#'
#' `sensitivity()`: how strong an unmeasured confounder must be (Chernozhukov, Cinelli, Newey, Sharma and Syrgkanis, 2022).
#' `trimmed()`: without units of extreme propensity (Crump, Hotz, Imbens and Mitnik, 2009). `placebo()`: the effect
#' of a treatment drawn by lot, or on an outcome that the treatment cannot move. `dose()`: the curve of a dose. `counterfactual()`: another treatment. `what_if()`: other units.
#'
#' @param table Made by [hte_compare()].
#' @param benchmarks Whether measured covariates are left out one by one, for comparison.
#' @param edge Propensities nearer to 0 or 1 are left out; `NULL`: the cut that makes the error least.
#' @param outcome A column of the data, a one-sided formula or a vector; where left out the treatment is drawn by lot.
#' @param seed Whole number.
#' @param at Doses; quantiles where left out.
#' @param shape `"spline"` or `"bins"`.
#' @param slopes Whether slopes of the curve are wanted too.
#' @param to,add,scale The treatment set to, raised by, or times this: a number, column, formula or vector.
#' @param by Groups, as in [gate()].
#' @param value Of one unit of the outcome.
#' @param newdata Data frame of units with the covariates of the study.
#' @param change Change of the treatment: a number, or one for each row of `newdata`.
#' @param labels Groups of `newdata`, by name of a column or vector.
#' @param ... Further arguments of the verb, by name; see `hte_verbs(table)`.
#' @return An `hte_table`.
#' @examplesIf nzchar(htebridge::hte_python())
#' set.seed(1)
#' df <- data.frame(x = rnorm(200), d = rbinom(200, 1, 0.5))
#' df$y <- df$d * (1 + df$x) + rnorm(200)
#' table <- hte_compare(hte_study(df, y ~ x, treatment = "d"), list(hte_feols()), seed = 1)
#' sensitivity(table)
#' placebo(table, outcome = ~ x)
#' @export
sensitivity <- function(table, benchmarks = FALSE, ...) own_verb("sensitivity", table, ...)

#' @rdname sensitivity
#' @export
trimmed <- function(table, edge = 0.1, ...) own_verb("trimmed", table, ...)

#' @rdname sensitivity
#' @export
placebo <- function(table, outcome = NULL, seed = 0, ...) own_verb("placebo", table, ...)

#' @rdname sensitivity
#' @export
dose <- function(table, at = NULL, shape = "spline", slopes = FALSE, ...) own_verb("dose", table, ...)

#' @rdname sensitivity
#' @export
counterfactual <- function(table, to = NULL, add = NULL, scale = NULL, by = NULL, value = 1, ...) {
  own_verb("counterfactual", table, ...)
}

#' @rdname sensitivity
#' @export
what_if <- function(table, newdata, change, labels = NULL, ...) {
  options <- list(rows = newdata, change = change, ...)
  if (!is.null(labels)) options$labels <- labels
  ask_verb(table, "what_if", options)
}
