"""Kill a study with SIGKILL many times, at random moments of every phase: is a finished run ever lost, does the
result ever differ?

A child process calibrates a small problem and says on its standard output what it is about to do. It is killed a
random time after a line that opens a phase, started again, killed again, and in the end left to finish; then
everything it found is compared, exactly, with an uninterrupted study. The phase of a kill is what the dead child had
said last:

simulating
    runs of the first design or of a search round
committing
    runs are being written: the ledger's `record` has begun and not returned (40 kB a run, so that it takes a while)
fitting
    R fits, or locations are chosen
choosing the winner
    all after the last search round: finalists, fresh block, result; its commits count as committing

After every commit the child says how many runs the ledger holds, and when it starts how many it found: fewer than
were last said would be lost runs. Every fifth study simulates in two worker processes.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

PHASES = ("simulating", "committing", "fitting", "choosing the winner")
HANGS_AFTER = 300.0  # seconds


def calibrate(path: Path, workers: int) -> None:
    """The child: run the study on, saying what it does; its findings go beside the ledger."""
    import hetcal as hc

    class Ledger(hc.Ledger):
        """Says when it writes runs, and how many it holds then."""

        held = 0

        def record(self, simulator: Any, theta: Any, seeds: Any, results: Any) -> int:
            print("committing", flush=True)
            written = super().record(simulator, theta, seeds, results)
            self.held += written
            print("committed", self.held, flush=True)
            return written

    @hc.simulator(parameters=["a", "b"], outputs={"y": (3,), "trace": (5_000,)}, version="1")
    def model(theta, seed):
        time.sleep(0.002)
        random = np.random.default_rng(seed)
        mean = np.array([theta["a"], theta["b"], theta["a"] * theta["b"]])
        noise = random.normal(size=5_000)
        return {"y": mean + 0.1 * (1 + theta["a"]) * noise[:3], "trace": noise}

    problem = hc.Problem(
        hc.Space([hc.Parameter("a", hc.uniform(0, 1)), hc.Parameter("b", hc.uniform(0, 1))]),
        model,
        [hc.Target("y", observed=[0.3, 0.6, 0.2], loss="rss")],
    )
    method = hc.BayesianCalibration(
        problem,
        initial=8,
        replicates=4,
        batch=3,
        rounds=2,
        candidates=300,
        finalists=3,
        finalist_replicates=10,
        winner_replicates=20,
    )
    with Ledger(path) as ledger:
        ledger.held = len(ledger.runs(model))
        print("found", ledger.held, flush=True)
        result = method.run(ledger, seed=0, workers=workers, progress=True)
        findings = {
            "best": asdict(result.best),
            "history": result.history.to_csv(index=False),
            "ranges": result.ranges.table.to_csv(index=False),
            "counts": result.runs,
            "stopped": result.stopped,
        }
    whole = path.with_suffix(".part")
    whole.write_text(json.dumps(findings))
    whole.replace(path.with_suffix(".json"))


def evidence(path: Path) -> dict[str, Any]:
    """Everything about a finished study that must not depend on kills: its findings and its ledger."""
    tables = {
        "asks": "SELECT study, round, position, purpose, theta, seeds FROM asks ORDER BY ask_id",
        "checkpoints": "SELECT study, name, value FROM checkpoints ORDER BY study, name",
        "runs": "SELECT theta, seed, attempt, status, error, outputs FROM runs ORDER BY theta, seed",
    }
    found = json.loads(path.with_suffix(".json").read_text())
    connection = sqlite3.connect(path)
    for name, query in tables.items():
        found[name] = [_readable(row) for row in connection.execute(query)]
    connection.close()
    return found


def _readable(row: tuple[Any, ...]) -> list[Any]:
    return [sha256(value).hexdigest() if isinstance(value, bytes) else value for value in row]


def phase_of(line: str, before: str) -> str:
    """The phase that a child is in after it said a line."""
    if line.startswith("committing"):
        return "committing"
    if line.startswith("choosing the winner") or "(finalists): simul" in line or "(reporting): simul" in line:
        return "choosing the winner"
    if ": simulating" in line:
        return "simulating"
    if line.startswith("round") and (": fitting" in line or ": choosing" in line):
        return "fitting"
    return before


@dataclass
class Life:
    """What a child said between its start and its end.

    Attributes
    ----------
    phase : str
        The last that it said.
    found, held : int
        Runs that it found in the ledger, and that it said to have there.
    spans : list of (str, float)
        Phases and how many seconds each lasted.
    code : int
        How it ended; -9 when it was killed.
    text : str
        All that it said.
    """

    phase: str = "starting"
    found: int = -1
    held: int = 0
    spans: list[tuple[str, float]] = field(default_factory=list)
    code: int = 0
    text: str = ""


def live(path: Path, workers: int = 1, target: str = "", opening: int = 1, delay: float = 0.0) -> Life:
    """Start a child and let it run; kill it `delay` seconds after the given opening of the target phase."""
    command = [sys.executable, "-u", __file__, "--child", str(path), "--workers", str(workers)]
    life, since, stage = Life(), time.perf_counter(), ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        watchdog = threading.Timer(
            HANGS_AFTER, process.terminate
        )  # ends it with -15, which is no kill of ours
        watchdog.start()
        assert process.stdout is not None
        for line in process.stdout:
            life.text += line
            word, _, rest = line.partition(" ")
            if word == "found":
                life.found = life.held = int(rest)
            if word == "committed":
                life.held = int(rest)
            after = stage if word == "committed" else phase_of(line, life.phase)
            if after == life.phase:
                continue
            if after != "committing":
                stage = after
            now = time.perf_counter()
            life.spans.append((life.phase, now - since))
            life.phase, since = after, now
            if after == target:
                opening -= 1
                if opening == 0:
                    time.sleep(delay)
                    process.kill()
        life.spans.append((life.phase, time.perf_counter() - since))
        watchdog.cancel()
    life.code = process.returncode
    return life


@dataclass
class Count:
    """Kills by phase, studies finished, and runs that the kills could have cost."""

    wanted: int
    kills: Counter[str] = field(default_factory=Counter)
    studies: int = 0
    held: int = 0
    lock: Any = field(default_factory=threading.Lock)

    def rarest(self, phases: Sequence[str]) -> str:
        """The phase with the fewest kills so far."""
        return min(phases, key=lambda phase: self.kills[phase])


def torment(
    path: Path, number: int, spans: dict[str, list[float]], expected: dict[str, Any], count: Count
) -> None:
    """Kill one study again and again, let it finish, and compare."""
    random = np.random.default_rng([20, number])
    workers = 2 if number % 5 == 4 else 1
    held = 0
    for k in range(12):
        if sum(count.kills.values()) >= count.wanted:
            break
        # The winner is chosen last: a study that is there has no other phase left.
        target = count.rarest(PHASES[:3]) if k < 6 else PHASES[3]
        delay = random.uniform() * random.choice(spans[target])
        life = live(path, workers, target, int(random.integers(1, 3)) if target != PHASES[3] else 1, delay)
        held = check(life, held, path)
        if life.code == 0:
            break
        with count.lock:
            count.kills[life.phase] += 1
            count.held += life.held
            if sum(count.kills.values()) % 100 == 0:
                print(f"{sum(count.kills.values())} kills, {count.studies} studies finished", flush=True)
    if not path.with_suffix(".json").exists():
        life = live(path, workers)
        check(life, held, path)
        assert life.code == 0, f"{path}: the study did not finish:\n{life.text}"
    found = evidence(path)
    differing = [name for name in expected if found[name] != expected[name]]
    assert not differing, f"{path}: {', '.join(differing)} differ from the uninterrupted study"
    with count.lock:
        count.studies += 1


def check(life: Life, held: int, path: Path) -> int:
    """Raise when runs that were said to be in the ledger are gone, or the child died by itself."""
    assert life.code in (0, -9), f"{path}: the child ended with code {life.code}:\n{life.text}"
    if life.found < 0:
        return held  # killed before it looked
    assert life.found >= held, f"{path}: {held} runs were in the ledger, {life.found} are left"
    return life.held


def run(kills: int, folder: Path, side_by_side: int = 2, say: Callable[[str], None] = print) -> Count:
    """Kill studies so many times in a folder; raises ``AssertionError`` at the first loss or difference."""
    began = time.perf_counter()
    reference = folder / "reference.sqlite"
    life = live(reference)
    assert life.code == 0, life.text
    expected = evidence(reference)
    spans = {phase: [seconds for name, seconds in life.spans if name == phase] for phase in PHASES}
    say(
        "an uninterrupted study: "
        + ", ".join(f"{phase} {len(spans[phase])} x {np.mean(spans[phase]):.3f} s" for phase in PHASES)
    )
    count = Count(kills)

    def work(first: int) -> None:
        number = first
        while sum(count.kills.values()) < kills:
            path = folder / f"study{number}.sqlite"
            torment(path, number, spans, expected, count)
            for file in folder.glob(f"study{number}.*"):
                file.unlink()
            number += side_by_side

    with ThreadPoolExecutor(side_by_side) as threads:
        for done in [threads.submit(work, k) for k in range(side_by_side)]:
            done.result()
    by_phase = ", ".join(f"{phase} {number}" for phase, number in sorted(count.kills.items()))
    say(f"crash test: {sum(count.kills.values())} kills ({by_phase}) in {time.perf_counter() - began:.0f} s")
    say(
        f"{count.studies} studies finished, each equal to the uninterrupted one in winner, history, ranges, asks, "
        f"checkpoints and every run's outputs; lost: 0 of the {count.held} runs held at the kills"
    )
    return count


def main() -> None:
    """The command line: ``--kills N``."""
    parser = argparse.ArgumentParser(description="Kill a study many times; nothing may be lost.")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=1, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child is not None:
        calibrate(asked.child, asked.workers)
        return
    with tempfile.TemporaryDirectory() as folder:
        run(asked.kills, Path(folder))


if __name__ == "__main__":
    main()
