# Python's calls of R: answered here, in the user's own session, by the R code that ships with the Python package.
# So a forest is grown by the same lines from either language, and no second R is ever started.

# Environment with the functions of the Python package's *.R files, sourced once for each place they lie in.
rooms <- function() {
  folder <- state$greeting$r_code
  if (!identical(state$rooms_from, folder)) {
    sourced <- new.env(parent = globalenv())
    for (file in sort(list.files(folder, "[.]R$", full.names = TRUE))) sys.source(file, envir = sourced)
    state$rooms <- sourced
    state$rooms_from <- folder
  }
  state$rooms
}

answer_call <- function(message) {
  code <- rooms()
  if (length(message$drop)) code$drop_kept(unlist(message$drop))
  arguments <- lapply(message$arguments, from_wire)
  answer <- code$bridge_call(message$call, arguments)
  lapply(answer, wire_answer)
}

# Vectors and matrices as columns, single values, text and lists as JSON.
wire_answer <- function(value) {
  if (is.null(value)) return(NULL)
  if (is.list(value)) return(lapply(value, wire_answer))
  if (is.character(value)) {
    value[is.na(value)] <- ""
    return(if (length(value) == 1L) unname(value) else as.list(unname(value)))
  }
  if (length(value) == 1L && is.null(dim(value))) {
    if (is.logical(value)) return(if (is.na(value)) NULL else as.vector(value))
    return(if (is.integer(value) && is.na(value)) NULL else numbers_mark(value))
  }
  column_mark(unname(value))
}
