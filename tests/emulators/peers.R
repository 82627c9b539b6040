# What R's hetGP itself says, for the tests that hold Python's answers against it.

# hetGP's update with fixed hyperparameters, and its answers after that.
peer_update <- function(folder, X, Z, x) {
  model <- update(read_emulator(folder), Xnew = X, Znew = as.vector(Z), maxit = 0)
  answer <- predict(model, x)
  list(mean = I(as.vector(answer$mean)), mean_var = I(as.vector(answer$sd2)),
       noise_var = I(as.vector(answer$nugs)), locations = nrow(model$X0))
}

# A fit as a user of hetGP would make it, nothing given but the data and the covariance.
peer_fit <- function(X, Z, covariance, kind, x) {
  fit <- if (kind == "hom") hetGP::mleHomGP else hetGP::mleHetGP
  model <- fit(X, as.vector(Z), covtype = covariance)
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
