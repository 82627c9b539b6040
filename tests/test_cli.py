"""The hetcal command: exit codes, sentences, a user's own study, runs by file, Ctrl-C."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

import hetcal as hc
from hetcal import cli
from hetcal.studies.folder import Folder

# A study in a file of its own, with its model in another file beside it.
MODEL = """
import time
import numpy as np
import hetcal as hc

PAUSE = {pause}

@hc.simulator(parameters=["rate", "delay"], outputs={{"cases": (3,), "total": ()}}, version="1")
def cases(theta, seed):
    time.sleep(PAUSE)
    drawn = np.random.default_rng(seed).poisson(theta["rate"] * np.exp(-theta["delay"] * np.arange(3.0)))
    return {{"cases": drawn, "total": drawn.sum()}}
"""
STUDY = """
import hetcal as hc
from {model} import cases

print("a study file may print")
problem = hc.Problem(
    hc.Space([hc.Parameter("rate", hc.uniform(10, 90), unit="1/day"), hc.Parameter("delay", hc.uniform(0, 2))]),
    cases,
    [hc.Target("cases", observed=[40, 24, 15], loss="poisson_deviance")],
)
method = hc.BayesianCalibration(
    problem, initial=12, replicates=3, batch=3, rounds=1, candidates=300, finalists=3, finalist_replicates=10,
    winner_replicates=20,
)
study = hc.Study("small", problem, method, title="Three days of cases", source="made up")
"""
HETCAL = [sys.executable, "-c", "from hetcal.cli import main; main()"]


@pytest.fixture
def write_study(tmp_path, monkeypatch):
    """Write the study; each test's model has a module name of its own, as a module is imported once a process."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(pause=0.0):
        model = "model_" + re.sub(r"\W", "_", tmp_path.name)
        (tmp_path / f"{model}.py").write_text(MODEL.format(pause=pause))
        path = tmp_path / "small_study.py"
        path.write_text(STUDY.format(model=model))
        return str(path)

    return write


