"""Sobol' indices by Jansen's estimators, with bootstrap intervals whose coverage is tested.

The bootstrap of all indices at once is one matrix product: each resample is a vector of counts (how often a
row was drawn), and every sum that the estimators need is those counts times the rows' squared differences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numba
import numpy as np

from hetcal.parameters import Space
from hetcal.streams import generator

if TYPE_CHECKING:
    import pandas as pd

_BLOCK_ROWS = 16_384  # points that the function sees at once
_BLOCK_COUNTS = 2**21  # bootstrap counts held at once: 16 MiB
_SCALES = ("natural", "latent")


class Indices(NamedTuple):
    """Indices of d parameters with bootstrap intervals; each of shape (d,), or (d, k) for k outputs.

    Examples
    --------
    >>> import numpy as np
    >>> from hetcal.sensitivity import jansen
    >>> a, b = np.random.default_rng(0).random((2, 1000, 2))
    >>> mixed = np.column_stack([b[:, 0] + a[:, 1], a[:, 0] + b[:, 1]])
    >>> jansen(a.sum(axis=1), b.sum(axis=1), mixed).total.round(1)
    array([0.5, 0.5])
    """

    first: np.ndarray
    first_low: np.ndarray
    first_high: np.ndarray
    total: np.ndarray
    total_low: np.ndarray
    total_high: np.ndarray


@dataclass(frozen=True, repr=False)
class SobolResult:
    """Sobol' indices of one or several outputs.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns parameter, first, first_low, first_high, total, total_low, total_high, a row a parameter;
        where the function has several outputs, a column ``output`` (0, 1, ...) stands in front.
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
    label : str
        What the intervals hold: "sampling error only", not an emulator's own error.

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
    label: str = "sampling error only"

    def __repr__(self) -> str:
        text = (
            f"Sobol' indices of the mean response on the {self.scale} scale (Jansen; n = {self.n:,}, "
            f"{self.evaluations:,} evaluations)\n{self.level:.0%} bootstrap intervals: {self.label}\n"
            + self.table.round(4).to_string(index=False)
        )
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
) -> SobolResult:
    """First-order and total Sobol' indices of a function or an emulator over the prior.

    The first-order index of a parameter is the share of the output's variance that knowing it would remove on
    average; the total index is the share that would stay if all others were known. Use them to see which
    parameters the data can speak about and which may be fixed. Estimators and sample are those of
    ``soboljansen`` in the R package sensitivity [1]_ [2]_. The two samples are independent random draws, not
    a Sobol' sequence: only then do bootstrap intervals cover what they claim.

    Parameters
    ----------
    function : callable or emulator
        Maps an (N, d) array in natural units to (N,) or, for several outputs, (N, k). It is called with
        blocks of rows, so each row's answer must not depend on the others. An emulator is anything with
        ``predict``, which is given points of the unit cube; the indices are those of its ``mean``.
    space : Space
        The d parameters with their priors, taken as independent.
    n : int
        Rows in each of the two samples; the cost is n (d + 2) evaluations.
    seed : int
        At least 0; equal seeds give equal results.
    bootstrap : int
        Resamples for the intervals.
    level : float
        Level of the intervals, between 0 and 1.
    scale : {"natural", "latent"}
        For an emulator: the output's own scale, or that of the Gaussian process.
    dummy : bool
        Whether to add a parameter that does nothing, as the line of what is indistinguishable from zero. It
        costs no evaluation.

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
    """
    if not isinstance(space, Space):
        raise TypeError(f"space must be a hetcal.Space, not {type(space).__name__}")
    _check_whole("n", n, 2)
    _check_bootstrap(bootstrap, level)
    evaluate, convert = _response(function, space, scale)
    random = generator(seed, "sensitivity")
    x_a = convert(random.random((n, space.dimension)))
    x_b = convert(random.random((n, space.dimension)))
    names = list(space.names)
    f_a = _evaluate(evaluate, x_a)
    f_b = _evaluate(evaluate, x_b)
    f_ab = np.empty((n, space.dimension + dummy) + f_a.shape[1:])
    for i in range(space.dimension):
        own = x_a[:, i].copy()
        x_a[:, i] = x_b[:, i]
        f_ab[:, i] = _evaluate(evaluate, x_a)
        x_a[:, i] = own
    if dummy:
        f_ab[:, -1] = f_a
        names.append("dummy")
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
    )


