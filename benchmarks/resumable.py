"""Long comparisons as tables of units of work: every row is kept, none is computed again, a failed one waits."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import hetcal as hc


@dataclass(frozen=True)
class Part:
    """A file of rows: the columns that name a unit of work, the units, and what computes one."""

    file: str
    key: tuple[str, ...]
    units: list[tuple[Any, ...]]
    compute: Callable[..., pd.DataFrame]


def show(title: str, table: pd.DataFrame, digits: int = 3) -> None:
    """A table under its title."""
    print(f"\n{title}\n{table.round(digits).to_string(index=False)}", flush=True)


def read(folder: Path, part: Part) -> pd.DataFrame:
    """The rows of a part that are there."""
    file = folder / f"{part.file}.csv"
    return pd.read_csv(file) if file.exists() else pd.DataFrame(columns=[*part.key, "cpu"])


def todo(folder: Path, part: Part) -> list[tuple[Any, ...]]:
    """Units of work that are not there."""
    known = set(read(folder, part)[list(part.key)].itertuples(index=False, name=None))
    return [unit for unit in part.units if unit not in known]


def compute(folder: Path, part: Part, units: list[tuple[Any, ...]], processes: int) -> None:
    """Compute units of work and append their rows; one that fails is said and left for the next time."""
    if not units:
        return
    file = folder / f"{part.file}.csv"
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(_timed, part.compute, unit): unit for unit in units}
        for done in as_completed(running):
            unit = running[done]
            if done.exception() is not None:
                print(
                    f"{part.file} {unit}: {type(done.exception()).__name__}: {done.exception()}", flush=True
                )
                continue
            rows = done.result().assign(**dict(zip(part.key, unit, strict=True)))
            if file.exists():
                # Rows of a unit without a column that others have keep it empty.
                rows = pd.concat([pd.read_csv(file), rows], ignore_index=True)
            rows.to_csv(file.with_suffix(".new"), index=False)
            os.replace(file.with_suffix(".new"), file)
            print(
                f"{time.strftime('%H:%M')} {part.file} {unit}: {rows['cpu'].iloc[-1]:.0f} s of processor",
                flush=True,
            )


def compute_all(folder: Path, planned: dict[str, Part], chosen: list[str], processes: int) -> None:
    """Compute what is missing of the chosen parts: one unit of each first, so that the rest can be planned."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in chosen:
        first = [] if len(read(folder, planned[name])) else todo(folder, planned[name])[:1]
        compute(folder, planned[name], first, 1)
    show_plan(folder, planned)
    for name in chosen:
        compute(folder, planned[name], todo(folder, planned[name]), processes)


def code_hash() -> str:
    """Of what decides the numbers: rows that older code made are kept, and told."""
    root, known = Path(hc.__file__).parent, hashlib.sha256()
    for file in sorted(f for f in root.rglob("*.py") if "report" not in f.parts):
        known.update(file.read_bytes())
    return known.hexdigest()[:8]


def _timed(function: Callable[..., pd.DataFrame], unit: tuple[Any, ...]) -> pd.DataFrame:
    """A unit's rows, with the processor seconds that it took and what code made them."""
    began = time.process_time()
    with warnings.catch_warnings():
        # What rounds say of a fit that could be better is not what is compared here.
        warnings.simplefilter("ignore")
        rows = function(*unit)
    return rows.assign(cpu=time.process_time() - began, code=code_hash())


def show_plan(folder: Path, planned: dict[str, Part]) -> None:
    """What is there and what the rest will cost, by the processor time of what is there."""
    rows = []
    for name, part in planned.items():
        there, left = read(folder, part), len(todo(folder, part))
        each = there.groupby(list(part.key))["cpu"].first().mean() if len(there) else np.nan
        rows.append({"part": name, "units": len(part.units), "left": left, "seconds each": each})
        rows[-1]["minutes left"] = left * each / 60 if left else 0.0
    table = pd.DataFrame(rows)
    show("Plan (seconds of processor)", table, 1)
    print(f"left in all: {table['minutes left'].sum():.0f} minutes of processor", flush=True)


def say_other_code(name: str, rows: pd.DataFrame) -> None:
    """Which rows other code than the present made."""
    if len(rows) and set(rows["code"]) != {code_hash()}:
        made = ", ".join(f"{count} by {code}" for code, count in rows["code"].value_counts().items())
        print(f"rows of {name} are of other code than the present {code_hash()}: {made}")
