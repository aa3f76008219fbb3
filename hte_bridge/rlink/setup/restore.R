# Rscript restore.R LOCKFILE LIBRARY [PACKAGE ...]: the packages of a lock file, or those named, by renv, into a library of ours.
arguments <- commandArgs(trailingOnly = TRUE)
lockfile <- normalizePath(arguments[1])
dir.create(arguments[2], recursive = TRUE, showWarnings = FALSE)
library_path <- normalizePath(arguments[2])
# nothing but this library and R's own: what the user has elsewhere must not stand in for a pinned package
.libPaths(library_path, include.site = FALSE)

repos <- Sys.getenv("RENV_CONFIG_REPOS_OVERRIDE", getOption("repos")[["CRAN"]])
if (repos == "@CRAN@") repos <- utils::getCRANmirrors(local.only = TRUE)$URL[1L] # the first of R's own list
options(repos = c(CRAN = repos))
Sys.setenv(RENV_CONFIG_CACHE_SYMLINKS = "FALSE") # a copy: emptying renv's cache must not break the library
if (!dir.exists(file.path(library_path, "renv"))) {
  install.packages("renv", lib = library_path, repos = repos)
}
renv::consent(provided = TRUE)
wanted <- arguments[-(1:2)]
if (!length(wanted)) wanted <- names(renv::lockfile_read(lockfile)$Packages)
renv::restore(
  project = dirname(library_path), lockfile = lockfile, library = library_path, packages = wanted, prompt = FALSE
)

missing <- setdiff(wanted, rownames(installed.packages(library_path)))
if (length(missing)) stop("Not installed: ", paste(missing, collapse = ", "), call. = FALSE)
