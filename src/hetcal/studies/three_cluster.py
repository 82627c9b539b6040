"""A chain of clusters that measles travels along: what the share of invaded ends says of how people mix."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from hetcal.calibrate import EnsemblePosterior
from hetcal.data import three_cluster
from hetcal.report.exhibits import Exhibit
from hetcal.simulators import SpatialCMP
from hetcal.studies.study import Study
from hetcal.studies.three_cluster_problem import (
    COMPARED,
    DAYS,
    REALISATIONS,
    SEEDED,
    TRUTH,
    Reference,
    campaigns,
    chain,
    cheap_problem,
    problem,
    reference,
    space,
)

if TYPE_CHECKING:
    from hetcal.calibrate.posterior_result import PosteriorResult
    from hetcal.studies.answers import Answers

__all__ = [
    "COMPARED",
    "DAYS",
    "REALISATIONS",
    "SEEDED",
    "TRUTH",
    "Reference",
    "campaigns",
    "chain",
    "cheap_problem",
    "problem",
    "reference",
    "space",
    "study",
    "when_invaded",
]

BUDGETS: dict[str, dict[str, Any]] = {
    "quick": {"initial": 150, "replicates": 2, "batch": 150, "rounds": 6},
    "full": {"initial": 200, "replicates": 3, "batch": 200, "rounds": 8},
}
DRAWS = {"quick": 50, "full": 400}

STORY = """
Measles starts in A, a cluster of 15 places, and travels along a chain of clusters, B far, B near and C: 45 places
with 1.6 million people, none of them immune. On day 10 a campaign immunises 85 % of B far and another half of B near.
B far is a fire-break: one infectious person infects 0.6 others there, so every chain of infections ends. Whether one
of them reaches B near first, where an outbreak grows again, is chance, and C is lost where it does.

The data are not one outbreak but statistics of 20, made with known parameters: how often C is invaded, the mean
attack rate in A and in B near, the mean and the standard deviation of the day of the peak in A, and the standard
deviation of the attack rate in C. Unknown are beta, the infections a day by one infectious person among the
susceptible, k, the share of contacts away from home, and c, by which such contacts thin out with distance. The data
know beta within 0.1 %, since the attack rate in A follows it and hardly varies from run to run. k follows from the
day of the peak. c is left with whether C was invaded, 20 times yes or no.

Two of the six statistics say nothing of their own: C is either invaded, and then nearly everybody in it falls ill, or
it is not, so the standard deviation of its attack rate and the mean in B near repeat the share of invaded runs. A
loss that adds up six squares counts that share three times.

Of 20 runs with the seeds 1 to 20 five invade C; of 3,000 runs at the same parameters 31.6 % do. The published study
drew 9 of 20, which is on the high side (the chance of 9 or more is 15 %). With the full budget and the seed 0 this
study found 90 % intervals of 0.4996 to 0.5005 for beta (the truth is 0.5), 0.0089 to 0.0113 for k (0.01) and 1.41 to
1.94 for c (1.5); the quick budget knows less, and yours are above. k and c hang together, for more travel and a steeper
decline of it with distance bring measles to C equally often.

A compartmental model of the same is run in the same places. Its peaks come two weeks late, so it is not believed; but
it says how each number moves with the parameters, and only its discrepancy from the individual-level model must be
learned from runs of the latter. So 1,200 of these know as much as twice their number would alone.

The published search, 2,688 runs with those it inherits, ended at 0.4963, 0.0091 and 1.087. Its c is 3.2 standard
errors off, by what 20 runs can tell: not a lack of data but the way of searching. Its loss, 0.568, is lower than what
the true parameters get on 20 fresh runs in 70 % of repeats, so this loss cannot tell which of its winners is nearer
to the truth. A share is binomial, a mean is normal with a standard error that the runs themselves show: with these
laws every run counts for what it is worth, whether a parameter set was run twice or 60 times, and the answer says how
sure it is.

