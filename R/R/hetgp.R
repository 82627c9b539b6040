# The R half of hetcal's HetGP emulator: fits by hetGP, states as plain lists of numbers.

#' Fit hetGP's models and return their states as plain lists
#'
#' One call fits the homoskedastic and, where asked, the heteroskedastic model
#' on the same replicates, so that the caller can choose between them.
#'
#' @param X0 Unique locations, n x d.
#' @param Z0 Mean of the replicates of each location.
#' @param mult Number of replicates of each location.
#' @param Z All observations, those of one location side by side.
#' @param covariance One of `"Gaussian"`, `"Matern3_2"`, `"Matern5_2"`.
#' @param noise `"homoskedastic"`, `"heteroskedastic"` (both are fitted, for the
#'   caller to compare) or `"likelihood"` (hetGP's own choice).
#' @param lower,upper Lengthscale bounds, length d, or `NULL` for hetGP's own.
#' @param warm State of an earlier fit whose hyperparameters start the
#'   optimisation, or `NULL`.
#' @param maxit Iterations at most.
#' @return A list with `hom` and `het`, each a state or `NULL`.
#' @keywords internal
#' @noRd
fit_hetgp <- function(X0, Z0, mult, Z, covariance, noise,
                      lower = NULL, upper = NULL, warm = NULL, maxit = 500) {
  data <- list(X0 = X0, Z0 = as.vector(Z0), mult = as.vector(mult))
  Z <- as.vector(Z)
  # hetGP's own limit factr 1e7 often ends at the optimum with a failed line
  # search.
  hom <- NULL
  if (noise != "likelihood") {
    init <- if (is.null(warm)) NULL else list(theta = warm$theta, g = warm$g_hom)
    model <- hetGP::mleHomGP(
      data, Z, lower = lower, upper = upper, covtype = covariance, init = init,
      maxit = maxit, settings = list(return.Ki = FALSE, factr = 1e9)
    )
    hom <- gp_state(model)
  }
  if (noise == "homoskedastic") {
    return(list(hom = hom, het = NULL))
  }
  init <- NULL
  if (!is.null(warm)) {
    init <- list(theta = warm$theta, g_H = warm$g_hom)
    if (!is.null(warm$k_theta_g)) {
      init$k_theta_g <- warm$k_theta_g
      init$g <- warm$g
    }
  }
  settings <- list(
    linkThetas = "joint", logN = TRUE, initStrategy = "residuals",
    checkHom = noise == "likelihood", penalty = TRUE, trace = -1,
    return.matrices = FALSE, factr = 1e9, rescaleLogNoiseInit = TRUE
  )
  model <- hetGP::mleHetGP(
    data, Z, lower = lower, upper = upper, covtype = covariance, init = init,
    settings = settings, maxit = maxit
  )
  if (inherits(model, "homGP")) {
    return(list(hom = gp_state(model), het = NULL))
  }
  list(hom = hom, het = gp_state(model))
}

gp_state <- function(model) {
  state <- list(
    theta = I(as.vector(model$theta)), g = model$g, nu_hat = model$nu_hat,
    beta0 = as.vector(model$beta0), log_likelihood = as.vector(model$ll),
    message = trimws(model$msg), eps = model$eps,
    evaluations = as.vector(model$nit_opt)[1]
  )
  if (inherits(model, "hetGP")) {
    state$theta_g <- I(as.vector(model$theta_g))
    state$k_theta_g <- model$k_theta_g
    state$nmean <- as.vector(model$nmean)
    state$Delta <- I(as.vector(model$Delta))
    state$Lambda <- I(as.vector(model$Lambda))
    state$nu_hat_var <- as.vector(model$nu_hat_var)
  }
  state
}

