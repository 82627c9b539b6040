# Level 0 of hetcal's StackedGP: any regression learners of mlr, fitted and asked as plain numbers.

#' Is everything there that a stack needs?
#'
#' @param learners Named list: mlr's name of a regression learner to its
#'   hyperparameters, a named list.
#' @return What is wrong with the first learner that has something wrong, a list
#'   with `problem` ("unknown", "parameter" or "value"), `learner`, `given` and
#'   `known` or `message`; or `NULL`. A package that is not installed is signalled
#'   as R itself does.
#' @keywords internal
#' @noRd
check_learners <- function(learners) {
  listed <- mlr::listLearners("regr", check.packages = FALSE, warn.missing.packages = FALSE)
  for (name in names(learners)) {
    row <- match(name, listed$class)
    if (is.na(row)) {
      return(list(problem = "unknown", learner = name, given = name, known = I(listed$class)))
    }
    for (package in strsplit(listed$package[row], ",")[[1]]) {
      loadNamespace(sub("^[!_]", "", package))
    }
    given <- learners[[name]]
    known <- names(ParamHelpers::getParamSet(mlr::makeLearner(name))$pars)
    unknown <- setdiff(names(given), known)
    if (length(unknown) > 0) {
      return(list(problem = "parameter", learner = name, given = unknown[[1]], known = I(known)))
    }
    refused <- tryCatch({
      mlr::makeLearner(name, par.vals = given)
      NULL
    }, error = conditionMessage)
    if (!is.null(refused)) {
      return(list(problem = "value", learner = name, message = refused))
    }
  }
  NULL
}

#' Fit the learners of level 0
#'
#' Each learner is fitted once without each fold, for predictions of rows that it
#' has not seen, and once on all rows, for new points. Features are the unit-cube
#' coordinates less a half, and their squares.
#'
#' @param X Points of the unit cube, a row each.
#' @param y What is learned, a value a row.
#' @param fold The fold of each row, the same for all learners.
#' @param learners As in `check_learners()`.
#' @param seeds A seed a learner, so that learners do not depend on each other.
#' @return A list with `out_of_fold` (a column a learner, `NaN` for one that
#'   failed), `models` (the fitted learners, serialised) and `failed` (by learner,
#'   why it failed).
#' @keywords internal
#' @noRd
fit_learners <- function(X, y, fold, learners, seeds) {
  features <- stack_features(X)
  task <- mlr::makeRegrTask(data = cbind(features, y = as.vector(y)), target = "y")
  out_of_fold <- matrix(NaN, nrow(X), length(learners))
  models <- list()
  failed <- list()
  for (k in seq_along(learners)) {
    name <- names(learners)[[k]]
    answer <- tryCatch(
      fit_learner(name, learners[[k]], task, features, as.vector(fold), seeds[[k]]),
      # A lack of memory says nothing of the learner: without it the stack would depend on the machine.
      error = function(e) if (is_out_of_memory(e)) stop(e) else conditionMessage(e)
    )
    if (is.character(answer)) {
      failed[[name]] <- answer
    } else {
      out_of_fold[, k] <- answer$out_of_fold
      models[[name]] <- answer$model
    }
  }
  list(out_of_fold = out_of_fold, models = serialize(models, NULL, version = 3), failed = failed)
}

fit_learner <- function(name, parameters, task, features, fold, seed) {
  learner <- mlr::makeLearner(name, par.vals = parameters, config = list(on.learner.error = "stop"))
  set.seed(seed, kind = "Mersenne-Twister", normal.kind = "Inversion", sample.kind = "Rejection")
  out_of_fold <- numeric(length(fold))
  for (left in sort(unique(fold))) {
    held <- which(fold == left)
    model <- mlr::train(learner, task, subset = which(fold != left))
    out_of_fold[held] <- learner_predict(model, features[held, , drop = FALSE])
  }
  if (!all(is.finite(out_of_fold))) {
    stop("some of its predictions are not finite", call. = FALSE)
  }
  model <- mlr::train(learner, task)
  # Out-of-fold predictions of a constant differ by fold, and give away the mean of what was left out.
  alike <- all(tapply(out_of_fold, fold, function(within) diff(range(within))) == 0)
  if (alike && diff(range(learner_predict(model, features))) == 0) {
    stop("it predicts the same value everywhere", call. = FALSE)
  }
  model$time <- 0 # that equal stacks are equal bytes
  list(out_of_fold = out_of_fold, model = model)
}

# R has no class for this error, and says it in the user's language.
is_out_of_memory <- function(condition) {
  said <- gettext("cannot allocate vector of size %0.1f %s", domain = "R")
  any(startsWith(conditionMessage(condition), sub("%.*", "", c(said, "cannot allocate "))))
}

