"""Acquisition: which points to simulate next.

Every criterion is a score, lower is better. A batch is picked one by one; after each pick the emulators are
told that the point will be run (its mean does not move, its uncertainty shrinks around it), so that the points
of a batch do not crowd (GP-BUCB, Desautels, Krause and Burdick 2014).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from scipy import stats

from hetcal.emulators.gaussian_process import GaussianProcess, block_rows, in_blocks
from hetcal.emulators.total import Moments, WeightedTotal
from hetcal.emulators.transforms import Log
from hetcal.threads import one_blas_thread

# Candidates that a batch is picked from, as a multiple of its size; doubled until the picks are exact.
_SHORTLIST = 8

# Locations whose variance bounds the variance given all.
_FEW = 96


class Acquisition(Protocol):
    """Chooses the next batch.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> class AtRandom:
    ...     def choose(self, total, candidates, batch, replicates, seed=0):
    ...         return np.random.default_rng(seed).choice(len(candidates), batch, replace=False)
    ...
    >>> method = hc.BayesianCalibration(hc.studies.flu1978.study().problem, acquisition=AtRandom())
    """

    def choose(
        self, total: WeightedTotal, candidates: np.ndarray, batch: int, replicates: int, seed: int = 0
    ) -> np.ndarray:
        """Rows of ``candidates`` (m, d), unit cube, to be run with that many replicates; (batch,), distinct."""


def brochu_kappa(t: int, d: int, delta: float = 0.1, nu: float = 1.0) -> float:
    """Width of the confidence bound that grows with the number of locations.

    Parameters
    ----------
    t : int
        Unique evaluated locations.
    d : int
        Parameters.
    delta : float
        Probability in (0, 1) that the bound fails somewhere.
    nu : float
        Factor on the squared width.

    Returns
    -------
    float
        sqrt(nu tau), tau = 2 log(t^(d/2+2) pi^2 / (3 delta)).

    References
    ----------
    Brochu, Cora and de Freitas (2010), after Srinivas et al. (2010); constants as in the code of Reiker et al. (2021).

    Examples
    --------
    >>> from hetcal.acquisition import brochu_kappa
    >>> round(brochu_kappa(900, 23), 2)
    13.81
    """
    if t < 1 or d < 1 or not 0 < delta < 1 or nu <= 0:
        raise ValueError(
            f"the schedule needs t, d >= 1, 0 < delta < 1, nu > 0, not t={t}, d={d}, {delta=}, {nu=}"
        )
    return math.sqrt(nu * 2.0 * ((d / 2 + 2) * math.log(t) + math.log(math.pi**2 / (3 * delta))))


@dataclass(frozen=True)
class LCB:
    """Lower confidence bound: go where the loss could still be low.

    The default for calibration. On losses that are emulated on the log scale the bound is a lower *quantile* of
    the total; the published difference mean - kappa sd on the loss's scale falls as the mean grows, where the
    emulator is unsure, and then picks bad points.

    Parameters
    ----------
    kappa : float or "brochu"
        Width of the bound in standard deviations of the mean; "brochu" lets it grow with the number of locations.
    form : {"quantile", "joint", "marginal"}
        "quantile": exp(m - kappa s) of a lognormal matched to the total's epistemic moments. "joint" and "marginal"
        are the published forms: mean - kappa sd of the total, and the sum over targets of
        weight x exp(mean - kappa (mean_var + noise_var)) on the latent scale.
    delta, nu : float
        Of the schedule, see `brochu_kappa`.
    t, d : int, optional
        Of the schedule; number of locations and of parameters where not given.

    References
    ----------
    Cox and John (1997); Srinivas et al. (2010); Reiker et al. (2021).

    Examples
    --------
    >>> import hetcal as hc
    >>> hc.LCB(kappa=3.0)
    LCB(kappa=3.0, form='quantile', delta=0.1, nu=1.0, t=None, d=None)
    """

    kappa: float | str = 2.0
    form: str = "quantile"
    delta: float = 0.1
    nu: float = 1.0
    t: int | None = None
    d: int | None = None

    def __post_init__(self) -> None:
        if self.form not in ("quantile", "joint", "marginal"):
            raise ValueError(f"form is quantile, joint or marginal, not {self.form!r}")
        number = isinstance(self.kappa, (int, float, np.number)) and 0 <= self.kappa < math.inf
        if not number and self.kappa != "brochu":
            raise ValueError(f'kappa is a finite number of at least 0 or "brochu", not {self.kappa!r}')
        self._brochu(1, 1)

    def _brochu(self, t: int, d: int) -> float:
        """The schedule's width, for t locations and d parameters where none are given."""
        t, d = t if self.t is None else self.t, d if self.d is None else self.d
        return brochu_kappa(t, d, self.delta, self.nu)

    def width(self, total: WeightedTotal) -> float:
        """The kappa in use for these emulators."""
        if isinstance(self.kappa, str):
            return self._brochu(len(total.locations), total.dimension)
        return float(self.kappa)

    def score(self, total: WeightedTotal, latent: np.ndarray) -> np.ndarray:
        """Score of points from their latent numbers (k, 3, m); lower is better."""
        kappa = self.width(total)
        if self.form == "joint":
            prediction = total.combine(latent, independent=True)
            return prediction.mean - kappa * np.sqrt(prediction.mean_var)
        if self.form == "marginal":
            _check_logs(total)
            weights = np.array([total.weights[name] for name in total.emulators])
            return weights @ np.exp(latent[:, 0] - kappa * (latent[:, 1] + latent[:, 2]))
        moments = total.moments(latent)
        return moments.centre - kappa * moments.spread

    def choose(
        self, total: WeightedTotal, candidates: np.ndarray, batch: int, replicates: int, seed: int = 0
    ) -> np.ndarray:
        """See `Acquisition.choose`."""
        return _choose_batch(self, total, candidates, batch, replicates)

    def shortlist(self, total: WeightedTotal, candidates: np.ndarray, size: int) -> tuple[np.ndarray, float]:
        """Rows of the ``size`` best candidates and the worst score among them."""
        if self.form == "quantile" and _can_prune(total):
            return _prune(self, total, candidates, size)
        return _lowest(self.score(total, total.latent(candidates)), size)


