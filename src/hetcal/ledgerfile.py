"""The ledger's SQLite file: opened only when it is one, so that no other file is ever touched.

Its schema, which other programs may read (R's ``read_runs`` does):

``simulators``
    simulator_id, name, version, fingerprint, parameters (JSON list), outputs (JSON object: name to shape)
``runs``
    run_id, simulator_id, theta (little-endian float64, one a parameter), seed, attempt (0, 1, ... where
    failed runs were tried again), status (ok, partial or failed), seconds, error, outputs (little-endian
    float64: all outputs raveled and concatenated in the declared order, an output that is missing NaN
    throughout; NULL when the run failed), created (UTC)
``asks``
    ask_id, study, round, position, purpose, simulator_id, theta (as above), seeds (little-endian int64)
``checkpoints``
    study, name, value (JSON): what a study decided, written once
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd

from hetcal.simulators.base import Shape, check_simulator
from hetcal.simulators.identity import fingerprint

APPLICATION_ID = 0x68657463  # "hetc"
SCHEMA_VERSION = 1

SCHEMA = """
CREATE TABLE simulators(
    simulator_id INTEGER PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL, fingerprint TEXT NOT NULL,
    parameters TEXT NOT NULL, outputs TEXT NOT NULL, UNIQUE(name, fingerprint));
CREATE TABLE runs(
    run_id INTEGER PRIMARY KEY, simulator_id INTEGER NOT NULL REFERENCES simulators, theta BLOB NOT NULL,
    seed INTEGER NOT NULL, attempt INTEGER NOT NULL, status TEXT NOT NULL, seconds REAL, error TEXT,
    outputs BLOB, created TEXT NOT NULL, UNIQUE(simulator_id, theta, seed, attempt));
CREATE TABLE asks(
    ask_id INTEGER PRIMARY KEY, study TEXT NOT NULL, round INTEGER NOT NULL, position INTEGER NOT NULL,
    purpose TEXT NOT NULL, simulator_id INTEGER NOT NULL REFERENCES simulators, theta BLOB NOT NULL,
    seeds BLOB NOT NULL, UNIQUE(study, round, purpose, position));
CREATE TABLE checkpoints(
    study TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY(study, name));
"""


class LedgerError(RuntimeError):
    """The ledger cannot be used as asked; the message says why and what to do.

    Examples
    --------
    >>> import hetcal as hc
    >>> with hc.Ledger() as ledger:
    ...     try:
    ...         ledger.add_runs({"rate": [0.5], "seed": [7]})
    ...     except hc.LedgerError as error:
    ...         print(type(error).__name__)
    ...
    LedgerError
    """


@dataclass(frozen=True)
class KnownSimulator:
    """A simulator as the ledger knows it: one row of the table ``simulators``."""

    simulator_id: int
    name: str
    version: str
    fingerprint: str
    parameters: tuple[str, ...]
    outputs: dict[str, Shape]


def check_file(path: Path) -> None:
    """Raise `LedgerError` for an existing file that is no ledger, reading its header only.

    The application id and the schema version stand in the main file from the start: the schema is committed
    before the file goes over to write-ahead logging.
    """
    size, wal, journal = (_size(Path(f"{path}{end}")) for end in ("", "-wal", "-journal"))
    if size == 0 and not wal:
        return  # new, or killed before its first commit
    with failures_named(path):
        with open(path, "rb") as file:
            header = file.read(100)
    another = "give another path, or move the file away"
    if not header.startswith(b"SQLite format 3\0"):
        what = "is empty beside a write-ahead log" if size == 0 else "is no SQLite file"
        raise LedgerError(f"{path} {what}, so it is no ledger; it was left untouched: {another}")
    page_size, pages, schema, application = (
        int.from_bytes(header[start:stop], "big") for start, stop in ((16, 18), (28, 32), (60, 64), (68, 72))
    )
    if len(header) == 100 and application != APPLICATION_ID:
        raise LedgerError(f"{path} is an SQLite file of another program; it was left untouched: {another}")
    # While a log is there the main file may lag behind its own header; SQLite completes it from the log.
    if len(header) < 100 or (size < page_size * pages and not wal and not journal):
        raise LedgerError(
            f"{path} is truncated ({size} bytes of {max(page_size * pages, 100)}); it was left untouched: "
            "restore it from a copy, or give another path"
        )
    if schema > SCHEMA_VERSION:
        raise LedgerError(
            f"{path} was written by a newer hetcal (schema {schema}, this one knows {SCHEMA_VERSION}); it "
            "was left untouched: upgrade hetcal, or give another path"
        )


def _size(path: Path) -> int:
    """Size of a file, 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise LedgerError(
            f"the ledger {path} cannot be read ({error}): give a path that you may read and write"
        ) from None


