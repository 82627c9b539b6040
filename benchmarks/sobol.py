"""Jansen's indices against SALib's Sobol analysis, and function draws against exact joint draws of an emulator."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from emulator import emulator

import hetcal as hc
from hetcal.sensitivity import jansen
from hetcal.sensitivity.posterior_functions import PosteriorFunctions

N, DIMENSION, RESAMPLES = 16_384, 23, 1000


def cheap(x: np.ndarray) -> np.ndarray:
    """A function that costs next to nothing, with one interaction."""
    return x @ np.linspace(1, 0, DIMENSION) + x[:, 0] * x[:, 1]


def seconds(call: Callable[[], Any], repeats: int = 1) -> float:
    """Shortest time of a few calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Print both comparisons."""
    analysis_against_salib()
    draws_against_exact()


def draws_against_exact() -> None:
    """200 functions at the 2,000 x (d + 2) points of an analysis; exact draws at the sizes that fit, scaled up."""
    d, n, draws, rows = 10, 500, 200, 2000
    points = rows * (d + 2)
    em = emulator(n, d)
    X = np.random.default_rng(2).random((points, d))
    em.draw(2, seed=1)(X[:500])
    PosteriorFunctions(em, 2, 1)(X[:500])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    given = seconds(lambda: em.draw(draws, seed=1)(X))
    whole = seconds(lambda: PosteriorFunctions(em, draws, 1)(X))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    half, most = 3000, 6000
    first, second = (seconds(lambda: em.sample(X[:m], draws, seed=1)) for m in (half, most))
    power = np.log(second / first) / np.log(most / half)
    scaled = second * (points / most) ** power
    exact = (
        f"exact joint draws {scaled:.0f} s (scaled by points^{power:.1f} from {second:.1f} s at {most:,} points; "
        f"the covariance of all would take {8 * points**2 / 2**30:.1f} GiB)"
    )
    print(f"{draws} functions at {rows:,} x (d + 2) points, d = {d}, n = {n:,} locations, heteroskedastic")
    print(f"function draws, hyperparameters given: {given:.1f} s, {exact}, ratio {scaled / given:.0f}x")
    print(f"function draws, hyperparameters drawn: {whole:.1f} s, ratio {scaled / whole:.0f}x")
    print(f"function draws peak memory: {peak / 2**20:.2f} GiB (goal 4 GiB; {before / 2**20:.2f} before)")


def analysis_against_salib() -> None:
    """Print the analysis alone, the whole call, and the memory that ours took."""
    import SALib
    from SALib.analyze import sobol as salib_analyze
    from SALib.sample import sobol as salib_sample

    space = hc.Space([hc.Parameter(f"x{i}", hc.uniform(0, 1)) for i in range(DIMENSION)])
    hc.sobol(cheap, space, n=64, bootstrap=39)  # compiles
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rng = np.random.default_rng(1)
    f_a, f_b, f_ab = rng.random(N), rng.random(N), rng.random((N, DIMENSION))
    analysis = seconds(lambda: jansen(f_a, f_b, f_ab, bootstrap=RESAMPLES), repeats=3)
    whole = seconds(lambda: hc.sobol(cheap, space, n=N, bootstrap=RESAMPLES), repeats=3)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    problem = {"num_vars": DIMENSION, "names": list(space.names), "bounds": [[0, 1]] * DIMENSION}
    made: dict[str, np.ndarray] = {}

    def sample_and_evaluate() -> None:
        made["output"] = cheap(salib_sample.sample(problem, N, calc_second_order=False, seed=1))

    def analyze() -> None:
        salib_analyze.analyze(
            problem, made["output"], calc_second_order=False, num_resamples=RESAMPLES, seed=1
        )

    salib_rest, salib_analysis = seconds(sample_and_evaluate), seconds(analyze)
    salib = f"SALib {SALib.__version__}"
    salib_whole = salib_rest + salib_analysis
    print(f"sobol, N = {N:,}, d = {DIMENSION}, {RESAMPLES:,} bootstrap resamples, first and total order")
    print(
        f"sobol analysis: {analysis:.2f} s, {salib}: {salib_analysis:.1f} s, "
        f"ratio {salib_analysis / analysis:.0f}x (goal 50x)"
    )
    print(
        f"sobol whole call, cheap function: {whole:.2f} s, {salib}: {salib_whole:.1f} s, "
        f"ratio {salib_whole / whole:.0f}x (goal 20x)"
    )
    print(
        f"sobol peak memory: {peak / 2**20:.2f} GiB (goal 2 GiB), of which {(peak - before) / 2**20:.2f} GiB "
        "by the two calls"
    )


if __name__ == "__main__":
    main()
