"""Prediction, joint draws and the choice of a batch, against R's own predict and MASS::mvrnorm.

R runs in a process of its own with all BLAS threads, on the very emulator that Python uses (saved to a folder and read
by read_emulator).
"""

from __future__ import annotations

import json
import resource
import subprocess
import tempfile
import time
from importlib.resources import files
from pathlib import Path

import numpy as np

from hetcal.acquisition import LCB
from hetcal.emulators.hetgp import HetGP
from hetcal.emulators.hetgp_state import HetGPState
from hetcal.emulators.total import WeightedTotal

R_SCRIPT = """
arguments <- commandArgs(TRUE)
source(arguments[1])
model <- read_emulator(arguments[2])
n <- as.integer(arguments[3])
d <- ncol(model$X0)
set.seed(1)
X <- matrix(runif(n * d), n, d)
invisible(predict(model, X[1:50, ]))
predicted <- system.time(predict(model, X))[["elapsed"]]
drawn <- NA
if (length(arguments) > 3) {
  few <- X[1:2000, ]
  drawn <- system.time({
    p <- predict(model, few, xprime = few)
    MASS::mvrnorm(1000, p$mean, 0.5 * (p$cov + t(p$cov)))
  })[["elapsed"]]
}
cat(sprintf('{"predict": %f, "draws": %s}', predicted, if (is.na(drawn)) "null" else drawn))
"""


def emulator(n: int, d: int) -> HetGP:
    """A heteroskedastic emulator of n locations with 2 replicates each, its hyperparameters given."""
    rng = np.random.default_rng(0)
    X = rng.random((n, d))
    mean = np.sin(4 * X[:, 0]) + X.sum(axis=1)
    log_noise = rng.normal(-3, 0.3, n)
    state = HetGPState(
        X0=X,
        Z0=mean + rng.normal(0, 0.1, n),
        mult=np.full(n, 2),
        Z=np.repeat(mean, 2),
        theta=np.full(d, 3.0),
        g=0.01,
        nu_hat=4.0,
        beta0=float(mean.mean()),
        eps=1.5e-8,
        log_likelihood=0.0,
        message="given",
        theta_g=np.full(d, 5.0),
        k_theta_g=5 / 3,
        nmean=-3.0,
        nu_hat_var=1.0,
        Delta=log_noise,
        Lambda=np.exp(log_noise),
    )
    made = HetGP(transform="log")
    made._condition(state)
    return made


def in_r(em: HetGP, points: int, draws: bool = False) -> dict[str, float]:
    """Seconds that R takes on the same emulator."""
    with tempfile.TemporaryDirectory() as folder:
        em.save(folder)
        script = Path(folder) / "time.R"
        script.write_text(R_SCRIPT)
        code = files("hetcal") / "resources" / "R" / "R" / "hetgp.R"
        command = ["Rscript", str(script), str(code), folder, str(points), *(["draws"] if draws else [])]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def timed(work, repeats: int = 3) -> float:
    """Best of some repeats, in seconds."""
    best = np.inf
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


def main() -> None:
    """Print the ratios."""
    rng = np.random.default_rng(1)

    em = emulator(500, 10)
    X = rng.random((20_000, 10))
    em.predict(X[:100])
    ours, theirs = timed(lambda: em.predict(X)), in_r(em, 20_000, draws=True)
    print(
        f"predict, both variances, 20,000 points, n=500, d=10: {ours:.3f} s, R's predict {theirs['predict']:.2f} s, "
        f"ratio {theirs['predict'] / ours:.0f}x (goal 5x)"
    )
    few = X[:2000]
    ours = timed(lambda: em.sample(few, 1000, seed=1, scale="latent"))
    print(
        f"joint draws, 2,000 points x 1,000: {ours:.2f} s, R's covariance and MASS::mvrnorm {theirs['draws']:.1f} s, "
        f"ratio {theirs['draws'] / ours:.0f}x"
    )

    em = emulator(1000, 23)
    total = WeightedTotal({"loss": em}, {"loss": 1.0})
    candidates = rng.random((500_000, 23))
    LCB().choose(total, candidates[:5000], 10, 2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    ours = timed(lambda: LCB().choose(total, candidates, 250, 2), repeats=2)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    theirs = in_r(em, 20_000)
    scaled = theirs["predict"] * 25
    print(
        f"LCB batch of 250 from 500,000 candidates, n=1,000, d=23, het: {ours:.1f} s, R's predict {scaled:.0f} s "
        f"(20,000 timed: {theirs['predict']:.2f} s), ratio {scaled / ours:.0f}x (goal 10x), peak {peak:.2f} GiB "
        f"({before:.2f} before; goal 2 GiB)"
    )


if __name__ == "__main__":
    main()
