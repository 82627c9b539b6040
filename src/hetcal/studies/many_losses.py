"""Many parameters and many losses: one outbreak of measles whose truth is known, by processes and by stacks."""

from __future__ import annotations

from typing import Any

from hetcal.calibrate import BayesianCalibration
from hetcal.data import three_cluster
from hetcal.studies.many_losses_exhibits import exhibits
from hetcal.studies.many_losses_problem import DATA_SEED, TRUTH, observed, problem, space
from hetcal.studies.study import Study

__all__ = ["DATA_SEED", "TRUTH", "observed", "problem", "space", "study"]

BUDGETS: dict[str, dict[str, Any]] = {
    "quick": {"initial": 100, "replicates": 3, "batch": 20, "rounds": 2, "candidates": 5_000},
    "full": {"initial": 240, "replicates": 5, "batch": 40, "rounds": 8},
}

STORY = """
Models for decisions about malaria, measles or influenza often have twenty unknown parameters and are compared with ten
kinds of data at once. This study shows on a small scale what such a calibration can find. The model is the chain of
clusters of the study three_cluster over one year: measles starts in A, and may pass B far and B near on its way to C.
Twelve of its settings are taken to be unknown. The data are one outbreak that was simulated with known values, and
the scatter of reports, surveys and notes about it; so every answer can be checked.

The eight losses are of seven families. Reported cases in A by month, one in a hundred infections, count by half their
Poisson deviance; those in B near by quarter, one in ten, by the deviance of a negative binomial, with 20 rashes a month
that are no measles as its floor. Of 400 people in B near whose blood was tested so many were immune: binomial. Whether
C was reached: binomial, one trial. The day of the peak in A: Gaussian, 3 days. Pupils absent in A each week are an
unknown share of the infectious, so only the shape of that curve counts: squares of logarithms, with the factor
profiled. Days on which measles reached twelve places of A: logarithms with a standard deviation of their own. How much
lower the attack rates in the other clusters were than in A: squared logarithms of relative risks.

The weights are such that no loss outvotes the others where the model is right: at the true parameters each adds 2 to 4
to F, their weighted sum, beyond what a perfect model would have, and the days of arrival 9. Without weights the
reported cases, a thousand times larger than the other losses far from the truth, would be the only ones that are heard.

F is the mean of single runs. At the true parameters half of the outbreaks end before C, and a run that does so misses
four of the eight data at once. So parameters at which C is always reached have a lower F than the truth: a loss of
single runs prefers runs that are alike.
"""

LOOK_AT = (
    "The heat map: which loss tells of which parameter. Births and routine vaccination of a single year can hardly "
    "matter; what it says of them shows how rough the emulators still are.",
    "The two calibrations side by side: their losses beside each other, and beside that of the true parameters.",
    "Scores at held-out parameter sets: which losses a stack predicts better, and which a Gaussian process does.",
    "Parameters that came back beside their total indices: one that hardly moves F cannot.",
    "The last row of the heat map: of the relative risks most is chance, whatever the parameters.",
)


def study(budget: str = "quick") -> Study:
    """The study of twelve parameters and eight losses.

    Use it before a calibration with many losses of your own: it tells what such data can bring back and what they
    cannot, and puts the two kinds of emulators beside each other.

    Parameters
    ----------
    budget : {"quick", "full"}
        Quick: about 2,600 runs with both kinds of emulators. Full: about 6,000.

    Returns
    -------
    Study

    Raises
    ------
    ValueError
        For another budget.

    References
    ----------
    Reiker et al. (2021), Nat Commun 12:7212, for calibration by many losses and for stacked emulators.

    Examples
    --------
    >>> import hetcal as hc
    >>> hc.studies.many_losses.study().method.initial
    100
    """
    if budget not in BUDGETS:
        raise ValueError(f"unknown budget {budget!r}: choose one of {', '.join(BUDGETS)}")
    chosen = problem()
    return Study(
        name="many_losses",
        problem=chosen,
        method=BayesianCalibration(chosen, centroid=20, hold_out=0.2, finalists=5, **BUDGETS[budget]),
        title="Twelve parameters, eight losses: what one outbreak of measles can tell",
        source=three_cluster().attrs["source"]
        + f"; one outbreak simulated with the seed {DATA_SEED}, and noise",
        story=STORY,
        look_at=LOOK_AT,
        exhibits=exhibits,
    )
