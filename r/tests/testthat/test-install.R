# An environment whose Python notes what pip is asked for, and has the package once pip was called.
with_environment <- function(code) {
  home <- tempfile("home")
  python <- file.path(home, "R", "htebridge", "venv", "bin", "python")
  dir.create(dirname(python), recursive = TRUE)
  asked <- file.path(home, "asked")
  writeLines(c("#!/bin/sh", "case \"$*\" in", sprintf("  *'pip install'*) echo \"$@\" >'%s'; echo 'Collecting numpy' ;;", asked),
    sprintf("  *) test -e '%s' ;;", asked), "esac"), python)
  Sys.chmod(python, "755")
  old <- Sys.getenv(c("R_USER_DATA_DIR", "HTE_BRIDGE_PYTHON"), NA)
  on.exit(for (name in names(old)) {
    if (is.na(old[[name]])) Sys.unsetenv(name) else do.call(Sys.setenv, as.list(old[name]))
  })
  Sys.setenv(R_USER_DATA_DIR = home)
  Sys.unsetenv("HTE_BRIDGE_PYTHON")
  said <- character()
  withCallingHandlers(code(python), message = function(m) {
    said <<- c(said, conditionMessage(m))
    invokeRestart("muffleMessage")
  })
  list(said = paste(said, collapse = ""), asked = if (file.exists(asked)) readLines(asked) else "")
}

test_that("what it takes is said first, then each package", {
  skip_on_os("windows")
  found <- with_environment(function(python) hte_install(from = "hte-bridge"))
  expect_match(found$said, "^Installing hte-bridge into .*minutes and 1.5 GB.*Collecting numpy.*Done: ")
})

test_that("pip builds in a copy, never in the folder that was named", {
  skip_on_os("windows")
  checkout <- tempfile("checkout")
  dir.create(file.path(checkout, "hte_bridge"), recursive = TRUE)
  writeLines("[project]", file.path(checkout, "pyproject.toml"))
  found <- with_environment(function(python) hte_install(from = checkout))
  expect_match(found$asked, "hte_bridge_source")
  expect_false(grepl(checkout, found$asked, fixed = TRUE))
})

test_that("an installation says that HTE_BRIDGE_PYTHON, where it is set, wins", {
  skip_on_os("windows")
  found <- with_environment(function(python) {
    Sys.setenv(HTE_BRIDGE_PYTHON = "/other/python")
    hte_install(from = "hte-bridge")
  })
  expect_match(found$said, "But HTE_BRIDGE_PYTHON is set, and wins: htebridge uses /other/python")
})

test_that("outside a checkout the version of this package is asked for", {
  here <- setwd(tempdir())
  on.exit(setwd(here))
  expect_identical(default_source(), paste0("hte-bridge==", utils::packageVersion("htebridge")))
})

test_that("what failed is told as pip and venv tell it, and half an environment does not stay", {
  skip_on_os("windows")
  failing <- function(lines) {
    python <- tempfile("python")
    writeLines(c("#!/bin/sh", "mkdir -p \"$3/bin\"; touch \"$3/bin/python\"", lines, "exit 1"), python)
    Sys.chmod(python, "755")
    python
  }
  home <- file.path(tempfile("home"), "venv")
  silent <- failing("echo 'ensurepip is not available.'; echo 'apt install python3.13-venv'")
  suppressMessages(expect_sentence(make_environment(home, silent), "PythonUnavailable",
    "It said: ensurepip is not available. apt install python3.13-venv. Mend that and"))
  expect_false(file.exists(home))
  noisy <- failing("echo 'ERROR: No matching distribution found for hte-bridge' >&2; echo '[notice] A new release of pip' >&2")
  suppressMessages(expect_sentence(make_environment(home, noisy), "PythonUnavailable", "It said: ERROR: No matching distribution found"))
})
