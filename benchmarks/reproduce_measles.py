"""The measles chain: published calibrations, what 20 runs can say at best, and errors of TPE and ours against runs.

Run `make reproduce-measles`. Every row is kept in results/measles and is not computed again; delete the folder to
start afresh. `--part bound` (coverage, ours, tpe, variants, ablations) computes only that and prints it, `--part there`
prints what is there, `--processes 1` leaves a core to others.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

# A process a unit of work: what they call must not take more than its core. Who imports this keeps his own threads.
if __name__ == "__main__":
    for _threads in ("OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(_threads, "1")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from measles_comparison import calibrations, tables  # noqa: E402
from measles_comparison.bound import bound_rows  # noqa: E402
from measles_comparison.setting import (  # noqa: E402
    BUDGETS,
    COVERAGE_ROUNDS,
    EMULATOR_SETS,
    OURS,
    REFERENCES,
    TPE,
    TRUTHS,
    ways,
)

import hetcal as hc  # noqa: E402

VARIANT_SEEDS = 5


@dataclass(frozen=True)
class Part:
    """A file of rows: the columns that name a unit of work, the units, and what computes one."""

    file: str
    key: tuple[str, ...]
    units: list[tuple[Any, ...]]
    compute: Callable[..., pd.DataFrame]


def parts(folder: Path, references: int) -> dict[str, Part]:
    """All that is computed, in this order."""
    # By reference first, so that what is there is spread over the truths.
    each = [(truth, reference) for reference in range(references) for truth in range(len(TRUTHS))]
    key = ("way", "truth", "reference")
    ablation = partial(calibrations.our_rows, rounds=COVERAGE_ROUNDS, budgets=BUDGETS[:3])
    sets = [(arrivals, learned) for learned in range(EMULATOR_SETS) for arrivals in (False, True)]
    return {
        "bound": Part(
            "bound", ("truth",), [(i,) for i in range(len(TRUTHS))], partial(bound_rows, folder=folder)
        ),
        "coverage": Part("coverage", ("arrivals", "learned"), sets, calibrations.coverage_rows),
        "ours": Part("ours", key, [(OURS, *r) for r in each], calibrations.our_rows),
        "tpe": Part("tpe", key, [(way, *r) for r in each for way in TPE], calibrations.tpe_rows),
        "variants": Part(
            "variants", ("seed",), [(i,) for i in range(VARIANT_SEEDS)], calibrations.variant_rows
        ),
        "ablations": Part("ablations", key, [(w, *r) for r in each for w in list(ways())[1:]], ablation),
    }


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
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), max_tasks_per_child=20) as pool:
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


def code_hash() -> str:
    """Of what decides the numbers: rows that older code made are kept, and told."""
    root, known = Path(hc.__file__).parent, hashlib.sha256()
    for file in sorted(
        f for room in ("calibrate", "emulators", "simulators") for f in (root / room).glob("*.py")
    ):
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
    tables.show("Plan (seconds of processor)", table, 1)
    print(f"left in all: {table['minutes left'].sum():.0f} minutes of processor", flush=True)


def show(folder: Path, planned: dict[str, Part]) -> None:
    """All tables of what is there."""
    there = {name: read(folder, part) for name, part in planned.items()}
    for name, rows in there.items():
        if len(rows) and set(rows["code"]) != {code_hash()}:
            made = ", ".join(f"{count} by {code}" for code, count in rows["code"].value_counts().items())
            print(f"rows of {name} are of other code than the present {code_hash()}: {made}")
    if len(there["variants"]):
        tables.show_variants(there["variants"])
    file = folder / "bound_0.npz"
    if file.exists():
        tables.show_losses(np.load(file)["numbers"][0])
    if len(there["bound"]):
        tables.show_bounds(there["bound"].sort_values(["what", "truth"]))
        errors = pd.concat([there[name] for name in ("ours", "tpe") if len(there[name])] or [there["ours"]])
        if len(errors):
            tables.show_errors(errors, there["bound"])
        tables.show_ablations(pd.concat([there["ours"], there["ablations"]]), there["bound"])
    if len(there["coverage"]):
        tables.show_coverage(there["coverage"])


def main() -> None:
    """Compute what is missing and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ["bound", "coverage", "ours", "tpe", "variants", "ablations"]
    parser.add_argument("--out", type=Path, default=Path("results/measles"))
    parser.add_argument("--part", choices=["all", "there", *names], default="all")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--references", type=int, default=REFERENCES, help="of each truth")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    planned = parts(options.out, options.references)
    chosen = {"all": names, "there": []}.get(options.part, [options.part])
    # One of each first: then the rest can be planned.
    for name in chosen:
        first = [] if len(read(options.out, planned[name])) else todo(options.out, planned[name])[:1]
        compute(options.out, planned[name], first, 1)
    show_plan(options.out, planned)
    for name in chosen:
        compute(options.out, planned[name], todo(options.out, planned[name]), options.processes)
    show(options.out, planned)


if __name__ == "__main__":
    main()
