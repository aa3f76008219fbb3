# Conditions, columns and formulas of a verb are R's: they are evaluated here, on the rows that the study kept, and travel
# to Python as plain columns. Names are columns of the data first, then variables where the formula was written.

ALONG_ROWS <- c("where", "by", "rule", "cost", "value", "to", "add", "scale", "outcome")

# Options of a verb with what is along the rows evaluated, and the columns that Python has not been sent.
evaluated <- function(study, options) {
  new <- vapply(options, is.data.frame, NA) & names(options) != "formula"
  options[new] <- lapply(options[new], labelled)
  if (is.null(study)) return(list(options = options)) # the fits are gone, and Python says so
  if (of_files(study)) return(on_files(options))
  data <- study$data[kept_rows(study), , drop = FALSE]
  columns <- list()
  for (name in setdiff(intersect(ALONG_ROWS, names(options)), "where")) {
    value <- options[[name]]
    if (inherits(value, "formula")) {
      options[[name]] <- deparse1(right_side(name, value))
      found <- row_values(study, data, name, value[[2L]], environment(value))
      columns[[options[[name]]]] <- if (name == "by") in_words(found) else found
    } else if (name == "by" && is_expression(data, value)) {
      columns[[value]] <- in_words(row_values(study, data, name, parsed_condition(value), globalenv()))
    } else if (is.character(value) && length(value) == 1L) {
      check_column(data, name, value)
    } else if (length(value) > 1L) {
      options[[name]] <- along(if (name == "by") in_words(on_kept_rows(study, name, value)) else on_kept_rows(study, name, value))
    }
  }
  if (!is.null(options$where)) options <- with_condition(study, data, options)
  if (!is.null(options$formula)) options$formula <- design(study, data, options$formula)
  unsent <- setdiff(intersect(texts(options), names(data)), c(study$sent, names(columns)))
  columns <- c(unclass(sendable(data, unsent, only = TRUE)), columns)
  list(options = options, columns = if (length(columns)) along(as_frame(columns), vector = FALSE))
}

# Groups TRUE and FALSE are called so.
in_words <- function(values) if (is.logical(values)) as.character(values) else values

# New rows are known by their names, and never taken for rows of the study.
labelled <- function(frame, named = character()) {
  structure(list(frame = sendable(frame, named), labels = row.names(frame)), class = "hte_labelled")
}

as_frame <- function(columns) {
  structure(columns, class = "data.frame", row.names = .set_row_names(length(columns[[1L]])))
}

right_side <- function(name, formula) {
  if (length(formula) == 2L) return(formula[[2L]])
  abort("InvalidOption", "`", name, "` must be a formula without a left side. `", deparse1(formula),
    "` was given. Write ", name, " = ~ ", deparse1(formula[[3L]]), ".")
}

# What options mention as text, parts joined by + too: it may name a column.
texts <- function(value) {
  if (is.character(value)) return(unique(c(value, trimws(unlist(strsplit(value, "+", fixed = TRUE))))))
  if (is.list(value) && !is.object(value)) unlist(lapply(value, texts))
}

# A condition as text, formula or logical vector: TRUE, FALSE or unknown for each row, and its label.
with_condition <- function(study, data, options) {
  where <- options$where
  if (inherits(where, "formula")) {
    options$term <- deparse1(right_side("where", where))
    values <- row_values(study, data, "where", where[[2L]], environment(where))
  } else if (is.character(where) && length(where) == 1L) {
    options$term <- where
    values <- row_values(study, data, "where", parsed_condition(where), globalenv())
  } else {
    values <- on_kept_rows(study, "where", where)
  }
  if (!is.logical(values)) {
    abort("InvalidOption", "`where` must be TRUE or FALSE for each row. Values of class ", class(values)[1L],
      " were found. Write a comparison, such as where = \"age > 30\".")
  }
  options$where <- along(as.vector(values))
  options
}

# Text that is no column's name but more than a name, such as "x > 0" or "age %/% 10".
is_expression <- function(data, value) {
  is.character(value) && length(value) == 1L && !is.na(value) && !(value %in% names(data)) && make.names(value) != value
}

parsed_condition <- function(text) {
  read <- tryCatch(parse(text = text, keep.source = FALSE), error = function(e) e)
  if (!inherits(read, "error") && length(read) == 1L) return(read[[1L]])
  abort("InvalidOption", "`where` must be one condition in R, such as \"age > 30 & town == 'north'\". `", text,
    "` is not one. R writes & for and, | for or, ! for not.")
}