def jansen(
    f_a: Any, f_b: Any, f_ab: Any, bootstrap: int = 1000, seed: int = 0, level: float = 0.95
) -> Indices:
    """Jansen's first-order and total indices from evaluations that are already there.

    With V the variance of f(A),

        S_i = 1 - sum (f(B) - f(AB_i))^2 / ((2n - 1) V),    T_i = sum (f(A) - f(AB_i))^2 / ((2n - 1) V),

    as ``soboljansen`` of the R package sensitivity, with "basic" bootstrap intervals over rows. hetcal's R
    package has the same estimators as ``jansen()``.

    Parameters
    ----------
    f_a, f_b : array
        The output on the independent samples A and B, shape (n,) or (n, k).
    f_ab : array
        The output on A with column i taken from B, shape (n, d) or (n, d, k).
    bootstrap : int
        Resamples for the intervals; all outputs share them.
    seed : int
        Seed of the resamples, at least 0.
    level : float
        Level of the intervals, between 0 and 1.

    Returns
    -------
    Indices
        Arrays of shape (d,) or (d, k).

    Raises
    ------
    ValueError
        If shapes do not fit together, or an output is not finite or constant.

    Examples
    --------
    >>> import numpy as np
    >>> from hetcal.sensitivity import jansen
    >>> a, b = np.random.default_rng(0).random((2, 1000, 2))
    >>> mixed = np.column_stack([b[:, 0] + a[:, 1], a[:, 0] + b[:, 1]])
    >>> jansen(a.sum(axis=1), b.sum(axis=1), mixed).first.shape
    (2,)
    """
    _check_bootstrap(bootstrap, level)
    f_a, f_b, f_ab = (np.asarray(f, dtype=float) for f in (f_a, f_b, f_ab))
    if f_a.ndim not in (1, 2) or f_b.shape != f_a.shape:
        raise ValueError(f"f_a and f_b need one shape, (n,) or (n, k), not {f_a.shape} and {f_b.shape}")
    if f_ab.ndim != f_a.ndim + 1 or f_ab.shape[:1] + f_ab.shape[2:] != f_a.shape:
        raise ValueError(f"f_ab needs the shape of f_a, {f_a.shape}, with d after n, not {f_ab.shape}")
    several = f_a.ndim == 2
    if not several:
        f_a, f_b, f_ab = f_a[:, None], f_b[:, None], f_ab[:, :, None]
    _check_varies(f_a, f_b, f_ab, several)

    n, d, k = f_ab.shape
    terms = _terms(f_a, f_b, f_ab)
    estimate = _indices(terms.sum(axis=0), n)
    resampled = np.empty((bootstrap, k, 2 * d))
    flat = terms.reshape(n, -1)
    for rows, counts in _resamples(n, bootstrap, generator(seed, "bootstrap")):
        resampled[rows] = _indices((counts @ flat).reshape(-1, *terms.shape[1:]), n)
    if not np.all(np.isfinite(resampled)):
        raise ValueError(
            f"the output differs in so few of the n = {n} rows that some resamples are constant: raise n, or "
            "transform the output"
        )
    # The "basic" interval, at the order statistics that R's boot.ci takes.
    tail = (1 - level) / 2
    below, above = np.quantile(resampled, [tail, 1 - tail], axis=0, method="weibull")
    columns = []
    for kind in (slice(0, d), slice(d, None)):
        for values in (estimate, 2 * estimate - above, 2 * estimate - below):
            columns.append(values[:, kind].T if several else values[0, kind])
    return Indices(*columns)


def _terms(f_a: np.ndarray, f_b: np.ndarray, f_ab: np.ndarray) -> np.ndarray:
    """What the estimators sum over rows, (n, k, 2 + 2d); centred, so that the variance loses no digits."""
    n, d, k = f_ab.shape
    f_ab = f_ab.transpose(0, 2, 1)
    terms = np.empty((n, k, 2 + 2 * d))
    terms[:, :, 0] = f_a - f_a.mean(axis=0)
    np.subtract(f_b[:, :, None], f_ab, out=terms[:, :, 2 : 2 + d])
    np.subtract(f_a[:, :, None], f_ab, out=terms[:, :, 2 + d :])
    terms[:, :, 1] = terms[:, :, 0]
    np.square(terms[:, :, 1:], out=terms[:, :, 1:])
    return terms


