"""130,000 runs of 14 outputs into the ledger and back, against plain sqlite3 with the same bytes."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from pathlib import Path

import numpy as np

import hetcal as hc
from hetcal.simulators import RunResult

RUNS, DAYS = 130_000, 14


@hc.simulator(parameters=["R0", "infectious_days", "I0"], outputs={"in_bed": (DAYS,)}, version="1")
def flu(theta, seed):
    """Never called: the benchmark is about keeping runs."""
    return {"in_bed": np.zeros(DAYS)}


def plain_sqlite(path: Path, rows: list[tuple]) -> tuple[float, float]:
    """Seconds to insert the same bytes into a table without keys, and to read them back into an array."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    columns = "simulator_id, theta, seed, attempt, status, seconds, error, outputs, created"
    connection.execute(f"CREATE TABLE runs(run_id INTEGER PRIMARY KEY, {columns})")
    started = time.perf_counter()
    connection.execute("BEGIN")
    connection.executemany(f"INSERT INTO runs({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    connection.execute("COMMIT")
    written = time.perf_counter()
    read = connection.execute(
        "SELECT run_id, theta, seed, status, seconds, error, outputs FROM runs"
    ).fetchall()
    np.frombuffer(b"".join(row[-1] for row in read)).reshape(len(read), DAYS)
    done = time.perf_counter()
    connection.close()
    return written - started, done - written


def main() -> None:
    """Print rows a second, file sizes and ratios."""
    rng = np.random.default_rng(1)
    theta = np.repeat(rng.uniform(size=(RUNS // 10, 3)), 10, axis=0)
    seeds = rng.integers(0, 2**53, RUNS)
    outputs = rng.uniform(size=(RUNS, DAYS))
    results = [RunResult("ok", row, 0.001, None) for row in outputs]
    created = "2026-01-01T00:00:00Z"
    rows = [
        (1, t.tobytes(), seed, 0, "ok", 0.001, None, out.tobytes(), created)
        for t, seed, out in zip(theta, seeds.tolist(), outputs)
    ]
    with tempfile.TemporaryDirectory() as folder:
        plain_file, ledger_file = Path(folder) / "plain.sqlite", Path(folder) / "ledger.sqlite"
        plain_write, plain_read = plain_sqlite(plain_file, rows)
        with hc.Ledger(ledger_file) as ledger:
            clock = [time.perf_counter()]
            for step in (
                lambda: ledger.record(flu, theta, seeds, results),
                lambda: (ledger.runs(flu), ledger.outputs(flu, "in_bed")),
                lambda: ledger.lookup(flu, theta, seeds),
            ):
                step()
                clock.append(time.perf_counter())
        write, read, lookup = np.diff(clock)
        sizes = ledger_file.stat().st_size, plain_file.stat().st_size
    for what, ours, plain in (
        ("ledger record", write, plain_write),
        ("ledger runs and outputs", read, plain_read),
        ("ledger lookup of every run by its key", lookup, plain_read),
    ):
        print(
            f"{what}: {ours:.2f} s ({RUNS / ours:,.0f} rows a second), plain sqlite3: {plain:.2f} s, "
            f"ratio {plain / ours:.2f}x"
        )
    print(
        f"ledger file: {sizes[0] / 2**20:.1f} MiB, plain sqlite3: {sizes[1] / 2**20:.1f} MiB "
        f"(bare outputs {outputs.nbytes / 2**20:.1f} MiB)"
    )


if __name__ == "__main__":
    main()