#' Read an emulator that hetcal saved
#'
#' The folder written by `emulator.save()` in Python or by
#' `result.report()` holds a fitted emulator as numbers. This gives it back as
#' the genuine object of the hetGP package, so that `predict()`,
#' `hetGP::LOO_preds()`, `update()` and `hetGP::crit_optim()` work on it.
#' Inputs are in the unit cube, outputs on the emulator's latent scale: the
#' attribute `transform` tells how it goes back to the loss's own.
#'
#' @param folder Folder of a saved emulator (`emulator.json` and `arrays.f64`).
#' @return A `hetGP` or `homGP` object; for a stack of learners a `stacked_gp`,
#'   whose `predict()` gives what Python's does.
#' @references Binois, Gramacy and Ludkovski (2018), Practical heteroskedastic
#'   Gaussian process modeling for large simulation experiments.
#' @examples
#' \dontrun{
#' model <- read_emulator("results/flu/emulators/in_bed")
#' predict(model, matrix(0.5, 1, 3))$mean
#' }
#' @export
read_emulator <- function(folder) {
  path <- file.path(folder, "emulator.json")
  if (!file.exists(path)) {
    stop("no emulator in ", sQuote(folder), ": it holds no emulator.json", call. = FALSE)
  }
  meta <- jsonlite::fromJSON(path, simplifyVector = TRUE, simplifyDataFrame = FALSE)
  if (identical(meta$format, "hetcal StackedGP 1")) {
    return(read_stack(folder, meta))
  }
  if (!identical(meta$format, "hetcal HetGP 1")) {
    stop(sQuote(path), " has format ", sQuote(format(meta$format)),
         "; this version of hetcal reads 'hetcal HetGP 1' and 'hetcal StackedGP 1'", call. = FALSE)
  }
  binary <- file.path(folder, "arrays.f64")
  total <- sum(vapply(meta$arrays, function(shape) prod(shape), numeric(1)))
  values <- readBin(binary, "double", n = total, size = 8, endian = "little")
  if (length(values) != total || file.size(binary) != 8 * total) {
    stop(sQuote(binary), " should hold ", total, " numbers but is ",
         file.size(binary), " bytes long: save the emulator again", call. = FALSE)
  }
  arrays <- list()
  start <- 0
  for (name in names(meta$arrays)) {
    shape <- as.integer(meta$arrays[[name]])
    size <- prod(shape)
    x <- values[start + seq_len(size)]
    start <- start + size
    arrays[[name]] <- if (length(shape) == 2) matrix(x, shape[1], shape[2], byrow = TRUE) else x
  }
  model <- list(
    theta = arrays$theta, g = arrays$g, nu_hat = arrays$nu_hat,
    beta0 = arrays$beta0, trendtype = "OK", covtype = meta$covariance,
    msg = meta$message, eps = arrays$eps, X0 = arrays$X0, Z0 = arrays$Z0,
    Z = arrays$Z, mult = arrays$mult, ll = arrays$log_likelihood,
    nit_opt = 0,
    used_args = list(lower = NULL, upper = NULL, known = NULL,
                     noiseControl = NULL, settings = NULL)
  )
  if (meta$noise == "heteroskedastic") {
    model <- c(model, list(
      theta_g = arrays$theta_g, k_theta_g = arrays$k_theta_g,
      nmean = arrays$nmean, Delta = arrays$Delta, Lambda = arrays$Lambda,
      nu_hat_var = arrays$nu_hat_var, logN = TRUE, SiNK = FALSE
    ))
    model$used_args$settings <- list(linkThetas = "joint")
  }
  class(model) <- if (meta$noise == "heteroskedastic") "hetGP" else "homGP"
  model <- hetGP::rebuild(model)
  attr(model, "transform") <- meta$transform
  model
}

#' R's own answers, for the tests that hold Python's against them
#' @keywords internal
#' @noRd
predict_emulator <- function(folder, x, xprime = NULL) {
  model <- read_emulator(folder)
  answer <- stats::predict(model, x, xprime = xprime)
  loo <- hetGP::LOO_preds(model)
  list(mean = I(as.vector(answer$mean)), mean_var = I(as.vector(answer$sd2)),
       noise_var = I(as.vector(answer$nugs)), cov = answer$cov,
       loo_mean = I(as.vector(loo$mean)), loo_var = I(as.vector(loo$sd2)))
}
