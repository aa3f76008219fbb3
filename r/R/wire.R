# Values between R and Python: JSON for what is small, Parquet files for frames and columns.
# Marks say what a place holds; hte_bridge/serve/values.py is the other end, hte_bridge/serve/files.py says which files.

LONGEST_IN_JSON <- 50L
FROM_R <- "to-python-"
TO_R <- "to-r-"
BROOM <- c(std_error = "std.error", p_value = "p.value", conf_low = "conf.low", conf_high = "conf.high")

to_wire <- function(value) {
  if (is.null(value)) return(NULL)
  if (inherits(value, "hte_study")) return(list(`$held` = study_handle(value)))
  if (inherits(value, "hte_table")) return(table_mark(value))
  if (inherits(value, "hte_engine")) return(engine_mark(value))
  if (inherits(value, "hte_rows")) return(rows_mark(value))
  if (inherits(value, "hte_labelled")) return(frame_mark(value$frame, value$labels))
  if (is.data.frame(value)) return(frame_mark(value))
  if (is.list(value)) return(escape_names(lapply(value, to_wire)))
  if (inherits(value, "formula")) return(deparse1(value[[length(value)]])) # of an engine: its right-hand side
  if (is.factor(value)) value <- as.character(value)
  if (is.numeric(value) && (length(value) > LONGEST_IN_JSON || is.matrix(value))) return(column_mark(value))
  if (is.numeric(value)) return(numbers_mark(value))
  if (is.character(value) || is.logical(value)) return(if (length(value) == 1L) value else as.list(value))
  abort("InvalidOption", "An option must be a number, text, TRUE or FALSE, a data frame, or a list of these. A ",
    class(value)[1L], " was given. Turn it into one of them.")
}

# A name of the user's that begins with a dollar sign is no mark.
escape_names <- function(list) {
  if (!is.null(names(list))) names(list) <- sub("^[$]", "$$", names(list))
  list
}

snake <- function(options) {
  if (length(options)) names(options) <- gsub(".", "_", names(options), fixed = TRUE)
  if (length(options)) options else structure(list(), names = character())
}

