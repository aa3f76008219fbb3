# Which columns a study names, and whether they can travel.

NO_COLUMNS <- c("treatment_type", "control", "formula") # options that name none
ONE_COLUMN <- c("outcome", "treatment", "weight", "unit", "period", "first_treated")

# Each role as names of columns; formulas with + between names are understood.
check_roles <- function(options) {
  for (role in intersect(ONE_COLUMN, names(options))) options[[role]] <- one_name(role, options[[role]])
  for (role in intersect(c("covariates", "controls", "fixed_effects"), names(options))) {
    options[[role]] <- as.list(several_names(role, options[[role]]))
  }
  if (!is.null(options$cluster)) options$cluster <- one_or_two(options$cluster)
  options$propensity <- known_chance(options$propensity)
  options
}

# One number, a column, or of several arms one of these for each, by its name.
known_chance <- function(known) {
  if (is.null(known) || is.numeric(known) && length(known) == 1L && is.null(names(known))) return(known)
  if (!is.null(names(known)) && (is.list(known) || is.numeric(known) || is.character(known))) {
    return(lapply(as.list(known), function(each) if (is.numeric(each)) each else one_name("propensity", each, " or one number")))
  }
  one_name("propensity", known, " or one number")
}

# `"all"` as the columns that have no other role.
all_others <- function(data, options) {
  every <- Filter(function(role) identical(options[[role]], list("all")), c("covariates", "controls"))
  if (!length(every)) return(options)
  if (length(every) > 1L) {
    abort("InvalidData", "`covariates` and `controls` must be told apart. Both were given as \"all\". Name the columns of one ",
      "of them.")
  }
  roles <- setdiff(names(options), c(every, NO_COLUMNS))
  taken <- Filter(is.character, unlist(options[roles], recursive = FALSE, use.names = FALSE))
  options[[every]] <- as.list(setdiff(names(data), unlist(taken)))
  options
}

# A column, or two for errors clustered two ways.
one_or_two <- function(cluster) {
  found <- if (inherits(cluster, "formula") || is.character(cluster) && length(cluster) == 2L) several_names("cluster", cluster)
  if (length(found) == 2L) as.list(found) else one_name("cluster", cluster)
}

one_name <- function(role, value, also = "") {
  example <- paste0(role, " = \"", c(outcome = "y", treatment = "d", cluster = "village", weight = "w",
    propensity = "p", unit = "id", period = "year", first_treated = "first")[[role]], "\"")
  if (inherits(value, "formula")) {
    names <- one_sided(role, value)
    if (length(names) == 1L) return(names)
    abort("InvalidOption", "`", role, "` must name one column", also, ". ", quoted(names), " were given. Name one",
      if (role == "cluster") ", or two for errors clustered two ways",
      ".")
  }
  if (is.character(value) && length(value) == 1L && !is.na(value)) return(value)
  found <- if (is.character(value) && length(value) < 9L) paste(quoted(value), "were") else
    paste0(comma(length(value)), " value", if (length(value) != 1L) "s", " of class ", class(value)[1L],
      if (length(value) == 1L) " was" else " were")
  abort("InvalidOption", "`", role, "` must be the name of one column", also, ", in quotes. ", found, " given. Write ",
    example, ".")
}

several_names <- function(role, value) {
  if (inherits(value, "formula")) value <- one_sided(role, value)
  if (is.list(value) && !is.data.frame(value) && all(vapply(value, is.character, NA))) value <- unlist(value)
  if (is.null(value) || is.character(value) && !anyNA(value)) return(as.character(value))
  abort("InvalidOption", "`", role, "` must be names of columns, in quotes. Values of class ", class(value)[1L],
    " were given. Write ", role, " = c(\"x1\", \"x2\").")
}

one_sided <- function(role, formula) {
  if (length(formula) == 2L) return(column_names(formula[[2L]]))
  abort("InvalidOption", "`", role, "` must be a name, or a formula without a left side. `", deparse1(formula),
    "` was given. Write ", role, " = ~ ", deparse1(formula[[3L]]), ".")
}

check_formula_alone <- function(outcome, covariates, fixed_effects) {
  if (!is.null(outcome) || !is.null(covariates) || !is.null(fixed_effects)) {
    abort("InvalidOption", "A formula says `outcome`, `covariates` and `fixed_effects` all at once. One of them was ",
      "given too. Leave it out, or leave out the formula.")
  }
}

