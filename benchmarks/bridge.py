"""What the bridge adds to a fit: the same hetGP call timed inside R and round the whole call from Python."""

from __future__ import annotations

import statistics
import time

import numpy as np

from hetcal import rbridge
from hetcal.rbridge import session

TIMED_FIT = """
timed_fit <- function(X, Z) {
  started <- Sys.time()
  model <- hetGP::mleHetGP(X, Z, covtype = "Matern5_2")
  # The design and its inverse covariance are what an emulator takes back.
  list(X0 = model$X0, Ki = model$Ki, seconds = as.numeric(Sys.time() - started, units = "secs"))
}
nothing <- function(X) NULL
"""


def main() -> None:
    """Print the overhead of a fit at two sizes, and of a call that does nothing."""
    rbridge.start()
    running = session._session
    assert running is not None
    running.rinterface.evalr(TIMED_FIT, envir=running.environment)
    rng = np.random.default_rng(1)
    for n, d, replicates in ((50, 2, 5), (200, 5, 5)):
        X = np.repeat(rng.random((n, d)), replicates, axis=0)
        Z = np.sin(5 * X[:, 0]) + X.sum(axis=1) + (0.1 + X[:, 0]) * rng.standard_normal(len(X))
        rbridge.call("timed_fit", X=X, Z=Z)
        outside, inside = [], []
        for _ in range(3):
            started = time.perf_counter()
            inside.append(rbridge.call("timed_fit", X=X, Z=Z)["seconds"])
            outside.append(time.perf_counter() - started)
        added = statistics.median(o - i for o, i in zip(outside, inside))
        share = 100 * max(added - 0.005, 0) / statistics.median(inside)
        print(
            f"bridge, fit of {n} locations x {replicates}, d={d}: {statistics.median(outside):.3f} s, "
            f"inside R {statistics.median(inside):.3f} s, {1e3 * added:.2f} ms more, "
            f"{share:.2f} % beyond 5 ms (goal under 2 %)"
        )
    for shape in ((10, 2), (1000, 23)):
        X = rng.random(shape)
        started = time.perf_counter()
        for _ in range(200):
            rbridge.call("nothing", X=X)
        milliseconds = (time.perf_counter() - started) / 200 * 1e3
        print(f"bridge, empty call with a {shape[0]} x {shape[1]} matrix: {milliseconds:.2f} ms")


if __name__ == "__main__":
    main()
