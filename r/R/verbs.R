#' Ask a table further questions
#'
#' Every verb that a table of the Python package has, under the same name and arguments (dots or underscores), answered
#' from the same held-out predictions. `hte_verb()` is the general door, the others are short names for it;
#' `hte_verbs()` lists them all with their arguments.
#'
#' @param table Made by [hte_compare()].
#' @param verb Name of the verb, such as `"gate"`.
#' @param engine Name in the table's column `engine`.
#' @param newdata Data frame with the covariates of the study.
#' @param level Coverage of the intervals; that of the table where left out.
#' @param ... Arguments of the verb, by name. Conditions and formulas are R's and are evaluated here, on the rows of the
#'   data that the study kept: `where` takes text (`"age > 30 & !is.na(x)"`), a one-sided formula or a logical vector, and
#'   rows where it is `NA` are neither in nor out; `by`, `cost`, `rule`, `outcome` and their like take the name of any column
#'   of the data, a one-sided formula, or a vector; `formula` goes through [stats::model.matrix()]. Vectors have one value
#'   for each row of the data, or for each that the study kept.
#' @return An `hte_table`, a data frame, or a list, as the verb has it. `cate()`: a data frame with `estimate`,
#'   `std.error`, `conf.low` and `conf.high` for each row of `newdata`; its attribute `note` says what a forest's interval
#'   leaves out.
#' @details
#' `differences()`: engines set against each other, paired. `gate()`: effects in given groups (`by`). `gates()`: in
#' groups sorted by held-out effect. `clan()`: who is in them. `calibration()`: best linear predictor test.
#' `projection()`: the effect on covariates. `rate()`: rank-weighted average effects. `policy()`: what a rule earns.
#' `race()` and `agreement()`: which engine predicts effects better, and how far they agree.
#' @examplesIf nzchar(htebridge::hte_python())
#' set.seed(1)
#' df <- data.frame(x = rnorm(200), d = rbinom(200, 1, 0.5))
#' df$y <- df$d * (1 + df$x) + rnorm(200)
#' table <- hte_compare(hte_study(df, y ~ x, treatment = "d"), list(hte_feols()), seed = 1)
#' cate(table, engine = "feols", newdata = data.frame(x = c(-1, 1)))
#' hte_verb(table, "average", where = "x > 0")
#' projection(table, formula = ~ I(x^2))
#' names(hte_verbs(table))
#' @export
hte_verb <- function(table, verb, ...) {
  check_table(table)
  if (!is.character(verb) || length(verb) != 1L) {
    abort("InvalidOption", "`verb` must be the name of a verb. A ", class(verb)[1L], " was given. Write hte_verb(table, ",
      "\"gate\", ...); hte_verbs(table) lists them.")
  }
  options <- list(...)
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

#' @rdname hte_verb
#' @export
cate <- function(table, engine, newdata, level = NULL, ...) {
  check_table(table)
  if (!is.data.frame(newdata)) {
    abort("InvalidNewData", "New data must be a data frame. A ", class(newdata)[1L],
      " was given. Put it into a data frame with the covariates of the study.")
  }
  study <- study_of(table)
  needed <- intersect(unlist(study$options$covariates), names(newdata))
  options <- c(list(new = labelled(newdata, needed), engine = engine), snake(list(...)))
  if (!is.null(level)) options$level <- level
  frame <- ask("verb", table = table, name = "cate", options = options)
  attr(frame, "row.names") <- attr(newdata, "row.names")
  frame
}

#' @rdname hte_verb
#' @export
differences <- function(table, ...) hte_verb(table, "differences", ...)

#' @rdname hte_verb
#' @export
gate <- function(table, ...) hte_verb(table, "gate", ...)

#' @rdname hte_verb
#' @export
gates <- function(table, ...) hte_verb(table, "gates", ...)

#' @rdname hte_verb
#' @export
clan <- function(table, ...) hte_verb(table, "clan", ...)

#' @rdname hte_verb
#' @export
calibration <- function(table, ...) hte_verb(table, "calibration", ...)

#' @rdname hte_verb
#' @export
projection <- function(table, ...) hte_verb(table, "projection", ...)

#' @rdname hte_verb
#' @export
rate <- function(table, ...) hte_verb(table, "rate", ...)

#' @rdname hte_verb
#' @export
policy <- function(table, ...) hte_verb(table, "policy", ...)

#' @rdname hte_verb
#' @export
race <- function(table, ...) hte_verb(table, "race", ...)

#' @rdname hte_verb
#' @export
agreement <- function(table, ...) hte_verb(table, "agreement", ...)
