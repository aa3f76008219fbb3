#' Make the Python environment that htebridge needs
#'
#' Makes an environment of its own under [tools::R_user_dir()] and installs the Python package into it; nothing else on
#' the machine is changed, and a checkout that is installed from is copied first. What it takes is said before it begins, and
#' each package as it comes. Where it is there already, nothing is done unless `upgrade`.
#'
#' On Linux the plain build of PyTorch brings CUDA, 6 GB; the build for processors is 0.2 GB to download. To have it, name the
#' index that PyTorch's own installation page gives for "CPU": `pip_args = "--extra-index-url=..."`.
#'
#' @param from What pip installs: a folder or wheel of the Python package, or its name and version on an index. By
#'   default the checkout that the working directory lies in, else `"hte-bridge"` of this package's version.
#' @param python A Python of 3.11 or newer to make the environment with.
#' @param upgrade Install again into the environment that is there.
#' @param pip_args Further arguments of `pip install`, such as `"--index-url=..."`.
#' @return Path of the environment's interpreter, invisibly.
#' @examples
#' \dontrun{
#' hte_install()
#' }
#' @export
hte_install <- function(from = NULL, python = NULL, upgrade = FALSE, pip_args = character()) {
  environment <- environment_home()
  interpreter <- in_environment(environment)
  if (has_package(interpreter) && !upgrade) {
    message("hte_bridge is installed in ", environment, ". hte_install(upgrade = TRUE) installs it again.")
    say_other_python(interpreter)
    return(invisible(interpreter))
  }
  what <- if (is.null(from)) default_source() else from
  message("Installing ", what, " into ", environment, ". ", COST)
  if (!file.exists(interpreter)) make_environment(environment, python)
  arguments <- c("-m", "pip", "install", if (upgrade) "--upgrade", pip_args, source_copy(what))
  run_or_abort(interpreter, arguments, "pip could not install hte_bridge", said = say_step)
  hte_stop()
  if (!has_package(interpreter)) {
    abort("PythonUnavailable", "After the installation hte_bridge must load. It does not. Run htebridge::hte_doctor().")
  }
  message("Done: ", interpreter)
  say_other_python(interpreter)
  invisible(interpreter)
}

COST <- paste0(
  "It takes 2 to 10 minutes and 1.5 GB of disk",
  if (Sys.info()[["sysname"]] == "Linux") " (8 GB with PyTorch for CUDA, which is what a plain index has: see ?hte_install)", "."
)

# What pip does, a line for each package.
say_step <- function(line, process) {
  if (grepl("^(Collecting|Processing|Installing collected)", line)) message("  ", substr(line, 1L, 100L))
  else if (grepl("Downloading .*\\([0-9.]+ [MG]B\\)", line)) message("    ", trimws(sub(".*/", "", line)))
}

# A variable that names another Python wins over what was installed; who set it should know.
say_other_python <- function(interpreter) {
  chosen <- Sys.getenv("HTE_BRIDGE_PYTHON")
  if (nzchar(chosen) && normalizePath(chosen, mustWork = FALSE) != normalizePath(interpreter, mustWork = FALSE)) {
    message("But HTE_BRIDGE_PYTHON is set, and wins: htebridge uses ", chosen, ", not this environment. ",
      "To use it: Sys.unsetenv(\"HTE_BRIDGE_PYTHON\"); look for the variable in .Renviron too.")
  }
}

# pip builds inside a folder that it installs from: a copy, so that the user's own is left as it was.
source_copy <- function(what) {
  if (!dir.exists(what)) return(what)
  copy <- tempfile("hte_bridge_source")
  dir.create(copy)
  parts <- file.path(what, c("pyproject.toml", "README.md", "LICENSE", "hte_bridge"))
  file.copy(parts[file.exists(parts)], copy, recursive = TRUE)
  copy
}

make_environment <- function(environment, python) {
  if (is.null(python)) python <- find_python()
  dir.create(dirname(environment), recursive = TRUE, showWarnings = FALSE)
  message("Making a Python environment in ", environment, " ...")
  made <- FALSE
  on.exit(if (!made) unlink(environment, recursive = TRUE)) # half of one would be taken for a whole one the next time
  run_or_abort(python, c("-m", "venv", environment), "The environment could not be made")
  made <- TRUE
}

# The newest Python on the PATH, 3.11 or later.
find_python <- function() {
  candidates <- Sys.which(c("python3.14", "python3.13", "python3.12", "python3.11", "python3", "python"))
  for (python in candidates[nzchar(candidates)]) if (python_version(python) >= "3.11") return(python)
  abort("PythonUnavailable", "hte_install() needs Python 3.11 or newer on the PATH. None was found. Install it from ",
    "https://www.python.org, or name one: hte_install(python = ...).")
}

python_version <- function(python) {
  said <- run(python, c("-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"))
  numeric_version(if (said$status == 0L) trimws(said$stdout) else "0.0")
}

default_source <- function() {
  folder <- getwd()
  while (!file.exists(file.path(folder, "pyproject.toml")) && dirname(folder) != folder) folder <- dirname(folder)
  if (dir.exists(file.path(folder, "hte_bridge"))) folder else paste0("hte-bridge==", utils::packageVersion("htebridge"))
}

has_package <- function(python) {
  file.exists(python) && run(python, c("-c", "import hte_bridge.serve.session, hte_bridge.serve.remote"))$status == 0L
}

run <- function(command, arguments, said = NULL) {
  tryCatch(
    processx::run(
      command, arguments, error_on_status = FALSE, env = python_environment(), stdout_line_callback = said
    ),
    error = function(e) list(status = 127L, stdout = "", stderr = conditionMessage(e))
  )
}

run_or_abort <- function(command, arguments, what, said = NULL) {
  done <- run(command, arguments, said)
  if (!identical(done$status, 0L)) {
    abort("PythonUnavailable", what, " (", paste(c(command, arguments), collapse = " "), "). It said: ", last_words(done),
      ". Mend that and run hte_install() again.")
  }
  invisible(done)
}

# pip's errors, wherever its notices put them; else the end of what was said: venv explains itself on the standard output.
last_words <- function(done, lines = 10L) {
  said <- if (nzchar(trimws(done$stderr))) done$stderr else paste0(done$stdout, "")
  said <- trimws(strsplit(said, "\n")[[1L]])
  said <- said[nzchar(said)]
  errors <- grep("^(ERROR|error)", said, value = TRUE)
  told <- utils::tail(if (length(errors)) errors else said, lines)
  if (length(told)) sub("[.]$", "", paste(told, collapse = " ")) else "nothing"
}