engine_mark <- function(engine) {
  options <- engine_options(engine)
  if (!is.null(engine$forest)) options$forest <- rooms()$keep(engine$forest) # asked for effects at new rows
  list(`$engine` = engine$engine, options = to_wire(options))
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

# A data frame; with `labels`, rows are known by those and not by their number.
frame_mark <- function(frame, labels = NULL) {
  mark <- columns_mark(frame)
  c(list(`$frame` = mark$file), mark[-1L], if (!is.null(labels)) list(labels = as.list(labels)))
}

# Columns along the rows of a study: a data frame, or one vector.
along <- function(values, vector = !is.data.frame(values)) {
  frame <- if (is.data.frame(values)) values else structure(list(v = values), class = "data.frame",
    row.names = .set_row_names(length(values)))
  structure(list(frame = frame, vector = vector), class = "hte_rows")
}

rows_mark <- function(rows) {
  mark <- columns_mark(rows$frame)
  c(list(`$rows` = mark$file, vector = rows$vector), mark[-1L])
}

columns_mark <- function(frame) {
  columns <- lapply(as.list(frame), plain_column)
  names(columns) <- sprintf("c%d", seq_along(columns))
  about <- Map(function(name, column) {
    if (inherits(column, "integer64")) return(list(name = name, kind = "integer64"))
    if (!is.factor(column)) return(list(name = name, kind = "plain"))
    list(name = name, kind = "factor", levels = as.list(known_levels(column)), ordered = is.ordered(column))
  }, names(frame), columns, USE.NAMES = FALSE)
  wide <- vapply(columns, inherits, NA, "integer64")
  halves <- lapply(columns[wide], halves_of)
  columns <- lapply(columns, function(column) if (is.factor(column)) as.integer(column) else column)
  columns[wide] <- lapply(halves, `[[`, "low")
  columns[sub("c", "h", names(columns)[wide])] <- lapply(halves, `[[`, "high")
  parquet <- structure(columns, class = "data.frame", row.names = .set_row_names(nrow(frame)))
  list(file = write_columns(parquet), rows = nrow(frame), columns = about)
}

# addNA() makes a category of what is missing; is.na() says that nothing is.
known_levels <- function(column) {
  levels <- as_utf8(levels(column))
  if (anyNA(levels)) levels[is.na(levels)] <- utils::tail(make.unique(c(levels[!is.na(levels)], "<NA>")), 1L)
  levels
}

# 64-bit integers as two of 32 bits, low half first: exact, and without the package bit64.
halves_of <- function(column) {
  bits <- readBin(writeBin(as.vector(unclass(column)), raw()), "integer", 2L * length(column))
  halves <- matrix(bits, 2L)
  if (.Platform$endian == "big") halves <- halves[2:1, , drop = FALSE]
  list(low = halves[1L, ], high = halves[2L, ])
}

# Without the classes of labelled and other annotated vectors; factors, dates and 64-bit integers stay what they are.
# What is.na() calls missing is missing, user-missing values of SPSS too.
plain_column <- function(column) {
  if (is.factor(column) || inherits(column, c("Date", "POSIXct", "integer64", "difftime"))) return(column)
  plain <- as.vector(unclass(column))
  if (is.object(column)) plain[is.na(column) | user_missing(column)] <- NA
  if (is.character(plain)) as_utf8(plain) else plain
}

# Text of no declared encoding is the session's; a session in the C locale has read UTF-8 without knowing it.
as_utf8 <- function(text) {
  here <- l10n_info()[["UTF-8"]] || Sys.getlocale("LC_CTYPE") %in% c("C", "POSIX")
  if (here) Encoding(text[Encoding(text) == "unknown"]) <- "UTF-8"
  enc2utf8(text)
}

# As haven's is.na() has it, whether haven is loaded or not.
user_missing <- function(column) {
  plain <- as.vector(unclass(column))
  if (!inherits(column, c("haven_labelled_spss", "labelled_spss"))) return(rep(FALSE, length(plain)))
  range <- attr(column, "na_range", exact = TRUE)
  within <- if (is.null(range)) FALSE else !is.na(plain) & plain >= range[1L] & plain <= range[2L]
  within | plain %in% attr(column, "na_values", exact = TRUE)
}

write_columns <- function(frame) {
  file <- tempfile(FROM_R, state$folder, ".parquet")
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
  check_ours(file)
  on.exit(unlink(file))
  as.data.frame(nanoparquet::read_parquet(file))
}

# Only what Python wrote for this session is read, and removed: no text that travels can name another file.
check_ours <- function(file) {
  ours <- startsWith(basename(file), TO_R) && identical(normalizePath(dirname(file), mustWork = FALSE),
    normalizePath(state$folder, mustWork = FALSE))
  if (!ours) {
    abort("UnreadableFile", "Columns must come in a file that Python wrote for this session. `", file,
      "` is not one. Call again, and report it if it stays.")
  }
}

from_wire <- function(value) {
  if (!is.list(value)) return(value)
  if (!is.null(value[["$frame"]])) {
    frame <- read_columns(value[["$frame"]])
    names(frame) <- broom_names(unlist(value$names))
    if (nzchar(value$note)) attr(frame, "note") <- value$note
    return(frame)
  }
  if (!is.null(value[["$column"]])) {
    column <- read_columns(value[["$column"]])$v
    if (length(value$shape) > 1L) dim(column) <- unlist(value$shape)
    return(column)
  }
  if (!is.null(value[["$number"]])) return(as.numeric(value[["$number"]]))
  if (!is.null(value[["$table"]])) return(new_table(value))
  parts <- simplified(value, from_wire)
  if (!is.null(names(parts))) names(parts) <- sub("^[$][$]", "$", names(parts))
  parts
}

# Lists of single values as vectors.
simplified <- function(value, each) {
  if (!is.list(value)) return(value)
  parts <- lapply(value, each)
  if (is.null(names(parts)) && length(parts) && all(vapply(parts, is_single, NA))) unlist(parts) else parts
}

is_single <- function(value) is.atomic(value) && length(value) == 1L

broom_names <- function(names) {
  known <- names %in% names(BROOM)
  names[known] <- BROOM[names[known]]
  names
}
