"""Files of a Command: which of two of one name is meant, what a program can do to the user's own, and what is kept."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from hetcal.simulators import CSV, Command, run_one

PYTHON = [sys.executable, "-I", "-S"]
A = {"a": 0.5}

# Writes the first word of the file that it is told into the other file.
COPY = "import sys; word = open(sys.argv[1]).read().split()[0]; open(sys.argv[2], 'w').write('y\\n' + word)"


def command(code, *arguments, **more):
    known = dict(parameters=["a"], outputs={"y": ()}, read={"y": CSV("out.csv", "y")}, deterministic=True)
    return Command([*PYTHON, "-c", code, *arguments], version="1", **known | more)


def test_an_argument_means_the_working_directorys_file_where_one_has_its_name(tmp_path, monkeypatch):
    (tmp_path / "told.txt").write_text("{a}")
    (tmp_path / "out.csv").write_text("an old result")
    told = {"templates": tmp_path / "told.txt"}
    elsewhere = command(COPY, "told.txt", "out.csv", **told)
    monkeypatch.chdir(tmp_path)
    here = command(COPY, "./told.txt", "out.csv", **told)
    assert here(A, 1)["y"] == elsewhere(A, 1)["y"] == 0.5
    assert command(COPY, "told.txt", "out.csv", **told).fingerprint == elsewhere.fingerprint
    assert (tmp_path / "out.csv").read_text() == "an old result"


def test_a_program_that_writes_to_a_fixed_file_writes_to_the_runs_own(tmp_path):
    (tmp_path / "state.txt").write_text("7")
    grow = "import sys; open('state.txt', 'a').write(' {a}'); "
    model = command(grow + COPY, "state.txt", "out.csv", files=tmp_path / "state.txt")
    assert [run_one(model, [0.5], seed)[:2] for seed in (1, 2)] == [("ok", 7.0)] * 2
    assert (tmp_path / "state.txt").read_text() == "7"


@pytest.mark.parametrize("name", ["run.stdout", "run.stderr"])
def test_a_fixed_file_may_not_have_the_name_of_a_log(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match=f"file name '{name}' is that of what a start prints"):
        command("print({a})", files=tmp_path / name)
    assert (tmp_path / name).read_text() == "mine"


def test_a_program_of_this_folder_is_named_by_its_path(tmp_path, monkeypatch):
    (tmp_path / "model").write_text("#!/bin/sh\necho y; echo $1")
    (tmp_path / "model").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    more = dict(parameters=["a"], outputs={"y": ()}, read={"y": CSV("run.stdout", "y")}, version="1")
    with pytest.raises(ValueError, match="not found in PATH: 'model'; the one of this folder is './model'"):
        Command(["model", "{a}"], deterministic=True, **more)
    assert Command(["./model", "{a}"], deterministic=True, **more)(A, 1)["y"] == 0.5


def test_a_folder_is_kept_whose_outputs_turn_out_to_be_none(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    model = command("print({a})", read=lambda folder: {"y": float("nan")}, keep="failed")
    run = run_one(model, [0.5], 1)
    [folder] = tmp_path.glob("hetcal-run-*")
    assert run.status == "failed" and run.error.endswith(f"its working directory is {folder}")
    assert (folder / "run.stdout").read_text() == "0.5\n"


def test_a_users_reader_does_not_hide_why_a_start_failed():
    code = (
        "import sys; open(sys.argv[1] + '.csv', 'w').write('y\\n{a}'); sys.exit(4 * (sys.argv[1] == 'south'))"
    )
    more = dict(scenarios={"north": {}, "south": {}})

    def both(folder):
        return {"y": sum(float((folder / f"{name}.csv").read_text()[2:]) for name in ("north", "south"))}

    run = run_one(command(code, "{scenario}", read=both, **more), [0.5], 1)
    assert "south: ended with exit code 4" in run.error and "FileNotFoundError" in run.error
    single = {"y": CSV("north.csv", "y"), "z": lambda folder, shape: (folder / "south.csv").stat().st_size}
    run = run_one(command(code, "{scenario}", read=single, outputs={"y": (), "z": ()}, **more), [0.5], 1)
    assert run.status == "partial" and run.outputs[0] == 0.5
    assert "exit code 4" in run.error and "output 'z': FileNotFoundError" in run.error


def test_a_signal_without_a_name_is_told_by_its_number():
    number = signal.SIGRTMIN + 1
    run = run_one(command(f"import os; os.kill(os.getpid(), {number}); print({{a}})"), [0.5], 1)
    assert f"was ended by signal {number};" in run.error


def test_scenarios_of_one_name_and_endless_limits_are_refused():
    with pytest.raises(ValueError, match="scenarios has names that are the same as text"):
        command("print({a})", "{scenario}", scenarios={1: {}, "1": {}})
    with pytest.raises(ValueError, match="time_limit is inf: .* or None for no limit"):
        command("print({a})", time_limit=float("inf"))


def test_a_process_ends_although_a_fork_of_it_goes_on(tmp_path):
    """The fork holds the pipe that tells the guard of the process's end."""
    script = tmp_path / "study.py"
    script.write_text(
        "import os, sys, time\n"
        "from hetcal.simulators import CSV, Command\n"
        "more = dict(parameters=['a'], outputs={'y': ()}, version='1', deterministic=True)\n"
        "code = 'print(\"y\"); print({a})'\n"
        "print(Command([sys.executable, '-c', code], read={'y': CSV('run.stdout', 'y')}, **more)({'a': 2.0}, 1))\n"
        "sys.stdout.flush()\n"
        "if not os.fork():\n"
        "    os.close(1), os.close(2)\n"
        "    time.sleep(30)\n"
        "    os._exit(0)\n"
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=25)
    assert ended.returncode == 0 and "array(2.)" in ended.stdout
