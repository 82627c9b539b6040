"""The measles chain: published calibrations, what 20 runs can say at best, and errors of TPE and ours against runs.

Run `make reproduce-measles`. Every row is kept in results/measles and is not computed again; delete the folder to
start afresh. `--part bound` (coverage, ours, tpe, variants, ablations) computes only that and prints it, `--part there`
prints what is there, `--processes 1` leaves a core to others.
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path

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
from resumable import Part, compute_all, read, say_other_code  # noqa: E402

VARIANT_SEEDS = 5


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


def show(folder: Path, planned: dict[str, Part]) -> None:
    """All tables of what is there."""
    there = {name: read(folder, part) for name, part in planned.items()}
    for name, rows in there.items():
        say_other_code(name, rows)
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
    planned = parts(options.out, options.references)
    chosen = {"all": names, "there": []}.get(options.part, [options.part])
    compute_all(options.out, planned, chosen, options.processes)
    show(options.out, planned)


if __name__ == "__main__":
    main()
