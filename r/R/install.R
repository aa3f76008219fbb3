#' Make the Python environment that htebridge needs
#'
#' Makes an environment of its own under [tools::R_user_dir()] and installs the Python package into it; nothing else on
#' the machine is changed. Where it is there already, nothing is done unless `upgrade`.
#'
#' @param from What pip installs: a folder or wheel of the Python package, or its name and version on an index. By
#'   default the checkout that the working directory lies in, else `"hte-bridge"`.
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
    return(invisible(interpreter))
  }
  if (!file.exists(interpreter)) make_environment(environment, python)
  what <- if (is.null(from)) default_source() else from
  message("Installing ", what, " into ", environment, " ...")
  arguments <- c("-m", "pip", "install", if (upgrade) "--upgrade", pip_args, what)
  run_or_abort(interpreter, arguments, "pip could not install hte_bridge")
  hte_stop()
  if (!has_package(interpreter)) {
    abort("PythonUnavailable", "After the installation hte_bridge must load. It does not. Run htebridge::hte_doctor().")
  }
  message("Done: ", interpreter)
  invisible(interpreter)
}

make_environment <- function(environment, python) {
  if (is.null(python)) python <- find_python()
  dir.create(dirname(environment), recursive = TRUE, showWarnings = FALSE)
  message("Making a Python environment in ", environment, " ...")
  run_or_abort(python, c("-m", "venv", environment), "The environment could not be made")
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
  if (dir.exists(file.path(folder, "hte_bridge"))) folder else "hte-bridge"
}

has_package <- function(python) {
  file.exists(python) && run(python, c("-c", "import hte_bridge.serve.session, hte_bridge.serve.remote"))$status == 0L
}

run <- function(command, arguments) {
  tryCatch(
    processx::run(command, arguments, error_on_status = FALSE, env = python_environment()),
    error = function(e) list(status = 127L, stdout = "", stderr = conditionMessage(e))
  )
}

run_or_abort <- function(command, arguments, what) {
  said <- run(command, arguments)
  if (!identical(said$status, 0L)) {
    last <- utils::tail(strsplit(trimws(said$stderr), "\n")[[1L]], 1L)
    abort("PythonUnavailable", what, " (", paste(c(command, arguments), collapse = " "), "). It said: ",
      if (length(last)) last else "nothing", ". Mend that and run hte_install() again.")
  }
  invisible(said)
}
