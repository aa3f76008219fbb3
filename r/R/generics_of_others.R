# What packages ask by generics of their own; registered when they are loaded, so that none of them is needed.

# marginaleffects answers classes that this option names.
.onLoad <- function(libname, pkgname) {
  options(marginaleffects_model_classes = union(getOption("marginaleffects_model_classes"), c("hte_table", "hte_model")))
}

#' @importFrom stats coef vcov
#' @exportS3Method insight::get_parameters
get_parameters.hte_table <- function(x, ...) {
  found <- coef(x)
  data.frame(Parameter = names(found), Estimate = unname(found))
}

#' @exportS3Method insight::get_parameters
get_parameters.hte_model <- get_parameters.hte_table

#' @exportS3Method insight::get_statistic
get_statistic.hte_table <- function(x, ...) {
  rows <- tidy(x)
  rows <- rows[is.finite(rows$estimate), ]
  structure(data.frame(Parameter = rows$term, Statistic = rows$statistic), statistic = "t")
}

#' @exportS3Method insight::get_statistic
get_statistic.hte_model <- get_statistic.hte_table

# modelsummary(vcov = "HC3") asks by this one: what cannot be had must not be printed under its name.
#' @exportS3Method insight::get_varcov
get_varcov.hte_table <- function(x, vcov = NULL, ...) get_vcov.hte_table(x, vcov = vcov)

#' @exportS3Method insight::get_varcov
get_varcov.hte_model <- get_varcov.hte_table

# Of easystats: it asks a list of classes of its own whether an object is a model, so that get_parameters() alone is not enough.
#' @exportS3Method parameters::model_parameters
model_parameters.hte_table <- function(model, ci = 0.95, vcov = NULL, ...) {
  if (!is.null(vcov)) get_vcov.hte_table(model, vcov = vcov)
  rows <- tidy(model, conf.level = ci)
  known <- is.finite(rows$estimate)
  found <- data.frame(Parameter = names(coef(model)), Coefficient = rows$estimate[known], SE = rows$std.error[known], CI = ci,
    CI_low = rows$conf.low[known], CI_high = rows$conf.high[known], t = rows$statistic[known], df_error = rows$df[known], p = rows$p.value[known])
  structure(found, class = c("parameters_model", "see_parameters_model", "data.frame"), ci = ci, coefficient_name = "Coefficient",
    digits = 2, ci_digits = 2, p_digits = 3)
}

#' @exportS3Method parameters::model_parameters
model_parameters.hte_model <- model_parameters.hte_table

#' @exportS3Method marginaleffects::get_coef
get_coef.hte_table <- function(model, ...) coef(model)

#' @exportS3Method marginaleffects::get_coef
get_coef.hte_model <- get_coef.hte_table

#' @exportS3Method marginaleffects::get_vcov
get_vcov.hte_table <- function(model, vcov = NULL, ...) {
  if (is.matrix(vcov)) return(vcov)
  if (is.null(vcov) || isTRUE(vcov)) return(stats::vcov(model))
  abort("InvalidOption", "`vcov` must be left out: the rows have the errors of the study. ", deparse1(vcov), " was given. For others ask ",
    "with_vcov(table, ...) first.")
}

#' @exportS3Method marginaleffects::get_vcov
get_vcov.hte_model <- get_vcov.hte_table

#' @exportS3Method marginaleffects::set_coef
set_coef.hte_table <- function(model, coefs, ...) {
  inner <- unclass(model)
  inner$rows$estimate[is.finite(inner$rows$estimate)] <- coefs
  structure(inner, class = class(model))
}

#' @exportS3Method marginaleffects::set_coef
set_coef.hte_model <- function(model, coefs, ...) {
  inner <- unclass(model$table)
  own <- inner$rows$engine == model$engine & is.finite(inner$rows$estimate)
  inner$rows$estimate[own] <- coefs
  model$table <- structure(inner, class = class(model$table))
  model
}
