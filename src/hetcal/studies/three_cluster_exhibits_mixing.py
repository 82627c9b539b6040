"""What a posterior says of mixing: the ridge of k and c, and how far an outbreak can go in each cluster."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hetcal.report.canvas import BLUE, GREY, ORANGE, SKY, VERMILLION, legend_above, plain_log
from hetcal.report.exhibits import Exhibit
from hetcal.studies.three_cluster import TRUTH, chain
from hetcal.studies.three_cluster_exhibits_shared import CLUSTERS, Sizes
from hetcal.studies.three_cluster_exhibits_sweeps import UNITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from hetcal.studies.answers import Answers

BINS = 16
R_DRAWS = 200


def ridge(samples: pd.DataFrame) -> dict[str, float]:
    """How k and c hang together in a posterior.

    Parameters
    ----------
    samples : pandas.DataFrame
        With columns k and c.

    Returns
    -------
    dict of float
        correlation of log k and c; slope, what c rises by when k doubles along the ridge; sd_c; sd_c_given_k.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from hetcal.studies.three_cluster_exhibits_mixing import ridge
    >>> k = np.array([0.005, 0.01, 0.02])
    >>> round(ridge(pd.DataFrame({"k": k, "c": 1.5 + np.log2(k / 0.01)}))["slope"], 6)
    1.0
    """
    log_k, c = np.log2(samples["k"].to_numpy()), samples["c"].to_numpy()
    covariance = np.cov(log_k, c)
    correlation = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    return {
        "correlation": float(correlation),
        "slope": float(covariance[0, 1] / covariance[0, 0]),
        "sd_c": float(c.std(ddof=1)),
        "sd_c_given_k": float(c.std(ddof=1) * np.sqrt(max(1 - correlation**2, 0.0))),
    }


def k_and_c(answers: Answers, sizes: Sizes) -> Exhibit:
    """The ridge of k and c, and the profile of c."""
    posterior: Any = answers.posterior
    samples = posterior.samples
    found = ridge(samples)
    low, high = np.quantile(samples["c"], [0.05, 0.95])
    tighter = 1 - found["sd_c_given_k"] / found["sd_c"]
    text = (
        f"c and k can only be told apart in part: their correlation is {found['correlation']:.2f}, and a k twice as "
        f"large goes with a c that is {found['slope']:.2f} {'larger' if found['slope'] > 0 else 'smaller'}. Alone, c "
        f"is known to {low:.2f} to {high:.2f} (90 %); who knew k from elsewhere, such as from telephones or tickets, "
        f"would have an interval of c that is {100 * tighter:.0f} % narrower."
    )
    unit = posterior.problem.space.to_unit(samples[list(posterior.problem.space.names)].to_numpy())
    log_l = posterior.likelihood.log_likelihood(unit, posterior.observed)[0]
    line = "Draws from the posterior. Line: along it c and k stand in for each other. Star: the truth."
    profile = (
        "Profile of c: the highest log likelihood that any beta and k give, less the highest of all. Below the "
        "dotted line, c is outside of the 90 % interval that a profile gives."
    )
    figures = {
        line: partial(_paint_ridge, samples=samples, found=found),
        profile: partial(_paint_profile, c=samples["c"].to_numpy(), log_l=log_l),
    }
    return Exhibit("What distance does: k against c", text, figures)


def _paint_ridge(axes: Axes, samples: pd.DataFrame, found: Mapping[str, float]) -> None:
    some = samples.iloc[:1500]
    axes.plot(some["k"], some["c"], "o", color=SKY, ms=3, alpha=0.5, mew=0)
    ends = samples["k"].quantile([0.01, 0.99]).to_numpy()
    centre = np.log2(samples["k"]).mean()
    axes.plot(ends, samples["c"].mean() + found["slope"] * (np.log2(ends) - centre), color=BLUE, lw=2)
    axes.plot(TRUTH["k"], TRUTH["c"], "*", mfc=ORANGE, mec="black", ms=15)
    axes.set_xscale("log")
    plain_log(axes.xaxis)
    axes.set_xlabel(UNITS["k"])
    axes.set_ylabel(UNITS["c"])


def _paint_profile(axes: Axes, c: np.ndarray, log_l: np.ndarray) -> None:
    low, high = np.quantile(c, [0.005, 0.995])
    place = np.digitize(c, np.linspace(low, high, BINS + 1))
    groups = (np.flatnonzero(place == number) for number in range(1, BINS + 1))
    best = np.array([group[log_l[group].argmax()] for group in groups if len(group)])
    order = np.argsort(c[best])
    axes.plot(c[best][order], (log_l[best] - log_l.max())[order], "o-", color=BLUE, ms=5)
    axes.axhline(-1.353, color=GREY, ls=":", lw=1.5)  # half of the 90 % point of chi squared with 1 degree
    axes.axvline(TRUTH["c"], color=ORANGE, lw=2, zorder=0)
    axes.annotate(
        "truth",
        (TRUTH["c"], 0),
        xycoords=("data", "axes fraction"),
        xytext=(4, 26),
        textcoords="offset points",
    )
    axes.set_xlabel(UNITS["c"])
    axes.set_ylabel("log likelihood less its highest")


def effective_r(model: Any, theta: Mapping[str, float], campaigns: bool = True) -> dict[str, float]:
    """Effective reproduction number within each cluster: what a chain of infections that stays there grows by.

    The largest eigenvalue of who infects whom among the cluster's patches, with all others susceptible at first but
    those whom a campaign has immunised.

    Parameters
    ----------
    model : SpatialABM, SpatialCMP or SpatialMeanField
    theta : dict
        beta, k and c.
    campaigns : bool
        After the campaigns, or before.

    Returns
    -------
    dict of float
        By cluster.

    Examples
    --------
    Without mixing it is 8 beta, of whom a campaign of efficacy 0.85 leaves 15 %.

    >>> import hetcal as hc
    >>> from hetcal.studies.three_cluster_exhibits_mixing import effective_r
    >>> found = effective_r(hc.studies.three_cluster.chain(), {"beta": 0.5, "k": 0.0, "c": 1.5})
    >>> {cluster: round(r, 2) for cluster, r in found.items()}
    {'A': 4.0, 'B_far': 0.6, 'B_near': 2.0, 'C': 4.0}
    """
    people, cluster = model.patches["pop"].to_numpy(dtype=float), model.patches["cluster"]
    susceptible = np.ones(len(people))
    for campaign in model.campaigns if campaigns else ():
        susceptible[cluster.isin(campaign.clusters)] *= 1 - campaign.efficacy
    # One infectious of patch i makes beta W_ij / N_j S_j infections a day in patch j.
    infects = (
        theta["beta"] * model.infectious_mean * model.mixing_matrix(theta["k"], theta["c"]) * susceptible
    )
    found = {}
    for name in model.clusters:
        inside = np.flatnonzero(cluster == name)
        found[name] = float(np.linalg.eigvals(infects[np.ix_(inside, inside)]).real.max())
    return found


def reproduction(answers: Answers, sizes: Sizes) -> Exhibit:
    """Effective R of each cluster before and after the campaigns."""
    model, posterior = chain(), answers.posterior
    assert posterior is not None
    draws = posterior.samples.iloc[:R_DRAWS].to_dict("records")
    found = {
        when: pd.DataFrame([effective_r(model, theta, campaigns) for theta in draws])
        for when, campaigns in (("before", False), ("after", True))
    }
    ends = {when: table.quantile([0.05, 0.5, 0.95]) for when, table in found.items()}
    told = {when: {name: f"{of.loc[0.5, name]:.1f}" for name in CLUSTERS} for when, of in ends.items()}
    text = (
        f"Before the campaigns one infectious person infects about {told['before']['A']} others in its own cluster. "
        f"Afterwards it is {told['after']['B_far']} in B far, where an outbreak dies out by itself, and "
        f"{told['after']['B_near']} in B near, where it does not. So B far is a fire-break that sparks can jump: C "
        "is in danger where one of the short chains of infections in B far reaches B near, and that is chance."
    )
    rows = []
    for name, label in CLUSTERS.items():
        row = {"cluster": label}
        for when, of in ends.items():
            low, median, high = of[name]
            row[f"{when} the campaigns"] = f"{median:.3f} ({low:.3f} to {high:.3f})"
        rows.append(row | {"an outbreak there": "grows" if ends["after"].loc[0.5, name] > 1 else "dies out"})
    caption = (
        "Infections by one infectious person that stay in its cluster, before and after the campaigns of day 10: "
        "medians over the posterior. Below 1 an outbreak dies out."
    )
    return Exhibit(
        "What the campaigns did to R",
        text,
        {caption: partial(_paint_r, ends=ends)},
        pd.DataFrame(rows),
        "Effective reproduction number within each cluster, median and 90 % interval over the posterior",
    )


def _paint_r(axes: Axes, ends: dict[str, pd.DataFrame]) -> None:
    y = np.arange(len(CLUSTERS))[::-1]
    before, after = (ends[when].loc[0.5, list(CLUSTERS)].to_numpy() for when in ("before", "after"))
    axes.hlines(y, after, before, color=SKY, lw=3, zorder=1)
    axes.plot(before, y, "o", mfc="white", mec=GREY, mew=2, ms=14, label="before the campaigns")
    axes.plot(after, y, "o", color=BLUE, ms=9, label="after")
    axes.axvline(1, color=VERMILLION, ls="--", lw=1.5)
    axes.annotate(
        "dies out below 1",
        (1, -0.5),
        xytext=(4, 3),
        textcoords="offset points",
        color=VERMILLION,
        fontsize=9.5,
    )
    axes.set_yticks(y, list(CLUSTERS.values()))
    axes.set_ylim(-0.6, len(y) - 0.5)
    axes.set_xlim(0)
    axes.set_xlabel("infections by one infectious person (effective R)")
    legend_above(axes)
