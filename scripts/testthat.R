# Tests of the R package; every warning and failure counts.
testthat::test_dir("r/tests/testthat",
  package = "htebridge", load_package = "installed", reporter = "summary", stop_on_failure = TRUE)
