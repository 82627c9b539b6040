"""What comes from outside, checked and brought into the form in which the ledger keeps it.

Parameter sets become an ``(n, d)`` float array in the simulator's own order, seeds an ``(n,)`` int64 array,
and the outputs of a run one flat float64 vector: all outputs raveled and concatenated in the order in which
the simulator declares them, an output that is missing being NaN throughout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hetcal.simulators.base import RunResult, Shape

OPTIONAL_COLUMNS = ("status", "seconds", "error")
STATUSES = ("ok", "partial", "failed")


def theta_array(theta: Any, parameters: Sequence[str]) -> np.ndarray:
    """Parameter sets as a ``(n, d)`` float64 array without NaN, infinities or negative zeros.

    Parameters
    ----------
    theta : array_like, shape (n, d)
        One row a parameter set, columns in the order of `parameters`.
    parameters : sequence of str
        The simulator's parameter names.

    Raises
    ------
    ValueError
        When the shape does not fit or a value is not finite; the message names the row and the parameter.
    """
    array = np.ascontiguousarray(theta, dtype="<f8")
    if array.ndim != 2 or array.shape[1] != len(parameters):
        raise ValueError(
            f"theta has shape {array.shape}, but {len(parameters)} parameters ({', '.join(parameters)}) "
            "need shape "
            f"(n, {len(parameters)}): one row a parameter set"
        )
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        row, column = bad[0]
        raise ValueError(
            f"parameter {parameters[column]!r} is {array[row, column]} in row {row}: every parameter of a "
            "run must be a "
            f"finite number"
        )
    return array + 0.0  # -0.0 becomes 0.0, so that equal parameter sets have equal bytes


def theta_blobs(theta: np.ndarray) -> list[bytes]:
    """The bytes of each row, by which the ledger finds a parameter set."""
    width, data = theta.itemsize * theta.shape[1], theta.tobytes()
    return (
        [data[at : at + width] for at in range(0, width * len(theta), width)] if width else [b""] * len(theta)
    )


def seed_array(seeds: Any) -> np.ndarray:
    """Seeds as an ``(n,)`` int64 array.

    Whole numbers kept as floats (as a CSV file with gaps gives them) are taken while they are exact, below
    2**53.

    Raises
    ------
    ValueError
        For seeds that are negative, fractional, 2**63 or more, or no numbers; the message names the first.
    """
    array = np.asarray(seeds)
    if array.ndim != 1:
        raise ValueError(f"seeds have shape {array.shape}: give one whole number a run, shape (n,)")
    usable: Any = array.dtype.kind == "i"
    if array.dtype.kind == "f":
        usable = (np.abs(array) < 2.0**53) & (array == np.floor(array))
    elif array.dtype.kind in "uO":
        numbers = [isinstance(seed, (int, np.integer)) and 0 <= seed < 2**63 for seed in array.tolist()]
        usable = np.array(numbers, dtype=bool)
    bad = array[~np.broadcast_to(usable, array.shape)].tolist()
    if bad:
        raise ValueError(f"seed {bad[0]!r} is not usable: a seed is a whole number from 0 to 2**63 - 1")
    whole = array.astype(np.int64)
    if np.any(whole < 0):
        raise ValueError(
            f"seed {whole[whole < 0][0]} is negative: a seed is a whole number from 0 to 2**63 - 1"
        )
    return whole


def flat_slice(outputs: Mapping[str, Shape], name: str) -> slice:
    """Where the output `name` stands in the flat vector."""
    start = 0
    for other, shape in outputs.items():
        size = int(np.prod(shape))
        if other == name:
            return slice(start, start + size)
        start += size
    raise ValueError(f"the simulator has no output {name!r}; its outputs are {', '.join(outputs)}")


def output_columns(outputs: Mapping[str, Shape]) -> list[str]:
    """The flat column names of outputs: ``total``, ``in_bed.0``, ``in_bed.1``, ``contacts.0.3``."""
    return [
        ".".join([name, *map(str, index)]) for name, shape in outputs.items() for index in np.ndindex(*shape)
    ]


def runs_from_frame(
    frame: pd.DataFrame, parameters: Sequence[str], outputs: Mapping[str, Shape]
) -> tuple[np.ndarray, np.ndarray, list[RunResult]]:
    """Runs made elsewhere, as parameter sets ``(n, d)``, seeds ``(n,)`` and results.

    `frame` has a column a parameter, ``seed``, for every output either its flat columns (`output_columns`)
    or one column of arrays, and optionally ``status``, ``seconds`` and ``error``. An output with a NaN in it
    counts as missing: the run is then partial, or failed when no output is left.

    Raises
    ------
    ValueError
        For unknown, repeated or missing columns, wrong shapes, bad seeds, NaN parameters and unknown
        statuses.
    """
    columns = list(frame.columns)
    as_arrays = [name for name, shape in outputs.items() if shape and name in columns]
    needed = [*parameters, "seed"]
    for name, shape in outputs.items():
        needed += [name] if name in as_arrays else output_columns({name: shape})
    _check_columns(columns, needed, outputs)

    theta = theta_array(np.column_stack([_numbers(frame, name) for name in parameters]), parameters)
    seeds = seed_array(frame["seed"].to_numpy())
    parts = []
    for name, shape in outputs.items():
        if name in as_arrays:
            parts.append(_stacked(frame[name], shape))
        else:
            parts += [_numbers(frame, column)[:, None] for column in output_columns({name: shape})]
    flat = np.ascontiguousarray(np.hstack(parts), dtype="<f8")

    missing = np.zeros((len(frame), len(outputs)), dtype=bool)
    for position, name in enumerate(outputs):
        where = flat_slice(outputs, name)
        missing[:, position] = ~np.isfinite(flat[:, where]).all(axis=1)
        flat[missing[:, position], where] = np.nan
    said = _statuses(frame)
    seconds = _numbers(frame, "seconds") if "seconds" in columns else np.full(len(frame), np.nan)
    errors = frame["error"].tolist() if "error" in columns else [None] * len(frame)

    results = []
    for status, values, gone, took, error in zip(said, flat, missing, seconds.tolist(), errors):
        reason = error if isinstance(error, str) and error else None
        if status == "failed" or gone.all():
            results.append(RunResult("failed", values, took, reason or "brought in without outputs"))
        elif gone.any():
            lost = ", ".join(name for name, is_gone in zip(outputs, gone) if is_gone)
            results.append(RunResult("partial", values, took, reason or f"brought in without {lost}"))
        else:
            results.append(RunResult("ok", values, took, reason))
    return theta, seeds, results


def _check_columns(columns: list[str], needed: list[str], outputs: Mapping[str, Shape]) -> None:
    """Refuse repeated, unknown and missing columns."""
    repeated = sorted({str(name) for name in columns if columns.count(name) > 1})
    unknown = [str(name) for name in columns if name not in needed and name not in OPTIONAL_COLUMNS]
    missing = [name for name in needed if name not in columns]
    hint = "".join(
        _numbering(name, shape)
        for name, shape in outputs.items()
        if shape and any(column.startswith(f"{name}.") for column in unknown)
    )
    for names, what in ((repeated, "has repeated"), (unknown, "has unknown"), (missing, "lacks the")):
        if names:
            shown = ", ".join(map(repr, names[:5])) + (
                f" and {len(names) - 5} more" if len(names) > 5 else ""
            )
            raise ValueError(
                f"the frame of runs {what} column{'s' * (len(names) > 1)} {shown}; it needs "
                f"{', '.join(needed[:8])}"
                f"{', ...' * (len(needed) > 8)} and may have {', '.join(OPTIONAL_COLUMNS)}{hint}; nothing was "
                "written"
            )


def _numbering(name: str, shape: Shape) -> str:
    """How the flat columns of an output are numbered, for people who count from 1."""
    ends = [".".join(map(str, index)) for index in ([0] * len(shape), [size - 1 for size in shape])]
    return f"; elements of {name!r} are numbered from {ends[0]} to {ends[1]}"


def _numbers(frame: pd.DataFrame, column: str) -> np.ndarray:
    """A column as floats."""
    try:
        return frame[column].to_numpy(dtype="<f8", na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"column {column!r} holds something that is no number ({error}); nothing was written"
        ) from None


def _stacked(cells: pd.Series, shape: tuple[int, ...]) -> np.ndarray:
    """A column of arrays as an (n, size) array; None or NaN in place of an array is a missing output."""
    rows = np.full((len(cells), int(np.prod(shape))), np.nan)
    for row, cell in enumerate(cells):
        array = np.asarray(np.nan if cell is None else cell, dtype=float)
        if array.shape == shape:
            rows[row] = array.ravel()
        elif array.shape != () or not np.isnan(array):
            raise ValueError(
                f"output {cells.name!r} has shape {array.shape} in row {row}, declared is {shape}; nothing "
                "was written"
            )
    return rows


def _statuses(frame: pd.DataFrame) -> list[str]:
    """The status column, checked; empty where the frame has none."""
    if "status" not in frame.columns:
        return [""] * len(frame)
    said = frame["status"].tolist()
    for row, status in enumerate(said):
        if status not in STATUSES:
            raise ValueError(f"status is {status!r} in row {row}: it must be one of {', '.join(STATUSES)}")
    return said
