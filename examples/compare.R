# Did an incentive bring people to learn their HIV result, and whom? The table in R; compare.py makes it in Python.
# Usage: Rscript examples/compare.R OUT.csv

library(htebridge)

script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
out <- commandArgs(trailingOnly = TRUE)[1]

df <- read.csv(file.path(dirname(script), "..", "hte_bridge", "data", "thornton_hiv.csv"))
study <- hte_study(df, outcome = "got", treatment = "any", covariates = c("age", "distvct", "hiv2004"),
  cluster = "villnum")
engines <- list(hte_feols(), hte_causal_forest(num.trees = 2000, seed = 1), hte_deep(seed = 1))
table <- hte_compare(study, engines, seed = 1)
table
hte_save(table, out)