# A treatment that is a factor: of two levels 0 and 1, of more the arms of a trial. The first level is the control, as in R's own
# contrasts.
with_arms <- function(data, options) {
  column <- options$treatment
  arms <- if (column %in% names(data)) unclass(data)[[column]]
  asked <- identical(options$treatment_type, "arms")
  if (!is.factor(arms) || !(asked || is.null(options$treatment_type))) return(list(data = data, options = options))
  arms <- droplevels(arms)
  if (nlevels(arms) == 2L && !asked) {
    message("`", column, "`: ", quoted(levels(arms)[1L]), " is the control (0), ", quoted(levels(arms)[2L]), " is treated (1).")
    data <- as.data.frame(data)
    data[[column]] <- as.integer(arms) - 1L
  } else if (nlevels(arms) > 2L) {
    options$treatment_type <- "arms"
    if (is.null(options$control)) {
      options$control <- levels(arms)[1L]
      message("`", column, "`: ", quoted(levels(arms)[1L]), " is the control of ", nlevels(arms), " arms; control = \"",
        levels(arms)[2L], "\" would name another.")
    }
  }
  list(data = data, options = options)
}

# Names between plus signs.
column_names <- function(expression) {
  if (is.name(expression)) return(as.character(expression))
  if (is.call(expression) && identical(expression[[1L]], as.name("+")) && length(expression) == 3L) {
    return(c(column_names(expression[[2L]]), column_names(expression[[3L]])))
  }
  abort("InvalidOption", "`formula` must hold names of columns with + between them. `", deparse1(expression),
    "` is not one. Make that column first, then name it.")
}

check_frame <- function(data) {
  if (is.data.frame(data)) return(invisible())
  abort("InvalidData", "The data must be a data frame. A ", class(data)[1L],
    " was found. Put it into a data frame with named columns.")
}

# The columns that the roles name, each one there, once, and of a type that can travel; no other is looked at.
named_columns <- function(data, options) {
  named <- character()
  for (role in setdiff(names(options), NO_COLUMNS)) {
    names <- unlist(Filter(is.character, as.list(options[[role]]))) # a propensity may be a number
    for (name in names) check_column(data, role, name)
    named <- c(named, names)
  }
  sendable(data, unique(named), only = TRUE)
}

check_column <- function(data, role, name) {
  if (!name %in% names(data)) {
    abort("InvalidData", "`", role, "` must name ", if (role %in% c(ONE_COLUMN, "cluster")) "a column" else "columns",
      " of the data. `", name, "` is not one. ", nearest(name, names(data)))
  }
  if (sum(names(data) == name) > 1L) {
    abort("InvalidData", "Each column name must occur once. `", name, "` occurs ", sum(names(data) == name),
      " times. Rename or drop one of them.")
  }
}

nearest <- function(name, names) {
  names <- unique(names[nzchar(names)])
  away <- drop(utils::adist(name, names, ignore.case = TRUE)) / pmax(nchar(name), nchar(names))
  close <- utils::head(names[order(away)], sum(away <= 0.5))
  if (length(close)) {
    return(paste0("The nearest ", if (length(close) > 1L) "are " else "is ", quoted(utils::head(close, 3L)), "."))
  }
  paste0("The columns are ", quoted(names), ".")
}

# The columns that can travel, or with `only` those named; a named one that cannot is an error.
sendable <- function(data, named, only = FALSE) {
  columns <- if (only) unclass(data)[match(named, names(data))] else unclass(data)[!duplicated(names(data))]
  fault <- vapply(columns, fault_of, "")
  bad <- intersect(named, names(columns)[nzchar(fault)])
  if (length(bad)) abort("InvalidData", "`", bad[1L], "` must hold numbers, yes/no or text. ", fault[[bad[1L]]])
  structure(columns[!nzchar(fault)], class = "data.frame", row.names = .set_row_names(nrow(data)))
}

# Why a column cannot travel, or an empty string.
fault_of <- function(column) {
  holds <- function(type) paste0("It holds values of type ", type, ". Turn it into one of these.")
  if (is.list(column)) return(holds("list"))
  if (!is.null(dim(column)) && length(dim(column)) != 1L) return(holds("matrix"))
  if (!is.atomic(column) || is.complex(column) || is.raw(column)) return(holds(typeof(column)))
  text <- if (is.factor(column)) levels(column) else if (is.character(column)) as.vector(unclass(column))
  if (is.null(text) || all(validUTF8(as_utf8(text)))) return("")
  paste0("It holds text that is not UTF-8, such as ", encodeString(text[!validUTF8(as_utf8(text))][1L], quote = "\""),
    ". Read the file with its encoding: read.csv(..., fileEncoding = \"latin1\").")
}
