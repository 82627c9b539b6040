"""Runs by file: outputs that came back from elsewhere, matched with the runs that a study asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hetcal.ledger import Ledger
from hetcal.studies.study import Study

if TYPE_CHECKING:
    import pandas as pd

# R and Excel keep 15 significant digits, so a seed of 16 digits, as ours are below 2**53, may end in a 0 of theirs.
ROUNDED_FROM = 10**15
# A table made by hand has fewer digits of a parameter.
THETA_DIGITS = 1e-6


@dataclass(frozen=True)
class Told:
    """What a file of results brought.

    Attributes
    ----------
    rows, new : int
        Rows of the file, and those that the ledger did not hold.
    missing : int
        Runs that were asked for and are still to come.
    """

    rows: int
    new: int
    missing: int


def tell(study: Study, ledger: Ledger, seed: int, results: Path, held: str = "") -> Told:
    """Bring the runs of a CSV file into a ledger; each must be one that the study asked for.

    Parameters and seeds may have lost their last digits on the way (R, Excel): a row belongs to the asked run with
    its seed, or the only one whose seed gives it when rounded to 15 digits, and the nearest parameters (within 1e-6
    of each), and is kept under the numbers asked.

    Parameters
    ----------
    study : Study
    ledger : Ledger
    seed : int
        The study's.
    results : pathlib.Path
        Columns: the parameters, seed, the outputs as `Ledger.output_columns` names them, optionally status, seconds
        and error. Columns purpose and round, which `hetcal ask` writes, and R's row names are left aside. Part of the
        runs will do.
    held : str
        The seeds that the folder holds, for errors.

    Returns
    -------
    Told

    Raises
    ------
    ValueError
        If the file cannot be read, a row was never asked for, or the ledger refuses the columns; nothing is written
        then.
    """
    simulator = study.problem.simulator
    frame = read_results(results).drop(columns=["purpose", "round"], errors="ignore")
    import pandas as pd

    asks = pd.concat([ledger.asks(method.study_name(seed), simulator) for method in study.methods])
    if not len(asks):
        raise ValueError(
            f"study {study.name!r} has asked for no runs with seed {seed}: `hetcal ask` comes first"
            + _known(held)
        )
    asked = np.repeat(study.problem.theta(asks), [len(each) for each in asks["seeds"]], axis=0)
    seeds = np.concatenate(list(asks["seeds"]))
    lacking = [name for name in (*simulator.parameters, "seed") if name not in frame.columns]
    if lacking:
        raise ValueError(f"{results} has no column {lacking[0]!r}: keep the columns that `hetcal ask` wrote")
    mend = f"tell only runs that `hetcal ask` listed for this study, budget and seed {seed}" + _known(held)
    found = match(frame, list(simulator.parameters), asked, seeds, results, mend)
    frame[list(simulator.parameters)] = asked[found]
    frame["seed"] = seeds[found]
    new = ledger.add_runs(frame, simulator)
    return Told(len(frame), new, int(ledger.missing(simulator, asked, seeds).sum()))


def _known(held: str) -> str:
    return f" (the folder holds {held})" if held else ""


def read_results(path: Path) -> pd.DataFrame:
    """A CSV file as a frame, numbers to their last digit; ``ValueError`` where it is none.

    A first column without a name, the row names of R's ``write.csv``, is left out.
    """
    import pandas as pd

    try:
        frame = pd.read_csv(path, float_precision="round_trip")
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}): give the CSV file of results") from None
    except (ValueError, pd.errors.ParserError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{path} is no CSV table ({reason}): give the CSV file of results") from None
    return frame.iloc[:, 1:] if frame.columns[0] == "Unnamed: 0" else frame


def match(
    frame: pd.DataFrame, parameters: list[str], asked: np.ndarray, seeds: np.ndarray, where: Path, mend: str
) -> np.ndarray:
    """Which asked run each row of a frame belongs to.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns: `parameters` and seed.
    parameters : list of str
    asked : numpy.ndarray
        Parameter sets of the runs asked for, shape (n, d).
    seeds : numpy.ndarray
        Their seeds, shape (n,).
    where : pathlib.Path
        Names the file in errors.
    mend : str
        What errors advise.

    Returns
    -------
    numpy.ndarray of int
        Positions in `asked`, one a row.

    Raises
    ------
    ValueError
        Naming the first row that holds no numbers, was not asked for, or whose rounded seed fits several runs.
    """
    try:
        points = frame[parameters].to_numpy(dtype=float)
        # Whole numbers stay so: as floats, seeds from 2**53 on would run together.
        told = frame["seed"].to_numpy(dtype=None if frame["seed"].dtype.kind == "i" else float)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{where}: a parameter or seed is no number ({error}); nothing was written"
        ) from None
    order = np.argsort(seeds, kind="stable")
    exact = np.isin(told, seeds)
    slack = np.where(~exact & (told >= ROUNDED_FROM) & (told < 2**53) & (told % 10 == 0), 5, 0)
    first = np.searchsorted(seeds[order], told - slack, side="left")
    last = np.searchsorted(seeds[order], told + slack, side="right")
    found = np.empty(len(told), dtype=np.int64)
    for row, theta in enumerate(points):
        near = order[first[row] : last[row]]
        apart = np.abs(asked[near] - theta) / np.maximum(np.abs(asked[near]), np.finfo(float).tiny)
        worst = apart.max(axis=1)
        fitting = near[worst <= THETA_DIGITS]
        if len(np.unique(seeds[fitting])) != 1:
            point = ", ".join(f"{name}={value:g}" for name, value in zip(parameters, theta))
            why = "has a rounded seed that fits several runs" if len(fitting) else "was never asked for"
            raise ValueError(
                f"{where}, row {row + 1} ({point}, seed {frame['seed'].iloc[row]}) {why}: {mend}; nothing was written"
            )
        found[row] = near[int(np.argmin(worst))]
    return found
