"""What studies asked for and decided: enough to tell a study's history, and to resume it, from the ledger."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hetcal.frames import seed_array, theta_array, theta_blobs
from hetcal.ledgerfile import KnownSimulator, LedgerError, LedgerFile


class StudyLog(LedgerFile):
    """The asks and checkpoints of studies: the part of a `Ledger` that calibration loops write."""

    def ask(
        self, study: str, round: int, purpose: str, simulator: Any, theta: Any, seeds: Sequence[Any]
    ) -> None:
        """Keep what a study asks for in a round, in one transaction; asking for the same again changes
        nothing.

        Parameters
        ----------
        study, round, purpose : str, int, str
            What the ask belongs to.
        simulator : simulator or int
        theta : array_like, shape (n, d)
        seeds : sequence of n arrays of int
            The seeds of each parameter set.

        Raises
        ------
        LedgerError
            When something else was asked under this study, round and purpose.
        """
        known = self._known(self.register(simulator) if not isinstance(simulator, int) else simulator)
        thetas = theta_blobs(theta_array(theta, known.parameters))
        seed_blobs = [seed_array(each).astype("<i8").tobytes() for each in seeds]
        if len(thetas) != len(seed_blobs):
            raise ValueError(
                f"{len(thetas)} parameter sets and {len(seed_blobs)} lists of seeds do not match"
            )
        asked = [
            (position, known.simulator_id, blob, each)
            for position, (blob, each) in enumerate(zip(thetas, seed_blobs))
        ]
        with self._write() as sql:
            standing = sql.execute(
                "SELECT position, simulator_id, theta, seeds FROM asks WHERE study = ? AND round = ? "
                "AND purpose = ? ORDER BY position",
                (study, round, purpose),
            ).fetchall()
            if standing and standing != asked:
                raise LedgerError(
                    f"study {study!r} has asked for other runs in round {round} ({purpose}) than it asks "
                    "for now: the study or the simulator was changed; give the changed study another name "
                    "or another ledger"
                )
            if not standing:
                sql.executemany(
                    "INSERT INTO asks(study, round, purpose, position, simulator_id, theta, seeds) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [(study, round, purpose, *row) for row in asked],
                )

    def asks(self, study: str, simulator: Any = None) -> pd.DataFrame:
        """What a study asked for, in the order in which it asked.

        Returns
        -------
        DataFrame
            round, position, purpose, a column a parameter, seeds (an int64 array each). A study of several
            simulators has the parameters of all, NaN where a simulator has no such parameter, unless one
            `simulator` is given.
        """
        if simulator is None:
            with self._read() as sql:
                query = "SELECT simulator_id FROM asks WHERE study = ? GROUP BY 1 ORDER BY min(ask_id)"
                known = [self._known(number) for (number,) in sql.execute(query, (study,)).fetchall()]
        else:
            known = [self._describe(simulator)]
        frames = []
        for each in known:
            rows = self._ask_rows(each, "ask_id, round, position, purpose, theta, seeds", study, None)
            ask_id, round_, position, purpose, theta, seeds = zip(*rows) if rows else ((),) * 6
            values = np.frombuffer(b"".join(theta), dtype="<f8").reshape(len(rows), len(each.parameters))
            frame = pd.DataFrame({"round": round_, "position": position, "purpose": purpose}, index=ask_id)
            for column, name in enumerate(each.parameters):
                frame[name] = values[:, column]
            frame["seeds"] = pd.Series([_seeds(blob) for blob in seeds], index=ask_id, dtype=object)
            frames.append(frame)
        if not frames:
            return pd.DataFrame(columns=["round", "position", "purpose", "seeds"])
        table = pd.concat(frames).sort_index().reset_index(drop=True)
        return table[[name for name in table.columns if name != "seeds"] + ["seeds"]]

    def _ask_rows(
        self, known: KnownSimulator, columns: str, study: str | None, purpose: str | None
    ) -> list[tuple[Any, ...]]:
        """Columns of the asks for a simulator, in the order asked."""
        with self._read() as sql:
            return sql.execute(
                f"SELECT {columns} FROM asks WHERE simulator_id = ?1 AND (?2 IS NULL OR study = ?2) "
                "AND (?3 IS NULL OR purpose = ?3) ORDER BY ask_id",
                (known.simulator_id, study, purpose),
            ).fetchall()

    def _asked(
        self, known: KnownSimulator, study: str | None, purpose: str | None, without: str | None = None
    ) -> set[tuple[bytes, int]]:
        """Parameter sets and seeds that were asked for, but for asks of the purpose `without`."""
        rows = self._ask_rows(known, "purpose, theta, seeds", study, purpose)
        return {
            (theta, seed) for why, theta, seeds in rows if why != without for seed in _seeds(seeds).tolist()
        }

    def checkpoint(self, study: str, name: str, value: Any) -> None:
        """Keep what a study decided, as JSON (floats exact, numpy values as numbers and lists); written once.

        The same value again changes nothing.

        Raises
        ------
        LedgerError
            When another value is there under this name.
        """
        text = json.dumps(value, default=_plain)
        with self._write() as sql:
            sql.execute(
                "INSERT INTO checkpoints VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (study, name, text)
            )
            query = "SELECT value FROM checkpoints WHERE study = ? AND name = ?"
            (standing,) = sql.execute(query, (study, name)).fetchone()
        if standing != text and _sorted(standing) != _sorted(text):
            raise LedgerError(
                f"checkpoint {name!r} of study {study!r} holds {standing[:80]}, not {text[:80]}: the study "
                "or its data were changed; give the changed study another name or another ledger"
            )

    def checkpoints(self, study: str) -> dict[str, Any]:
        """What a study decided so far: name to value."""
        with self._read() as sql:
            rows = sql.execute(
                "SELECT name, value FROM checkpoints WHERE study = ? ORDER BY rowid", (study,)
            ).fetchall()
        return {name: json.loads(value) for name, value in rows}

    def studies(self) -> pd.DataFrame:
        """The studies in this ledger: study, rounds, locations and runs asked for, checkpoints."""
        with self._read() as sql:
            rows = sql.execute(
                "SELECT study, count(DISTINCT round), count(ask_id), coalesce(sum(length(seeds) / 8), 0), "
                "(SELECT count(*) FROM checkpoints WHERE checkpoints.study = names.study) "
                "FROM (SELECT study FROM asks UNION SELECT study FROM checkpoints) AS names "
                "LEFT JOIN asks USING (study) "
                "GROUP BY study ORDER BY study"
            ).fetchall()
        return pd.DataFrame(rows, columns=["study", "rounds", "locations", "runs", "checkpoints"])


def _seeds(blob: bytes) -> np.ndarray:
    """Seeds as the file keeps them."""
    return np.frombuffer(blob, dtype="<i8").astype(np.int64)


def _plain(value: Any) -> Any:
    """Numpy values for JSON."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"a checkpoint keeps JSON values; {value!r} is a {type(value).__name__}")


def _sorted(text: str) -> str:
    """JSON with its keys in order, to compare by."""
    return json.dumps(json.loads(text), sort_keys=True)
