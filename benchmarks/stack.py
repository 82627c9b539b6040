"""StackedGP: its fit and predictions against the same mlr and hetGP calls written plainly in R, and what it claims.

Seconds are of one core's own time, so that what else the machine does is not measured; packages are loaded before. The
coverage table holds intervals of the mean against the truth at fresh locations, ours beside the published form.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import hetcal as hc
from hetcal.streams import generator

R_SCRIPT = """
arguments <- commandArgs(TRUE)
read <- function(name, columns) {
  x <- readBin(file.path(arguments[1], name), "double", 1e8)
  matrix(x, ncol = columns, byrow = TRUE)
}
d <- as.integer(arguments[2])
X <- read("X", d); new <- read("new", d); y <- read("y", 2); fold <- read("fold", 1); seeds <- read("seeds", 1)
features <- function(x) setNames(data.frame(x - 0.5, (x - 0.5)^2), paste0("x", 1:(2 * d)))
suppressMessages({library(mlr); library(hetGP); library(brnn); library(mda); library(randomForest)})
seconds <- function(work) { before <- proc.time(); work(); sum((proc.time() - before)[1:2]) }
learners <- lapply(c("regr.brnn", "regr.mars", "regr.randomForest"), makeLearner)
sink(tempfile())
fitted <- seconds(function() {
  task <- makeRegrTask(data = cbind(features(X), y = rowMeans(y)), target = "y")
  models <<- list()
  out <- sapply(1:3, function(j) {
    learner <- learners[[j]]
    set.seed(seeds[j])
    predicted <- numeric(nrow(X))
    for (k in sort(unique(fold))) {
      held <- which(fold == k)
      model <- train(learner, task, subset = which(fold != k))
      predicted[held] <- predict(model, task, subset = held)$data$response
    }
    models[[j]] <<- train(learner, task)
    predicted
  })
  inputs <- scale(out)
  level1 <<- mleHomGP(inputs, rowMeans(y), lower = rep(0.1, 3), upper = rep(10, 3), covtype = "Matern5_2")
  centre <<- attr(inputs, "scaled:center"); width <<- attr(inputs, "scaled:scale")
})
predicted <- seconds(function() {
  out <- sapply(models, function(model) predict(model, newdata = features(new))$data$response)
  predict(level1, scale(out, centre, width))
})
sink()
cat(sprintf('{"fit": %f, "predict": %f}', fitted, predicted))
"""


def cpu_seconds(work: Callable[[], Any]) -> float:
    """Seconds of this process's own time."""
    began = time.process_time()
    work()
    return time.process_time() - began


def in_r(X: np.ndarray, y: np.ndarray, new: np.ndarray, seed: int) -> dict[str, float]:
    """Seconds of the plain R version: X (n, d), y (n, 2), new points (m, d).

    With the folds and the learners' seeds of the stack: how long a neural net takes depends on where it starts.
    """
    rng = generator(seed, "emulator", 3)
    arrays = {"X": X, "y": y, "new": new, "fold": rng.permutation(np.arange(len(X)) % 10)}
    arrays["seeds"] = rng.integers(2**31 - 1, size=3)
    with tempfile.TemporaryDirectory() as folder:
        for name, values in arrays.items():
            (Path(folder) / name).write_bytes(np.ascontiguousarray(values, dtype="<f8").tobytes())
        script = Path(folder) / "plain.R"
        script.write_text(R_SCRIPT)
        command = ["Rscript", str(script), folder, str(X.shape[1])]
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        return json.loads(
            subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
        )