@dataclass(frozen=True)
class EI:
    """Expected improvement of the mean loss over the best location so far.

    For pure minimisation with small batches: it explores less than `LCB` once a good point is known.

    References
    ----------
    Jones, Schonlau and Welch (1998).

    Examples
    --------
    >>> import hetcal as hc
    >>> hc.EI()
    EI()
    """

    def score(self, total: WeightedTotal, latent: np.ndarray) -> np.ndarray:
        """Minus the expected improvement, on the scale of the total's moments."""
        best = total.lowest_centre
        moments: Moments = total.moments(latent)
        spread = np.maximum(moments.spread, 1e-12)
        z = (best - moments.centre) / spread
        return -spread * (z * stats.norm.cdf(z) + stats.norm.pdf(z))

    def choose(
        self, total: WeightedTotal, candidates: np.ndarray, batch: int, replicates: int, seed: int = 0
    ) -> np.ndarray:
        """See `Acquisition.choose`."""
        return _choose_batch(self, total, candidates, batch, replicates)

    def shortlist(self, total: WeightedTotal, candidates: np.ndarray, size: int) -> tuple[np.ndarray, float]:
        """Rows of the ``size`` best candidates and the worst score among them."""
        if _can_prune(total):
            return _prune(self, total, candidates, size)
        return _lowest(self.score(total, total.latent(candidates)), size)


@dataclass(frozen=True)
class Thompson:
    """Thompson draws: each point of the batch minimises one joint draw of the mean loss.

    For large batches; diversity comes from the draws.

    Parameters
    ----------
    points : int
        Candidates kept for the joint draws, those with the lowest bound at kappa 2.

    References
    ----------
    Thompson (1933); Kandasamy et al. (2018) for batches.

    Examples
    --------
    >>> import hetcal as hc
    >>> hc.Thompson()
    Thompson(points=2000)
    """

    points: int = 2000

    def choose(
        self, total: WeightedTotal, candidates: np.ndarray, batch: int, replicates: int, seed: int = 0
    ) -> np.ndarray:
        """See `Acquisition.choose`."""
        _check_enough(candidates, batch)
        score = LCB().score(total, total.latent(candidates))
        kept = np.argsort(score, kind="stable")[: max(self.points, batch)]
        draws = total.sample(candidates[kept], batch, seed)
        chosen: list[int] = []
        for draw in draws:
            draw[chosen] = np.inf
            chosen.append(int(np.argmin(draw)))
        return kept[chosen]


def _prune(
    acquisition: Any, total: WeightedTotal, candidates: np.ndarray, size: int
) -> tuple[np.ndarray, float]:
    """The ``size`` candidates with the lowest scores, and the highest score among them, without scoring all.

    Means are cheap and variances dear, so candidates are first ranked by an optimistic score, with the variance given
    a few locations only (never smaller) and no noise; exact scores are made in that order until no candidate left can
    enter. For one target the answer is that of scoring all. For several the shares of the targets in the total move a
    little with their variances and noise, and the optimistic score is a bound but for that.
    """
    optimistic = acquisition.score(total, _optimistic(total, candidates))
    order = np.argsort(optimistic, kind="stable")
    scores = np.empty(0)
    done, step = 0, max(4 * size, 4096)
    while done < len(order):
        part = order[done : done + step]
        scores = np.append(scores, acquisition.score(total, total.latent(candidates[part])))
        done += len(part)
        if done >= size and done < len(order):
            if np.partition(scores, size - 1)[size - 1] <= optimistic[order[done]]:
                break
    kept = np.argsort(scores, kind="stable")[:size]
    return order[kept], float(scores[kept[-1]]) if size < len(order) else math.inf


