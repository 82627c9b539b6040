# The R package's tests from its sources, no installed copy needed; the last line is the count.
results <- as.data.frame(testthat::test_local("R", reporter = "check", stop_on_failure = FALSE))
failed <- sum(results$failed) + sum(results$error)
cat(sprintf("testthat: %d passed, %d failed, %d skipped\n", sum(results$passed), failed, sum(results$skipped)))
if (failed > 0 || sum(results$passed) == 0) quit(status = 1)
