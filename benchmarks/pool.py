"""Fits of 11 targets shared out among worker processes with an R each, against the same fits one after another.

On a machine that does other work the clock tells little, so the same ratio is also made of processor seconds: those of
all serial fits over those of the busiest worker, which is what the clock would show on idle cores.
"""

from __future__ import annotations

import os
import time
import warnings
from collections import defaultdict
from collections.abc import Callable

import numpy as np
from emulator_comparison.testbed import KnownLosses

import hetcal as hc
from hetcal.designs import sobol_points
from hetcal.emulators.fit_many import FitTask
from hetcal.rbridge import RPool
from hetcal.threads import single_blas_thread

PARAMETERS, LOSSES, LOCATIONS, REPLICATES = 8, 11, 60, 2


def tasks(locations: int = LOCATIONS) -> list[FitTask]:
    """The fits: all losses of the test function at a Sobol design."""
    bed = KnownLosses(PARAMETERS, LOSSES, truth=1)
    X = np.repeat(sobol_points(PARAMETERS, locations, np.random.default_rng(1)), REPLICATES, axis=0)
    losses = bed.problem().evaluate(bed.batch(X, np.arange(len(X))))
    return [
        FitTask(hc.HetGP(transform=t.emulated_scale), X, losses[t.name].to_numpy(), name=repr(t.name))
        for t in bed.problem().run_targets
    ]


def timed(task: FitTask) -> Callable[[], tuple[int, float, hc.HetGP]]:
    """The fit with the process that made it and the processor seconds that it took there."""

    def fit() -> tuple[int, float, hc.HetGP]:
        began = time.process_time()
        fitted = task.fit()
        return os.getpid(), time.process_time() - began, fitted

    return fit


def main() -> None:
    """Print the ratios."""
    warnings.simplefilter("ignore")
    cores = len(os.sched_getaffinity(0))
    calls = [(task.name, timed(task)) for task in tasks()]
    with single_blas_thread(), RPool(cores) as pool:
        calls[0][1]()  # hetGP loaded, kernels compiled
        pool.run([(str(i), timed(task)) for i, task in enumerate(tasks(12)[:cores])])
        began = time.perf_counter()
        serial = [call() for _, call in calls]
        serial_wall, began = time.perf_counter() - began, time.perf_counter()
        shared = pool.run(calls)
        shared_wall = time.perf_counter() - began
    busy: dict[int, float] = defaultdict(float)
    for pid, seconds, _ in shared:
        busy[pid] += seconds
    equal = all(
        np.array_equal(getattr(a[2].state, name), getattr(b[2].state, name))
        for a, b in zip(serial, shared, strict=True)
        for name in vars(a[2].state)
    )
    alone = sum(seconds for _, seconds, _ in serial)
    print(
        f"{LOSSES} fits, {LOCATIONS} locations x {REPLICATES}, d={PARAMETERS}: one after another {serial_wall:.1f} s "
        f"({alone:.1f} s of processor), {cores} workers {shared_wall:.1f} s (the busiest {max(busy.values()):.1f} s of "
        f"processor); ratio by the clock {serial_wall / shared_wall:.2f}x at load {os.getloadavg()[0]:.1f}, by "
        f"processor seconds {alone / max(busy.values()):.2f}x (goal 1.8x on 2 idle cores); the same to the bit: {equal}"
    )


if __name__ == "__main__":
    main()
