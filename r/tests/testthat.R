library(testthat)
library(htebridge)
test_check("htebridge")
