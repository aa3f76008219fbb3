# A study's formula: names of columns, or columns that are computed. The latter travel as a formula of the Python package, which
# computes the same of new rows, from R, from Python and from a saved file.

COMPUTED <- c("log", "log1p", "log2", "log10", "sqrt", "exp", "expm1", "abs", "sin", "cos", "tan", "sign", "floor", "round",
  "poly", "bs", "cr", "cs", "cc", "scale", "center", "i", "C")
RENAMED <- c(factor = "C", as.factor = "C", ceiling = "ceil", is.na = "isna", asinh = "arcsinh", pmin = "minimum", pmax = "maximum")
JOINING <- c("+", "-", "*", "/", ":", "%in%")
COMPARING <- c("<", "<=", ">", ">=", "==", "!=")

# Outcome, covariates and fixed effects of `y ~ x1 + x2 | effect`; where some are computed `text` and the names of all `columns`.
formula_parts <- function(formula) {
  if (!inherits(formula, "formula") || length(formula) != 3L) {
    abort("InvalidOption", "`formula` must be two-sided, such as y ~ x1 + x2 | effect. `",
      substr(deparse1(formula), 1L, 80L), "` was given. Write the outcome on the left.")
  }
  right <- formula[[3L]]
  effects <- NULL
  if (is.call(right) && identical(right[[1L]], as.name("|"))) {
    effects <- column_names(right[[3L]])
    right <- right[[2L]]
  }
  if (is_sum(right) && is.name(formula[[2L]])) {
    covariates <- column_names(right)
    if ("." %in% covariates) covariates <- "all"
    return(list(outcome = as.character(formula[[2L]]), covariates = covariates, fixed_effects = effects))
  }
  list(outcome = formula[[2L]], covariates = right, fixed_effects = effects, environment = environment(formula))
}

# Whether an expression is names with + between them.
is_sum <- function(expression) {
  if (is.name(expression)) return(TRUE)
  is.call(expression) && identical(expression[[1L]], as.name("+")) && length(expression) == 3L && is_sum(expression[[2L]]) &&
    is_sum(expression[[3L]])
}

# Options with a formula of the Python package in place of outcome, covariates and effects; `columns`: the names it needs.
computed_roles <- function(data, parts, options) {
  if (is.character(parts$outcome)) parts$outcome <- as.name(parts$outcome)
  if (is.character(parts$covariates)) parts$covariates <- sum_of(parts$covariates)
  further <- options$controls
  written <- inherits(further, "formula")
  used <- c(all.vars(parts$outcome), unlist(parts$fixed_effects), if (written) all.vars(further) else unlist(further),
    unlist(options[c("treatment", "cluster", "weight", "propensity")]))
  right <- without_dot(parts$covariates, setdiff(names(data), used))
  env <- parts$environment
  text <- paste(translated(parts$outcome, data, env), "~", translated(right, data, env))
  if (length(parts$fixed_effects)) text <- paste(text, "|", paste(vapply(parts$fixed_effects, column_word, ""), collapse = " + "))
  if (written) options$controls <- paste("~", translated(right_side("controls", further), data, environment(further)))
  options$formula <- text
  sources <- intersect(all.vars(right), names(data))
  more <- if (written) all.vars(further)
  list(options = options, sources = sources, columns = intersect(unique(c(used, sources, more)), names(data)))
}

sum_of <- function(names) Reduce(function(a, b) call("+", a, b), lapply(names, as.name))

# `.` as the columns without another role.
without_dot <- function(expression, columns) {
  if (identical(expression, as.name("."))) return(sum_of(columns))
  if (is.call(expression)) expression[-1L] <- lapply(expression[-1L], without_dot, columns)
  expression
}

column_word <- function(name) if (grepl("^[[:alpha:]_][[:alnum:]_]*$", name)) name else paste0("`", name, "`")

# An R expression in the words of the Python package's grammar.
translated <- function(expression, data, environment) {
  again <- function(part) translated(part, data, environment)
  if (is.name(expression)) return(a_name(as.character(expression), data, environment))
  if (!is.call(expression)) return(a_value(expression))
  if (!is.name(expression[[1L]])) no_formula(expression)
  head <- as.character(expression[[1L]])
  parts <- vapply(as.list(expression)[-1L], again, "")
  if (head == "(") return(paste0("(", parts, ")"))
  if (head == "I") return(paste0("I(", parts, ")"))
  if (head %in% c("-", "+") && length(parts) == 1L) return(paste0(head, parts))
  if (head == "!") return(paste0("(not ", parts, ")"))
  if (head == "^") return(paste(parts, collapse = " ** "))
  if (head %in% c(JOINING, COMPARING)) return(paste(parts, collapse = paste0(" ", head, " ")))
  if (head %in% c("&", "|")) return(paste0("(", parts[1L], ") ", head, " (", parts[2L], ")"))
  if (!head %in% c(COMPUTED, names(RENAMED))) no_formula(expression)
  if (head %in% names(RENAMED)) head <- RENAMED[[head]]
  named <- nzchar(names(parts)) & !is.null(names(parts))
  parts[named] <- paste0(names(parts)[named], "=", parts[named])
  paste0(head, "(", paste(parts, collapse = ", "), ")")
}

a_name <- function(name, data, environment) {
  if (name %in% names(data) || name %in% c("TRUE", "FALSE")) return(column_word(name))
  if (!is.null(environment) && is_variable(name, environment)) {
    value <- get(name, envir = environment)
    if (is.atomic(value) && length(value) == 1L) return(a_value(value))
  }
  check_column(data, "formula", name)
}

a_value <- function(value) {
  if (is.logical(value)) return(if (isTRUE(value)) "True" else "False")
  if (is.numeric(value)) return(sprintf("%.17g", value))
  if (is.character(value)) return(encodeString(value, quote = "\""))
  no_formula(value)
}

no_formula <- function(expression) {
  abort("InvalidOption", "`formula` must hold columns of the data, or log(), sqrt(), I(x^2), factor(), poly(), bs() and their like of them. `",
    deparse1(expression), "` is not one. Make that column first, then name it.")
}
