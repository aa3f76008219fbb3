# One request to Python: a line out, a line back, progress relayed, interrupts passed on.

ask <- function(do, ...) {
  process <- python_process()
  drop <- as.list(state$drop) # what is let go of from here on may be named in the arguments, and goes with the next
  state$drop <- character()
  arguments <- to_wire(drop_nulls(snake(list(...)))) # sends studies again that an older process held
  state$requests <- state$requests + 1L
  id <- state$requests
  message <- list(id = id, do = do, arguments = arguments, drop = drop)
  answered <- FALSE
  on.exit(if (!answered) quiet_down(process, id))
  send(process, message)
  answer <- wait_for(process, id)
  answered <- TRUE
  if (!is.null(answer$error)) raise(answer$error)
  from_wire(answer$value)
}

drop_nulls <- function(arguments) {
  kept <- arguments[!vapply(arguments, is.null, NA)]
  if (length(kept)) kept else structure(list(), names = character())
}

raise <- function(error) {
  if (identical(error$kind, "PythonError")) {
    abort("PythonError", "Python stopped with an error that it should not have: ", error$message,
      ". Please report it; `python_trace` of this condition says where.", details = list(python_trace = error$trace))
  }
  abort(error$kind, error$message)
}

send <- function(process, message) {
  line <- jsonlite::toJSON(message, auto_unbox = TRUE, null = "null", json_verbatim = TRUE)
  bytes <- charToRaw(paste0(enc2utf8(line), "\n"))
  repeat {
    bytes <- tryCatch(process$write_input(bytes), error = function(e) died(process))
    if (!length(bytes)) return(invisible())
    relay(process)
    Sys.sleep(0.005) # the pipe is full until Python has read some
  }
}

# The answer to a request; Python's questions to R in between are answered.
wait_for <- function(process, id) {
  repeat {
    message <- read_message(process)
    if (!is.null(message$call)) {
      send(process, answer_call(message))
    } else if (is.null(message$id) || identical(as.integer(message$id), id)) { # without: it could not be read
      return(message)
    }
  }
}

read_message <- function(process, seconds = Inf) {
  end <- Sys.time() + seconds
  repeat {
    line <- process$read_output_lines(1L)
    relay(process)
    if (length(line)) {
      message <- parsed(process, line)
      if (is.list(message)) return(message)
    }
    if (!process$is_alive() && !process$is_incomplete_output()) died(process)
    if (Sys.time() > end) {
      process$kill()
      died(process)
    }
    process$poll_io(200)
  }
}

parsed <- function(process, line) {
  tryCatch(jsonlite::fromJSON(line, simplifyVector = FALSE), error = function(e) {
    state$tail <- c(state$tail, line)
    if (is.null(state$token)) return(NULL) # before the greeting: a sitecustomize or the like that prints
    process$kill() # whatever speaks there, it is not hte_bridge.serve
    died(process)
  })
}

# Progress and warnings of Python on R's console; the last lines are kept for what a crash says.
relay <- function(process) {
  text <- process$read_error()
  if (!length(text) || !nzchar(text)) return(invisible())
  state$tail <- utils::tail(c(state$tail, strsplit(text, "[\r\n]+")[[1L]]), 20L)
  if (!is.null(state$token)) cat(text, file = stderr()) # before the greeting the error alone says what went wrong
}

died <- function(process) {
  process$wait(2000)
  relay(process)
  status <- process$get_exit_status()
  state$process <- state$token <- NULL
  said <- utils::tail(state$tail[nzchar(trimws(state$tail))], 1L)
  abort("PythonDied", "The Python process must answer each request. It ended before it did (exit status ",
    if (is.null(status)) "unknown" else status, if (length(said)) paste0("; it said: ", trimws(said)),
    "). Call again: a new process starts, and tables keep their rows.")
}

# After Ctrl-C or an error in between: Python stops its work and stays, or is ended if it does not stop.
quiet_down <- function(process, id) {
  if (!process$is_alive()) return(invisible())
  process$interrupt()
  end <- Sys.time() + QUIET_SECONDS
  while (process$is_alive() && Sys.time() < end) {
    process$poll_io(200)
    lines <- process$read_output_lines()
    process$read_error()
    for (line in lines) {
      message <- tryCatch(jsonlite::fromJSON(line, simplifyVector = FALSE), error = function(e) NULL)
      if (is.null(message$call) && identical(as.integer(message$id), id)) return(invisible())
    }
  }
  process$kill()
  state$process <- state$token <- NULL
}
