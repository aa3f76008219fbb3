#' What is installed, and how to mend what is not
#'
#' @return A data frame of class `hte_doctor`, one row a part: `part`, `found`, `version`, `detail`, `mend`.
#' @examples
#' hte_doctor()
#' @export
hte_doctor <- function() {
  parts <- rbind(
    part("R", getRversion() >= "4.1", as.character(getRversion()), R.home(), "install R 4.1 or newer"),
    package_part("grf"), package_part("processx"), package_part("nanoparquet"), python_parts()
  )
  structure(parts, class = c("hte_doctor", "data.frame"))
}

part <- function(part, found, version = "", detail = "", mend = "") {
  data.frame(part = part, found = found, version = version, detail = detail, mend = if (found) "" else mend)
}

package_part <- function(name) {
  found <- nzchar(system.file(package = name))
  part(name, found, if (found) as.character(utils::packageVersion(name)) else "",
    mend = sprintf("install.packages(\"%s\")", name))
}

python_parts <- function() {
  python <- hte_python()
  mend <- "htebridge::hte_install()"
  if (!nzchar(python)) return(part("Python", FALSE, detail = "none was found", mend = mend))
  version <- python_version(python)
  there <- part("Python", version >= "3.11", as.character(version), python, mend)
  if (!there$found) return(there)
  answered <- tryCatch(list(versions = ask("versions"), parts = ask("doctor")), htebridge_error = conditionMessage)
  if (is.character(answered)) return(rbind(there, part("hte_bridge", FALSE, "", answered, mend)))
  libraries <- lapply(answered$parts[c("pyfixest", "torch")], function(each) {
    part(each$name, each$found, each$version, each$detail, "htebridge::hte_install(upgrade = TRUE)")
  })
  do.call(rbind, c(list(there, part("hte_bridge", TRUE, answered$versions$hte_bridge)), unname(libraries)))
}

#' @export
print.hte_doctor <- function(x, ...) {
  state <- ifelse(x$found, "ok     ", "MISSING")
  cat(paste(state, format(x$part), format(x$version), x$detail, sep = "  "), sep = "\n")
  for (row in which(nzchar(x$mend))) cat("         ", x$part[row], ": ", x$mend[row], "\n", sep = "")
  invisible(x)
}