# Value of an expression for each row that the study kept.
row_values <- function(study, data, name, expression, environment) {
  check_expression(data, name, expression, environment)
  values <- tryCatch(eval(expression, data, environment), error = function(e) {
    abort("InvalidOption", "`", name, "` must be an expression that R can evaluate on the data. `", deparse1(expression),
      "` stopped: ", conditionMessage(e), ".")
  })
  on_kept_rows(study, name, values, deparse1(expression))
}

# A vector along all rows of the data, or along those that the study kept, as the latter.
on_kept_rows <- function(study, name, values, label = NULL) {
  kept <- kept_rows(study)
  if (is.atomic(values) && is.null(dim(values)) && length(values) == length(kept)) return(values)
  if (is.atomic(values) && is.null(dim(values)) && length(values) == nrow(study$data)) return(values[kept])
  abort("InvalidOption", "`", name, "` must have one value for each of the data's ", comma(nrow(study$data)), " rows",
    if (length(kept) < nrow(study$data)) paste0(", or of the ", comma(length(kept)), " that the study kept"), ". ",
    if (!is.null(label)) paste0("`", label, "` gave ") else "It has ", comma(length(values)), " of class ",
    class(values)[1L], ". Use columns of the data, or vectors of that length.")
}

check_expression <- function(data, name, expression, environment) {
  scalar <- find_call(expression, c("&&", "||"))
  if (!is.null(scalar)) {
    abort("InvalidOption", "`", name, "` must compare whole columns. `", scalar, "` looks at one value. Write ",
      substr(scalar, 1L, 1L), " in its place.")
  }
  if (name == "where" && !is.null(find_call(expression, c("=", "<-", "<<-")))) {
    abort("InvalidOption", "`where` must be a condition. `", deparse1(expression), "` assigns. Write == to compare.")
  }
  for (each in free_names(expression)) {
    if (each %in% names(data)) check_whole(name, each, data[[each]])
    if (each %in% names(data) || is_variable(each, environment)) next
    if (name == "formula" && grepl("^contr[.]", each)) next # contrasts are functions that C() is given
    abort("InvalidOption", "`", name, "` must name columns of the data. `", each, "` is not one. ",
      nearest(each, names(data)))
  }
}

# Without its package the bits of a 64-bit integer are compared as if they were those of a double.
check_whole <- function(name, column, values) {
  if (!inherits(values, "integer64") || requireNamespace("bit64", quietly = TRUE)) return(invisible())
  abort("InvalidOption", "`", name, "` needs the package bit64 to compute with `", column, "`, which holds 64-bit integers. ",
    "It is not installed. Install it, or turn the column into numbers or text.")
}

# Name of the first call among those named, or NULL.
find_call <- function(expression, named) {
  if (!is.call(expression)) return(NULL)
  if (is.name(expression[[1L]]) && as.character(expression[[1L]]) %in% named) return(as.character(expression[[1L]]))
  parts <- Filter(Negate(is_empty), as.list(expression)) # empty as in x[, 1]
  for (part in parts) {
    found <- find_call(part, named)
    if (!is.null(found)) return(found)
  }
  NULL
}

is_empty <- function(part) identical(part, quote(expr = ))

# Variables of an expression: not names after $, nor arguments of functions written in it.
free_names <- function(expression) {
  if (is.name(expression)) return(setdiff(as.character(expression), ""))
  if (!is.call(expression)) return(character())
  head <- expression[[1L]]
  if (is.name(head) && as.character(head) %in% c("::", ":::", "function")) return(character())
  parts <- as.list(expression)[-1L]
  if (is.name(head) && as.character(head) %in% c("$", "@")) parts <- parts[1L]
  inner <- lapply(Filter(Negate(is_empty), parts), free_names)
  unique(c(if (is.call(head)) free_names(head), unlist(inner)))
}

# Whether a name is a variable of the user's or of R itself; functions and data sets of packages are none.
is_variable <- function(name, environment) {
  repeat {
    if (exists(name, envir = environment, inherits = FALSE)) return(!is.function(get(name, envir = environment)))
    if (identical(environment, emptyenv()) || identical(environment, baseenv())) return(FALSE)
    environment <- if (identical(environment, globalenv())) baseenv() else parent.env(environment)
  }
}