What it means for a decision, again by the full budget: with the campaigns as they were C is invaded with probability 22
% (5 to 38 %, with what is not known of the parameters), on day 203 on average where it is. To reach 95 % of B far
brings that to 4 %, or 70 % of B near to 5 %; which of these two is better 20 runs cannot tell. 70 % of B far instead of
85 % loses C for certain, since one infects 1.2 others then and the fire-break is none. Without a campaign in B near it
is 42 %, with both on day 60 instead of day 10 37 %, and on day 90, when A is at its peak, nearly certain.
"""

LOOK_AT = (
    "The statistics that count, and those left out because they follow the share of runs that invade C.",
    "Figure of k and c: a ridge. What distance does is known less well than how much people travel.",
    "beta, whose interval is a few thousandths of its value, beside c, whose interval is a third of it or more.",
    "Days of arrival by patch, which were held out: they would tell c apart from k; problem(arrivals=True) fits them.",
    "The scenarios: 70 % in B far against 85 %, where the number that one infects crosses 1.",
    "The published losses beside what the true parameters get: the best of them is luckier than the truth.",
)

SCENARIOS: dict[str, Any] = {
    "as it was": {},
    "70 % in B far": {"campaigns": campaigns(far=0.7)},
    "95 % in B far": {"campaigns": campaigns(far=0.95)},
    "nobody in B near": {"campaigns": campaigns(near=0.0)},
    "70 % in B near": {"campaigns": campaigns(near=0.7)},
    "both on day 60": {"campaigns": campaigns(day=60)},
    "both on day 90": {"campaigns": campaigns(day=90)},
}


def when_invaded(posterior: PosteriorResult, **options: Any) -> pd.DataFrame:
    """How probable it is that C is invaded in each scenario, and when it then is.

    Parameters
    ----------
    posterior : PosteriorResult
        Of this study.
    **options
        Of `PosteriorResult.scenarios`. With those of the study nothing is simulated again.

    Returns
    -------
    DataFrame
        A row a scenario: scenario; probability, that C is invaded, with low and high, between which 90 % of the
        posterior put it; day, mean day of the first infectious in C where it is invaded, NaN where it never is.
    """
    events = posterior.scenarios(SCENARIOS, "invaded_C", **options).table
    days = posterior.scenarios(SCENARIOS, "arrival_C", better="higher", **options).table["mean"]
    share = events["mean"]
    # A run that never sees C infected has the day after the last.
    day = ((days - (1 - share) * DAYS) / share.where(share > 0)).to_numpy()
    found = events[["scenario", "mean", "expected_low", "expected_high"]]
    found.columns = pd.Index(["scenario", "probability", "low", "high"])
    return found.assign(day=day)


def _shown(answers: Answers, budget: str) -> list[Exhibit]:
    """When C is reached, then the study's other exhibits."""
    from hetcal.studies.three_cluster_exhibits import exhibits  # whose module builds on this one

    others = exhibits(budget)(answers)
    if answers.posterior is None:
        return others
    found = when_invaded(answers.posterior, draws=DRAWS[budget])
    table = pd.DataFrame(
        {
            "scenario": found["scenario"],
            "C is invaded": [f"{100 * p:.0f} %" for p in found["probability"]],
            "90 % interval": [
                f"{100 * low:.0f} to {100 * high:.0f} %" for low, high in found[["low", "high"]].values
            ],
            "day, where it is": found["day"],
        }
    )
    when = Exhibit(
        "Whether C is invaded, and when",
        "How probable it is that measles reaches C in each scenario, over what is not known of the parameters, and the "
        "mean day on which the first person there is infectious, in the outbreaks in which it does.",
        table=table,
    )
    return [when, *others]


def study(budget: str = "quick") -> Study:
    """The study of the three-cluster measles chain.

    Use it where data are statistics of several outbreaks, and where a decision hangs on whether an outbreak gets
    through at all.

    Parameters
    ----------
    budget : {"quick", "full"}
        Quick: 1,200 runs to learn from, two minutes or less. Full: 2,200.

    Returns
    -------
    Study

    Raises
    ------
    ValueError
        For another budget.

    References
    ----------
    The calibration tutorial of the package laser-measles, whose scenario and scales these are.

    Examples
    --------
    >>> import hetcal as hc
    >>> [target.name for target in hc.studies.three_cluster.study().method.held_out]
    ['median_arrival']
    """
    if budget not in BUDGETS:
        raise ValueError(f"unknown budget {budget!r}: choose one of {', '.join(BUDGETS)}")
    chosen = problem(arrivals="held out")
    return Study(
        name="three_cluster",
        problem=chosen,
        method=EnsemblePosterior(chosen, cheap=chain(SpatialCMP), **BUDGETS[budget]),
        title="Measles along a chain of clusters: what 20 outbreaks say of how people mix",
        source=three_cluster().attrs["source"] + "; 20 outbreaks simulated with the seeds 1 to 20",
        story=STORY,
        look_at=LOOK_AT,
        scenarios=SCENARIOS,
        outcome="invaded_C",
        draws=DRAWS[budget],
        exhibits=partial(_shown, budget=budget),
    )
