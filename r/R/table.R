# The table: rows as a data frame, its file as bytes (so that saveRDS keeps all of it), its printed text.

new_table <- function(mark) {
  file <- mark[["$table"]]
  check_ours(file)
  on.exit(unlink(file))
  ref <- new.env(parent = emptyenv())
  if (!is.null(mark$handle)) {
    ref$live <- isTRUE(mark$live)
    ref$token <- state$token
    ref$handle <- mark$handle
    reg.finalizer(ref, function(ref) forget(ref))
  }
  table <- read_table(file)
  if (length(mark$notes)) table$rows$note <- as.character(unlist(mark$notes)) # the same sentences, in R's words
  table$meta$warnings <- mark$warnings
  joint <- from_wire(mark$joint)
  structure(c(table, list(text = mark$text, joint = joint, ref = ref)), class = "hte_table")
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
  plain <- function(value) simplified(value, plain) # what a file holds is never a mark
  list(rows = rows, meta = plain(state$meta), file = readBin(file, "raw", file.size(file)))
}

# Whether fits answer further questions; a verb's table has none of its own, but lives.
fits_live <- function(table) lives(table$ref) && isTRUE(table$ref$live)

# Whether what a reference names is held by the process at hand. A copy that readRDS() made shares the handle of its
# original, which is let go of when the original is removed.
lives <- function(ref) alive() && identical(ref$token, state$token) && !exists(ref$handle, envir = state$gone)

# A table whose fits live is named by its handle; any other travels as its file.
table_mark <- function(table) {
  if (lives(table$ref)) return(list(`$held` = table$ref$handle))
  file <- tempfile(FROM_R, state$folder, ".parquet")
  writeBin(table$file, file)
  list(`$file` = file)
}

#' Print a table
#'
#' Engines are columns where several answer one question, an estimate over its standard error; labels wrap and are never
#' cut, and engines that do not fit into the width go below one another.
#'
#' @param x Made by [hte_compare()] or one of its verbs.
#' @param long `TRUE`: a row for each estimate, with interval and p-value; `FALSE`: a column for each engine; by default the
#'   table decides.
#' @param width Characters of a line; by default R's own. A table that was read while Python does not run prints as it
#'   was printed when it was made.
#' @param ... Not used.
#' @return The table, invisibly.
#' @export
print.hte_table <- function(x, long = NULL, width = getOption("width"), ...) {
  text <- x$text
  if (alive() || !is.null(long)) {
    options <- c(list(width = width), if (!is.null(long)) list(long = long))
    text <- ask("verb", table = x, name = "to_text", options = options)
  }
  cat(text, "\n", sep = "")
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
#' @param conf.level Coverage of the intervals, in (0, 1); that of the table where left out. Intervals by Student's t are
#'   formed anew from estimate, standard error and degrees of freedom; joint bands and bootstrap intervals by the process that
#'   made them, and where that has ended they are refused.
#' @param engine Name in the column `engine`: the rows of that engine alone.
#' @param conf.int `FALSE` leaves out `conf.low` and `conf.high`.
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
#' tidy(table, conf.level = 0.9)
#' tidy(table, engine = "feols")
#' glance(table)
#' @export
tidy.hte_table <- function(x, conf.level = NULL, conf.int = TRUE, engine = NULL, ...) {
  rows <- if (is.null(conf.level)) x$rows else at_level(x, conf.level)
  rows <- rows[of_engine(x, engine), , drop = FALSE]
  several <- length(unique(rows$engine)) > 1L
  label <- ifelse(nzchar(rows$term), paste0(rows$estimand, " (", in_r(rows$term), ")"), rows$estimand)
  rows$term <- make.unique(if (several) paste0(rows$engine, ": ", label) else label)
  first <- c("term", "estimate", "std.error", "statistic", "p.value", if (conf.int) c("conf.low", "conf.high"))
  rows[c(first, setdiff(names(rows), c(first, "conf.low", "conf.high")))]
}

# A column's name as R writes it, as in the printed table.
in_r <- function(names) gsub("\\bC\\((\\w+)\\)", "factor(\\1)", names, perl = TRUE)

# Which rows are of an engine; all where none is named.
of_engine <- function(table, engine) {
  if (is.null(engine)) return(rep(TRUE, nrow(table$rows)))
  if (is.character(engine) && all(engine %in% table$rows$engine)) return(table$rows$engine %in% engine)
  abort("InvalidOption", "`engine` must name an engine of the table. ", deparse1(engine), " was given. They are ",
    quoted(unique(table$rows$engine)), ".")
}

ROUNDING <- 1e-6 # of standard errors, between an interval and the same one from Student's t

# Intervals of another level, where those of the table are Student's t; others are not functions of error and df alone.
at_level <- function(table, level) {
  rows <- table$rows
  if (!is.numeric(level) || length(level) != 1L || is.na(level) || level <= 0 || level >= 1) {
    abort("InvalidOption", "`conf.level` must be one number between 0 and 1, such as 0.95. ", deparse1(level),
      " was given.", if (is.numeric(level) && length(level) == 1L && isTRUE(level > 1 & level < 100))
        paste0(" Did you mean ", level / 100, "?"))
  }
  reach <- function(level) stats::qt((1 + level) / 2, rows$df) * rows$std.error
  told <- which(!is.na(rows$conf.low) & abs(rows$level - level) > 1e-12)
  off <- pmax(abs(rows$estimate + reach(rows$level) - rows$conf.high), abs(rows$estimate - reach(rows$level) - rows$conf.low))
  other <- told[is.na(off[told]) | off[told] > ROUNDING * rows$std.error[told]]
  if (length(other) && lives(table$ref)) {
    return(ask("verb", table = table, name = "at_level", options = list(level = level))$rows)
  }
  if (length(other)) {
    first <- rows[other[1L], ]
    abort("InvalidOption", "`conf.level` can change intervals by Student's t alone. ", comma(length(other)), " of ",
      comma(nrow(rows)), " rows have a joint band, a bootstrap interval or another of its own; the first is `",
      first$estimand, if (nzchar(first$term)) paste0(" (", first$term, ")"), "`, with level ", format(first$level),
      ". Ask for it anew from hte_compare(level = ", format(level), ").")
  }
  rows$conf.low[told] <- rows$estimate[told] - reach(level)[told]
  rows$conf.high[told] <- rows$estimate[told] + reach(level)[told]
  rows$level <- ifelse(is.na(rows$level), rows$level, level)
  rows
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
  rows <- drawable(x, estimand)
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
