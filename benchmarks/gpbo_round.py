"""One round of GP-BO with 23 parameters and 11 losses, against the same steps written plainly in R.

Ours: hyperparameters from a spread of the locations in worker processes with an R each, carried to all, 500,000
candidates, local search from the best 1,000, a batch of 250 by LCB. R: mleHetGP with the same kernel and the published
bounds on all locations and predict at all candidates, for each loss. R is timed on three losses and on some of the
candidates, and scaled. Both are scored on fresh locations: the log density of a run's loss on the scale that is
emulated.

    python benchmarks/gpbo_round.py [locations] [fit_points] [candidates]
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from emulator_comparison.testbed import KnownLosses

import hetcal as hc
from hetcal.candidates import candidate_points, refined
from hetcal.designs import sobol_points
from hetcal.emulators.fit_many import FitTask, fit_many
from hetcal.emulators.hetgp_state import log_density
from hetcal.emulators.total import WeightedTotal
from hetcal.emulators.transforms import as_transform
from hetcal.rbridge import RPool

PARAMETERS, LOSSES, REPLICATES, BATCH, FRESH, PREDICTED = 23, 11, 2, 250, 500, 5000
IN_R = (0, 3, 6)  # losses that R is timed and scored on
BOUNDS = (0.01, 10.0)  # of lengthscales, as published

R_SCRIPT = """
suppressMessages(library(hetGP))
folder <- commandArgs(TRUE)[1]
read <- function(name, columns) {
  path <- file.path(folder, name)
  matrix(readBin(path, "double", file.size(path) / 8), ncol = columns, byrow = TRUE)
}
d <- as.integer(commandArgs(TRUE)[2])
X <- read("X", d); z <- as.vector(read("z", 1)); fresh <- read("fresh", d); new <- as.vector(read("new", 1))
fit <- system.time(model <- mleHetGP(X, z, lower = rep(BOTTOM, d), upper = rep(TOP, d), covtype = "Matern5_2"))
said <- predict(model, fresh)
writeBin(dnorm(new, said$mean, sqrt(said$sd2 + said$nugs), log = TRUE), file.path(folder, "scores"))
some <- matrix(runif(SOME * d), SOME, d)
predicted <- system.time(predict(model, some))
seconds <- function(t) sprintf("[%f, %f]", t[["elapsed"]], t[["user.self"]] + t[["sys.self"]])
cat(sprintf('{"fit": %s, "predict": %s, "evaluations": %d}', seconds(fit), seconds(predicted),
            as.integer(model$nit_opt)[1]))