stack_features <- function(X) {
  centred <- X - 0.5
  features <- data.frame(centred, centred^2)
  names(features) <- paste0(rep(c("u", "square"), each = ncol(X)), seq_len(ncol(X)))
  features
}

learner_predict <- function(model, features) {
  stats::predict(model, newdata = features)$data$response
}

# Fitted learners by key, the latest used last; as many as the targets of a study and a few more.
fitted_learners <- new.env(parent = emptyenv())
fitted_learners$models <- list()
fitted_learners$most <- 24L

#' Predictions of level 0
#'
#' @param key Name of the fitted learners; R keeps those used lately.
#' @param X Points of the unit cube, m x d.
#' @param models What `fit_learners()` gave, or `NULL` to ask whether R still has
#'   it.
#' @return A matrix with a column a learner; `NULL` where R has to be told the
#'   models.
#' @keywords internal
#' @noRd
predict_learners <- function(key, X, models = NULL) {
  fitted <- fitted_learners$models[[key]]
  if (is.null(fitted)) {
    if (is.null(models)) {
      return(NULL)
    }
    fitted <- unserialize(models)
    load_learners(fitted)
  }
  kept <- c(fitted_learners$models[setdiff(names(fitted_learners$models), key)],
            stats::setNames(list(fitted), key))
  fitted_learners$models <- utils::tail(kept, fitted_learners$most)
  level0(fitted, X)
}

# A process that reads a stack has not fitted one.
load_learners <- function(models) {
  loadNamespace("mlr")
  for (model in models) {
    for (package in model$learner$package) loadNamespace(sub("^[!_]", "", package))
  }
}

# In blocks, since features and what a learner makes of them take a multiple of X's memory.
level0 <- function(models, X, block = 20000L) {
  out <- matrix(NaN, nrow(X), length(models))
  for (start in seq.int(1L, by = block, length.out = ceiling(nrow(X) / block))) {
    rows <- start:min(start + block - 1L, nrow(X))
    features <- stack_features(X[rows, , drop = FALSE])
    for (k in seq_along(models)) out[rows, k] <- learner_predict(models[[k]], features)
  }
  out
}

# What hetcal's StackedGP saved: mlr's fitted learners, level 1 as hetGP's object, and what joins them.
read_stack <- function(folder, meta) {
  level1 <- read_emulator(file.path(folder, "level1"))
  model <- c(meta[c("scaling", "with_parameters", "mean_variance")],
             list(learners = readRDS(file.path(folder, "learners.rds")), level1 = level1))
  class(model) <- "stacked_gp"
  attr(model, "transform") <- meta$settings$transform
  model
}

#' Predict with a stack of learners
#'
#' @param object What [read_emulator()] gave for a saved `StackedGP`.
#' @param newdata Points of the unit cube, m x d.
#' @param ... Not used.
#' @return A list with `mean`, `mean_var` (uncertainty of the mean) and
#'   `noise_var` (the simulator's own), on the emulator's latent scale.
#' @importFrom stats predict
#' @export
predict.stacked_gp <- function(object, newdata, ...) {
  load_learners(object$learners)
  predicted <- level0(object$learners, newdata)
  scaling <- object$scaling
  inputs <- sweep(sweep(predicted, 2, scaling$low), 2, scaling$width, "/")
  inputs <- pmin(pmax(inputs, 0), 1)
  if (object$with_parameters) inputs <- cbind(inputs, newdata)
  answer <- stats::predict(object$level1, inputs)
  mean <- as.vector(answer$mean)
  variance <- as.vector(answer$sd2)
  noise <- as.vector(answer$nugs)
  learned <- object$mean_variance
  if (!is.null(learned)) {
    disagreement <- rowMeans((predicted - rowMeans(predicted))^2)
    of_mean <- cbind(log(pmax(disagreement, exp(max(learned$low[1], -690)))), mean)
    width <- ifelse(learned$high > learned$low, learned$high - learned$low, 1)
    design <- sapply(1:2, function(j) {
      2 * (pmin(pmax(of_mean[, j], learned$low[j]), learned$high[j]) - learned$low[j]) / width[j] - 1
    })
    design <- cbind(1, matrix(design, ncol = 2))
    variance <- learned$factor * pmax(variance, exp(as.vector(design %*% learned$coefficients)))
    log_ratio <- as.vector(design %*% learned$noise_coefficients)
    log_ratio <- pmin(pmax(log_ratio, learned$noise_range[1]), learned$noise_range[2])
    if (!is.null(learned$noise_base)) noise <- rep(learned$noise_base, length(mean))
    noise <- noise * exp(log_ratio)
  }
  list(mean = mean, mean_var = variance, noise_var = noise)
}
