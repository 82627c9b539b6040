"""Nothing that a command starts outlives its run, whoever ends it; what finished is kept and not made again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from shutil import rmtree

import numpy as np
import pytest

import hetcal as hc
from hetcal.ensemble import execute
from hetcal.simulators import CSV, Command, command_process, run_one

PYTHON = [sys.executable, "-I", "-S"]

# Starts a child in its own group or not, as told, tells its process ids, then sleeps as long as told; seeds from 12 on
# hang while there is a file "hang".
FAMILY = """
import os, subprocess, sys, time
folder, seconds, apart, seed = sys.argv[1], float(sys.argv[2]), sys.argv[3] == "apart", int(sys.argv[4])
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=apart)
with open(os.path.join(folder, f"{os.getpid()}.tmp"), "w") as file:
    file.write(f"{os.getpid()} {child.pid} {os.getcwd()}")
os.rename(file.name, file.name[:-4] + ".pids")
time.sleep(1000 if seed >= 12 and os.path.exists(os.path.join(folder, "hang")) else seconds)
print("y")
print(1)
"""


def family(folder, apart="together", **changed):
    """A program that has a child; its one parameter is the seconds it takes."""
    return Command(
        [*PYTHON, "-c", FAMILY, str(folder), "{sleep}", apart, "{seed}"],
        parameters=["sleep"], outputs={"y": ()}, version="1", read={"y": CSV("run.stdout", "y")}, **changed,
    )  # fmt: skip


def alive(pid):
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def told(folder):
    """Process ids and working directories that programs told, a row each."""
    rows = [path.read_text().split(maxsplit=2) for path in folder.glob("*.pids")]
    return [([int(a), int(b)], cwd) for a, b, cwd in rows]


def check_all_gone(folder, runs):
    """So many programs ran, and neither they nor what they started nor their working directories are left."""
    rows = told(folder)
    assert len(rows) == runs
    deadline = time.monotonic() + 60  # nothing is timed here: a limit to waiting
    while any(alive(pid) for pids, _ in rows for pid in pids) or any(os.path.exists(cwd) for _, cwd in rows):
        assert time.monotonic() < deadline, "something outlives its run"
        time.sleep(0.02)


@pytest.mark.parametrize("apart", ["together", "apart"])
def test_the_time_limit_kills_grandchildren_too(tmp_path, apart):
    result = run_one(family(tmp_path, apart, time_limit=1.0), np.array([1000.0]), 1)
    assert result.status == "failed"
    assert (
        result.error
        == "CommandFailed: exceeded the time limit of 1 s and was stopped; nothing on standard error"
    )
    check_all_gone(tmp_path, 1)


def test_what_a_program_leaves_in_its_group_ends_with_it(tmp_path):
    assert run_one(family(tmp_path), np.array([0.0]), 1).status == "ok"
    check_all_gone(tmp_path, 1)


def test_the_time_limit_is_that_of_all_starts_together(tmp_path):
    code = "import sys, time; open(sys.argv[1], 'a').write(sys.argv[2] + ' '); time.sleep(2)"
    simulator = Command(
        [*PYTHON, "-c", code, tmp_path / "started", "{scenario}", "{seed}"],
        parameters=[], outputs={"y": ()}, version="1", scenarios={"s1": {}, "s2": {}, "s3": {}},
        read={"y": CSV("s1.stdout", "y")}, time_limit=3.0,
    )  # fmt: skip
    result = run_one(simulator, np.array([]), 1)
    assert "exceeded the time limit of 3 s" in result.error
    assert (tmp_path / "started").read_text() == "s1 s2 "


@pytest.mark.parametrize("apart", ["together", "apart"])
def test_the_executors_time_limit_kills_grandchildren_too(tmp_path, apart):
    with hc.Ledger() as ledger:
        simulator = family(tmp_path, apart)
        theta = np.array([[0.0], [1000.0], [0.0], [1000.0]])
        execute(simulator, theta, np.arange(4), ledger, workers=2, time_limit=3.0)
        runs = ledger.runs(simulator).sort_values("seed")
    assert runs["status"].tolist() == ["ok", "failed", "ok", "failed"]
    assert runs["error"].iloc[1] == "exceeded the time limit of 3 s and was stopped"
    # Of a run that ended well, a child that left the group ends with the worker.
    check_all_gone(tmp_path, 4)


def test_ending_one_run_leaves_its_neighbours_in_other_threads(tmp_path):
    late, well = family(tmp_path, time_limit=0.5), family(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        runs = [
            pool.submit(run_one, *run) for run in [(late, [1000.0], 1)] + [(well, [1.5], k) for k in range(3)]
        ]
    assert [run.result().status for run in runs] == ["failed", "ok", "ok", "ok"]
    check_all_gone(tmp_path, 4)


def test_runs_go_on_when_the_guard_or_its_folder_is_gone(tmp_path):
    first = command_process.guard()
    first._process.kill()
    first._process.wait()
    assert run_one(family(tmp_path), [0.0], 1).status == "ok"
    rmtree(first.folder)  # what a killed guard cannot do
    rmtree(command_process.guard().folder)
    assert run_one(family(tmp_path), [0.0], 1).status == "ok"
    check_all_gone(tmp_path, 2)


STUDY = """
import sys, numpy as np, hetcal as hc
from hetcal.ensemble import execute

sys.path.insert(0, sys.argv[3])
from test_command_processes import family

if __name__ == "__main__":
    simulator, seeds, workers = family(sys.argv[2]), np.arange(24), int(sys.argv[4])
    with hc.Ledger(sys.argv[1]) as ledger:
        execute(simulator, np.zeros((12, 1)), seeds[:12], ledger, workers=workers)
        print("half", flush=True)
        execute(simulator, np.zeros((24, 1)), seeds, ledger, workers=workers)
"""


@pytest.mark.parametrize(
    "end, workers", [(signal.SIGKILL, 1), (signal.SIGKILL, 2), (signal.SIGINT, 1), (signal.SIGINT, 2)]
)
def test_a_study_that_is_stopped_leaves_nothing_running_and_makes_only_what_is_missing(
    tmp_path, end, workers
):
    script, calls = tmp_path / "study.py", tmp_path / "calls"
    script.write_text(STUDY)
    calls.mkdir()
    (calls / "hang").touch()
    arguments = [script, tmp_path / "runs.sqlite", calls, os.path.dirname(__file__), str(workers)]
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "half\n"
        deadline = time.monotonic() + 60
        while len(told(calls)) < 12 + workers:  # so many hang now
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(end)
        process.communicate(timeout=60)
    finally:
        process.kill()
    check_all_gone(calls, 12 + workers)
    (calls / "hang").unlink()
    simulator = family(calls)
    with hc.Ledger(tmp_path / "runs.sqlite") as ledger:
        assert ledger.runs(simulator)["status"].tolist() == ["ok"] * 12
        assert execute(simulator, np.zeros((24, 1)), np.arange(24), ledger, workers=2) == 12
        assert ledger.runs(simulator)["status"].tolist() == ["ok"] * 24
    check_all_gone(calls, 24 + workers)
