"""The ledger: every run that was made, in one SQLite file; what is computed from runs is a view of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pandas as pd

from hetcal.frames import (
    STATUSES,
    flat_slice,
    output_columns,
    runs_from_frame,
    seed_array,
    theta_array,
    theta_blobs,
)
from hetcal.ledgerfile import KnownSimulator, LedgerError
from hetcal.simulators.base import RunResult
from hetcal.studylog import StudyLog

__all__ = ["Ledger", "LedgerError"]

# The attempt after the last failed one; where that is there, it has outputs, and the row is not needed.
_INSERT = """
INSERT INTO runs(simulator_id, theta, seed, attempt, status, seconds, error, outputs, created)
VALUES (?1, ?2, ?3, coalesce((
    SELECT max(attempt) + 1 FROM runs
    WHERE simulator_id = ?1 AND theta = ?2 AND seed = ?3 AND status = 'failed'), 0), ?4, ?5, ?6, ?7, ?8)
ON CONFLICT(simulator_id, theta, seed, attempt) DO NOTHING
"""

# Only a failed run is ever followed by another attempt.
_LATEST = """
(runs.status <> 'failed' OR NOT EXISTS (
    SELECT 1 FROM runs AS later WHERE later.simulator_id = runs.simulator_id AND later.theta = runs.theta
    AND later.seed = runs.seed AND later.attempt > runs.attempt))
