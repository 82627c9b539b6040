skip_without_learners <- function() {
  for (package in c("mlr", "mda", "hetGP")) skip_if_not_installed(package)
}

test_that("features are centred coordinates and their squares", {
  x <- matrix(c(0.1, 0.5, 1, 0), 2, 2)
  expect_equal(unname(as.matrix(stack_features(x))), cbind(x - 0.5, (x - 0.5)^2))
})

test_that("a learner does not see the fold that it predicts, and the seed is all that is random", {
  skip_without_learners()
  set.seed(2)
  x <- matrix(runif(80), 40, 2)
  y <- sin(5 * x[, 1]) + x[, 2]
  fold <- rep(1:4, 10)
  fitted <- fit_learners(x, y, fold, list(regr.mars = list()), 1)
  y[fold == 1] <- y[fold == 1] + 5
  moved <- fit_learners(x, y, fold, list(regr.mars = list()), 1)
  expect_equal(moved$out_of_fold[fold == 1], fitted$out_of_fold[fold == 1])
  expect_false(isTRUE(all.equal(moved$out_of_fold, fitted$out_of_fold)))
  models <- unserialize(fitted$models)
  expect_equal(level0(models, x, block = 7L), level0(models, x))
})

test_that("R is told the fitted learners once and keeps the latest", {
  skip_without_learners()
  x <- matrix(runif(40), 20, 2)
  models <- fit_learners(x, x[, 1], rep(1:4, 5), list(regr.mars = list()), 1)$models
  expect_null(predict_learners("first", x))
  told <- predict_learners("first", x, models)
  expect_equal(predict_learners("first", x), told)
  for (k in seq_len(fitted_learners$most)) predict_learners(paste("other", k), x[1:2, ], models)
  expect_null(predict_learners("first", x))
  expect_length(fitted_learners$models, fitted_learners$most)
})

test_that("a learner that fails is told and costs the others nothing", {
  skip_without_learners()
  skip_if_not_installed("randomForest")
  x <- matrix(runif(40), 20, 2)
  learners <- list(regr.randomForest = list(sampsize = 1000), regr.mars = list())
  fitted <- fit_learners(x, x[, 1], rep(1:4, 5), learners, c(1, 2))
  expect_match(fitted$failed$regr.randomForest, "sampsize")
  expect_true(all(is.nan(fitted$out_of_fold[, 1])) && all(is.finite(fitted$out_of_fold[, 2])))
  expect_named(unserialize(fitted$models), "regr.mars")
})

test_that("what mlr does not know is told", {
  skip_without_learners()
  expect_null(check_learners(list(regr.mars = list(degree = 2))))
  expect_equal(check_learners(list(regr.marz = list()))$problem, "unknown")
  expect_equal(check_learners(list(regr.mars = list(degre = 2)))$problem, "parameter")
  expect_equal(check_learners(list(regr.mars = list(degree = "a")))$problem, "value")
})

test_that("a lack of memory is no fault of a learner", {
  skip_without_learners()
  short <- tryCatch(numeric(2^50), error = identity)
  expect_true(is_out_of_memory(short))
  expect_false(is_out_of_memory(simpleError("sampsize is too large")))
  greedy <- function() {
    mlr::makeRLearnerRegr("regr.greedy", "mlr", ParamHelpers::makeParamSet(), properties = "numerics")
  }
  registerS3method("makeRLearner", "regr.greedy", greedy, asNamespace("mlr"))
  registerS3method("trainLearner", "regr.greedy", function(...) numeric(2^50), asNamespace("mlr"))
  x <- matrix(runif(40), 20, 2)
  expect_error(fit_learners(x, x[, 1], rep(1:4, 5), list(regr.greedy = list()), 1), "cannot allocate")
})

test_that("a learner of one value is left out", {
  skip_without_learners()
  x <- matrix(runif(40), 20, 2)
  fitted <- fit_learners(x, x[, 1], rep(1:4, 5), list(regr.featureless = list(), regr.mars = list()), 1:2)
  expect_match(fitted$failed$regr.featureless, "the same value everywhere")
})
