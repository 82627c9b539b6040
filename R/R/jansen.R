#' First-order and total Sobol' indices by Jansen's estimators
#'
#' The share of an output's variance that each parameter explains, from
#' evaluations of a function on two independent samples and on their mixtures.
#' The estimators are those of `soboljansen()` in the package sensitivity, and
#' the numbers those of `hetcal.sensitivity.jansen` in Python.
#'
#' With V the variance of f(X1) over n rows,
#' \deqn{S_i = 1 - \sum (f(X_2) - f(X_1^{(i)}))^2 / ((2n - 1) V)}{
#'       S_i = 1 - sum((f(X2) - f(X1_i))^2) / ((2n - 1) V)} and
#' \deqn{T_i = \sum (f(X_1) - f(X_1^{(i)}))^2 / ((2n - 1) V).}{
#'       T_i = sum((f(X1) - f(X1_i))^2) / ((2n - 1) V).}
#'
#' @param f_x1,f_x2 The output on the independent samples X1 and X2, length n.
#' @param f_x12 The output on X1 with column i taken from X2, an n x d matrix
#'   (or data frame) with a column a parameter.
#' @return A data frame with a row a parameter and the columns `first` and
#'   `total`.
#' @references Jansen (1999). Analysis of variance designs for model output.
#'   Computer Physics Communications 117, 35-43.
#' @examples
#' x1 <- matrix(runif(2000), ncol = 2)
#' x2 <- matrix(runif(2000), ncol = 2)
#' f <- function(x) 3 * x[, 1] + x[, 2]
#' jansen(f(x1), f(x2), cbind(a = f(cbind(x2[, 1], x1[, 2])),
#'                            b = f(cbind(x1[, 1], x2[, 2]))))
#' @export
jansen <- function(f_x1, f_x2, f_x12) {
  f_x12 <- as.matrix(f_x12)
  n <- length(f_x1)
  if (n < 2 || length(f_x2) != n || nrow(f_x12) != n) {
    stop("f_x1, f_x2 and the rows of f_x12 must be as many, at least 2: they are ",
         n, ", ", length(f_x2), " and ", nrow(f_x12), call. = FALSE)
  }
  if (!all(is.finite(f_x1), is.finite(f_x2), is.finite(f_x12))) {
    stop("f_x1, f_x2 and f_x12 must be finite: drop the rows that failed from all three",
         call. = FALSE)
  }
  variance <- stats::var(f_x1)
  if (variance == 0) {
    stop("the output is constant (", f_x1[1], "), so there is no variance to share out",
         call. = FALSE)
  }
  mean_square <- function(f) colSums((f - f_x12)^2) / (2 * n - 1)
  data.frame(first = 1 - mean_square(f_x2) / variance, total = mean_square(f_x1) / variance)
}