"""

_LOOKUP = """
SELECT position, status, run_id, outputs FROM wanted
CROSS JOIN runs ON runs.simulator_id = ? AND runs.theta = wanted.theta AND runs.seed = wanted.seed
ORDER BY position, attempt
"""


class Ledger(StudyLog):
    """Every run, kept for good: what the simulator returned for each parameter set and seed.

    A run asked for twice is simulated once, a killed study goes on where it stopped, and changing a target
    needs no new run. Runs belong to a simulator's name and fingerprint, so an edited simulator never gets
    the runs of the old one (`other_versions` counts those). Only the process that opened a ledger may use it.

    Parameters
    ----------
    path : str or path-like, optional
        The SQLite file; made, with its folder, where there is none. None keeps the ledger in memory.

    Raises
    ------
    LedgerError
        When the file is truncated, belongs to another program or a newer hetcal, or cannot be written. The
        file is left as it is.

    Examples
    --------
    >>> import pandas as pd
    >>> import hetcal as hc
    >>> @hc.simulator(parameters=["rate"], outputs={"cases": (2,)}, version="1")
    ... def model(theta, seed):
    ...     return {"cases": [theta["rate"], seed]}
    ...
    >>> with hc.Ledger() as ledger:
    ...     frame = pd.DataFrame({"rate": [0.5], "seed": [7], "cases.0": [3.0], "cases.1": [4.0]})
    ...     _ = ledger.add_runs(frame, model)
    ...     ledger.outputs(model, "cases")
    ...
    array([[3., 4.]])
    """

    def record(self, simulator: Any, theta: Any, seeds: Any, results: Sequence[RunResult]) -> int:
        """Append runs in one transaction and return how many were written.

        A run that is there with outputs is not written again (simulators are pure functions of parameters
        and seed); one that is there as failed gets another attempt.

        Parameters
        ----------
        simulator : simulator or int
            The simulator, or the number that `register` gave.
        theta : array_like, shape (n, d)
            Parameter sets in natural units, in the order of the simulator's parameters.
        seeds : array_like of int, shape (n,)
        results : list of (status, flat outputs, seconds, error), length n
            As `hetcal.simulators.base.run_many` gives them.
        """
        known = self._known(self.register(simulator) if not isinstance(simulator, int) else simulator)
        thetas, numbers = theta_blobs(theta_array(theta, known.parameters)), seed_array(seeds).tolist()
        if not len(thetas) == len(numbers) == len(results):
            raise ValueError(
                f"{len(thetas)} parameter sets, {len(numbers)} seeds and {len(results)} results do not match"
            )
        created = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        size = len(output_columns(known.outputs))
        rows = [
            (
                known.simulator_id,
                blob,
                seed,
                run.status,
                run.seconds,
                run.error,
                _outputs_blob(run, size),
                created,
            )
            for blob, seed, run in zip(thetas, numbers, map(RunResult._make, results))
        ]
        with self._write() as sql:
            return sql.executemany(_INSERT, rows).rowcount if rows else 0

    def add_runs(self, frame: pd.DataFrame, simulator: Any = None) -> int:
        """Bring in runs that were made elsewhere (on a cluster, last year); returns how many were new.

        Parameters
        ----------
        frame : DataFrame
            One row a run: a column a parameter, ``seed``, the outputs either as flat columns
            (`output_columns`) or as one column of arrays an output, and optionally ``status``, ``seconds``
            and ``error``. NaN outputs are missing: the run is then partial, or failed when none is left.
        simulator : simulator, optional
            May be left out where the ledger knows exactly one.

        Raises
        ------
        ValueError
            For unknown or missing columns, wrong shapes, bad seeds or NaN parameters; nothing is written
            then.
        """
        known = self._known(simulator if simulator is None else self.register(simulator))
        theta, seeds, results = runs_from_frame(frame, known.parameters, known.outputs)
        standing, kept_flat, _ = self.lookup(known.simulator_id, theta, seeds)
        _refuse_contradictions(standing, kept_flat, seeds, results)
        # The same file brought in twice must not count its failures as new attempts.
        new = [
            standing[i] == "missing" or (standing[i] == "failed" != results[i].status)
            for i in range(len(results))
        ]
        kept = [result for result, keep in zip(results, new) if keep]
        return self.record(known.simulator_id, theta[new], seeds[new], kept)

    def output_columns(self, simulator: Any) -> list[str]:
        """The flat output columns that `add_runs` understands: ``total``, ``in_bed.0``, ``contacts.0.3``."""
        return output_columns(simulator.outputs)

    def missing(self, simulator: Any, theta: Any, seeds: Any, retry_failed: bool = False) -> np.ndarray:
        """Which runs are still to be made: a bool array, shape (n,).

        A failed run counts as made unless `retry_failed`.
        """
        status, _, _ = self.lookup(simulator, theta, seeds)
        return (status == "missing") | ((status == "failed") & retry_failed)

    def lookup(self, simulator: Any, theta: Any, seeds: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The runs asked for, in the order asked.

        Parameters
        ----------
        simulator : simulator or int
        theta : array_like, shape (n, d)
        seeds : array_like of int, shape (n,)

        Returns
        -------
        status : array of str, shape (n,)
            ok, partial, failed, or missing where the ledger has no such run.
        flat : array, shape (n, size)
            All outputs of a run side by side, NaN where there are none.
        run_id : array of int, shape (n,)
            -1 where the ledger has no such run.
        """
        known = self._describe(simulator)
        thetas, numbers = theta_blobs(theta_array(theta, known.parameters)), seed_array(seeds).tolist()
        if len(thetas) != len(numbers):
            raise ValueError(f"{len(thetas)} parameter sets and {len(numbers)} seeds do not match")
        status = np.full(len(thetas), "missing", dtype=object)
        flat = np.full((len(thetas), len(output_columns(known.outputs))), np.nan)
        run_id = np.full(len(thetas), -1, dtype=np.int64)
        with self._read() as sql:
            sql.execute("BEGIN")
            try:
                sql.executemany(
                    "INSERT INTO wanted VALUES (?, ?, ?)", zip(range(len(thetas)), thetas, numbers)
                )
                rows = sql.execute(_LOOKUP, (known.simulator_id,)).fetchall()
            finally:
                sql.execute("ROLLBACK")
        if rows:
            positions, statuses, run_ids, blobs = zip(*rows)
            at = np.array(positions)  # attempts come in order: the latest is assigned last
            status[at], run_id[at] = np.array(statuses, dtype=object), run_ids
            flat[at] = _matrix(blobs, flat.shape[1])
        return status, flat, run_id

    def runs(self, simulator: Any, study: str | None = None, purpose: str | None = None) -> pd.DataFrame:
        """The runs of a simulator, the latest attempt of each, in the order in which they were made.

        Parameters
        ----------
        simulator : simulator
        study, purpose : str, optional
            Only runs that this study, or any study for this purpose, asked for.

        Returns
        -------
        DataFrame
            run_id, a column a parameter, seed, status, seconds, error. Empty where nothing was run or asked.
        """
        known = self._describe(simulator)
        return _runs_frame(known.parameters, self._rows(known, "status, seconds, error", study, purpose))

    def outputs(
        self, simulator: Any, name: str, study: str | None = None, purpose: str | None = None
    ) -> np.ndarray:
        """One output of the runs that `runs` gives with the same arguments, row by row.

        Returns
        -------
        array, shape (N, *shape)
            NaN where the run failed or this output is missing.
        """
        known = self._describe(simulator)
        where = flat_slice(known.outputs, name)
        size = where.stop - where.start
        rows = self._rows(known, f"substr(outputs, {8 * where.start + 1}, {8 * size})", study, purpose)
        return _matrix([row[-1] for row in rows], size).reshape(len(rows), *known.outputs[name])

    def given(self, simulator: Any) -> pd.DataFrame:
        """Like `runs`: the runs that no study had made, such as those that `add_runs` brought in.

        A study that took them over, by an ask of the purpose "given", leaves them to the next.
        """
        known = self._describe(simulator)
        rows = self._rows(known, "status, seconds, error")
        made = self._asked(known, None, None, without="given")
        return _runs_frame(known.parameters, [row for row in rows if (row[1], row[2]) not in made])

    def _rows(
        self, known: KnownSimulator, columns: str, study: str | None = None, purpose: str | None = None
    ) -> list[tuple[Any, ...]]:
        """run_id, theta, seed and `columns` of the latest attempts of all runs, or of those asked for."""
        # The + keeps SQLite from reading by the unique key, out of order, and sorting whole rows afterwards.
        query = f"SELECT run_id, theta, seed, {columns} FROM runs WHERE +simulator_id = ? AND {_LATEST}"
        with self._read() as sql:
            rows = sql.execute(f"{query} ORDER BY run_id", (known.simulator_id,)).fetchall()
        if study is None and purpose is None:
            return rows
        asked = self._asked(known, study, purpose)
        return [row for row in rows if (row[1], row[2]) in asked]


