#' Save a table, and read one that R or Python saved
#'
#' `saveRDS()` and `readRDS()` keep a table too, and need no Python: its rows and meta. A file that ends in `.hte` also keeps
#' study, folds and fits: what `hte_load()` reads answers `gates()`, `cate()`, `differences()` and every other verb without fitting
#' again, from R or from Python (`hb.load`). It holds data of people: the columns that the study names, one row for each unit.
#'
#' @param table A table.
#' @param path A file that ends in `.hte` (the table with its study and fits), `.parquet` (the table) or `.csv` (its rows).
#' @param ... Further arguments of the Python package's `save`, by name: `columns`, names of further columns of the data that a
#'   `.hte` file keeps; `rankings = FALSE` leaves out the rankings by earlier folds that `gates()` needs.
#' @return `hte_save()`: `path`, invisibly. `hte_load()`: an `hte_table`.
#' @examplesIf nzchar(htebridge::hte_python())
#' df <- data.frame(x = sin(1:80), d = rep(0:1, 40), y = cos(1:80))
#' table <- hte_compare(hte_study(df, y ~ x, treatment = "d"), list(hte_feols()))
#' file <- tempfile(fileext = ".parquet")
#' hte_save(table, file)
#' hte_load(file)
#' @export
hte_save <- function(table, path, ...) {
  check_table(table)
  hte_verb(table, "save", path = path, ...)
  invisible(path)
}

#' @rdname hte_save
#' @export
hte_load <- function(path) ask("load", path = absolute(path))

#' A report as one HTML file
#'
#' @param table Made by [hte_compare()].
#' @param path A file that ends in `.html`.
#' @param ... Further arguments of the Python package's report, by name, such as `title`.
#' @return `path`, invisibly.
#' @export
hte_report <- function(table, path, ...) {
  check_table(table)
  hte_verb(table, "report", path = path, ...)
  invisible(path)
}

# Python stays in the folder in which it was started; a path means R's folder of now.
absolute <- function(path) {
  if (!is.character(path) || length(path) != 1L || is.na(path) || !nzchar(path)) {
    abort("InvalidOption", "`path` must be the name of one file. ", substr(deparse1(path), 1L, 80L), " was given.")
  }
  path <- path.expand(path)
  if (!grepl("^(/|[A-Za-z]:[/\\\\]|\\\\\\\\)", path)) path <- file.path(getwd(), path)
  normalizePath(path, mustWork = FALSE)
}
