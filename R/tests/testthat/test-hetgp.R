simulated <- function(replicates = 3, seed = 1) {
  set.seed(seed)
  x0 <- matrix(runif(40), 20, 2)
  rows <- rep(1:20, each = replicates)
  list(x0 = x0, mult = rep(replicates, 20),
       z = sin(4 * x0[rows, 1]) + x0[rows, 2] + (0.05 + 0.3 * x0[rows, 1]) * rnorm(20 * replicates))
}

fitted_state <- function(noise, data = simulated(), ...) {
  z0 <- as.vector(tapply(data$z, rep(seq_along(data$mult), data$mult), mean))
  fit_hetgp(data$x0, z0, data$mult, data$z, "Matern5_2", noise, ...)
}

# The folder that Python writes, from the numbers of a fit.
write_emulator <- function(state, data, folder, kind) {
  z0 <- as.vector(tapply(data$z, rep(seq_along(data$mult), data$mult), mean))
  numbers <- c(
    list(X0 = data$x0, Z0 = z0, mult = data$mult, Z = data$z),
    state[setdiff(names(state), c("message", "evaluations"))]
  )
  shapes <- lapply(numbers, function(v) if (is.matrix(v)) dim(v) else I(length(v)))
  meta <- list(format = "hetcal HetGP 1", covariance = "Matern5_2", noise = kind, transform = NULL,
               message = state$message, arrays = shapes)
  dir.create(folder, showWarnings = FALSE)
  writeLines(jsonlite::toJSON(meta, auto_unbox = TRUE, null = "null"), file.path(folder, "emulator.json"))
  bytes <- unlist(lapply(numbers, function(v) if (is.matrix(v)) as.vector(t(v)) else as.vector(v)))
  writeBin(as.double(bytes), file.path(folder, "arrays.f64"), size = 8, endian = "little")
  folder
}

test_that("a saved emulator is the genuine hetGP object: it predicts, leaves out and updates", {
  skip_if_not_installed("hetGP")
  data <- simulated()
  for (kind in c("homoskedastic", "heteroskedastic")) {
    short <- if (kind == "homoskedastic") "hom" else "het"
    state <- fitted_state(kind, data)[[short]]
    folder <- write_emulator(state, data, file.path(tempdir(), kind), kind)
    model <- read_emulator(folder)
    expect_s3_class(model, paste0(short, "GP"))
    x <- matrix(runif(20), 10, 2)
    answer <- predict(model, x)
    expect_length(answer$mean, 10)
    expect_true(all(answer$sd2 > 0) && all(answer$nugs > 0))
    expect_length(hetGP::LOO_preds(model)$mean, 20)
    # More runs at new places: less is unknown there, with the hyperparameters as they were.
    fresh <- update(model, Xnew = x, Znew = answer$mean, maxit = 0)
    expect_equal(nrow(fresh$X0), 30)
    expect_true(all(predict(fresh, x)$sd2 < answer$sd2))
    # And with new hyperparameters.
    expect_s3_class(update(model, Xnew = x, Znew = answer$mean, maxit = 5), class(model))
  }
})

test_that("what was read predicts as the model that was fitted", {
  skip_if_not_installed("hetGP")
  data <- simulated()
  z0 <- as.vector(tapply(data$z, rep(1:20, each = 3), mean))
  folded <- list(X0 = data$x0, Z0 = z0, mult = data$mult)
  original <- hetGP::mleHetGP(folded, data$z, covtype = "Matern5_2", settings = list(checkHom = FALSE))
  folder <- write_emulator(gp_state(original), data, file.path(tempdir(), "same"), "heteroskedastic")
  x <- matrix(runif(20), 10, 2)
  ours <- predict(read_emulator(folder), x)
  theirs <- predict(original, x)
  expect_equal(ours$mean, theirs$mean, tolerance = 1e-9)
  expect_equal(ours$sd2, theirs$sd2, tolerance = 1e-8)
  expect_equal(ours$nugs, theirs$nugs, tolerance = 1e-7)
})

test_that("a fit starts from an earlier one and a user's choice is hetGP's", {
  skip_if_not_installed("hetGP")
  data <- simulated()
  first <- fitted_state("heteroskedastic", data)
  expect_named(first, c("hom", "het"))
  warm <- list(theta = first$het$theta, g_hom = first$hom$g, k_theta_g = first$het$k_theta_g, g = first$het$g)
  again <- fitted_state("heteroskedastic", data, warm = warm)
  # The joint likelihood of a het fit has many peaks, that of a hom fit one here.
  expect_equal(again$hom$log_likelihood, first$hom$log_likelihood, tolerance = 1e-4)
  expect_named(again$het, names(first$het))
  expect_null(fitted_state("homoskedastic", data)$het)
  own <- fitted_state("likelihood", data)
  expect_equal(sum(!vapply(own, is.null, TRUE)), 1)
})

test_that("folders that hold no emulator are refused with a sentence", {
  empty <- file.path(tempdir(), "empty")
  dir.create(empty, showWarnings = FALSE)
  expect_error(read_emulator(empty), "it holds no emulator.json")
  writeLines('{"format": "hetcal HetGP 99"}', file.path(empty, "emulator.json"))
  expect_error(read_emulator(empty), "this version of hetcal reads 'hetcal HetGP 1'")
})

test_that("numbers that are not all there are refused", {
  skip_if_not_installed("hetGP")
  data <- simulated()
  state <- fitted_state("homoskedastic", data)$hom
  folder <- write_emulator(state, data, file.path(tempdir(), "short"), "homoskedastic")
  binary <- file.path(folder, "arrays.f64")
  whole <- readBin(binary, "raw", file.size(binary))
  for (bytes in list(whole[-(1:11)], c(whole, whole[1:8]))) {
    writeBin(bytes, binary)
    expect_error(read_emulator(folder), "should hold .* numbers but is .* bytes long: save the emulator again")
  }
})
