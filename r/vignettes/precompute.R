# Runs the code of htebridge.Rmd and keeps what it prints in output/, so that building the vignette needs no Python.
# Usage, in the root of the checkout: Rscript r/vignettes/precompute.R

library(htebridge)
options(width = 100)
output <- function(name) file.path("r", "vignettes", "output", name)
keep <- function(name, code) writeLines(utils::capture.output(code), output(name))

df <- utils::read.csv("hte_bridge/data/thornton_hiv.csv")
df$far <- ifelse(df$distvct > 2, "far", "near")
study <- hte_study(df, got ~ age + distvct + hiv2004, treatment = "any", cluster = "villnum")
keep("study.txt", print(study))
table <- hte_compare(study, list(hte_feols(), hte_causal_forest(num.trees = 2000, seed = 1), hte_deep(seed = 1)), seed = 1)
keep("table.txt", print(table))
keep("tidy.txt", print(utils::head(tidy(table)[c("term", "estimate", "std.error", "p.value", "conf.low", "conf.high")])))
grDevices::png(output("plot.png"), 1400, 800, res = 160)
plot(table)
invisible(grDevices::dev.off())
keep("differences.txt", print(differences(table)))
keep("gate.txt", print(gate(table, by = "far")))
keep("cate.txt", print(cate(table, engine = "deep", newdata = data.frame(age = c(20, 50), distvct = 1, hiv2004 = 0))))