def _indices(sums: np.ndarray, n: int) -> np.ndarray:
    """First-order then total indices, (..., 2d), from sums of terms, (..., 2 + 2d); NaN where V is 0."""
    d = sums.shape[-1] // 2 - 1
    variance = (sums[..., 1] - sums[..., 0] ** 2 / n) / (n - 1)
    shares = sums[..., 2:] / ((2 * n - 1) * np.where(variance > 0, variance, np.nan)[..., None])
    shares[..., :d] = 1 - shares[..., :d]
    return shares


def _resamples(n: int, bootstrap: int, random: np.random.Generator) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of resamples as counts of the n rows, (block, n)."""
    block = min(bootstrap, max(16, _BLOCK_COUNTS // n))
    counts = np.empty((block, n))
    for start in range(0, bootstrap, block):
        part = counts[: bootstrap - start]
        _tally(random.integers(0, n, size=part.shape, dtype=np.uint32), part)
        yield slice(start, start + len(part)), part


@numba.njit(cache=True)
def _tally(drawn: np.ndarray, counts: np.ndarray) -> None:
    """Count in each row of ``counts`` how often ``drawn`` names each column."""
    counts[:] = 0.0
    for resample in range(drawn.shape[0]):
        for i in range(drawn.shape[1]):
            counts[resample, drawn[resample, i]] += 1.0


def _response(
    function: Any, space: Space, scale: str
) -> tuple[Callable[[np.ndarray], Any], Callable[[np.ndarray], np.ndarray]]:
    """How to evaluate, and how unit-cube draws become what is evaluated."""
    if scale not in _SCALES:
        raise ValueError(f"unknown scale {scale!r}: choose one of {', '.join(_SCALES)}")
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


def _evaluate(evaluate: Callable[[np.ndarray], Any], x: np.ndarray) -> np.ndarray:
    """The output at every row, (n,) or (n, k), block by block."""
    blocks = []
    for start in range(0, len(x), _BLOCK_ROWS):
        rows = x[start : start + _BLOCK_ROWS].copy()  # a function may work on its argument in place
        values = np.asarray(evaluate(rows), dtype=float)
        if values.ndim not in (1, 2) or len(values) != len(rows) or values.shape[1:] == (0,):
            raise ValueError(
                f"for an array of shape {rows.shape} the function must return ({len(rows)},) or "
                f"({len(rows)}, outputs), not shape {values.shape}"
            )
        bad = ~np.isfinite(values.reshape(len(rows), -1)).all(axis=1)
        if bad.any():
            point = ", ".join(f"{v:.6g}" for v in x[start : start + _BLOCK_ROWS][bad][0])
            raise ValueError(
                f"the function returned a value that is not finite for {bad.sum()} of {len(rows)} points, "
                f"first at ({point}): narrow the prior to where it is defined, or return a finite value there"
            )
        blocks.append(values)
    return np.concatenate(blocks)


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


def _check_whole(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")


def _check_bootstrap(bootstrap: Any, level: Any) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level!r}: 0.95 for 95 % intervals")
    _check_whole("bootstrap", bootstrap, int(np.ceil(2 / (1 - level) - 1e-9)) - 1)


def _check_varies(f_a: np.ndarray, f_b: np.ndarray, f_ab: np.ndarray, several: bool) -> None:
    for name, f in (("f_a", f_a), ("f_b", f_b), ("f_ab", f_ab)):
        if not np.all(np.isfinite(f)):
            count = np.count_nonzero(~np.isfinite(f))
            raise ValueError(
                f"{name} is not finite in {count} of {f.size} values: drop those rows everywhere"
            )
    if len(f_a) < 2:
        raise ValueError(f"indices need at least 2 rows, not {len(f_a)}")
    constant = np.ptp(f_a, axis=0) <= 1e-12 * np.abs(f_a).max(axis=0)
    if constant.any():
        j = int(np.argmax(constant))
        raise ValueError(
            (f"output {j}" if several else "the output")
            + f" is constant ({f_a[0, j]:.6g}), so there is no variance to share out: "
            + ("leave it out" if several else "check the function and the priors")
        )
