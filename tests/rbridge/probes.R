# R functions that the tests of the bridge call, loaded beside the package's own.

echo <- function(x) x
describe <- function(x) {
  list(class = class(x), dim = dim(x), type = typeof(x), plain = is.null(attributes(x)), length = length(x))
}
missing_kinds <- function(x) list(na = is.na(x) & !is.nan(x), nan = is.nan(x))

warns <- function(x) {
  inner <- function(y) warning("y is ", y)
  for (i in 1:3) inner(x)
  x
}
fails <- function(X, Z) {
  X %*% Z
}
fails_without_call <- function() stop("no call here", call. = FALSE)
uses_absent_package <- function() nosuchpackage::f(1)
wordy <- function() {
  cat("to stdout\n")
  message("to stderr")
  print(1:3)
  try(stop("swallowed"))
  1
}
asks <- function() readline("your name? ")
draws <- function() stats::rnorm(3)
sees_workspace <- function() exists("left_by_a_user")

two_numbers <- function() c(a = 1, b = 2)
one_named <- function() c(a = 1)
kept <- function() list(a = I(1), b = I("x"), plain = 1)
integers <- function() list(whole = 1:3, with_na = c(1L, NA), matrix = matrix(1:6, 2), one = 7L, na = NA_integer_)
missings <- function() list(real = NA_real_, logical = NA, text = c("a", NA), logicals = c(TRUE, NA))
unnamed <- function() list(1, "a", NULL)
half_named <- function() list(a = 1, 2)
a_function <- function() list(state = list(f = function(x) x))
a_factor <- function() factor(c("u", "v"))
an_environment <- function() globalenv()
complex_number <- function() 1i
text_matrix <- function() matrix("a", 2, 2)

signals_itself <- function(signal) {
  tools::pskill(Sys.getpid(), signal)
  Sys.sleep(0.2)
  2
}
computes_forever <- function() while (TRUE) sqrt(2)
prints_forever <- function() while (TRUE) cat("still here\n")
fits_forever <- function(X, Z) while (TRUE) hetGP::mleHetGP(X, Z, covtype = "Matern5_2")
sums <- function(X) {
  for (i in 1:500) s <- sum(X)
  X
}
sleeps <- function(seconds) Sys.sleep(seconds)
recurses <- function(n) tryCatch(sapply(1, function(i) do.call(recurses, list(n + 1))), warning = identity)
raw_fit <- function(X, Z) {
  model <- hetGP::mleHetGP(X, Z, covtype = "Gaussian", settings = list(checkHom = FALSE))
  list(ll = model$ll, message = model$msg)
}
with_dim <- function(X, Z) raw_fit(X, array(Z, length(Z)))
