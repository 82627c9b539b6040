"""Sobol' indices of every loss and of their weighted total, from one sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hetcal.emulators.total import WeightedTotal
from hetcal.parameters import Space
from hetcal.sensitivity.emulated import SeedShare, Spreads, indices_of_draws, seed_share
from hetcal.sensitivity.jansen import check_bootstrap, check_varies, check_whole, jansen
from hetcal.sensitivity.posterior_functions import PosteriorFunctions
from hetcal.sensitivity.sampling import cut_ranges, pick_freeze, unit_box
from hetcal.sensitivity.sobol import SCALES, SobolResult, can_draw, count_draws

if TYPE_CHECKING:
    import pandas as pd

TOTAL, SEED = "total", "seed"
_DRAWS = 40


@dataclass(frozen=True, eq=False, repr=False)
class SobolByLoss:
    """Sobol' indices of several losses and of their weighted total F.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a loss and parameter: loss (a target's name; "total" is F), parameter, first, first_low, first_high,
        total, total_low, total_high, and the two parts of each index's error: first_emulator_sd, first_sampling_sd,
        total_emulator_sd, total_sampling_sd (NaN where no functions were drawn and the intervals hold sampling error
        only). The row of parameter "seed" is the random seed's own total index, the share of a single run's variance
        that stays when all parameters are known; it has no first-order index.
    dummy : pandas.DataFrame
        The same columns for a parameter that no loss has, a row a loss, and ``line``, see `SobolResult`: a first-order
        index below it cannot be told from zero at this `n`.
    n : int
        Rows in each of the two samples.
    scale : str
        "natural", or "latent": the emulators' own, most often a logarithm.
    level : float
        Level of the intervals.
    bootstrap : int
        Resamples behind them.
    draws : int
        Functions drawn from the emulators, 0 where there were none.
    within : dict
        Ranges to which priors were cut.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> space = hc.Space([hc.Parameter("a", hc.uniform(0, 1)), hc.Parameter("b", hc.uniform(0, 1))])
    >>> x = np.repeat(hc.designs.sobol(space, 30, seed=1).unit, 3, axis=0)
    >>> rng = np.random.default_rng(1)
    >>> parts = {name: hc.HetGP(noise="homoskedastic").fit(x, rng.normal(x @ w, 0.1))
    ...          for name, w in {"cases": [3, 1], "deaths": [0, 2]}.items()}
    >>> from hetcal.emulators.total import WeightedTotal
    >>> indices = hc.sobol_by_loss(WeightedTotal(parts, {"cases": 1.0, "deaths": 0.5}), space, n=500, draws=4)
    >>> indices.totals.shape, list(indices.totals.columns)
    ((3, 3), ['cases', 'deaths', 'total'])
    """

    table: pd.DataFrame
    dummy: pd.DataFrame
    n: int
    scale: str
    level: float
    bootstrap: int
    draws: int
    within: dict[str, tuple[float, float]]

    @property
    def totals(self) -> pd.DataFrame:
        """Total indices, a row a parameter (the last is the seed's) and a column a loss."""
        wide = self.table.pivot(index="parameter", columns="loss", values="total")
        return wide.loc[self.table["parameter"].unique(), self.table["loss"].unique()]

    def of(self, loss: str) -> SobolResult:
        """The indices of one loss, or of the "total", as `sobol` gives them."""
        rows = self.table[self.table["loss"] == loss].drop(columns="loss")
        if not len(rows):
            raise ValueError(f"no loss {loss!r}: there are {', '.join(self.table['loss'].unique())}")
        line = self.dummy[self.dummy["loss"] == loss].drop(columns="loss")
        shown, seed = rows.iloc[:-1], rows.iloc[-1]
        kept = rows.columns if self.draws else rows.columns.difference(Spreads._fields, sort=False)
        share = SeedShare(*seed[["total", "total_low", "total_high", *Spreads._fields[2:]]])
        return SobolResult(
            table=shown[kept].reset_index(drop=True),
            dummy=line[[*kept, "line"]].reset_index(drop=True),
            n=self.n,
            evaluations=self.n * (len(shown) + 2),
            scale=self.scale,
            level=self.level,
            bootstrap=self.bootstrap,
            draws=self.draws,
            seed_share=share if self.draws else None,
            within=self.within,
            label="emulator and sampling error" if self.draws else "sampling error only",
        )

    def __repr__(self) -> str:
        drawn = (
            f"{self.draws} functions drawn from the emulators" if self.draws else "of the emulators' means"
        )
        text = (
            f"Total Sobol' indices of each loss and of their weighted total, {self.scale} scale (Jansen; "
            f"n = {self.n:,}; {drawn})\n"
        )
        if self.within:
            ranges = (f"{name} {low:.4g} to {high:.4g}" for name, (low, high) in self.within.items())
            text += f"over {', '.join(ranges)}\n"
        return text + self.totals.round(3).to_string()


def sobol_by_loss(
    total: WeightedTotal,
    space: Space,
    n: int = 2_000,
    seed: int = 0,
    bootstrap: int = 1000,
    level: float = 0.95,
    scale: str = "natural",
    draws: int | None = None,
    within: Mapping[str, tuple[float, float]] | pd.DataFrame | None = None,
) -> SobolByLoss:
    """First-order and total Sobol' indices of each emulated loss and of their weighted total.

    Use it after a calibration with several targets, to see which loss tells of which parameter. All losses see the
    same sample and, where functions are drawn, the same draws, so they can be compared, and all together cost what
    `sobol` costs for the total; its numbers for the total are the same.

    Parameters
    ----------
    total : WeightedTotal
        ``result.emulator`` of a calibration.
    space : Space
        The d parameters with their priors.
    n : int
        Rows in each of the two samples; the cost is n (d + 2) evaluations of every emulator.
    seed : int
    bootstrap : int
        Resamples for the sampling error.
    level : float
        Level of the intervals.
    scale : {"natural", "latent"}
        The losses' own scale, or that of the Gaussian processes.
    draws : int, optional
        Functions drawn from the emulators, see `sobol`: 40 where each is a `HetGP` or a `StackedGP`, none otherwise.
    within : mapping or pandas.DataFrame, optional
        Ranges in natural units to which priors are cut, see `sobol`.

    Returns
    -------
    SobolByLoss

    Raises
    ------
    TypeError
        If `total` is no weighted total of emulators, or `space` no Space.
    ValueError
        If an argument is out of range, or a loss does not vary.

    References
    ----------
    Jansen (1999), Computer Physics Communications 117; Saltelli et al. (2010), ibid. 181.

    Examples
    --------
    >>> import hetcal as hc
    >>> problem = hc.studies.flu1978.study().problem
    >>> result = hc.BayesianCalibration(problem, initial=20, batch=2, rounds=1).run(seed=1)
    >>> hc.sobol_by_loss(result.emulator, problem.space, n=500, draws=4).table.columns[:3].tolist()
    ['loss', 'parameter', 'first']
    """
    if not isinstance(total, WeightedTotal):
        raise TypeError(
            f"sobol_by_loss takes a weighted total such as result.emulator, not {type(total).__name__}: for one "
            "emulator or function use hetcal.sobol"
        )
    if not isinstance(space, Space):
        raise TypeError(f"space must be a hetcal.Space, not {type(space).__name__}")
    if scale not in SCALES:
        raise ValueError(f"unknown scale {scale!r}: choose one of {', '.join(SCALES)}")
    check_whole("n", n, 2)
    check_bootstrap(bootstrap, level)
    draws = count_draws(total, _DRAWS if draws is None and can_draw(total) else draws)
    ranges = cut_ranges(within, space)
    names = [*total.emulators, TOTAL]
    latent_of = PosteriorFunctions(total, draws, seed).latent if draws else total.latent

    def respond(x: np.ndarray) -> np.ndarray:
        """Mean and noise variance, (m, 2 x losses x draws)."""
        return _responses(total, latent_of(x), scale).reshape(2, len(names), len(x), -1)

    def flat(values: np.ndarray) -> np.ndarray:
        return np.moveaxis(values, -2, 0).reshape(values.shape[-2], -1)

    f_a, f_b, f_ab = pick_freeze(
        lambda x: flat(respond(x)),
        lambda x: flat(respond(x)[0]),
        np.ascontiguousarray,
        unit_box(ranges, space),
        n,
        seed,
        spare=True,
    )
    (f_a, noise_a), (f_b, noise_b) = (f.reshape(n, 2, len(names), -1).swapaxes(0, 1) for f in (f_a, f_b))
    f_ab = f_ab.reshape(n, -1, *f_a.shape[1:])
    f_ab[:, -1] = f_a
    import pandas as pd

    rows, dummies = [], []
    for j, name in enumerate(names):
        _check(name, f_a[:, j], f_b[:, j], f_ab[:, :, j])
        frame = _indices(f_a[:, j], f_b[:, j], f_ab[:, :, j], bootstrap, seed, level)
        frame.insert(0, "loss", name)
        frame.insert(1, "parameter", [*space.names, "dummy"])
        noise = np.vstack([noise_a[:, j], noise_b[:, j]])
        share = seed_share(np.vstack([f_a[:, j], f_b[:, j]]), noise, level)
        own = pd.DataFrame([share], columns=["total", "total_low", "total_high", *Spreads._fields[2:]])
        rows += [frame[:-1], own.assign(loss=name, parameter=SEED)]
        dummies.append(frame[-1:].assign(line=lambda f: (f["first_high"] - f["first_low"]) / 2))
    return SobolByLoss(
        table=pd.concat(rows, ignore_index=True),
        dummy=pd.concat(dummies, ignore_index=True),
        n=n,
        scale=scale,
        level=level,
        bootstrap=bootstrap,
        draws=draws,
        within=ranges,
    )


def _responses(total: WeightedTotal, latent: np.ndarray, scale: str) -> np.ndarray:
    """Mean and noise variance of each loss and of the total, (2, losses + 1, points), from latent (k, 3, points)."""
    own = latent
    if scale == "natural":
        own = np.array([t.moments(*part) for t, part in zip(total.transforms, latent, strict=True)])
    weighted = total.on_scale(latent, scale)
    return np.stack([np.vstack([own[:, 0], weighted.mean]), np.vstack([own[:, 2], weighted.noise_var])])


def _check(name: str, f_a: np.ndarray, f_b: np.ndarray, f_ab: np.ndarray) -> None:
    try:
        check_varies(f_a, f_b, f_ab, several=True)
    except ValueError as error:
        raise ValueError(f"loss {name!r}: {error}") from error


def _indices(
    f_a: np.ndarray, f_b: np.ndarray, f_ab: np.ndarray, bootstrap: int, seed: int, level: float
) -> pd.DataFrame:
    """Indices of one loss from its functions (n, draws), the dummy's in the last row."""
    import pandas as pd

    if f_a.shape[1] > 1:
        indices, spreads = indices_of_draws(f_a, f_b, f_ab, bootstrap, seed, level)
    else:
        indices = jansen(f_a[:, 0], f_b[:, 0], f_ab[:, :, 0], bootstrap=bootstrap, seed=seed, level=level)
        spreads = Spreads(*np.full((4, f_ab.shape[1]), np.nan))
    return pd.DataFrame(indices._asdict() | spreads._asdict())
