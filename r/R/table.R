# The table: rows as a data frame, its file as bytes (so that saveRDS keeps all of it), its printed text.

new_table <- function(mark) {
  file <- mark[["$table"]]
  on.exit(unlink(file))
  ref <- new.env(parent = emptyenv())
  if (isTRUE(mark$live)) {
    ref$token <- state$token
    ref$handle <- mark$handle
    reg.finalizer(ref, function(ref) forget(ref))
  }
  table <- read_table(file)
  structure(c(table, list(text = mark$text, ref = ref)), class = "hte_table")
}

read_table <- function(file) {
  rows <- as.data.frame(nanoparquet::read_parquet(file))
  names(rows) <- broom_names(names(rows))
  keys <- nanoparquet::read_parquet_metadata(file)$file_meta_data$key_value_metadata[[1L]]
  stored <- keys$value[keys$key == "hte_bridge"]
  if (!length(stored)) {
    abort("UnreadableFile", "`", basename(file), "` must be a table written by hte_save() or Python's `table.save`. ",
      "It is a Parquet file of something else. For data, use hte_study().")
  }
  # NaN is Python's word in JSON for a number that is not there
  state <- jsonlite::fromJSON(gsub("\\bNaN\\b|-?\\bInfinity\\b", "null", stored), simplifyVector = FALSE)
  list(rows = rows, meta = from_wire(state$meta), file = readBin(file, "raw", file.size(file)))
}

fits_live <- function(table) alive() && identical(table$ref$token, state$token)

# A table whose fits live is named by its handle; any other travels as its file.
table_mark <- function(table) {
  if (fits_live(table)) return(list(`$held` = table$ref$handle))
  file <- tempfile("table-", state$folder, ".parquet")
  writeBin(table$file, file)
  list(`$file` = file)
}

#' @export
print.hte_table <- function(x, ...) {
  cat(x$text, "\n", sep = "")
  invisible(x)
}

#' @export
as.data.frame.hte_table <- function(x, row.names = NULL, optional = FALSE, ...) x$rows

#' @export
dim.hte_table <- function(x) dim(x$rows)

#' @importFrom generics tidy
#' @export
generics::tidy

#' @importFrom generics glance
#' @export
generics::glance

#' Rows of a table as a data frame
#'
#' @param x Made by [hte_compare()] or one of its verbs.
#' @param ... Not used.
#' @return `tidy()`: one row per estimate with broom's columns `term`, `estimate`, `std.error`, `statistic`, `p.value`,
#'   `conf.low`, `conf.high`, and `engine`, `estimand`, `level`, `df`, `vcov`, `n_obs`, `n_clusters`, `note`. Terms are
#'   distinct: the engine where there are several, the estimand, and what it is of. `glance()`: one row with `nobs`,
#'   `n.clusters`, `level`, `folds` and `seed`. `as.data.frame()` gives the rows as Python has them.
#'   They are what `modelsummary()` of the package modelsummary reads.
#' @examplesIf nzchar(htebridge::hte_python())
#' df <- data.frame(x = sin(1:80), d = rep(0:1, 40), y = cos(1:80))
#' table <- hte_compare(hte_study(df, y ~ x, treatment = "d"), list(hte_feols()))
#' tidy(table)
#' glance(table)
#' @export
tidy.hte_table <- function(x, ...) {
  rows <- x$rows
  several <- length(unique(rows$engine)) > 1L
  label <- ifelse(nzchar(rows$term), paste0(rows$estimand, " (", rows$term, ")"), rows$estimand)
  rows$term <- make.unique(if (several) paste0(rows$engine, ": ", label) else label)
  first <- c("term", "estimate", "std.error", "statistic", "p.value", "conf.low", "conf.high")
  rows[c(first, setdiff(names(rows), first))]
}

#' @rdname tidy.hte_table
#' @export
glance.hte_table <- function(x, ...) {
  meta <- x$meta
  or_missing <- function(value) if (length(value) == 1L) value else NA
  data.frame(
    nobs = or_missing(meta$n), n.clusters = or_missing(meta$n_clusters), level = or_missing(meta$level),
    folds = or_missing(meta$folds), seed = or_missing(meta$seed), engines = length(unique(x$rows$engine))
  )
}

#' Estimates and intervals as a plot
#'
#' @param x A table.
#' @param estimand Which rows; by default all but projections.
#' @param ... Passed to [graphics::plot.default()].
#' @return The rows drawn, invisibly.
#' @export
plot.hte_table <- function(x, estimand = setdiff(unique(x$rows$estimand), "projection"), ...) {
  rows <- tidy(x)
  rows <- rows[rows$estimand %in% estimand & is.finite(rows$estimate), ]
  if (!nrow(rows)) {
    abort("InvalidOption", "A plot needs rows with estimates. None has an estimand among ", quoted(estimand),
      ". Name others in `estimand`.")
  }
  engines <- unique(rows$engine)
  place <- rev(seq_len(nrow(rows)))
  colour <- grDevices::hcl.colors(max(2L, length(engines)), "Dark 3")[match(rows$engine, engines)]
  old <- graphics::par(mar = c(4, 1 + 0.55 * max(nchar(rows$term)), 1, 1))
  on.exit(graphics::par(old))
  reach <- range(0, rows$estimate, rows$conf.low, rows$conf.high, finite = TRUE)
  graphics::plot.default(rows$estimate, place, xlim = reach, yaxt = "n", ylab = "", pch = 19, col = colour,
    xlab = sprintf("effect, %g%% interval", 100 * rows$level[1L]), ...)
  graphics::abline(v = 0, lty = 3)
  graphics::segments(rows$conf.low, place, rows$conf.high, place, col = colour, lwd = 2)
  graphics::axis(2, place, rows$term, las = 1, tick = FALSE)
  invisible(rows)
}
