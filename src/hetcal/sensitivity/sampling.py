"""The two samples behind Sobol' indices, and how a function is evaluated on them and on their mixtures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hetcal.parameters import Space
from hetcal.streams import generator

_BLOCK_ROWS = 16_384  # points that the function sees at once


def pick_freeze(
    both: Callable[[np.ndarray], Any],
    mixed: Callable[[np.ndarray], Any],
    convert: Callable[[np.ndarray], np.ndarray],
    box: tuple[np.ndarray, np.ndarray],
    n: int,
    seed: int,
    spare: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Evaluate on two independent samples A and B of a box, and on A with each column from B.

    Parameters
    ----------
    both : callable
        What is evaluated on A and on B.
    mixed : callable
        What is evaluated on their mixtures.
    convert : callable
        Unit-cube points to what both take.
    box : tuple of numpy.ndarray
        Lowest and highest corner in the unit cube, each (d,).
    n : int
        Rows of a sample.
    seed : int
    spare : bool
        Leave room in the mixtures for a further parameter, to be filled in.

    Returns
    -------
    tuple of numpy.ndarray
        On A and on B, (n, ...) each; on the mixtures, (n, d or d + 1, ...).
    """
    low, high = box
    random, d = generator(seed, "sensitivity"), len(low)
    x_a = convert(low + random.random((n, d)) * (high - low))
    x_b = convert(low + random.random((n, d)) * (high - low))
    f_a, f_b = evaluate_in_blocks(both, x_a), evaluate_in_blocks(both, x_b)
    f_ab = np.empty(0)
    for i in range(d):
        own = x_a[:, i].copy()
        x_a[:, i] = x_b[:, i]
        values = evaluate_in_blocks(mixed, x_a)
        x_a[:, i] = own
        if i == 0:
            f_ab = np.empty((n, d + spare) + values.shape[1:])
        f_ab[:, i] = values
    return f_a, f_b, f_ab


def cut_ranges(within: Any, space: Space) -> dict[str, tuple[float, float]]:
    """Ranges by parameter, checked."""
    if within is None:
        return {}
    if hasattr(within, "columns"):
        missing = [c for c in ("parameter", "low", "high") if c not in within.columns]
        if missing:
            raise ValueError(f"within needs columns parameter, low and high; missing: {', '.join(missing)}")
        within = {r.parameter: (r.low, r.high) for r in within.itertuples()}
    unknown = [str(name) for name in within if name not in space.names]
    if unknown:
        raise ValueError(
            f"within names {', '.join(unknown)}, but the parameters are {', '.join(space.names)}"
        )
    ranges = {}
    for name, ends in within.items():
        if np.shape(ends) != (2,) or not np.all(np.isfinite(ends)) or not ends[0] < ends[1]:
            raise ValueError(f"within needs (low, high) with low < high for {name}, not {ends!r}")
        ranges[name] = (float(ends[0]), float(ends[1]))
    return ranges


def unit_box(ranges: Mapping[str, tuple[float, float]], space: Space) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the box in the unit cube, each (d,)."""
    middle = space.from_unit(np.full((1, space.dimension), 0.5))[0]
    ends = np.tile(middle, (2, 1))
    for j, name in enumerate(space.names):
        if name in ranges:
            ends[:, j] = ranges[name]
    low, high = space.to_unit(ends)
    for j, name in enumerate(space.names):
        if name not in ranges:
            low[j], high[j] = 0.0, 1.0
        elif not low[j] < high[j]:
            raise ValueError(f"the prior of {name} gives no probability to {ranges[name]}")
    return low, high


def evaluate_in_blocks(evaluate: Callable[[np.ndarray], Any], x: np.ndarray) -> np.ndarray:
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
