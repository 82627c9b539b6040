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

# R and Excel write 15 significant digits at best, a table made by hand fewer.
SEED_DIGITS = 1e-14
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


def tell(study: Study, ledger: Ledger, seed: int, results: Path) -> Told:
    """Bring the runs of a CSV file into a ledger; each must be one that the study asked for.

    Parameters and seeds may have lost their last digits on the way (R, Excel): a row belongs to the asked run with
    its seed (to 14 digits) and the nearest parameters (within 1e-6 of each), and is kept under the numbers asked.

    Parameters
    ----------
    study : Study
    ledger : Ledger
    seed : int
        The study's.
    results : pathlib.Path
        Columns: the parameters, seed, the outputs as `Ledger.output_columns` names them, optionally status, seconds
        and error. Columns purpose and round, which `hetcal ask` writes, are left aside. Part of the runs will do.

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
    asks = ledger.asks(study.method.study_name(seed), simulator)
    if not len(asks):
        raise ValueError(
            f"study {study.name!r} has asked for no runs with seed {seed}: `hetcal ask` comes first"
        )
    asked = np.repeat(study.problem.theta(asks), [len(each) for each in asks["seeds"]], axis=0)
    seeds = np.concatenate(list(asks["seeds"]))
    lacking = [name for name in (*simulator.parameters, "seed") if name not in frame.columns]
    if lacking:
        raise ValueError(f"{results} has no column {lacking[0]!r}: keep the columns that `hetcal ask` wrote")
    found = match(frame, list(simulator.parameters), asked, seeds, results)
    frame[list(simulator.parameters)] = asked[found]
    frame["seed"] = seeds[found]
    new = ledger.add_runs(frame, simulator)
    return Told(len(frame), new, int(ledger.missing(simulator, asked, seeds).sum()))


def read_results(path: Path) -> pd.DataFrame:
    """A CSV file as a frame, numbers to their last digit; ``ValueError`` where it is none."""
    import pandas as pd

    try:
        return pd.read_csv(path, float_precision="round_trip")
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}): give the CSV file of results") from None
    except (ValueError, pd.errors.ParserError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{path} is no CSV table ({reason}): give the CSV file of results") from None


def match(
    frame: pd.DataFrame, parameters: list[str], asked: np.ndarray, seeds: np.ndarray, where: Path
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

    Returns
    -------
    numpy.ndarray of int
        Positions in `asked`, one a row.

    Raises
    ------
    ValueError
        Naming the first row that holds no numbers or was not asked for.
    """
    try:
        told = frame[[*parameters, "seed"]].to_numpy(dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{where}: a parameter or seed is no number ({error}); nothing was written"
        ) from None
    order = np.argsort(seeds, kind="stable")
    slack = SEED_DIGITS * told[:, -1]
    first = np.searchsorted(seeds[order], told[:, -1] - slack, side="left")
    last = np.searchsorted(seeds[order], told[:, -1] + slack, side="right")
    found = np.empty(len(told), dtype=np.int64)
    for row, theta in enumerate(told[:, :-1]):
        near = order[first[row] : last[row]]
        apart = np.abs(asked[near] - theta) / np.maximum(np.abs(asked[near]), np.finfo(float).tiny)
        worst = apart.max(axis=1) if len(near) else np.array([np.inf])
        if not worst.min() <= THETA_DIGITS:
            point = ", ".join(f"{name}={value:g}" for name, value in zip(parameters, theta))
            raise ValueError(
                f"{where}, row {row + 1} ({point}, seed {frame['seed'].iloc[row]}) was never asked for: tell only "
                "runs that `hetcal ask` listed for this study, seed and budget; nothing was written"
            )
        found[row] = near[int(np.argmin(worst))]
    return found