def speed(n: int = 300, d: int = 23, m: int = 20_000, repeats: int = 3) -> None:
    """Print the ratios of a fit and of predictions."""
    rng = np.random.default_rng(0)
    X, new = rng.random((n, d)), rng.random((m, d))
    weights = 0.6 ** np.arange(d)
    y = (np.sin(4 * X) @ weights + (X**2) @ weights[::-1])[:, None] + 0.2 * rng.standard_normal((n, 2))
    runs = np.repeat(X, 2, axis=0), y.ravel()
    hc.StackedGP(folds=2).fit(runs[0][:80], runs[1][:80]).predict(new[:10])
    # Constant noise, as in the plain version: where hetGP's fit of varying noise ends, and when, is a matter of chance.
    seconds = np.zeros((2, 2))
    for seed in range(repeats):
        stack = hc.StackedGP(noise="homoskedastic", seed=seed)
        ours = cpu_seconds(lambda: stack.fit(*runs)), cpu_seconds(lambda: stack.predict(new))
        plain = in_r(X, y, new, seed)
        seconds += [ours, (plain["fit"], plain["predict"])]
    (fitted, predicted), (fitted_in_r, predicted_in_r) = seconds / repeats
    print(
        f"fit of brnn, mars and randomForest with 10 folds and mleHomGP, n={n} x 2, d={d}, mean of {repeats} seeds: "
        f"{fitted:.1f} s, the same calls in R {fitted_in_r:.1f} s: {100 * (fitted / fitted_in_r - 1):+.1f} % (goal: "
        "under +5 %)"
    )
    print(
        f"predict, both variances, {m:,} points: {predicted:.2f} s, the same calls in R {predicted_in_r:.2f} s, "
        f"ratio {predicted_in_r / predicted:.1f}x; 500,000 points take {predicted * 500_000 / m:.0f} s"
    )


def additive(X: np.ndarray) -> np.ndarray:
    """Two parameters that count one by one, two that count together."""
    return np.sin(5 * X[:, 0]) + 2 * (X[:, 1] - 0.3) ** 2 + 3 * (X[:, 2] - 0.5) * (X[:, 3] - 0.5)


def log_loss(X: np.ndarray) -> np.ndarray:
    """Logarithm of a weighted square distance from a best point, with a floor."""
    weights = np.array([8.0, 6.0, 4.0, 2.0, 1.0, 0.5, 0.2, 0.0])
    return np.log(0.5 + (X - np.linspace(0.2, 0.8, 8)) ** 2 @ weights)


def coverage(mean: Callable[[np.ndarray], np.ndarray], variance: str, seeds: range) -> np.ndarray:
    """Share of 50 and 90 % intervals that hold the true mean, over the prior and where it is emulated lowest; (4,)."""
    shares = []
    for seed in seeds:
        rng = np.random.default_rng([seed, 17])
        X = np.repeat(rng.random((100, 8)), 3, axis=0)
        y = mean(X) + (0.1 + 0.3 * X[:, 0]) * rng.standard_normal(len(X))
        stack = hc.StackedGP(noise="homoskedastic", variance=variance, seed=seed).fit(X, y)
        points = rng.random((2200, 8))
        prediction, truth = stack.predict(points), mean(points)
        z = np.abs(truth - prediction.mean) / np.sqrt(prediction.mean_var)
        for rows in (slice(0, 200), 200 + np.argsort(prediction.mean[200:])[:200]):
            shares += [np.mean(z[rows] < 0.6745), np.mean(z[rows] < 1.6449)]
    return np.reshape(shares, (-1, 4)).mean(axis=0)


def main() -> None:
    """Print the ratios and the table."""
    warnings.simplefilter("ignore")
    speed()
    seeds = range(3)
    print(
        f"coverage of the mean, {len(seeds)} data sets of 100 locations x 3 runs, 8 parameters, at 200 fresh "
        "locations of the prior and 200 of the tenth that is emulated lowest:"
    )
    print(f"{'':24}{'50 %':>8}{'90 %':>8}{'low 50 %':>10}{'low 90 %':>10}")
    for mean in (additive, log_loss):
        for variance in ("calibrated", "published"):
            shares = 100 * coverage(mean, variance, seeds)
            cells = "".join(
                f"{share:{width}.0f}" for share, width in zip(shares, (8, 8, 10, 10), strict=True)
            )
            print(f"{mean.__name__ + ', ' + variance:24}{cells}")


if __name__ == "__main__":
    main()
