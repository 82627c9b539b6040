#' Permutation importance of parameters by a random forest
#'
#' How much worse a random forest predicts when one parameter's values are
#' shuffled: a look at which parameters matter that shares nothing with a
#' Gaussian process. For independent parameters and a forest that predicts well,
#' it tends to twice the variance that the parameter has a part in, so that
#' half of it over the output's variance can be held against a total Sobol' index.
#'
#' @param X Parameters, an n x d matrix with a row a parameter set.
#' @param y The output, length n, finite: the mean of each set's replicates.
#' @param trees Number of trees.
#' @param seed Seed of the forest; the session's own random state is left as it
#'   was.
#' @return A list: `importance`, the mean increase of the squared error out of
#'   bag, length d; `explained`, the share of the variance of y that the forest
#'   predicts out of bag.
#' @references Breiman (2001). Random forests. Machine Learning 45, 5-32.
#'   Gregorutti, Michel, Saint-Pierre (2017). Correlation and variable
#'   importance in random forests. Statistics and Computing 27, 659-678.
#' @examples
#' if (requireNamespace("randomForest", quietly = TRUE)) {
#'   X <- matrix(runif(600), ncol = 3)
#'   forest_importance(X, 3 * X[, 1] + X[, 2])
#' }
#' @export
forest_importance <- function(X, y, trees = 500, seed = 1) {
  X <- as.matrix(X)
  if (length(y) != nrow(X) || nrow(X) < 5) {
    stop("X needs a row for each of at least 5 values of y: they are ", nrow(X), " and ", length(y),
         call. = FALSE)
  }
  if (!all(is.finite(X), is.finite(y))) {
    stop("X and y must be finite: drop the rows that failed", call. = FALSE)
  }
  had_seed <- exists(".Random.seed", globalenv(), inherits = FALSE)
  before <- if (had_seed) get(".Random.seed", globalenv(), inherits = FALSE)
  on.exit(restore_seed(had_seed, before))
  set.seed(seed)
  forest <- randomForest::randomForest(X, y, ntree = trees, importance = TRUE)
  # Unscaled: a standard error in the denominator would make it grow with the number of trees.
  list(
    importance = I(as.vector(randomForest::importance(forest, type = 1, scale = FALSE))),
    explained = forest$rsq[trees]
  )
}
