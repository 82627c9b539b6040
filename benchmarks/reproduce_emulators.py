"""Calibrations with many losses on a test function of which everything is known: ours, published ways, random, TPE.

Run `make reproduce-emulators`. Every row is kept in results/emulators and is not computed again; delete the folder to
start afresh. `--part "5 x 3"` (parameters x losses; "23 x 11" is the full size) computes only that size, `--part
there` prints what is there, `--processes 1` leaves a core to others, `--repeats 10` stops early.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

# A process a unit of work: what they call must not take more than its core. Who imports this keeps his own threads.
if __name__ == "__main__":
    for _threads in ("OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(_threads, "1")

import pandas as pd  # noqa: E402
from emulator_comparison import tables  # noqa: E402
from emulator_comparison.ways import SIZES, run_rows, ways  # noqa: E402
from resumable import Part, compute_all, read, say_other_code  # noqa: E402


def parts(repeats: int | None = None) -> dict[str, Part]:
    """A part a size; all ways of a repeat stand together, so that what is there can be compared."""
    planned = {}
    for size, of in SIZES.items():
        n = of.repeats if repeats is None else min(repeats, of.repeats)
        units = [(way, size, repeat) for repeat in range(n) for way in ways()]
        planned[size] = Part(size.replace(" ", ""), ("way", "size", "repeat"), units, run_rows)
    return planned


def main() -> None:
    """Compute what is missing and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("results/emulators"))
    parser.add_argument("--part", choices=["all", "there", *SIZES], default="all")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeats", type=int, help="of each size, at most")
    options = parser.parse_args()
    planned = parts(options.repeats)
    chosen = {"all": list(SIZES), "there": []}.get(options.part, [options.part])
    compute_all(options.out, planned, chosen, options.processes)
    there = [read(options.out, part) for part in planned.values()]
    there = [rows for rows in there if len(rows)]
    if there:
        rows = pd.concat(there, ignore_index=True)
        say_other_code("the comparison", rows)
        tables.show_comparison(rows)


if __name__ == "__main__":
    main()
