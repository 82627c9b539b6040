# The R side of hetcal's Python bridge: every call from Python comes through bridge_call().

# Calls one of hetcal's functions and returns what happened as plain lists, so that no R condition
# unwinds through Python. The arguments are bound to their names and not spliced into the call: a
# condition's call then reads `f(X = X)` and does not hold a thousand numbers.
bridge_call <- function(name, arguments) {
  had_seed <- exists(".Random.seed", globalenv(), inherits = FALSE)
  seed <- if (had_seed) get(".Random.seed", globalenv(), inherits = FALSE)
  on.exit(suspendInterrupts(restore_seed(had_seed, seed)))
  warnings <- list()
  note_warning <- function(w) {
    warnings[[length(warnings) + 1L]] <<- list(message = conditionMessage(w), call = short_call(w))
    invokeRestart("muffleWarning")
  }
  home <- environment(bridge_call)
  frame <- list2env(arguments, parent = home)
  call <- as.call(c(as.name(name), sapply(names(arguments), as.name, simplify = FALSE)))
  outcome <- tryCatch(
    withCallingHandlers(list(status = "ok", value = eval(call, frame)), warning = note_warning),
    packageNotFoundError = function(e) list(status = "missing", package = e$package),
    error = function(e) list(status = "error", message = conditionMessage(e), call = short_call(e)),
    interrupt = function(i) list(status = "interrupt")
  )
  c(outcome, list(warnings = unique(warnings)))
}

restore_seed <- function(had_seed, seed) {
  if (had_seed) {
    assign(".Random.seed", seed, envir = globalenv())
  } else if (exists(".Random.seed", globalenv(), inherits = FALSE)) {
    rm(".Random.seed", envir = globalenv())
  }
}

# The first line of a condition's call: a call built by do.call() can hold whole data sets.
short_call <- function(condition) {
  call <- conditionCall(condition)
  if (is.null(call)) return("")
  line <- paste(deparse(call, width.cutoff = 100L, nlines = 2L), collapse = " ")
  if (nchar(line) > 100L) paste0(substr(line, 1L, 97L), "...") else line
}

# Versions by name, NULL where a package is not installed; "R" is R itself.
package_versions <- function(packages) {
  version <- function(package) {
    if (package == "R") return(as.character(getRversion()))
    description <- system.file("DESCRIPTION", package = package)
    if (nzchar(description)) read.dcf(description, "Version")[[1]]
  }
  sapply(packages, version, simplify = FALSE)
}

# Where this R lives and the linear algebra it uses.
r_installation <- function() {
  list(home = R.home(), blas = as.character(extSoftVersion()["BLAS"]), lapack = La_library())
}

# A small fit for `hetcal doctor`: what was sent, the hyperparameters and R's own predictions.
doctor_fit <- function(X, Z, X_new) {
  model <- hetGP::mleHomGP(X, Z, covtype = "Gaussian")
  list(
    X = X, Z = Z, theta = I(model$theta), g = model$g, beta0 = as.vector(model$beta0),
    eps = model$eps, mean = stats::predict(model, X_new)$mean
  )
}