# Columns of a one-sided formula by model.matrix(), without the intercept, which a projection has of its own.
design <- function(study, data, formula) {
  if (is.data.frame(formula) || is.matrix(formula)) return(along(given_design(study, formula), vector = FALSE))
  formula <- one_formula(formula)
  if ("." %in% all.names(formula[[2L]])) refuse_formula(formula, "`.` would take in the outcome. Name the columns")
  check_expression(data, "formula", formula[[2L]], environment(formula))
  shape <- stats::terms(formula)
  if (!length(attr(shape, "term.labels"))) refuse_formula(formula, "It names no column. Write ~ x, or ask for the average effect")
  if (!attr(shape, "intercept")) {
    refuse_formula(formula, "It leaves the intercept out. Drop that; for the effect in each group use gate()")
  }
  if (!is.null(attr(shape, "offset"))) refuse_formula(formula, "It has an offset. Leave it out")
  columns <- tryCatch(
    {
      frame <- stats::model.frame(shape, data, na.action = stats::na.pass, drop.unused.levels = TRUE)
      stats::model.matrix(shape, frame)
    },
    error = function(e) {
      abort("InvalidOption", "`formula` must be one that R can evaluate on the data. `", deparse1(formula), "` stopped: ",
        conditionMessage(e), ".")
    }
  )
  columns <- columns[, attr(columns, "assign") > 0L, drop = FALSE]
  check_known(study, columns)
  along(as_frame(stats::setNames(lapply(seq_len(ncol(columns)), function(j) as.vector(columns[, j])), colnames(columns))),
    vector = FALSE)
}

# Text such as "age + i(town)", or a formula; fixest's i() is understood.
one_formula <- function(formula) {
  if (is.character(formula) && length(formula) == 1L) {
    text <- sub("^\\s*~", "", formula)
    read <- tryCatch(parse(text = paste("~", text), keep.source = FALSE)[[1L]], error = function(e) NULL)
    if (is.null(read)) {
      abort("InvalidOption", "`formula` must be a right-hand side in R, such as \"age + log(income)\". `", formula,
        "` is not one. Correct it.")
    }
    formula <- stats::as.formula(read, globalenv())
  }
  if (!inherits(formula, "formula")) {
    abort("InvalidOption", "`formula` must be a formula such as ~ age + log(income), or columns. A ", class(formula)[1L],
      " was given. Write a formula.")
  }
  if (length(formula) == 3L) {
    refuse_formula(formula, paste0("What is projected is the effect, so that it has no left side. Write ~ ",
      deparse1(formula[[3L]])))
  }
  environment <- new.env(parent = environment(formula))
  environment$i <- levels_as_in_fixest
  environment(formula) <- environment
  formula
}

# fixest's i(): levels without the one of reference; with a further column, that column in each level. One value in its place is the reference.
levels_as_in_fixest <- function(factor_var, var, ref) {
  levels <- factor(factor_var)
  lone <- !missing(var) && length(var) == 1L && missing(ref)
  if (lone) ref <- var
  if (missing(var) || lone) return(if (missing(ref)) levels else stats::relevel(levels, as.character(ref)))
  if (!is.numeric(var) && !is.logical(var)) stop("i(f, x) needs numbers as x; for two categories write f:g")
  shown <- setdiff(levels(levels), if (!missing(ref)) as.character(ref))
  structure(outer(as.integer(levels), match(shown, levels(levels)), `==`) * var, dimnames = list(NULL, paste0("::", shown)))
}

refuse_formula <- function(formula, why) {
  abort("InvalidOption", "`formula` must be a right-hand side with an intercept and columns of the data. `",
    deparse1(formula), "` was given. ", why, ".")
}

check_known <- function(study, columns) {
  gaps <- which(rowSums(!is.finite(columns)) > 0)
  if (!length(gaps)) return(invisible())
  name <- colnames(columns)[which(!is.finite(columns[gaps[1L], ]))[1L]]
  abort("InvalidOption", "Columns of a formula must have no missing value. ", comma(length(gaps)), " of ",
    comma(nrow(columns)), " rows do; the first is row ", kept_rows(study)[gaps[1L]], ", in `", name,
    "`. Leave the column out, or project on the covariates (no formula).")
}

given_design <- function(study, columns) {
  columns <- as.data.frame(columns)
  as_frame(lapply(unclass(columns), function(column) on_kept_rows(study, "formula", column)))
}