@pytest.fixture
def hetcal(monkeypatch, capsys):
    """Run the command in this process; gives its exit code, output and errors."""

    def run(*arguments):
        monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
        monkeypatch.setattr(sys, "argv", ["hetcal", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return run


def runs_in(folder):
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite")) as sql:
        return sql.execute("SELECT count(*) FROM runs").fetchone()[0]


def test_help_teaches(hetcal):
    code, out, _ = hetcal("--help")
    assert code == 0
    for command in ("run", "report", "ask", "tell", "studies", "doctor", "install-r"):
        assert re.search(rf"\b{command}\b", out)
    assert "hetcal run flu1978" in out
    assert "hetcal tell flu1978 results.csv" in hetcal("ask", "--help")[1]


def test_version_and_shipped_studies(hetcal):
    assert hetcal("--version")[:2] == (0, f"hetcal {hc.__version__}\n")
    code, out, _ = hetcal("studies")
    assert code == 0 and out.startswith("flu1978: Influenza")


def test_help_needs_neither_numpy_nor_r():
    code = "import sys; sys.argv = ['hetcal', '--help']\nfrom hetcal.cli import main\ntry: main()\nfinally: "
    code += "print('loaded:', *(name for name in ('numpy', 'pandas', 'rpy2', 'hetcal.ledger') if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "loaded:"


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["run", "nope"], "no study 'nope': shipped are flu1978"),
        (["run", "flu1978", "--budget", "huge"], "unknown budget 'huge': choose one of quick, full"),
        (
            ["run", "flu1978", "--seed", "-1"],
            "Invalid value for '--seed': '-1' is not a whole number of at least 0",
        ),
        (
            ["run", "flu1978", "--seed", "abc"],
            "Invalid value for '--seed': 'abc' is not a whole number of at least 0",
        ),
        (["report", "empty", "--seed", "1.5"], "'1.5' is not a whole number of at least 0"),
        (
            ["run", "flu1978", "--workers", "0"],
            "Invalid value for '--workers': '0' is not a whole number of at least 1",
        ),
        (["run", "flu1978", "--workers", "two"], "'two' is not a whole number of at least 1"),
        (["run", "flu1978", "--time-limit", "0"], "time_limit is 0.0"),
        (["run"], "Missing argument 'STUDY'"),
        (["runn"], "No such command 'runn'. `"),
        (["run", "flu1978", "--zzz"], "No such option: --zzz. `"),
        (["report", "empty"], "empty holds no study"),
        (["run", "gone.py"], "gone.py cannot be read"),
        (["tell", "flu1978", "results.csv"], "holds no study"),
    ],
)
def test_wrong_arguments_are_one_sentence_and_exit_code_2(hetcal, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    code, out, err = hetcal(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("hetcal: ") and sentence in err
    assert len(err.splitlines()) == 1


def test_a_foreign_file_in_the_place_of_the_ledger_is_left_alone(hetcal, tmp_path):
    foreign = tmp_path / "ledger.sqlite"
    foreign.write_text("not a ledger" * 100)
    code, _, err = hetcal("run", "flu1978", "--out", tmp_path)
    assert code == 2 and "left untouched" in err
    assert foreign.read_text() == "not a ledger" * 100
    assert not (tmp_path / "study.json").exists()


def test_a_missing_r_is_exit_code_3_with_the_command_that_mends_it(tmp_path, write_study):
    environment = {**os.environ, "R_HOME": str(tmp_path / "no-R")}
    command = [*HETCAL, "run", write_study(), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "`unset R_HOME`" in done.stderr.splitlines()[-1]
    doctor = subprocess.run([*HETCAL, "doctor"], capture_output=True, text=True, timeout=120, env=environment)
    assert doctor.returncode == 3 and "FAIL" in doctor.stdout


def test_run_resume_report_and_the_same_by_file(needs_r, hetcal, tmp_path, write_study):
    study = write_study()
    whole = tmp_path / "whole"
    code, out, err = hetcal("run", study, "--out", whole, "--workers", 2, "--seed", 3)
    assert code == 0, err
    assert "round 1 of 1 (search): simulating 9 runs" in err.splitlines()
    lines = out.splitlines()[1:]
    assert lines[0] == f"The report is {whole / 'report.html'}"
    assert [line.split(":")[0] for line in lines[1:]] == ["best", "loss", "optimism", "not ruled out yet"]
    assert "1/day" in lines[1] and lines[2].count("(standard error)") == 1
    with Folder(whole).open_ledger() as ledger:
        result = Folder(whole).recall()[0].method.result(ledger, 3)
    assert f"optimism: {result.best.optimism:+.3g}, " in lines[3]
    assert lines[4].endswith(f"; jointly {result.ranges.volume:.2%} of the prior")
    assert f"hetcal run {study} --out {whole} --seed 3 --workers 2" in (whole / "report.html").read_text()
    assert (whole / "summary.json").exists()
    made = runs_in(whole)
    assert made == 12 * 3 + 3 * 3 + 3 * 10 + 20

    # Run again it only reports; so does report, which needs neither name nor seed.
    (whole / "report.html").unlink()
    code, out, _ = hetcal("report", whole)
    assert code == 0 and out.splitlines()[1:] == lines and (whole / "report.html").exists()
    code, out, err = hetcal("run", study, "--out", whole, "--seed", 3, "--quiet")
    assert out.splitlines()[1:] == lines[:1] and "round" not in err
    assert runs_in(whole) == made

    # The same study by file, its numbers rounded on the way as by a spreadsheet, each batch in two parts.
    parts = tmp_path / "parts"
    simulator = Folder(whole).recall()[0].problem.simulator
    batches = 0
    while True:
        # The seed is said once; then the folder knows it.
        code, out, err = hetcal("ask", study, "--out", parts, *(() if batches else ("--seed", 3)))
        assert code == 0, err
        batch = pd.read_csv(io.StringIO(out), float_precision="round_trip")
        assert list(batch.columns) == ["rate", "delay", "seed", "purpose", "round"]
        if not len(batch):
            assert "is finished" in err
            break
        batches += 1
        results = batch.copy()
        outputs = [simulator({"rate": r.rate, "delay": r.delay}, r.seed) for r in batch.itertuples()]
        for k in range(3):
            results[f"cases.{k}"] = [each["cases"][k] for each in outputs]
        results["total"] = [each["total"] for each in outputs]
        results["seed"] = [float(f"{seed:.15g}") for seed in results["seed"]]
        for name in ("rate", "delay"):
            results[name] = [float(f"{value:.9g}") for value in results[name]]
        half = len(results) // 2
        for part, left in ((results[half:], half), (results[:half], 0)):
            part.to_csv(tmp_path / "results.csv", index=False)
            code, out, err = hetcal("tell", study, tmp_path / "results.csv", "--out", parts)
            assert code == 0, err
            assert f"{len(part)} runs came in, {len(part)} of them new" in out
            assert ("none is missing" if left == 0 else f"{left} runs are still missing") in out
    assert batches == 4  # design, search, finalists, reporting
    assert runs_in(parts) == made
    answers = []
    for folder in (whole, parts):
        found, note = Folder(folder).recall()
        assert note.seed == 3
        with Folder(folder).open_ledger() as ledger:
            answers.append(found.method.result(ledger, note.seed))
    assert answers[0].best == answers[1].best
    pd.testing.assert_frame_equal(answers[0].history, answers[1].history, check_exact=True)


def test_tell_refuses_what_was_never_asked(hetcal, tmp_path, write_study):
    study = write_study()
    code, out, _ = hetcal("ask", study, "--out", tmp_path / "out")
    assert code == 0
    batch = pd.read_csv(io.StringIO(out), float_precision="round_trip")
    results = batch.assign(**{"cases.0": 1, "cases.1": 2, "cases.2": 3, "total": 6})
    file = tmp_path / "results.csv"

    def told(frame):
        frame.to_csv(file, index=False)
        code, _, err = hetcal("tell", study, file, "--out", tmp_path / "out")
        assert runs_in(tmp_path / "out") == 0
        return code, err

    code, err = told(results.assign(rate=results["rate"] * np.where(results.index == 4, 1.001, 1)))
    assert code == 2 and "row 5" in err and "was never asked for" in err and "nothing was written" in err
    for shift in (1, -1, 1_000):
        code, err = told(results.assign(seed=results["seed"] + shift))
        assert (
            code == 2
            and "row 1 " in err
            and "was never asked for" in err
            and "the folder holds seed 0" in err
        )
    assert "'seed'" in told(results.drop(columns="seed"))[1]
    assert "'cases.2'" in told(results.drop(columns="cases.2"))[1]
    counted = results.rename(columns={"cases.0": "cases.1", "cases.1": "cases.2", "cases.2": "cases.3"})
    assert "unknown column 'cases.3'" in told(counted)[1]
    assert "elements of 'cases' are numbered from 0 to 2;" in told(counted)[1]
    assert "'weather'" in told(results.assign(weather=1))[1]
    assert "no number" in told(results.assign(rate="many"))[1]
    assert told(results.assign(seed=np.nan))[0] == 2
    file.write_text("")
    assert "is no CSV table" in hetcal("tell", study, file, "--out", tmp_path / "out")[2]
    other = tmp_path / "other.py"
    other.write_text((tmp_path / "small_study.py").read_text().replace('"small"', '"other"'))
    assert "study 'small', not of" in hetcal("tell", other, file, "--out", tmp_path / "out")[2]


def test_a_report_of_an_unfinished_study_says_so(hetcal, tmp_path, write_study):
    study = write_study()
    hetcal("ask", study, "--out", tmp_path / "out")
    code, out, err = hetcal("report", tmp_path / "out")
    assert code == 2 and "no finished study with seed 0: 36 runs of round 0" in err
    assert "cases-" not in err  # the ledger's own name of the study
    command = f"hetcal run {study} --out {tmp_path / 'out'} --seed 0"
    assert f"`{command}`" in err
    note = tmp_path / "out" / "study.json"
    assert json.loads(note.read_text()) == [{"study": study, "seed": 0, "budget": None, "command": command}]
    note.write_text('{"seed": 0}')
    assert "is no note of a study" in hetcal("report", tmp_path / "out")[2]


def test_a_folder_knows_its_seeds(hetcal, tmp_path, write_study):
    study, out, file = write_study(), tmp_path / "out", tmp_path / "results.csv"
    batches = {}
    for seed in (4, 7):
        code, table, err = hetcal("ask", study, "--out", out, "--seed", seed)
        assert code == 0 and f"`hetcal tell {study} results.csv --out {out} --seed {seed}`" in err
        batches[seed] = pd.read_csv(io.StringIO(table), float_precision="round_trip")
    assert hetcal("ask", study, "--out", out)[1] == table
    outputs = {"cases.0": 1, "cases.1": 2, "cases.2": 3, "total": 6}
    batches[4].assign(**outputs).to_csv(file, index=False)
    code, _, err = hetcal("tell", study, file, "--out", out)
    assert code == 2 and "was never asked for" in err and "seed 7 (the folder holds seeds 4, 7)" in err
    assert (
        "out holds no study with seed 5: it holds seeds 4, 7"
        in hetcal("tell", study, file, "--out", out, "--seed", 5)[2]
    )
    code, said, _ = hetcal("tell", study, file, "--out", out, "--seed", 4)
    assert (
        code == 0
        and "36 of them new" in said
        and f"`hetcal ask {study} --out {out} --seed 4 > batch.csv`" in said
    )


def test_tell_takes_what_r_writes(needs_r, hetcal, tmp_path, write_study):
    study, batch, file = write_study(), tmp_path / "batch.csv", tmp_path / "results.csv"
    batch.write_text(hetcal("ask", study, "--out", tmp_path / "out")[1])
    code = f"""
        runs <- read.csv("{batch}")
        runs$cases.0 <- 1; runs$cases.1 <- 2; runs$cases.2 <- 3; runs$total <- 6
        write.csv(runs, "{file}")
    """
    subprocess.run(["Rscript", "--vanilla", "-e", code], check=True, timeout=120)
    assert file.read_text().startswith('"","rate"')
    code, out, err = hetcal("tell", study, file, "--out", tmp_path / "out")
    assert code == 0 and "36 runs came in, 36 of them new; none is missing" in out, err


def test_failed_runs_are_said(needs_r, hetcal, tmp_path, write_study):
    study = write_study()
    model = next(tmp_path.glob("model_*.py"))
    model.write_text(
        model.read_text().replace("    drawn =", "    assert seed % 7, 'a seventh\\nfails'\n    drawn =")
    )
    code, out, err = hetcal("run", study, "--out", tmp_path / "out")
    assert code == 0, err
    found, note = Folder(tmp_path / "out").recall()
    with Folder(tmp_path / "out").open_ledger() as ledger:
        failed = int((ledger.runs(found.problem.simulator)["status"] == "failed").sum())
    assert failed > 0
    assert out.splitlines()[-1].startswith(
        f"failed runs: {failed} of 95, most often: AssertionError: a seventh"
    )


def test_runs_of_an_edited_simulator_are_kept_but_not_used(needs_r, hetcal, tmp_path, write_study):
    study = write_study()
    assert hetcal("ask", study, "--out", tmp_path / "out")[0] == 0
    with Folder(tmp_path / "out").open_ledger() as ledger:
        found, note = Folder(tmp_path / "out").recall()
        todo = found.method.ask(ledger, note.seed)
        ledger.add_runs(
            todo[["rate", "delay", "seed"]].assign(**{"cases.0": 1, "cases.1": 1, "cases.2": 1, "total": 3})
        )
    edited = tmp_path / "edited.py"
    text = (tmp_path / "small_study.py").read_text()
    edited.write_text(
        text.replace("print(", "import dataclasses\ncases = dataclasses.replace(cases, version='2')\nprint(")
    )
    command = [*HETCAL, "run", str(edited), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "hetcal: the ledger holds 36 runs of 'cases' made with other code" in done.stderr


def test_ctrl_c_is_exit_code_130_and_the_same_command_goes_on(needs_r, tmp_path, write_study):
    command = [*HETCAL, "run", write_study(pause=0.02), "--out", str(tmp_path / "out"), "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ledger = tmp_path / "out" / "ledger.sqlite-wal"
    while process.poll() is None and not (ledger.exists() and ledger.stat().st_size > 60_000):
        pass
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "hetcal: stopped; run the same command to go on"
    made = runs_in(tmp_path / "out")
    assert made > 0
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "The report is" in done.stdout and runs_in(tmp_path / "out") == 95


POSTERIOR = """
import numpy as np
import hetcal as hc

@hc.simulator(parameters=["rate"], outputs={{"cases": (5,)}}, version="{version}", name="cases{version}")
def cases(theta, seed):
    return {{"cases": np.random.default_rng(seed).poisson(theta["rate"] * {growth} ** np.arange(5))}}

problem = hc.Problem(
    hc.Space([hc.Parameter("rate", hc.uniform(1, 40))]), cases, [hc.Target("cases", observed=[11, 8, 13, 9, 12])]
)
method = hc.Posterior(
    problem, emulator=hc.HetGP(noise="homoskedastic"), initial=24, replicates=4, rounds=0, predictive=60
)
study = hc.Study("model{version}", problem, method, title="Five days of cases", source="made up")
"""


@pytest.mark.filterwarnings("ignore::hetcal.emulators.FitWarning", "ignore:Only .* effective")
def test_self_test_and_compare(needs_r, hetcal, tmp_path, monkeypatch, write_study):
    monkeypatch.setattr(sys, "path", list(sys.path))
    folders = []
    for version, growth in ((1, 1.0), (2, 2.0)):
        study = tmp_path / f"model{version}.py"
        study.write_text(POSTERIOR.format(version=version, growth=growth))
        folders.append(tmp_path / f"out{version}")
        code, out, err = hetcal("run", study, "--out", folders[-1])
        assert code == 0, err
        assert out.splitlines()[1].startswith("verdict: ")
    first = tmp_path / "model1.py"
    assert "have not been tested on simulated data" in (folders[0] / "report.html").read_text()
    code, out, err = hetcal("self-test", first, "--out", folders[0], "--sets", 20)
    assert code == 0, err
    assert out.startswith("Cannot tell with 20 data sets") and "The report is" in out.splitlines()[-1]
    # It is kept: a report drawn later tells it, and the same test simulates nothing.
    made = runs_in(folders[0])
    assert made == 24 * 4 + 60 + 20 + 10
    assert hetcal("report", folders[0])[0] == 0
    text = (folders[0] / "report.html").read_text()
    assert "have not been tested" not in text and "The self-test was too small: Cannot tell with 20" in text
    assert json.loads((folders[0] / "summary.json").read_text())["posterior"]["self_test"]["trusted"] is False
    assert hetcal("self-test", first, "--out", folders[0], "--sets", 20)[1].startswith("Cannot tell")
    assert runs_in(folders[0]) == made

    code, out, err = hetcal("compare", *folders, "--out", tmp_path / "models")
    assert code == 0, err
    assert out.splitlines()[0] == f"The comparison is {tmp_path / 'models' / 'models.html'}"
    assert "cases1: The model fits" in out and "cases2: No parameters fit" in out
    assert (tmp_path / "models" / "models.html").exists()

    code, _, err = hetcal("self-test", tmp_path / "model2.py", "--out", folders[0])
    assert code == 2 and "is the folder of study 'model1', not of" in err
    code, _, err = hetcal("compare", folders[0], "--out", tmp_path / "models")
    assert code == 2 and "1 models are nothing to compare" in err
    code, _, err = hetcal("self-test", first, "--out", folders[0], "--sets", "1")
    assert code == 2 and "'1' is not a whole number of at least 2" in err
    search = write_study()
    assert hetcal("ask", search, "--out", tmp_path / "search")[0] == 0
    code, _, err = hetcal("self-test", search, "--out", tmp_path / "search")
    assert code == 2 and "study 'small' has no posterior to test" in err
