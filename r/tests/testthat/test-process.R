slow_work <- function(study) hte_compare(study, list(hte_deep(seed = 1)))

test_that("an interrupt stops the work and leaves both sides usable", {
  skip_without_python()
  skip_on_os("windows")
  table <- linear_table(1)
  study <- hte_study(experiment(1, n = 4000L), y ~ x + z, treatment = "d", cluster = "village")
  token <- htebridge:::state$token
  signal <- later(1, "INT", Sys.getpid()) # kept: a process object that is forgotten is ended
  expect_identical(tryCatch(slow_work(study), interrupt = function(e) "stopped"), "stopped")
  expect_identical(htebridge:::state$token, token) # the same process, its fits still there
  expect_s3_class(gate(table, by = "town"), "hte_table")
})

test_that("an interrupt of the first forest after a regression stops at once and keeps all fits", {
  skip_without_python()
  skip_on_os("windows")
  hte_stop()
  table <- linear_table(6)
  study <- hte_study(experiment(6, n = 20000L), y ~ x + z, treatment = "d")
  token <- htebridge:::state$token
  signal <- later(1, "INT", Sys.getpid())
  engines <- list(hte_feols(), hte_causal_forest(num.trees = 4000, num.threads = 1))
  taken <- system.time(said <- tryCatch(hte_compare(study, engines), interrupt = function(e) "stopped"))[["elapsed"]]
  expect_identical(said, "stopped")
  expect_lt(taken, 15) # 21 where the signal was not heard, and the process was ended
  expect_identical(htebridge:::state$token, token)
  expect_s3_class(gate(table, by = "town"), "hte_table")
})

test_that("what a Python prints before its greeting does no harm", {
  skip_without_python()
  skip_on_os("windows")
  hte_stop()
  folder <- tempfile()
  dir.create(folder)
  writeLines(c("print('noise')", "print('1')"), file.path(folder, "sitecustomize.py"))
  old <- Sys.getenv("PYTHONPATH")
  Sys.setenv(PYTHONPATH = paste(c(folder, old[nzchar(old)]), collapse = .Platform$path.sep))
  on.exit({
    Sys.setenv(PYTHONPATH = old)
    hte_stop()
  })
  expect_s3_class(linear_table(7), "hte_table")
})

test_that("a crash of Python is an error with a sentence, and the next call works", {
  skip_without_python()
  skip_on_os("windows")
  study <- hte_study(experiment(2), y ~ x + z, treatment = "d", cluster = "village")
  signal <- later(1, "KILL", htebridge:::state$process$get_pid())
  expect_sentence(slow_work(study), "PythonDied", "The Python process must answer each request.")
  expect_s3_class(hte_compare(study, list(hte_feols())), "hte_table") # the study is sent again
})

test_that("Python is started once and ends with hte_stop()", {
  skip_without_python()
  linear_table(3)
  process <- htebridge:::state$process
  linear_table(3)
  expect_identical(htebridge:::state$process$get_pid(), process$get_pid())
  expect_true(hte_stop())
  expect_false(process$is_alive())
  expect_false(hte_stop())
})

test_that("a Python that is missing, broken or old is told with what to do", {
  hte_stop()
  old <- Sys.getenv("HTE_BRIDGE_PYTHON", NA)
  on.exit({
    if (is.na(old)) Sys.unsetenv("HTE_BRIDGE_PYTHON") else Sys.setenv(HTE_BRIDGE_PYTHON = old)
    hte_stop()
  })
  fake <- function(...) {
    file <- tempfile()
    writeLines(c("#!/bin/sh", ...), file)
    Sys.chmod(file, "0755")
    Sys.setenv(HTE_BRIDGE_PYTHON = file)
  }
  Sys.setenv(HTE_BRIDGE_PYTHON = "/no/such/python")
  expect_sentence(linear_table(4), "PythonUnavailable", "There is no `/no/such/python`. Run htebridge::hte_install()")
  skip_on_os("windows")
  fake("echo \"No module named hte_bridge\" >&2", "exit 1")
  expect_sentence(linear_table(4), "PythonUnavailable", "could not start it: No module named hte_bridge.")
  fake("echo '{\"protocol\": 0, \"version\": \"0.0.1\"}'", "sleep 5")
  expect_sentence(linear_table(4), "PythonUnavailable", "must be of the same version")
  fake("echo 3.9.2")
  report <- hte_doctor()
  expect_false(report$found[report$part == "Python"])
  expect_identical(report$mend[report$part == "Python"], "htebridge::hte_install()")
})

test_that("a temporary folder that is read-only or gone is told", {
  skip_without_python()
  skip_on_os("windows")
  linear_table(5)
  state <- htebridge:::state
  folder <- state$folder
  state$folder <- file.path(folder, "gone")
  on.exit(state$folder <- folder)
  expect_sentence(linear_table(5), "UnwritableFolder", "R's temporary folder must have room for the columns.")
})

test_that("the doctor finds all parts", {
  skip_without_python()
  report <- hte_doctor()
  expect_true(all(report$found[report$part %in% c("R", "grf", "Python", "hte_bridge", "pyfixest", "torch")]))
  expect_output(print(report), "ok       R")
})