"""


def in_r(X: np.ndarray, z: np.ndarray, fresh: np.ndarray, new: np.ndarray) -> dict:
    """R's seconds (by the clock and of processor), evaluations and the fresh runs' scores for one loss."""
    script = R_SCRIPT.replace("BOTTOM", str(BOUNDS[0])).replace("TOP", str(BOUNDS[1]))
    with tempfile.TemporaryDirectory() as folder:
        for name, values in (("X", X), ("z", z), ("fresh", fresh), ("new", new)):
            np.ascontiguousarray(values).tofile(Path(folder, name))
        path = Path(folder, "round.R")
        path.write_text(script.replace("SOME", str(PREDICTED)))
        command = ["Rscript", str(path), folder, str(X.shape[1])]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return json.loads(done.stdout) | {"scores": np.fromfile(Path(folder, "scores"))}


def processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    mine, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime


class Clock:
    """Prints how long each step took."""

    def __init__(self) -> None:
        self.began = self.last = time.perf_counter()
        self.processor = self.last_processor = processor_seconds()

    def step(self, name: str) -> None:
        """End of a step."""
        now, processor = time.perf_counter(), processor_seconds()
        print(
            f"  {name}: {now - self.last:.1f} s ({processor - self.last_processor:.1f} s of processor)",
            flush=True,
        )
        self.last, self.last_processor = now, processor


def main(locations: int = 1000, fit_points: int = 150, candidates: int = 500_000) -> None:
    """Print the ratio and both scores."""
    warnings.simplefilter("ignore")
    cores = len(os.sched_getaffinity(0))
    bed = KnownLosses(PARAMETERS, LOSSES, truth=1)
    problem, rng = bed.problem(), np.random.default_rng(1)
    X = np.repeat(sobol_points(PARAMETERS, locations, rng), REPLICATES, axis=0)
    losses = problem.evaluate(bed.batch(X, np.arange(len(X))))
    fresh = rng.random((FRESH, PARAMETERS))
    new = problem.evaluate(bed.batch(fresh, 10**6 + np.arange(FRESH)))
    targets = problem.run_targets

    print(f"one round, {locations} locations x {REPLICATES}, {PARAMETERS} parameters, {LOSSES} losses, ours:")
    clock = Clock()
    with RPool(cores) as pool:
        tasks = [
            FitTask(
                hc.HetGP(noise="heteroskedastic", transform=t.emulated_scale, fit_points=fit_points),
                X,
                losses[t.name].to_numpy(),
                name=repr(t.name),
            )
            for t in targets
        ]
        emulators = dict(zip([t.name for t in targets], fit_many(tasks, pool), strict=True))
    clock.step(f"fits to {fit_points} locations by {cores} workers, conditioned on all")
    total = WeightedTotal(emulators, {t.name: t.weight for t in targets})
    none = np.empty((0, PARAMETERS))
    points = candidate_points(total, candidates, none, seed=1, round=1)
    lcb = hc.LCB()
    pool_of_points = refined(lcb, total, points, BATCH, none, seed=1, round=1)
    clock.step(f"{candidates:,} candidates scored, the best 1,000 refined")
    chosen = lcb.choose(total, pool_of_points, BATCH, REPLICATES)
    clock.step(f"batch of {len(chosen)}")
    ours, ours_processor = clock.last - clock.began, clock.last_processor - clock.processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    theirs, gains = [], []
    for target in [targets[i] for i in IN_R]:
        scale, emulator = as_transform(target.emulated_scale), emulators[target.name]
        latent = scale.forward(new[target.name].to_numpy())
        theirs.append(in_r(X, scale.forward(losses[target.name].to_numpy()), fresh, latent))
        said = emulator.predict(fresh, scale="latent")
        own = log_density(latent, said.mean, said.mean_var + said.noise_var)
        gains.append(own - theirs[-1]["scores"])
        print(
            f"  {target.name}: log score ours {own.mean():.3f}, R {theirs[-1]['scores'].mean():.3f}",
            flush=True,
        )
    fit, predict = (np.mean([t[part] for t in theirs], axis=0) for part in ("fit", "predict"))
    wall, processor = LOSSES * (fit + predict * candidates / PREDICTED)
    print(
        f"R: a fit {fit[0]:.0f} s ({fit[1]:.0f} s of processor, {theirs[0]['evaluations']} evaluations), predict at "
        f"{PREDICTED:,} points {predict[0]:.1f} s; scaled to {LOSSES} losses and {candidates:,} points "
        f"{wall / 60:.0f} min ({processor / 60:.0f} min of processor)"
    )
    print(
        f"ours {ours:.0f} s ({ours_processor:.0f} s of processor), ratio by the clock {wall / ours:.0f}x at load "
        f"{os.getloadavg()[0]:.1f}, by processor seconds {processor / ours_processor:.0f}x (goal 10x); peak "
        f"of this process {peak:.1f} GiB (goal 24 GiB)"
    )
    gain = np.mean(gains, axis=0)
    print(
        f"log score of {FRESH} fresh runs of {len(IN_R)} losses, ours less R's on all locations: {gain.mean():+.3f} "
        f"nats a run, standard error {gain.std(ddof=1) / FRESH**0.5:.3f} (goal: not below 0)"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
