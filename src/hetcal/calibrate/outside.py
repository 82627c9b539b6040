"""Whether the data lie outside of everything simulated: said before any posterior, since it is the answer."""

from __future__ import annotations

import numpy as np

from hetcal.calibrate.likelihood import EmulatedLikelihood
from hetcal.calibrate.summaries import data_names, stabilise

# Of runs lie as far from all runs of other locations; the false alarm for data that the model made.
_RARE = 0.005


def outside_of_runs(likelihood: EmulatedLikelihood, data: dict[str, np.ndarray]) -> tuple[str, ...]:
    """Sentences on what in one data set (1, *shape) by target name lies outside of the runs; none where all is inside.

    Two checks: the data as a whole, by the distance of stabilised data to the nearest run, compared with the same
    distance between runs of different locations; and data that never vary between runs.
    """
    from scipy.spatial.distance import cdist

    summaries = likelihood.summaries
    said = []
    support = summaries.support
    between = cdist(support, support)
    between[summaries.location[:, None] == summaries.location] = np.inf
    usual = between.min(axis=1)
    nearest = float(cdist(summaries.features(data), support).min())
    share = float((usual >= nearest).mean())
    if share < _RARE:
        so_far = f"only {100 * share:.1f} % of runs lie" if share > 0 else f"none of {len(usual)} runs lies"
        said.append(
            f"the data as a whole are unlike any simulated run: {so_far} that far from all runs of other locations "
            f"(distance {nearest:.2g}, usual {np.median(usual):.2g})"
        )
    found = stabilise(summaries.targets, data)[0, ~summaries.kept]
    names = np.array(data_names(summaries.targets))[~summaries.kept]
    differ = [str(n) for n, x, y in zip(names, found, summaries.fixed, strict=True) if abs(x - y) > 1e-9]
    if differ:
        said.append(
            f"data that are the same in every run are another number in the data: {', '.join(differ)}"
        )
    return tuple(said)
