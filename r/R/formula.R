# A study's formula: names of columns, or columns that are computed. The latter travel as a formula of the Python package, which
# computes the same of new rows, from R, from Python and from a saved file.

COMPUTED <- c("log", "log1p", "log2", "log10", "sqrt", "exp", "expm1", "abs", "sin", "cos", "tan", "sign", "floor", "round",
  "poly", "bs", "cr", "cs", "cc", "scale", "center", "i", "C")
RENAMED <- c(factor = "C", as.factor = "C", ceiling = "ceil", is.na = "isna", asinh = "arcsinh", pmin = "minimum", pmax = "maximum")
COMPARING <- c("<", "<=", ">", ">=", "==", "!=")
# how tightly operators bind in R, the loosest first
BINDING <- c("|" = 1, "&" = 2, "!" = 3, stats::setNames(rep(4, 6L), COMPARING), "+" = 5, "-" = 5, "*" = 6, "/" = 6, "%in%" = 7, "%%" = 7,
  "%/%" = 7, ":" = 8, "-x" = 9, "^" = 10)
OTHER_SIGNS <- c("^" = "**", "%%" = "%", "%/%" = "//")

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
  if (identical(expression, as.name("."))) return(call("(", sum_of(columns)))
  if (is.call(expression)) expression[-1L] <- lapply(expression[-1L], without_dot, columns)
  expression
}

column_word <- function(name) if (grepl("^[[:alpha:]_][[:alnum:]_]*$", name)) name else paste0("`", name, "`")

# An R expression in the words of the Python package's grammar; `inside` of a call operators compute, outside they join terms.
translated <- function(expression, data, environment, inside = FALSE) {
  if (is.name(expression)) return(a_name(as.character(expression), data, environment))
  if (!is.call(expression)) return(a_value(expression))
  head <- called(expression)
  if (head == "(" && !inside && computes(expression[[2L]])) return(translated(expression[[2L]], data, environment))
  if (computes(expression) && !inside) return(paste0("I(", translated(expression, data, environment, TRUE), ")"))
  if (head %in% names(BINDING)) return(an_operation(head, as.list(expression)[-1L], data, environment, inside))
  if (head == "(") return(paste0("(", translated(expression[[2L]], data, environment, inside), ")"))
  a_function(head, as.list(expression)[-1L], expression, data, environment)
}

# Name of what is called; that of a package without it.
called <- function(expression) {
  head <- expression[[1L]]
  if (is.call(head) && identical(head[[1L]], as.name("::"))) head <- head[[3L]]
  if (is.name(head)) as.character(head) else no_formula(expression)
}

# Whether an expression is a number or a truth for each row, which R computes in a formula without I().
computes <- function(expression) is.call(expression) && called(expression) %in% c(COMPARING, "!", "&", "|", "%%", "%/%")

an_operation <- function(head, parts, data, environment, inside) {
  if (head == "%in%" && inside) return(paste(translated(parts[[1L]], data, environment, TRUE), "in", a_list(parts[[2L]], data, environment)))
  said <- vapply(parts, translated, "", data, environment, inside)
  lone <- length(parts) == 1L
  looser <- vapply(seq_along(parts), function(k) binds_looser(parts[[k]], head, right = k == length(parts)), NA)
  said[looser] <- paste0("(", said[looser], ")") # a call that was put together holds no parentheses of its own
  if (head == "!") return(paste0("(not ", said, ")"))
  if (lone) return(paste0(head, said))
  if (head %in% c("&", "|")) return(paste0("(", said[1L], ") ", head, " (", said[2L], ")"))
  sign <- if (inside || head == "^") OTHER_SIGNS[head] else c("%in%" = ":")[head] # nested in is an interaction in R
  paste(said, collapse = paste0(" ", if (is.na(sign)) head else sign, " "))
}

binds_looser <- function(part, head, right) {
  if (!is.call(part) || !is.name(part[[1L]])) return(FALSE)
  inner <- BINDING[as.character(part[[1L]])]
  if (is.na(inner)) return(FALSE)
  if (length(part) == 2L && as.character(part[[1L]]) != "!") inner <- BINDING[["-x"]]
  inner < BINDING[[head]] || inner == BINDING[[head]] && (right != (head == "^"))
}

# Values of `x %in% c(1, 2)`, written out or a variable of the user's.
a_list <- function(expression, data, environment) {
  if (any(all.vars(expression) %in% names(data))) no_formula(expression)
  found <- if (is.name(expression)) get0(as.character(expression), environment) else
    tryCatch(eval(expression, baseenv()), error = function(e) NULL)
  if (!is.atomic(found) || !length(found) || anyNA(found)) no_formula(expression)
  paste0("[", paste(vapply(as.vector(found), a_value, ""), collapse = ", "), "]")
}

a_function <- function(head, parts, expression, data, environment) {
  if (head == "log" && length(parts) == 2L && is.numeric(parts[[2L]]) && parts[[2L]] %in% c(2, 10)) {
    head <- paste0("log", parts[[2L]])
    parts <- parts[1L]
  }
  if (head == "relevel" && length(parts) == 2L) {
    head <- "i"
    names(parts) <- c("", "ref")
  }
  if (head == "i" && length(parts) == 2L && is.null(names(parts)) && is.name(parts[[2L]])) { # fixest's slopes by level
    return(paste0("C(", translated(parts[[1L]], data, environment, TRUE), "):", translated(parts[[2L]], data, environment)))
  }
  if (!head %in% c(COMPUTED, names(RENAMED), "I") || head == "log" && length(parts) > 1L) no_formula(expression)
  if (head %in% names(RENAMED)) head <- RENAMED[[head]]
  said <- vapply(parts, translated, "", data, environment, TRUE)
  named <- nzchar(names(said)) & !is.null(names(said))
  said[named] <- paste0(names(said)[named], "=", said[named])
  paste0(head, "(", paste(said, collapse = ", "), ")")
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
