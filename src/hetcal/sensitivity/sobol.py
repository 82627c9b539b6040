"""Sobol' indices of a function or an emulator, over the prior or a part of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.emulators.hetgp import HetGP
from hetcal.emulators.stacked import StackedGP
from hetcal.emulators.total import WeightedTotal
from hetcal.parameters import Space
from hetcal.sensitivity.emulated import SeedShare, indices_of_draws, seed_share
from hetcal.sensitivity.jansen import Indices, check_bootstrap, check_varies, check_whole, jansen
from hetcal.sensitivity.posterior_functions import PosteriorFunctions
from hetcal.sensitivity.sampling import cut_ranges, pick_freeze, unit_box

if TYPE_CHECKING:
    import pandas as pd

_DRAWS = 100
SCALES = ("natural", "latent")


@dataclass(frozen=True, repr=False)
class SobolResult:
    """Sobol' indices of one or several outputs.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns parameter, first, first_low, first_high, total, total_low, total_high, a row a parameter;
        where the function has several outputs, a column ``output`` (0, 1, ...) stands in front. Where functions
        were drawn from an emulator, four more: first_emulator_sd, first_sampling_sd, total_emulator_sd and
        total_sampling_sd, the two parts of each index's error; the intervals hold both.
    dummy : pandas.DataFrame or None
        The same columns for a parameter that the function does not have, a row an output, and ``line``: the
        half-width of the dummy's first-order interval. Its true indices are 0, so its estimate shows what
        sampling alone produces, and a first-order index below the line cannot be told from zero at this
        ``n``. The dummy's total is exactly 0, because a total is a sum of squares that vanishes where the
        parameter does nothing; a total below the line is a share that this analysis could not have told from
        zero as a first-order effect.
    n : int
        Rows in each of the two samples.
    evaluations : int
        Function evaluations, n (d + 2).
    scale : str
        Scale of the output that the indices speak of: "natural" or "latent" (an emulator's own numbers).
    level : float
        Level of the intervals.
    bootstrap : int
        Bootstrap resamples behind the intervals.
    draws : int
        Functions drawn from the emulator, 0 where there were none.
    seed_share : SeedShare or None
        The seed's own total index, where functions were drawn: share, low, high, emulator_sd, sampling_sd.
    within : dict
        Ranges to which priors were cut, in natural units, by parameter.
    label : str
        What the intervals hold: "sampling error only", or "emulator and sampling error".

    Examples
    --------
    >>> import hetcal as hc
    >>> space = hc.Space([hc.Parameter("a", hc.uniform(0, 1)), hc.Parameter("b", hc.uniform(0, 1))])
    >>> hc.sobol(lambda x: 3 * x[:, 0] + x[:, 1], space, n=4096, seed=1).evaluations
    16384
    """

    table: pd.DataFrame
    dummy: pd.DataFrame | None
    n: int
    evaluations: int
    scale: str
    level: float
    bootstrap: int
    draws: int
    seed_share: SeedShare | None
    within: dict[str, tuple[float, float]]
    label: str

    def __repr__(self) -> str:
        drawn = f"; {self.draws} functions drawn from the emulator" if self.draws else ""
        text = (
            f"Sobol' indices of the mean response on the {self.scale} scale (Jansen; n = {self.n:,}, "
            f"{self.evaluations:,} evaluations{drawn})\n{self.level:.0%} intervals: {self.label}\n"
        )
        if self.within:
            ranges = (f"{name} {low:.4g} to {high:.4g}" for name, (low, high) in self.within.items())
            text += f"over {', '.join(ranges)}\n"
        text += self.table.round(4).to_string(index=False)
        if self.seed_share is not None:
            share = self.seed_share
            text += f"\nthe seed's own total index: {share.share:.4f} ({share.low:.4f} to {share.high:.4f})"
        if self.dummy is not None:
            lines = ", ".join(f"{line:.4f}" for line in self.dummy["line"])
            text += f"\nindistinguishable from zero below: {lines}"
        return text


def sobol(
    function: Any,
    space: Space,
    n: int = 16_384,
    seed: int = 0,
    bootstrap: int = 1000,
    level: float = 0.95,
    scale: str = "natural",
    dummy: bool = True,
    draws: int | None = None,
    within: Mapping[str, tuple[float, float]] | pd.DataFrame | None = None,
) -> SobolResult:
    """First-order and total Sobol' indices of a function or an emulator over the prior or a part of it.

    The first-order index of a parameter is the share of the output's variance that knowing it would remove on
    average; the total index is the share that would stay if all others were known. Use them to see which
    parameters the data can speak about and which may be fixed. Estimators and sample are those of
    ``soboljansen`` in the R package sensitivity [1]_ [2]_. The two samples are independent random draws, not
    a Sobol' sequence: only then do bootstrap intervals cover what they claim.

    From a `HetGP`, a `StackedGP` or the weighted total of several, whole functions are drawn, each consistent over all
    points: the lengthscales, variance and noise level from their posterior (beyond 600 locations, where they are well
    known, as fitted), then the response given the runs. An index is the mean over these functions, and its error has
    two parts, both in the table: the spread between functions (shrinks with more runs) and the mean bootstrap variance
    (shrinks with larger `n`). The index of the emulator's mean alone would miss what the smooth mean has lost.
    Simulator noise is no error of these indices but a share of its own, ``seed_share``. Adding independent emulator
    noise at each point would be wrong: it inflates totals.

    Indices share out a variance only where inputs are independent. Over a region (the points that are not ruled
    out, a posterior) they are not; ``within`` therefore takes the smallest box around it, on which the priors, cut
    to the box, stay independent. The box is larger than the region: dependence inside of it is left out.

    Parameters
    ----------
    function : callable or emulator
        Maps an (N, d) array in natural units to (N,) or, for several outputs, (N, k). It is called with
        blocks of rows, so each row's answer must not depend on the others. An emulator is anything with
        ``predict``, which is given points of the unit cube; where no functions are drawn the indices are those of
        its ``mean``.
    space : Space
        The d parameters with their priors, taken as independent.
    n : int
        Rows in each of the two samples; the cost is n (d + 2) evaluations.
    seed : int
        At least 0; equal seeds give equal results.
    bootstrap : int
        Resamples for the intervals, for each function where functions are drawn.
    level : float
        Level of the intervals, between 0 and 1.
    scale : {"natural", "latent"}
        For an emulator: the output's own scale, or that of the Gaussian process.
    dummy : bool
        Whether to add a parameter that does nothing, as the line of what is indistinguishable from zero. It
        costs no evaluation.
    draws : int, optional
        Functions drawn from the emulator: 100 for a `HetGP` or a `StackedGP` where nothing is said; ask for them for a
        weighted total, where each of its targets costs as much. With 0 the indices are those of the emulator's mean
        and the intervals hold sampling error only.
    within : mapping or pandas.DataFrame, optional
        Ranges in natural units to which priors are cut: ``{"R0": (2.5, 7.7)}``, or a table with columns parameter,
        low and high, such as ``result.ranges.table``. Parameters that are not named keep their prior.

    Returns
    -------
    SobolResult

    Raises
    ------
    TypeError
        If `function` can be neither called nor asked to predict, or `space` is no Space.
    ValueError
        If an argument is out of range, or the output has the wrong shape, is not finite or is constant.

    References
    ----------
    .. [1] Jansen (1999). Analysis of variance designs for model output. Computer Physics Communications 117.
    .. [2] Saltelli et al. (2010). Variance based sensitivity analysis of model output. Computer Physics
       Communications 181.

    Examples
    --------
    >>> import hetcal as hc
    >>> space = hc.Space([hc.Parameter("a", hc.uniform(0, 1)), hc.Parameter("b", hc.uniform(0, 1))])
    >>> result = hc.sobol(lambda x: 3 * x[:, 0] + x[:, 1], space, n=4096, seed=1)
    >>> result.table["first"].round(1).tolist()    # exactly 0.9 and 0.1
    [0.9, 0.1]

    The error of an emulated index in its two parts, over half of the prior:

    >>> import numpy as np
    >>> x = np.repeat(hc.designs.sobol(space, 30, seed=1).unit, 3, axis=0)
    >>> y = np.random.default_rng(1).normal(3 * x[:, 0] + x[:, 1], 0.3)
    >>> emulator = hc.HetGP(noise="homoskedastic").fit(x, y)
    >>> split = hc.sobol(emulator, space, n=1000, seed=1, draws=40, within={"a": (0.0, 0.5)})
    >>> split.table[["first_emulator_sd", "first_sampling_sd"]].shape, split.label
    ((2, 2), 'emulator and sampling error')
    """
    if not isinstance(space, Space):
        raise TypeError(f"space must be a hetcal.Space, not {type(space).__name__}")
    check_whole("n", n, 2)
    check_bootstrap(bootstrap, level)
    draws = count_draws(function, draws)
    ranges = cut_ranges(within, space)
    evaluate, convert = _response(function, space, scale)
    both = evaluate
    if draws:
        functions = PosteriorFunctions(function, draws, seed)
        evaluate, both = lambda x: functions(x, scale)[0], lambda x: np.hstack(functions(x, scale))
    f_a, f_b, f_ab = pick_freeze(both, evaluate, convert, unit_box(ranges, space), n, seed, dummy)
    names = list(space.names)
    if draws:
        (f_a, noise_a), (f_b, noise_b) = np.hsplit(f_a, 2), np.hsplit(f_b, 2)
    if dummy:
        f_ab[:, -1] = f_a
        names.append("dummy")
    share = None
    if draws:
        check_varies(f_a, f_b, f_ab, several=True)
        indices, spreads = indices_of_draws(f_a, f_b, f_ab, bootstrap, seed, level)
        table = _tidy(names, indices).assign(**spreads._asdict())
        share = seed_share(np.vstack([f_a, f_b]), np.vstack([noise_a, noise_b]), level)
    else:
        table = _tidy(names, jansen(f_a, f_b, f_ab, bootstrap=bootstrap, seed=seed, level=level))
    dummy_rows = None
    if dummy:
        is_dummy = np.arange(len(table)) % len(names) == space.dimension
        dummy_rows = table[is_dummy].reset_index(drop=True)
        dummy_rows["line"] = (dummy_rows["first_high"] - dummy_rows["first_low"]) / 2
        table = table[~is_dummy].reset_index(drop=True)
    return SobolResult(
        table=table,
        dummy=dummy_rows,
        n=n,
        evaluations=n * (space.dimension + 2),
        scale=scale,
        level=level,
        bootstrap=bootstrap,
        draws=draws,
        seed_share=share,
        within=ranges,
        label="emulator and sampling error" if draws else "sampling error only",
    )


def can_draw(function: Any) -> bool:
    """Whether functions can be drawn from an emulator, or from all of a weighted total's."""
    parts = function.emulators.values() if isinstance(function, WeightedTotal) else [function]
    return all(isinstance(part, (HetGP, StackedGP)) for part in parts)


def count_draws(function: Any, draws: int | None) -> int:
    """How many functions to draw."""
    if draws is None:
        return _DRAWS if isinstance(function, (HetGP, StackedGP)) else 0
    check_whole("draws", draws, 0)
    if draws == 1:
        raise ValueError("draws=1 shows no spread between functions: take 0 for none, or better 100")
    if draws and not can_draw(function):
        raise ValueError(
            f"draws={draws} needs a HetGP, a StackedGP or a weighted total of them, from which functions can be drawn, "
            f"not {type(function).__name__}"
        )
    return draws


def _response(
    function: Any, space: Space, scale: str
) -> tuple[Callable[[np.ndarray], Any], Callable[[np.ndarray], np.ndarray]]:
    """How to evaluate, and how unit-cube draws become what is evaluated."""
    if scale not in SCALES:
        raise ValueError(f"unknown scale {scale!r}: choose one of {', '.join(SCALES)}")
    if hasattr(function, "predict"):
        return lambda x: function.predict(x, scale=scale).mean, np.ascontiguousarray
    if not callable(function):
        raise TypeError(
            f"sobol needs a function of an (N, {space.dimension}) array in natural units or a fitted "
            f"emulator with predict, not {type(function).__name__}"
        )
    if scale != "natural":
        raise ValueError(f"scale={scale!r} belongs to emulators: a plain function has only its natural scale")
    return function, space.from_unit


def _tidy(names: list[str], indices: Indices) -> pd.DataFrame:
    """One row a parameter, output by output."""
    import pandas as pd

    if indices.first.ndim == 1:
        return pd.DataFrame({"parameter": names, **indices._asdict()})
    outputs = indices.first.shape[1]
    table = pd.DataFrame({"parameter": names * outputs})
    for name, values in indices._asdict().items():
        table[name] = values.T.ravel()
    table.insert(0, "output", np.repeat(np.arange(outputs), len(names)))
    return table
