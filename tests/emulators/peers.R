# What R's hetGP itself says, for the tests that hold Python's answers against it.

# hetGP's update with fixed hyperparameters, and its answers after that. hetGP extends the inverses block by
# block; they are made anew here, so that its rounding is not what is compared.
peer_update <- function(folder, X, Z, x) {
  model <- update(read_emulator(folder), Xnew = X, Znew = as.vector(Z), maxit = 0)
  model$Ki <- NULL
  model$Kgi <- NULL
  answer <- predict(hetGP::rebuild(model), x)
  list(mean = I(as.vector(answer$mean)), mean_var = I(as.vector(answer$sd2)),
       noise_var = I(as.vector(answer$nugs)), locations = nrow(model$X0))
}

# A fit as a user of hetGP would make it, nothing given but the data, folded by location, and the covariance.
peer_fit <- function(X0, Z0, mult, Z, covariance, kind, x) {
  fit <- if (kind == "hom") hetGP::mleHomGP else hetGP::mleHetGP
  data <- list(X0 = X0, Z0 = as.vector(Z0), mult = as.vector(mult))
  model <- fit(data, as.vector(Z), covtype = covariance)
  answer <- predict(model, x)
  list(class = class(model), log_likelihood = model$ll, theta = I(as.vector(model$theta)),
       mean = I(as.vector(answer$mean)), mean_var = I(as.vector(answer$sd2)),
       noise_var = I(as.vector(answer$nugs)))
}

# What hetGP finds of replicates.
peer_replicates <- function(X, Z) {
  found <- hetGP::find_reps(X, as.vector(Z))
  list(X0 = found$X0, Z0 = I(found$Z0), mult = I(found$mult))
}

# The genuine object: its class, and a criterion of hetGP's that only works on a whole one.
peer_object <- function(folder) {
  model <- read_emulator(folder)
  list(class = class(model), transform = attr(model, "transform"),
       imspe = hetGP::IMSPE(model))
}

# Level 0 of a stack without mlr: the learners' own packages, the folds as given, features written out.
peer_mars <- function(X, y, fold, x) {
  features <- function(X) cbind(X - 0.5, (X - 0.5)^2)
  out <- numeric(nrow(X))
  for (left in unique(fold)) {
    model <- mda::mars(features(X[fold != left, ]), y[fold != left], degree = 1, penalty = 2)
    out[fold == left] <- predict(model, features(X[fold == left, , drop = FALSE]))
  }
  list(out_of_fold = I(out),
       new = I(as.vector(predict(mda::mars(features(X), as.vector(y), degree = 1, penalty = 2), features(x)))))
}

random_state <- function() {
  if (exists(".Random.seed", globalenv())) I(get(".Random.seed", globalenv())) else NULL
}

# A saved stack as an R user reads it.
peer_stack <- function(folder, x) {
  answer <- predict(read_emulator(folder), x)
  list(mean = I(answer$mean), mean_var = I(answer$mean_var), noise_var = I(answer$noise_var))
}
