library(testthat)
library(hetcal)

test_check("hetcal")
