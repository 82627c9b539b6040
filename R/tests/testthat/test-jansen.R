test_that("indices are those of the formulas, row by row", {
  set.seed(1)
  f_x1 <- rnorm(50)
  f_x2 <- rnorm(50)
  f_x12 <- matrix(rnorm(150), ncol = 3, dimnames = list(NULL, c("a", "b", "c")))
  indices <- jansen(f_x1, f_x2, f_x12)
  expect_equal(rownames(indices), c("a", "b", "c"))
  for (i in 1:3) {
    expect_equal(indices$first[i], 1 - sum((f_x2 - f_x12[, i])^2) / (99 * var(f_x1)), tolerance = 1e-12)
    expect_equal(indices$total[i], sum((f_x1 - f_x12[, i])^2) / (99 * var(f_x1)), tolerance = 1e-12)
  }
})

test_that("a linear function's indices are its shares of the variance", {
  # n = 20,000: the standard error is below .01, so six of them miss with a chance below 1e-8.
  set.seed(2)
  x1 <- matrix(runif(60000), ncol = 3)
  x2 <- matrix(runif(60000), ncol = 3)
  f <- function(x) as.vector(x %*% c(3, 1, 0))
  mixed <- sapply(1:3, function(i) f(replace(x1, cbind(seq_len(20000), i), x2[, i])))
  indices <- jansen(f(x1), f(x2), mixed)
  expect_true(all(abs(indices$first - c(.9, .1, 0)) < .06))
  expect_true(all(abs(indices$total - c(.9, .1, 0)) < .06))
  expect_identical(indices$total[3], 0)
})

test_that("what cannot give indices is refused with a sentence", {
  expect_error(jansen(1:3, 1:4, matrix(1, 3, 2)), "they are 3, 4 and 3")
  expect_error(jansen(c(1, NaN, 2), 1:3, matrix(1, 3, 2)), "must be finite")
  expect_error(jansen(rep(7, 3), 1:3, matrix(1, 3, 2)), "constant \\(7\\)")
})
