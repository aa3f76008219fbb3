# The Python process: found, started on first use, kept warm, ended with the session.

state <- new.env(parent = emptyenv()) # process, token, folder, greeting, requests, stderr tail, handles to drop
state$requests <- 0L
state$drop <- character()
state$gone <- new.env() # handles that were dropped
state$studies <- new.env() # the study of each table whose fits live, by the table's handle
PROTOCOL <- 3L
START_SECONDS <- 120
QUIET_SECONDS <- 20 # how long an interrupted request may take to stop before its process is ended

environment_home <- function() file.path(tools::R_user_dir("htebridge", "data"), "venv")

in_environment <- function(folder) {
  if (.Platform$OS.type == "windows") file.path(folder, "Scripts", "python.exe") else file.path(folder, "bin", "python")
}

# The .venv of a checkout that the working directory lies in.
checkout_python <- function(folder = getwd()) {
  repeat {
    python <- in_environment(file.path(folder, ".venv"))
    if (file.exists(python) && dir.exists(file.path(folder, "hte_bridge"))) return(python)
    if (dirname(folder) == folder) return("")
    folder <- dirname(folder)
  }
}

#' Which Python is used
#'
#' In this order: the environment variable `HTE_BRIDGE_PYTHON`; the environment that [hte_install()] made; the `.venv`
#' of a checkout that the working directory lies in.
#' @return Path of the interpreter; an empty string if there is none.
#' @examples
#' hte_python()
#' @export
hte_python <- function() {
  chosen <- Sys.getenv("HTE_BRIDGE_PYTHON")
  if (nzchar(chosen)) return(chosen)
  installed <- in_environment(environment_home())
  if (file.exists(installed)) installed else checkout_python()
}

python_missing <- function(found) {
  abort("PythonUnavailable", "htebridge needs Python 3.11 or newer with hte_bridge. ", found,
    " Run htebridge::hte_install(), or set HTE_BRIDGE_PYTHON to the interpreter that has it.")
}

alive <- function() !is.null(state$process) && state$process$is_alive()

python_process <- function() {
  if (alive()) return(state$process)
  python <- hte_python()
  if (!nzchar(python)) python_missing("None was found.")
  if (!file.exists(python) && !nzchar(Sys.which(python))) python_missing(paste0("There is no `", python, "`."))
  state$token <- NULL
  state$folder <- temporary_folder()
  state$tail <- character()
  bars <- getOption("htebridge.progress", interactive())
  process <- processx::process$new(
    python, c("-u", "-m", "hte_bridge.serve", state$folder),
    stdin = "|", stdout = "|", stderr = "|", cleanup = TRUE, encoding = "UTF-8",
    env = c(python_environment(), HTE_BRIDGE_PROGRESS = if (isTRUE(bars)) "1" else "0", HTE_BRIDGE_NO_R = "1")
  )
  state$process <- process
  greet(process, python)
  state$token <- paste(process$get_pid(), unclass(Sys.time()))
  state$drop <- character()
  state$gone <- new.env()
  state$studies <- new.env()
  state$rooms_from <- NULL # forests that an older process asked to keep
  process
}

# R puts its own folders first on LD_LIBRARY_PATH; a Python built elsewhere would load the wrong libraries from there.
python_environment <- function() {
  ours <- Sys.getenv("LD_LIBRARY_PATH")
  paths <- file.path(R.home("etc"), "ldpaths")
  if (!nzchar(ours) || !file.exists(paths)) return(c("current", PYTHONUTF8 = "1"))
  script <- sprintf("R_HOME='%s'; . '%s'; printf %%s \"$R_LD_LIBRARY_PATH\"", R.home(), paths)
  added <- processx::run("sh", c("-c", script), env = c("current", LD_LIBRARY_PATH = ""))$stdout
  folders <- function(path) strsplit(path, ":", fixed = TRUE)[[1L]]
  theirs <- setdiff(folders(ours), folders(added)) # R started by R has put them there twice
  c("current", PYTHONUTF8 = "1", LD_LIBRARY_PATH = paste(theirs, collapse = ":"))
}

greet <- function(process, python) {
  ready <- FALSE
  on.exit(if (!ready) process$kill())
  greeting <- tryCatch(read_message(process, START_SECONDS), PythonDied = function(e) {
    python_missing(paste0("`", python, "` could not start it: ", utils::tail(c("it said nothing", state$tail), 1L), "."))
  })
  ours <- as.character(utils::packageVersion("htebridge"))
  if (!identical(as.integer(greeting$protocol), PROTOCOL)) {
    abort("PythonUnavailable", "The R and the Python side must be of the same version. R's htebridge is ", ours,
      ", Python's hte_bridge is ", greeting$version, ". Run htebridge::hte_install(upgrade = TRUE).")
  }
  state$greeting <- greeting
  ready <- TRUE
}

# A folder of the session for columns on their way.
temporary_folder <- function() {
  folder <- file.path(tempdir(check = TRUE), "htebridge")
  dir.create(folder, showWarnings = FALSE)
  if (!dir.exists(folder) || file.access(folder, 2L) != 0L) {
    abort("UnwritableFolder", "R's temporary folder must be one that can be written. `", folder,
      "` is not. Set TMPDIR before R starts.")
  }
  folder
}

#' End the Python process
#'
#' The next call starts a new one. Tables keep their rows; further questions about them need [hte_compare()] again.
#' @return `TRUE` if a process was running, invisibly.
#' @examples
#' hte_stop()
#' @export
hte_stop <- function() {
  was <- alive()
  if (was) {
    close(state$process$get_input_connection())
    state$process$wait(2000)
    state$process$kill()
  }
  state$process <- state$token <- NULL
  invisible(was)
}