def _can_prune(total: WeightedTotal) -> bool:
    """Whether every target is emulated by a Gaussian process over the parameters themselves."""
    return all(isinstance(emulator.process, GaussianProcess) for emulator in total.emulators.values())


def _optimistic(total: WeightedTotal, candidates: np.ndarray) -> np.ndarray:
    """Latent means, variances of the mean given a few locations only, and no noise: (k, 3, m)."""
    latent = np.zeros((len(total.emulators), 3, len(candidates)))
    for (mean, mean_var, _), emulator in zip(latent, total.emulators.values(), strict=True):
        gp: GaussianProcess = emulator.process
        few = slice(0, min(len(gp.Z), _FEW))
        coarse = replace(gp, X=gp.X[few], Z=gp.Z[few], nugget=gp.nugget[few])
        gp.prepare(variance=False)
        coarse.prepare()

        def fill(rows: slice) -> None:
            k = gp.correlate(candidates[rows])
            mean[rows] = gp.trend + k @ gp.weights
            mean_var[rows] = coarse.variance_from(np.ascontiguousarray(k[:, few]))

        in_blocks(fill, len(candidates), block_rows(len(gp.Z)))
    return latent


class _Believer:
    """What the emulators would be unsure of once the picked points were run; means stay as they are."""

    def __init__(self, total: WeightedTotal, X: np.ndarray, replicates: int, batch: int) -> None:
        self.X, self.replicates = X, replicates
        self.latent = total.latent(X)
        self.processes: list[GaussianProcess] = [e.process for e in total.emulators.values()]
        self.white = [process.whiten(X) for process in self.processes]
        self.steps = np.zeros((len(self.processes), batch, len(X)))
        self.picked = 0

    def pick(self, j: int) -> None:
        """Condition on replicates at point j."""
        for i, process in enumerate(self.processes):
            before = self.steps[i, : self.picked]
            between = process.covariance_to(self.X, self.white[i], j) - before[:, j] @ before
            noise = self.latent[i, 2, j] / self.replicates
            step = between / math.sqrt(max(between[j], 0.0) + noise + 1e-12 * process.scale)
            self.steps[i, self.picked] = step
            self.latent[i, 1] = np.maximum(self.latent[i, 1] - step**2, 0.0)
        self.picked += 1


@one_blas_thread
def _choose_batch(
    acquisition: Any, total: WeightedTotal, candidates: np.ndarray, batch: int, replicates: int
) -> np.ndarray:
    """Greedy batch with hallucinated updates, from a shortlist that grows until the picks are exact.

    For one target a bound only rises as uncertainty shrinks, so a pick is exact while it scores below everything left
    out. For several the centre of the total can fall a little as well, and a pick is the best of the shortlist.
    """
    _check_enough(candidates, batch)
    size = min(_SHORTLIST * batch, len(candidates))
    while True:
        shortlist, threshold = acquisition.shortlist(total, candidates, size)
        believer = _Believer(total, candidates[shortlist], replicates, batch)
        chosen: list[int] = []
        for _ in range(batch):
            score = acquisition.score(total, believer.latent)
            score[chosen] = np.inf
            j = int(np.argmin(score))
            if score[j] > threshold:
                break
            chosen.append(j)
            believer.pick(j)
        if len(chosen) == batch:
            return shortlist[chosen]
        size = min(2 * size, len(candidates))


def _check_logs(total: WeightedTotal) -> None:
    for name, transform in zip(total.emulators, total.transforms, strict=True):
        if not isinstance(transform, Log):
            raise ValueError(
                f'LCB(form="marginal") is for losses that are emulated on a log scale, and that of {name!r} is not: '
                'give its target or emulator transform="log", or take another form'
            )


def _check_enough(candidates: np.ndarray, batch: int) -> None:
    if len(candidates) < batch:
        raise ValueError(f"{len(candidates)} candidates are too few for a batch of {batch}: raise candidates")


def _lowest(score: np.ndarray, size: int) -> tuple[np.ndarray, float]:
    """Rows of the ``size`` lowest scores in order, and the highest score among them (inf where all are kept)."""
    kept = np.argsort(score, kind="stable")[:size]
    return kept, float(score[kept[-1]]) if size < len(score) else math.inf
