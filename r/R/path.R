# A study of files larger than R's memory: R holds a path, Python reads it; names and conditions travel, columns do not.

study_of_files <- function(path, parts, options) {
  if (is_computed(parts, options$controls)) {
    abort("InvalidOption", "A study of files takes columns as the files hold them. The formula computes some. Write the computed columns ",
      "into the files, or hand over a data frame.")
  }
  if (!file.exists(path)) {
    abort("UnreadableFile", "The path must be a Parquet file or a folder of them. None is at `", path, "`. Check the path.")
  }
  parts$fixed_effects <- if (length(parts$fixed_effects)) parts$fixed_effects
  options <- check_roles(c(parts[!vapply(parts, is.null, NA)], options))
  if (is.null(options$covariates)) options$covariates <- list()
  for (role in Filter(function(role) identical(options[[role]], list("all")), c("covariates", "controls"))) options[[role]] <- "all"
  study <- structure(
    list(path = normalizePath(path), data = NULL, rows = NULL, options = options, sent = character(),
      sources = unlist(options$covariates), ref = new.env(parent = emptyenv())),
    class = c("hte_study_of_files", "hte_study")
  )
  study$about <- send_study(study)
  study
}

of_files <- function(study) inherits(study, "hte_study_of_files")

# Conditions and columns are text, which Python reads on the files; vectors along millions of rows do not travel.
on_files <- function(options) {
  for (name in intersect(c(ALONG_ROWS, "formula"), names(options))) {
    value <- options[[name]]
    if (inherits(value, "formula")) {
      options[[name]] <- deparse1(right_side(name, value))
    } else if (length(value) > 1L && name != "formula") {
      abort("InvalidOption", "`", name, "` of a study of files must be text or one number. ", comma(length(value)),
        " values were given. Name a column, or write a condition such as \"age > 30\".")
    }
  }
  list(options = options)
}
