# The worker's side where rpy2 is not installed: R is a process of its own. A line on standard input says that a request lies in
# a file, a line to `told` that its answer does; both are R's own serialization, so that numbers cross to the bit.
answer_files <- function(told) {
  asked <- file("stdin", "r")
  told <- file(told, "w", raw = TRUE)
  say <- function(line) {
    writeLines(line, told)
    flush(told)
  }
  say(tempdir())
  while (length(readLines(asked, 1L))) {
    answer_file(file.path(tempdir(), "request"), file.path(tempdir(), "answer"))
    say("")
  }
}

answer_file <- function(asked, answered) {
  from <- file(asked, "rb")
  request <- tryCatch(unserialize(from), finally = close(from))
  unlink(asked)
  answer <- bridge_call(request[[1L]], request[[2L]])
  to <- file(answered, "wb")
  tryCatch(serialize(answer, to, xdr = FALSE, version = 2), finally = close(to))
}
