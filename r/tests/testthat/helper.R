# Every test makes its data from a seed of its own.
skip_without_python <- function() {
  skip_if_not(nzchar(hte_python()) && file.exists(hte_python()), "no Python with hte_bridge")
}

# A clustered experiment whose effect is 1 + x.
experiment <- function(seed, n = 400L) {
  set.seed(seed)
  df <- data.frame(x = rnorm(n), z = rnorm(n), d = rbinom(n, 1, 0.5), village = rep(sprintf("v%02d", 1:40), n / 40))
  df$town <- rep(c("north", "south"), each = n / 40, length.out = n)
  df$y <- df$d * (1 + df$x) + rnorm(n)
  df
}

linear_table <- function(data_seed, ...) {
  hte_compare(hte_study(experiment(data_seed), y ~ x + z, treatment = "d", cluster = "village"), list(hte_feols()), ...)
}

# A shell command that does something to a process after some seconds.
later <- function(seconds, signal, pid) {
  processx::process$new("sh", c("-c", sprintf("sleep %g; kill -%s %d", seconds, signal, pid)))
}

expect_sentence <- function(code, kind, sentence) {
  found <- tryCatch(code, htebridge_error = function(e) e)
  expect_s3_class(found, c("htebridge_error", kind, "error"))
  expect_match(conditionMessage(found), sentence, fixed = TRUE)
}
