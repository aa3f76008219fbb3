# Conditions: class c("htebridge_error", kind, "error"). The sentence is Python's where Python found the fault.

abort <- function(kind, ..., details = list()) {
  fields <- c(list(message = paste0(...), call = NULL), details)
  stop(structure(fields, class = c("htebridge_error", kind, "error", "condition")))
}

comma <- function(n) format(n, big.mark = ",", scientific = FALSE, trim = TRUE)

quoted <- function(names, most = 8L) {
  shown <- paste0("`", utils::head(names, most), "`", collapse = ", ")
  if (length(names) > most) paste0(shown, ", ...") else shown
}