def connect(path: Path | None) -> sqlite3.Connection:
    """An open connection to the ledger at `path` (made if needed) or, for None, in memory."""
    if path is not None:
        check_file(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LedgerError(f"the folder {path.parent} for the ledger cannot be made ({error})") from None
    with failures_named(path):
        # Threads may share it: the ledger holds a lock round every use.
        connection = sqlite3.connect(
            path or ":memory:", timeout=60, isolation_level=None, check_same_thread=False
        )
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the schema where there is none, and set how this connection works."""
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -65536")  # KiB: the unique key of 130,000 runs stays in memory
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("PRAGMA user_version").fetchone() == (0,):
        for statement in SCHEMA.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TEMP TABLE wanted(position INTEGER PRIMARY KEY, theta BLOB, seed INTEGER)")


@contextmanager
def failures_named(path: Path | None) -> Iterator[None]:
    """Turn what SQLite and the file system say into a `LedgerError` that names the file and the mend."""
    name = path or "in memory"
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise LedgerError(f"the ledger {name} refused a row: {error}") from error
    except (sqlite3.DatabaseError, OSError) as error:
        text = str(error)
        if "locked" in text:
            mend = "another process is writing to it; wait for it, or give each process a ledger of its own"
        elif "malformed" in text or "not a database" in text:
            mend = "the file is damaged; restore it from a copy, or give another path"
        elif "full" in text:
            mend = "make room on the disk and run again: what was committed is safe"
        else:
            mend = "see that the folder and the file exist, are readable and writable, or give another path"
        raise LedgerError(f"the ledger {name} failed ({text}): {mend}") from error


class LedgerFile:
    """An open ledger file and the simulators that it knows: what `Ledger` is built on."""

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else Path(path).expanduser()
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = connect(self.path)

    def __repr__(self) -> str:
        if self._connection is None:
            return f"Ledger({str(self.path or 'in memory')!r}, closed)"
        with self._read() as sql:
            (runs,) = sql.execute("SELECT count(*) FROM runs").fetchone()
        return f"Ledger({str(self.path or 'in memory')!r}, {runs} runs)"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        with self._lock:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
            self._connection = None

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        """The connection, for one use by one thread."""
        if self._pid != os.getpid():
            raise LedgerError(
                f"the ledger {self.path or 'in memory'} was opened by process {self._pid} and must not be "
                f"used in process {os.getpid()}: send results back to the process that opened it"
            )
        with self._lock, failures_named(self.path):
            if self._connection is None:
                raise LedgerError(f"the ledger {self.path or 'in memory'} is closed: open it again")
            yield self._connection

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """The connection inside one transaction: all is written, or nothing."""
        with self._read() as sql:
            sql.execute("BEGIN IMMEDIATE")
            try:
                yield sql
                sql.execute("COMMIT")
            finally:
                if sql.in_transaction:
                    sql.execute("ROLLBACK")

    def register(self, simulator: Any) -> int:
        """Make a simulator known and return its number, which `record` and `lookup` take in its place.

        Raises
        ------
        TypeError, ValueError
            When the object does not follow the simulator protocol.
        """
        known = self._find(simulator)
        if known is not None:
            return known.simulator_id
        row = (simulator.name, str(simulator.version), fingerprint(simulator))
        shapes = {name: list(shape) for name, shape in simulator.outputs.items()}
        with self._write() as sql:
            sql.execute(
                "INSERT INTO simulators(name, version, fingerprint, parameters, outputs) "
                "VALUES (?, ?, ?, ?, ?) ON CONFLICT(name, fingerprint) DO NOTHING",
                (*row, json.dumps(list(simulator.parameters)), json.dumps(shapes)),
            )
        return self._known(simulator).simulator_id

    def other_versions(self, simulator: Any) -> pd.DataFrame:
        """Runs of simulators of this name with another fingerprint: kept, but not used for `simulator`.

        Settings that were asked for as scenarios or exhibits only are not among them.

        Returns
        -------
        DataFrame
            version, fingerprint, runs.
        """
        mark = fingerprint(simulator)
        with self._read() as sql:
            rows = sql.execute(
                "SELECT version, fingerprint, "
                "(SELECT count(*) FROM runs WHERE runs.simulator_id = known.simulator_id) "
                "FROM simulators AS known WHERE name = ? AND fingerprint <> ? "
                "AND (SELECT coalesce(max(purpose NOT IN ('scenarios', 'exhibits')), 1) FROM asks "
                "WHERE asks.simulator_id = known.simulator_id) ORDER BY simulator_id",
                (simulator.name, mark),
            ).fetchall()
        return pd.DataFrame(rows, columns=["version", "fingerprint", "runs"])

    def _find(self, simulator: Any) -> KnownSimulator | None:
        """What is known of a simulator (an object, a number, or None for the only one), or None."""
        values: tuple[Any, ...] = ()
        if isinstance(simulator, KnownSimulator):
            return simulator
        if simulator is None:
            where = "1"
        elif isinstance(simulator, int):
            where, values = "simulator_id = ?", (simulator,)
        else:
            check_simulator(simulator)
            where, values = "name = ? AND fingerprint = ?", (simulator.name, fingerprint(simulator))
        with self._read() as sql:
            rows = sql.execute(f"SELECT * FROM simulators WHERE {where}", values).fetchall()
        if simulator is None and len(rows) != 1:
            raise LedgerError(
                f"the ledger knows {len(rows)} simulators: say which one is meant by simulator="
            )
        for number, name, version, mark, parameters, outputs in rows:
            shapes = {key: tuple(shape) for key, shape in json.loads(outputs).items()}
            return KnownSimulator(number, name, version, mark, tuple(json.loads(parameters)), shapes)
        return None

    def _known(self, simulator: Any) -> KnownSimulator:
        """The row of a simulator that must be there."""
        known = self._find(simulator)
        if known is None:
            raise LedgerError(f"the ledger knows no simulator {simulator!r}: register it first")
        return known

    def _describe(self, simulator: Any) -> KnownSimulator:
        """What is known of a simulator; under the number 0, which no row has, where nothing is known."""
        return self._find(simulator) or KnownSimulator(
            0, simulator.name, simulator.version, "", tuple(simulator.parameters), dict(simulator.outputs)
        )