def _runs_frame(parameters: Sequence[str], rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    """Rows of run_id, theta, seed, status, seconds, error as a frame."""
    run_id, theta, seed, status, seconds, error = zip(*rows) if rows else ((),) * 6
    values = np.frombuffer(b"".join(theta), dtype="<f8").reshape(len(rows), len(parameters))
    return pd.DataFrame(
        {
            "run_id": np.array(run_id, dtype=np.int64),
            **{name: values[:, column] for column, name in enumerate(parameters)},
            "seed": np.array(seed, dtype=np.int64),
            "status": np.array(status, dtype=object),
            "seconds": np.array(seconds, dtype=float),
            "error": np.array(error, dtype=object),
        }
    )


def _refuse_contradictions(
    standing: np.ndarray, flat: np.ndarray, seeds: np.ndarray, results: Sequence[RunResult]
) -> None:
    """Raise where a run that is there with outputs comes again with others: one of the two is wrong."""
    for i, result in enumerate(results):
        if standing[i] == "ok" == result.status and not np.allclose(
            flat[i], result.outputs, rtol=1e-6, atol=1e-9
        ):
            raise ValueError(
                f"row {i} (seed {seeds[i]}) has other outputs than the same run has in the ledger: a simulator is a "
                "pure function of parameters and seed; find out which is right, or give the changed simulator a new "
                "version"
            )


def _outputs_blob(result: RunResult, size: int) -> bytes | None:
    """The outputs of a run as the file keeps them."""
    if result.status not in STATUSES:
        raise ValueError(f"status is {result.status!r}: it must be one of {', '.join(STATUSES)}")
    if result.status == "failed":
        return None
    flat = np.asarray(result.outputs, dtype="<f8")
    if flat.shape != (size,):
        raise ValueError(f"outputs have shape {flat.shape}, the simulator's are ({size},) side by side")
    return flat.tobytes()


def _matrix(blobs: Sequence[bytes | None], size: int) -> np.ndarray:
    """Outputs of n runs, shape (n, size), NaN where there are none."""
    nothing = np.full(size, np.nan, dtype="<f8").tobytes()
    joined = bytearray().join(nothing if blob is None else blob for blob in blobs)
    return np.frombuffer(joined, dtype="<f8").reshape(len(blobs), size)
