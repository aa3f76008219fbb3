# Rscript website/rd.R r/man: the help pages of the R package as markdown that holds HTML, on standard output
args <- commandArgs(TRUE)
for (file in sort(list.files(args[[1]], "[.]Rd$", full.names = TRUE))) {
  name <- sub("[.]Rd$", "", basename(file))
  if (name %in% c("reexports") || grepl("-package$", name)) next
  page <- tempfile()
  suppressWarnings(tools::Rd2HTML(file, page, Links = character(), Links2 = character()))
  html <- paste(readLines(page, encoding = "UTF-8"), collapse = "\n")
  html <- sub(".*?</table>\\s*", "", html) # what stands before the title
  html <- sub("<h2[^>]*>(.*?)</h2>", "<p><strong>\\1</strong></p>", html)
  html <- sub("<hr ?/?>.*$", "", html)
  html <- gsub("</?(main|div|body|html)[^>]*>", "", html)
  html <- gsub("<a [^>]*href=\"(../|#)[^>]*>(.*?)</a>", "\\2", html)
  html <- gsub("<h3>(.*?)</h3>", "<p><em>\\1</em></p>", html)
  html <- gsub("\n[[:space:]]*\n", "\n", html)
  # a blank line would end the block in markdown
  cat("## `", name, "`\n\n<div class=\"rd\">\n", html, "\n</div>\n\n", sep = "")
}
