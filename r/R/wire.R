# Values between R and Python: JSON for what is small, Parquet files for frames and columns.
# Marks say what a place holds; hte_bridge/serve/values.py is the other end.

LONGEST_IN_JSON <- 50L
BROOM <- c(std_error = "std.error", p_value = "p.value", conf_low = "conf.low", conf_high = "conf.high")

to_wire <- function(value) {
  if (is.null(value)) return(NULL)
  if (inherits(value, "hte_study")) return(list(`$held` = study_handle(value)))
  if (inherits(value, "hte_table")) return(table_mark(value))
  if (inherits(value, "hte_engine")) {
    return(list(`$engine` = value$engine, options = to_wire(engine_options(value))))
  }
  if (is.data.frame(value)) return(frame_mark(value))
  if (is.list(value)) return(lapply(value, to_wire))
  if (inherits(value, "formula")) return(deparse1(value[[length(value)]])) # its right-hand side
  if (is.factor(value)) value <- as.character(value)
  if (is.numeric(value) && (length(value) > LONGEST_IN_JSON || is.matrix(value))) return(column_mark(value))
  if (is.numeric(value)) return(numbers_mark(value))
  if (is.character(value) || is.logical(value)) return(if (length(value) == 1L) value else as.list(value))
  abort("InvalidOption", "An option must be a number, text, TRUE or FALSE, a data frame, or a list of these. A ",
    class(value)[1L], " was given. Turn it into one of them.")
}

snake <- function(options) {
  if (length(options)) names(options) <- gsub(".", "_", names(options), fixed = TRUE)
  if (length(options)) options else structure(list(), names = character())
}

# grf's names for the nuisances are not words of this house
engine_options <- function(engine) {
  options <- engine$options
  if (engine$engine == "causal_forest") {
    names(options)[names(options) == "Y.hat"] <- "outcome_mean"
    names(options)[names(options) == "W.hat"] <- "propensity"
  }
  snake(options)
}

numbers_mark <- function(value) {
  marks <- lapply(as.numeric(value), function(each) {
    if (is.finite(each)) return(structure(sprintf("%.17g", each), class = "json"))
    list(`$number` = if (is.na(each)) "NaN" else if (each > 0) "Inf" else "-Inf")
  })
  if (length(marks) == 1L) marks[[1L]] else marks
}

column_mark <- function(value) {
  shape <- if (is.null(dim(value))) length(value) else dim(value)
  frame <- data.frame(v = if (is.logical(value)) as.logical(value) else if (is.integer(value)) as.integer(value) else as.numeric(value))
  list(`$column` = write_columns(frame), shape = as.list(shape))
}

frame_mark <- function(frame) {
  columns <- lapply(as.list(frame), plain_column)
  about <- Map(function(name, column) {
    if (!is.factor(column)) return(list(name = name, kind = "plain"))
    list(name = name, kind = "factor", levels = as.list(levels(column)), ordered = is.ordered(column))
  }, names(frame), columns, USE.NAMES = FALSE)
  columns <- lapply(columns, function(column) if (is.factor(column)) as.integer(column) else column)
  names(columns) <- sprintf("c%d", seq_along(columns))
  parquet <- structure(columns, class = "data.frame", row.names = .set_row_names(nrow(frame)))
  list(`$frame` = write_columns(parquet), rows = nrow(frame), columns = about)
}

# Without the classes of labelled and other annotated vectors; factors, dates and 64-bit integers stay what they are.
plain_column <- function(column) {
  if (is.factor(column) || inherits(column, c("Date", "POSIXct", "integer64", "difftime"))) return(column)
  if (is.character(column)) return(enc2utf8(as.vector(unclass(column))))
  as.vector(unclass(column))
}

write_columns <- function(frame) {
  file <- tempfile("to-python-", state$folder, ".parquet")
  tryCatch(
    nanoparquet::write_parquet(frame, file, compression = "uncompressed"),
    error = function(e) {
      unlink(file)
      abort("UnwritableFolder", "R's temporary folder must have room for the columns. Writing to `", state$folder,
        "` failed (", conditionMessage(e), "). Free some space, or set TMPDIR before R starts.")
    }
  )
  file
}

read_columns <- function(file) {
  on.exit(unlink(file))
  as.data.frame(nanoparquet::read_parquet(file))
}

from_wire <- function(value) {
  if (!is.list(value)) return(value)
  if (!is.null(value[["$frame"]])) {
    frame <- read_columns(value[["$frame"]])
    names(frame) <- broom_names(unlist(value$names))
    return(frame)
  }
  if (!is.null(value[["$column"]])) {
    column <- read_columns(value[["$column"]])$v
    if (length(value$shape) > 1L) dim(column) <- unlist(value$shape)
    return(column)
  }
  if (!is.null(value[["$number"]])) return(as.numeric(value[["$number"]]))
  if (!is.null(value[["$table"]])) return(new_table(value))
  parts <- lapply(value, from_wire)
  if (is.null(names(parts)) && length(parts) && all(vapply(parts, is_single, NA))) unlist(parts) else parts
}

is_single <- function(value) is.atomic(value) && length(value) == 1L

broom_names <- function(names) {
  known <- names %in% names(BROOM)
  names[known] <- BROOM[names[known]]
  names
}
