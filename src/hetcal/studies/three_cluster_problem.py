"""The three-cluster chain as a problem: its simulator, its references and what is compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.data import three_cluster
from hetcal.parameters import Parameter, Space, log_uniform, uniform
from hetcal.problem import Problem
from hetcal.simulators import Campaign, Chain, SpatialABM
from hetcal.streams import simulator_seeds
from hetcal.targets import STATISTICS, EnsembleTarget, Target

if TYPE_CHECKING:
    import pandas as pd

TRUTH = {"beta": 0.5, "k": 0.01, "c": 1.5}
REALISATIONS = 20
DAYS = 1095
SEEDED = ("cluster_a:node_9", "cluster_a:node_15", "cluster_a:node_1")


def campaigns(far: float = 0.85, near: float = 0.5, day: int = 10) -> tuple[Campaign, ...]:
    """The campaigns in B far and B near: the share of the susceptible that each immunises, and their day."""
    return (Campaign("B_far", day=day, efficacy=far), Campaign("B_near", day=day, efficacy=near))


@dataclass(frozen=True)
class _Compared:
    """One statistic of a reference: of which output, its scale in the published loss, and its published value."""

    output: str
    statistic: str
    scale: float
    published: float
    label: str


# Invasion first: what follows from it says nothing of its own, and is named as following it.
COMPARED = {
    "c_inv_frac": _Compared("invaded_C", "share_positive", 0.15, 0.45, "share of runs that invade C"),
    "mean_AR_A": _Compared("attack_rate_A", "mean", 0.005, 0.980, "mean attack rate in A"),
    "mean_AR_BN": _Compared("attack_rate_B_near", "mean", 0.05, 0.679, "mean immune share in B near"),
    "std_AR_C": _Compared("attack_rate_C", "sd", 0.08, 0.500, "sd of the attack rate in C"),
    "mean_peak_A": _Compared("peak_day_A", "mean", 3.0, 96.7, "mean day of the peak in A"),
    "std_peak_A": _Compared("peak_day_A", "sd", 1.5, 2.4, "sd of the day of the peak in A"),
}
ARRIVAL_SCALE = 3.0  # days


@dataclass(frozen=True, eq=False)
class Reference:
    """What a calibration of the chain is given.

    Attributes
    ----------
    name : str
    statistics : dict of float
        The six that are compared, by name.
    truth : dict of float
        Parameters behind it.
    seeds : numpy.ndarray
        Of its runs, (20,); empty where they are not known.
    outputs : dict of numpy.ndarray
        Of its runs, by name, (20, *shape); empty where they are not known.

    Examples
    --------
    >>> import hetcal as hc
    >>> hc.studies.three_cluster.reference("as published").statistics["c_inv_frac"]
    0.45
    """

    name: str
    statistics: dict[str, float]
    truth: dict[str, float]
    seeds: np.ndarray = field(repr=False)
    outputs: dict[str, np.ndarray] = field(repr=False)

    @property
    def runs(self) -> pd.DataFrame:
        """A row a run: seed and every output that is one number; no rows where the runs are not known."""
        import pandas as pd

        single = {name: values for name, values in self.outputs.items() if values.ndim == 1}
        return pd.DataFrame({"seed": self.seeds, **single})


def chain(kind: type = SpatialABM, **settings: Any) -> Any:
    """The chain's simulator.

    45 patches in four clusters A, B far, B near and C; people mix with their own cluster and its neighbours in the
    chain. Five people are infected in each of the three largest patches of A; on day 10 campaigns immunise 85 % of the
    susceptible in B far and half of those in B near.

    Parameters
    ----------
    kind : type
        SpatialABM, SpatialCMP or SpatialMeanField.
    **settings
        Others than those of the study.

    Examples
    --------
    >>> import hetcal as hc
    >>> hc.studies.three_cluster.chain().parameters
    ('beta', 'k', 'c')
    """
    own: dict[str, Any] = {
        "days": DAYS,
        "mixing": Chain(),
        "seeding": dict.fromkeys(SEEDED, 5),
        "campaigns": campaigns(),
    }
    return kind(three_cluster(), **own | settings)


def space() -> Space:
    """Parameters with their priors.

    beta and k as in the published study, whose first stage holds c at its true value. Here c is not known either:
    uniform over 0.5 to 3, since at a half distance hardly counts, and exponents fitted to gravity models of measles and
    of commuters mostly lie between 1 and 3.
    """
    return Space(
        [
            Parameter("beta", uniform(0.1, 1.5), unit="1/day", label="infections a day by one infectious"),
            Parameter("k", log_uniform(1e-4, 0.1), label="share of contacts away from home"),
            Parameter("c", uniform(0.5, 3.0), label="exponent of distance"),
        ]
    )


def reference(
    name: str = "self-consistent", seed: int | None = None, truth: Mapping[str, float] | None = None
) -> Reference:
    """Data of 20 runs at known parameters.

    Parameters
    ----------
    name : {"self-consistent", "as published"}
        Runs of this simulator, or the six numbers that the published study printed, rounded as they are.
    seed : int, optional
        Of another set of 20 runs; those of the study have the seeds 1 to 20.
    truth : dict of float, optional
        Other parameters beta, k and c.

    Returns
    -------
    Reference

    Raises
    ------
    ValueError
        For another name, or where published numbers are asked for at another seed or truth.

    Examples
    --------
    >>> import hetcal as hc
    >>> data = hc.studies.three_cluster.reference()
    >>> len(data.runs), float(data.runs["invaded_C"].mean()) == data.statistics["c_inv_frac"]
    (20, True)
    """
    if name == "as published":
        if seed is not None or truth is not None:
            raise ValueError(
                f"reference {name!r} has no runs to be made at seed={seed!r}, truth={truth!r}: leave both out, or give "
                "'self-consistent'"
            )
        published = {what: of.published for what, of in COMPARED.items()}
        return Reference(name, published, dict(TRUTH), np.empty(0, dtype=np.int64), {})
    if name != "self-consistent":
        raise ValueError(f"unknown reference {name!r}: choose 'self-consistent' or 'as published'")
    truth = dict(TRUTH if truth is None else truth)
    model = chain()
    seeds = np.arange(1, REALISATIONS + 1)
    if seed is not None:
        seeds = simulator_seeds(seed, "truth", 0, 0, REALISATIONS)
    rows = np.tile([truth[parameter] for parameter in model.parameters], (REALISATIONS, 1))
    outputs = model.batch(rows, seeds)
    found = {what: float(STATISTICS[of.statistic](outputs[of.output])) for what, of in COMPARED.items()}
    return Reference(name, found, truth, seeds, outputs)


def problem(
    simulator: Any = None, reference: Reference | None = None, arrivals: bool | str = False
) -> Problem:
    """The six statistics of a reference as targets, with the published scales.

    Parameters
    ----------
    simulator : simulator, optional
        `chain()` where left out.
    reference : Reference, optional
        `reference()` where left out.
    arrivals : bool or "held out"
        Compare too when each patch was reached, on average: those that every run of the reference reached, without
        those that were seeded. It counts in the loss as one more statistic. Held out it is only checked, by the median,
        of all patches that most runs reached: a mean is far off where one run did not reach the patch.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError
        For another value of arrivals, or where they are asked of a reference without runs.

    Examples
    --------
    >>> import hetcal as hc
    >>> published = hc.studies.three_cluster.reference("as published")
    >>> [target.name for target in hc.studies.three_cluster.problem(reference=published).targets[:3]]
    ['c_inv_frac', 'mean_AR_A', 'mean_AR_BN']
    """
    simulator = chain() if simulator is None else simulator
    data = _reference() if reference is None else reference
    targets = [
        # Of squares over their scale, half of which is the loss of a Gaussian.
        EnsembleTarget(
            of.output,
            observed=data.statistics[what],
            loss="gaussian",
            sd=of.scale,
            weight=2.0,
            name=what,
            statistic=of.statistic,
            realisations=REALISATIONS,
            label=of.label,
        )
        for what, of in COMPARED.items()
    ]
    if arrivals not in (True, False, "held out"):
        raise ValueError(f"arrivals is {arrivals!r}: give True, False or 'held out'")
    if arrivals:
        targets.append(_arrivals(data, held_out=arrivals == "held out"))
    return Problem(space(), simulator, targets)


_reference = reference  # `problem` has an argument of that name


def _arrivals(data: Reference, held_out: bool) -> EnsembleTarget:
    """When each patch was reached that was not seeded."""
    statistic = "median" if held_out else "mean"
    if not data.outputs:
        raise ValueError(
            f"reference {data.name!r} has no runs, so nobody knows when patches were reached: give "
            "reference('self-consistent'), or arrivals=False"
        )
    days = data.outputs["patch_arrival"]
    places = three_cluster()
    seeded = places["id"].isin(SEEDED).to_numpy()
    reached = np.median(days, axis=0) < DAYS if held_out else (days < DAYS).all(axis=0)
    kept = np.flatnonzero(reached & ~seeded)
    return EnsembleTarget(
        "patch_arrival",
        observed=STATISTICS[statistic](days[:, kept]),
        loss="gaussian",
        sd=ARRIVAL_SCALE,
        weight=0.0 if held_out else 2.0 / len(kept),
        name=f"{statistic}_arrival",
        statistic=statistic,
        realisations=REALISATIONS,
        kept=kept.tolist(),
        names=[
            f"{cluster.replace('_', ' ')} {node}"
            for cluster, node in zip(places["cluster"], places["id"].str.rpartition("_")[2], strict=True)
        ],
        label=f"{statistic} day of arrival by patch",
    )


def cheap_problem(simulator: Any, reference: Reference | None = None) -> Problem:
    """What the published study compares a cheap model's single run by: immunity in A over time, and its peak.

    Days by which 10, 30, 50, 70 and 90 % of A are immune count by 30 days, the attack rate by 0.01, the day of the peak
    by 5 days.

    Parameters
    ----------
    simulator : simulator
        Such as ``chain(hc.simulators.SpatialCMP)``.
    reference : Reference, optional
        `reference()` where left out; means of its runs are compared.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError
        For a reference without runs.

    Examples
    --------
    >>> import hetcal as hc
    >>> cheap = hc.studies.three_cluster.chain(hc.simulators.SpatialCMP)
    >>> [target.name for target in hc.studies.three_cluster.cheap_problem(cheap).targets]
    ['immune_days_A', 'attack_rate_A', 'peak_day_A']
    """
    data = _reference() if reference is None else reference
    if not data.outputs:
        raise ValueError(
            f"reference {data.name!r} has no runs, so its course in A is not known: give reference('self-consistent')"
        )
    scales = {"immune_days_A": 30.0, "attack_rate_A": 0.01, "peak_day_A": 5.0}
    targets = [
        Target(output, observed=data.outputs[output].mean(axis=0), loss="gaussian", sd=sd, weight=2.0)
        for output, sd in scales.items()
    ]
    return Problem(space(), simulator, targets)
