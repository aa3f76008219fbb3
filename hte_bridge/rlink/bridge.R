# The worker's side of a call. Every *.R file of this folder is sourced into one environment, and
# `client.call("name", arrays, options)` calls the function of that name with arrays and options as arguments.
# Numbers come back as columns, text and single values as they are; a list may nest.

kept <- new.env() # what stays in R between calls, by handle
n_kept <- 0L

# Keep an object in R; returns its handle, which `held()` takes.
keep <- function(object) {
  n_kept <<- n_kept + 1L
  handle <- paste0("object", n_kept)
  assign(handle, object, envir = kept)
  handle
}

held <- function(handle) get(handle, envir = kept, inherits = FALSE)

drop_kept <- function(handles) {
  rm(list = intersect(handles, ls(kept)), envir = kept)
  invisible(gc(full = FALSE))
}

call_text <- function(condition) {
  call <- conditionCall(condition)
  if (is.null(call)) return("")
  # one line: a call built by do.call holds its data, and deparsing those would take minutes
  head <- call[[1L]]
  if (is.function(head)) return("")
  substr(deparse(call, width.cutoff = 80L, nlines = 1L)[1L], 1L, 200L)
}

# Value, or error, with each distinct warning once. Messages go to the log.
bridge_call <- function(name, arguments) {
  warned <- character()
  answer <- tryCatch(
    withCallingHandlers(
      list(value = do.call(name, arguments)),
      warning = function(w) {
        warned <<- unique(c(warned, conditionMessage(w)))
        tryInvokeRestart("muffleWarning")
      }
    ),
    error = function(e) {
      list(
        error = conditionMessage(e), call = call_text(e),
        package = if (inherits(e, "packageNotFoundError")) e$package
      )
    }
  )
  c(answer, list(warnings = as.list(warned)))
}

# Where packages are looked for: in our folder first, then where the user's environment file says, then where R does.
libraries <- function(first = NULL, file = NULL) {
  named <- if (!is.null(file)) {
    readRenviron(file)
    unlist(lapply(c("R_LIBS", "R_LIBS_USER"), function(name) {
      strsplit(.expand_R_libs_env_var(Sys.getenv(name)), .Platform$path.sep, fixed = TRUE)[[1L]]
    }))
  }
  .libPaths(c(first, named, .libPaths()))
  NULL
}

# Value of R code: for a question that has no function of its own yet.
evaluate <- function(code) eval(parse(text = code), new.env(parent = globalenv()))

# Version of each package, an empty string where it is not installed.
package_versions <- function(packages) {
  stats::setNames(lapply(packages, function(name) {
    if (nzchar(system.file(package = name))) as.character(utils::packageVersion(name)) else ""
  }), packages)
}

describe_r <- function() {
  list(
    r = paste(R.version$major, R.version$minor, sep = "."),
    home = R.home(),
    libraries = as.list(.libPaths()),
    temporary = tempdir(),
    platform = R.version$platform,
    blas = extSoftVersion()[["BLAS"]],
    packages = package_versions(list("grf"))
  )
}

# Where the compiled code of a package lies: its compiler is written inside.
compiled_file <- function(package) {
  file <- system.file("libs", paste0(package, .Platform$dynlib.ext), package = package)
  if (nzchar(file)) file
}
