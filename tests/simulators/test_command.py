"""Command: what a run is told, reads and leaves behind, what its fingerprint covers, and what is refused."""

from __future__ import annotations

import json
import os
import pickle
import re
import sys
import tempfile
from pathlib import Path

import command_models as models
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hetcal as hc
from hetcal.ensemble import execute
from hetcal.simulators import CSV, JSON, Command, LongTable, command_files, fingerprint, run_one
from hetcal.simulators.command_process import CommandFailed
from hetcal.simulators.command_text import Text

PYTHON = [sys.executable, "-I", "-S"]

# Prints what it is told as a table of one line, after what the line in its configuration says.
ECHO = """
import json, sys
told = json.load(open(sys.argv[1]))
print("told,number")
print(f"{told['a']},{told['seed']}")
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with the program and its template."""
    (tmp_path / "echo.py").write_text(ECHO)
    (tmp_path / "told.json").write_text('{"a": {a}, "seed": {seed}}')
    return tmp_path


def echo(folder, **changed):
    """The program as a simulator."""
    more = dict(
        parameters=["a"],
        outputs={"told": (), "number": ()},
        version="1",
        templates=folder / "told.json",
        read={"told": CSV("run.stdout", "told"), "number": CSV("run.stdout", "number")},
    )
    command = changed.pop("command", [*PYTHON, folder / "echo.py", "told.json"])
    return Command(command, **{**more, **changed})


def script(code, **changed):
    """A program given by its code, with one parameter and one output."""
    more = dict(parameters=["a"], outputs={"y": ()}, version="1", read={"y": CSV("run.stdout", "y")})
    return Command([*PYTHON, "-c", code, "{a}", "{seed}"], **{**more, **changed})


def outcome(simulator, *theta, seed=1):
    """Status and error of a run, as the ledger would have them."""
    result = run_one(simulator, np.array(theta or [0.5]), seed)
    return result.status, result.error


# --- Placeholders


def test_braces_of_other_languages_stay_as_they_are():
    text = '<a b="{beta}"/> {"x": {"y": [{beta}]}} int main() { return f({ 1 }); } {} {1} {{beta}} { beta } {a-b} {beta'
    assert Text(text, "").names == {"beta"}
    assert Text(text, "").fill({"beta": 0.5}) == (
        '<a b="0.5"/> {"x": {"y": [0.5]}} int main() { return f({ 1 }); } {} {1} {beta} { beta } {a-b} {beta'
    )


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_parameter_is_written_so_that_it_reads_back_as_the_same_number(value):
    assert float(Text("{a}", "").fill({"a": value})) == value
    assert json.loads(Text('{"a": {a}}', "").fill({"a": value})) == {"a": value}


def test_a_number_may_have_a_format():
    assert Text("{a:.0f}|{a:.3e}|{seed:.0f}", "").fill({"a": 763.0, "seed": 5}) == "763|7.630e+02|5"


def test_a_run_is_told_its_values_in_templates_arguments_and_environment(folder, monkeypatch):
    monkeypatch.setenv("INHERITED", "yes")
    monkeypatch.chdir(folder)
    code = (
        "import os, sys; env = os.environ; print('y');"
        "print(env['A'] + env['N'], sys.argv[1:], env['INHERITED'], os.getcwd())"
    )
    simulator = Command(
        [*PYTHON, "-c", code, "{a}", "{seed}", "{workdir}/x", "{b:.1f}", "told.json"],
        parameters=["a", "b"],
        outputs={"y": ()},
        version="1",
        read=lambda folder: {"y": (folder / "run.stdout").read_text()},
        environment={"A": "{a}!", "N": 1},
    )
    said = simulator({"a": 0.1, "b": 2}, seed=2**31 + 7)["y"].splitlines()[1]
    workdir = said.rpartition(" ")[2]
    # A relative path of a file is that of where the simulator was made.
    assert said == f"0.1!1 {['0.1', '7', workdir + '/x', '2.0', str(folder / 'told.json')]} yes {workdir}"
    assert workdir != str(folder) and not os.path.exists(workdir)


def test_seeds_come_short_and_long():
    code = "import sys; print('y'); print(sys.argv[3])"
    for name, written in [("seed", 5.0), ("long_seed", 2.0**52 + 5)]:
        simulator = Command(
            [*PYTHON, "-c", code, "{a}", "-", f"{{{name}}}"],
            parameters=["a"], outputs={"y": ()}, version="1", read={"y": CSV("run.stdout", "y")},
        )  # fmt: skip
        assert simulator({"a": 1.0}, seed=2**52 + 5)["y"] == written


# --- Several input files


def test_one_template_with_a_table_of_scenarios_and_one_start_for_each(tmp_path):
    (tmp_path / "s.txt").write_text("{a} {eir} {scenario} {seed}")
    code = "import sys; a, eir, name, seed = open(sys.argv[1]).read().split(); print('y'); print(float(a) * float(eir))"
    table = pd.DataFrame({"eir": [2.0, 30.0], "where": ["Ndiop", "Idete"]}, index=["s1", "s2"])
    for command in (["{file}"], ["{scenario}.txt", "{where}"], ["{workdir}/{scenario}.txt"]):
        simulator = Command(
            [*PYTHON, "-c", code, *command],
            parameters=["a"],
            outputs={"y": (2,)},
            version="1",
            templates={"{scenario}.txt": tmp_path / "s.txt"},
            scenarios=table,
            read={"y": CSV("{scenario}.txt.stdout" if command == ["{file}"] else "{scenario}.stdout", "y")},
        )
        np.testing.assert_array_equal(simulator({"a": 0.5}, 1)["y"], [1.0, 15.0])
    other = table.assign(eir=[2.0, 31.0])
    assert fingerprint(Command(**{**models.arguments(simulator), "scenarios": other})) != fingerprint(
        simulator
    )


def test_sixty_one_templates_and_a_start_for_each_file(tmp_path):
    for k in range(61):
        (tmp_path / f"wu_{k}.xml").write_text(f'<scenario n="{k}" a="{{a}}" seed="{{seed}}"/>')
    code = (
        "import re, sys; n, a = re.findall('[na]=\"([0-9.]+)\"', open(sys.argv[1]).read());"
        "open(sys.argv[1] + '.tsv', 'w').write(f'1\\t1\\t14\\t{float(n) + float(a)}\\n1\\t1\\t0\\t9\\n')"
    )
    simulator = Command(
        [*PYTHON, "-c", code, "{file}"],
        parameters=["a"],
        outputs={"early": (), "late": ()},
        version="1",
        templates=[tmp_path / f"wu_{k}.xml" for k in range(61)],
        read={"early": LongTable("wu_3.xml.tsv", 14), "late": LongTable("wu_60.xml.tsv", 14)},
    )
    assert simulator({"a": 0.25}, 1) == {"early": 3.25, "late": 60.25}


def test_fixed_files_lie_in_the_working_directory(tmp_path):
    (tmp_path / "ages.csv").write_text("y\n7\n")
    simulator = script("print(open('ages.csv').read())", files=tmp_path / "ages.csv")
    assert simulator({"a": 1.0}, 1) == {"y": 7.0}
    first = fingerprint(simulator)
    (tmp_path / "ages.csv").write_text("y\n70\n")
    assert "ages.csv has changed since the simulator was made" in outcome(simulator)[1]
    assert fingerprint(simulator) == first != fingerprint(script("", files=tmp_path / "ages.csv"))


# --- Failed and partial runs


@pytest.mark.parametrize(
    "code, error",
    [
        (
            "import sys; sys.exit('no such country')",
            "CommandFailed: ended with exit code 1; .* ends: no such country",
        ),
        ("import sys; sys.exit(7)", "CommandFailed: ended with exit code 7; nothing on standard error"),
        ("import os; os.kill(os.getpid(), 11)", "was ended by signal SIGSEGV"),
        ("import sys; sys.stderr.write('x' * 5000 + 'end'); sys.exit(2)", "exit code 2; .* ends: x{997}end$"),
        ("", "run.stdout has no column 'y'; it has no line"),
        ("print('z'); print(3)", "output 'y': run.stdout has no column 'y'; it has z"),
        (
            "print('y'); print('many')",
            "output 'y': y in line 2 of run.stdout is 'many' where a number belongs",
        ),
        ("print('y'); print('nan')", "y in line 2 of run.stdout is nan, not a finite number"),
        ("print('y'); print(1); print(2)", "column 'y' of run.stdout has 2 rows, 1 wanted"),
    ],
)
def test_a_run_that_fails_says_why(code, error):
    status, said = outcome(script(code))
    assert status == "failed"
    assert re.search(error, said), said


def test_a_program_that_vanishes_fails_its_runs(tmp_path):
    program = tmp_path / "program"
    program.write_text("#!/bin/true\n")
    program.chmod(0o755)
    simulator = Command(
        [program, "{a}", "{seed}"],
        parameters=["a"],
        outputs={"y": ()},
        version="1",
        read={"y": CSV("o", "y")},
    )
    program.unlink()
    assert outcome(simulator) == (
        "failed", f"CommandFailed: {program} has changed since the simulator was made: make it again"
    )  # fmt: skip


def test_outputs_that_are_there_make_a_run_partial():
    simulator = script(
        "print('x'); print(3)", outputs={"x": (), "y": ()}, read={n: CSV("run.stdout", n) for n in "xy"}
    )
    result = run_one(simulator, np.array([0.5]), 1)
    assert result.status == "partial" and result.outputs[0] == 3 and np.isnan(result.outputs[1])
    assert result.error == "CommandFailed: output 'y': run.stdout has no column 'y'; it has x"


def test_a_failed_start_of_several_takes_its_outputs_with_it_and_no_others():
    code = (
        "import sys; scenario, a = sys.argv[1:3]; open(scenario + '.csv', 'w').write('y\\n' + a + '\\n');"
        "sys.exit('died after writing' if scenario == 's2' and float(a) > 1 else 0)"
    )
    simulator = Command(
        [*PYTHON, "-c", code, "{scenario}", "{a}", "{seed}"],
        parameters=["a"],
        outputs={"first": (), "second": (), "all": (2,)},
        version="1",
        scenarios={"s1": {}, "s2": {}},
        read={"first": CSV("s1.csv", "y"), "second": CSV("s2.csv", "y"), "all": CSV("{scenario}.csv", "y")},
    )
    assert run_one(simulator, np.array([0.5]), 1).status == "ok"
    result = run_one(simulator, np.array([2.0]), 1)
    assert result.status == "partial" and result.outputs[0] == 2 and np.isnan(result.outputs[1:]).all()
    assert "s2: ended with exit code 1; standard error ends: died after writing" in result.error
    assert "output 'second': s2.csv was not written" in result.error
    assert "output 'all': s2.csv was not written" in result.error


def test_a_failed_start_whose_outputs_nobody_reads_fails_the_run():
    simulator = Command(
        [*PYTHON, "-c", "import sys; print('y'); print(1); sys.exit(sys.argv[1] == 's2')", "{scenario}", "{seed}"],
        parameters=[], outputs={"y": ()}, version="1", scenarios={"s1": {}, "s2": {}},
        read={"y": CSV("s1.stdout", "y")},
    )  # fmt: skip
    result = run_one(simulator, np.array([]), 1)
    assert result.status == "failed" and result.error.startswith("CommandFailed: s2: ended with exit code 1")


@pytest.mark.parametrize(
    "returned, status, error",
    [
        ({"y": 1.0, "x": 2.0}, "failed", "returned an output 'x' that is not declared (declared: y)"),
        ({"y": [1.0, 2.0]}, "failed", "output 'y' has shape (2,), declared is ()"),
        ({"y": "many"}, "failed", "output 'y' is of type <U4, not numbers"),
        ({}, "failed", "output 'y' is missing"),
        (3, "failed", "returned int, not a dict of outputs"),
    ],
)
def test_what_a_users_reader_returns_is_checked(returned, status, error):
    assert outcome(script("", read=lambda folder: returned)) == (status, error)


def test_a_users_reader_that_stops_fails_the_run():
    status, error = outcome(script("", read=lambda folder: {"y": float((folder / "out").read_text())}))
    assert status == "failed" and error.startswith("FileNotFoundError:")


@pytest.mark.parametrize("keep, stay", [("never", 0), ("failed", 2), ("always", 3)])
def test_working_directories_stay_as_told(tmp_path, monkeypatch, keep, stay):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    simulator = script(
        "import sys; a = float(sys.argv[1]); print('x,y\\n1,2' if a < 3 else 'x\\n1'); sys.exit(a == 1)",
        outputs={"x": (), "y": ()}, read={n: CSV("run.stdout", n) for n in "xy"}, keep=keep,
    )  # fmt: skip
    failed, ok, partial = (run_one(simulator, np.array([a]), 1) for a in (1.0, 2.0, 3.0))
    assert (failed.status, ok.status, partial.status) == ("failed", "ok", "partial")
    kept = list(tmp_path.glob("hetcal-run-*"))
    assert len(kept) == stay
    for result in (failed, partial):
        named = [path for path in kept if str(path) in result.error]
        assert len(named) == (keep != "never")
        assert all((path / "run.stdout").exists() for path in named)


# --- Fingerprint


def test_the_fingerprint_covers_what_decides_the_outputs(folder):
    first = fingerprint(echo(folder))
    assert fingerprint(echo(folder)) == first == fingerprint(pickle.loads(pickle.dumps(echo(folder))))
    assert fingerprint(echo(folder, time_limit=9.0, keep="failed")) == first
    others = [
        echo(folder, environment={"X": "1"}),
        echo(folder, version="2"),
        echo(folder, command=[*PYTHON, folder / "echo.py", "told.json", "-v"]),
        echo(folder, read={"told": CSV("run.stdout", "number"), "number": CSV("run.stdout", "number")}),
        echo(folder, read={"told": CSV("run.stdout", "told"), "number": JSON("run.stdout", "number")}),
        echo(folder, read=lambda folder: {"told": 1, "number": 2}),
        echo(folder, read=lambda folder: {"told": 1, "number": 3}),
    ]
    (folder / "told.json").write_text('{"a": {a},  "seed": {seed}}')
    others.append(echo(folder))
    (folder / "echo.py").write_text(ECHO + "\n")
    others.append(echo(folder))
    assert len({first, *map(fingerprint, others)}) == len(others) + 1


def test_the_fingerprint_does_not_depend_on_where_things_lie(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("elsewhere")
    for name in ("echo.py", "told.json"):
        (other / name).write_bytes((folder / name).read_bytes())
    assert fingerprint(echo(folder)) == fingerprint(echo(other))


def test_a_template_edited_later_does_not_touch_the_simulator(folder):
    simulator = echo(folder)
    first = fingerprint(simulator)
    (folder / "told.json").write_text('{"a": 1, "seed": {seed}}')
    assert simulator({"a": 5.0}, 3) == {"told": 5.0, "number": 3.0} and fingerprint(simulator) == first


def test_a_program_is_hashed_once_however_many_runs_there_are(tmp_path, monkeypatch):
    program = tmp_path / "program"
    program.write_text(f"#!{sys.executable} -IS\nprint('y')\nprint(1)\n")
    program.chmod(0o755)
    read = []
    monkeypatch.setattr(command_files.hashlib, "file_digest", lambda file, kind: count(read, file, kind))
    simulator = Command(
        [program, "{a}", "{seed}"],
        parameters=["a"],
        outputs={"y": ()},
        version="1",
        read={"y": CSV("run.stdout", "y")},
    )
    for seed in range(3):
        simulator({"a": 1.0}, seed)
        fingerprint(simulator)
    assert read == [str(program)]
    os.utime(program, ns=(1, 1))
    for seed in range(3):
        simulator({"a": 1.0}, seed)  # touched, not changed: looked at once more
    assert read == [str(program)] * 2
    program.write_text(program.read_text() + "\n")
    assert outcome(simulator)[1].startswith(f"CommandFailed: {program} has changed")


def count(read, file, kind):
    """The true hash, noted down."""
    import hashlib

    read.append(file.name)
    digest = hashlib.new(kind)
    digest.update(file.read())
    return digest


# --- Ledger, workers


def test_runs_are_the_same_in_this_process_and_in_workers(folder):
    theta, seeds = np.linspace(0, 1, 8)[:, None], np.arange(8) + 100
    found = []
    for workers, time_limit in [(1, None), (2, None), (2, 20.0)]:
        with hc.Ledger() as ledger:
            simulator = echo(folder, read=lambda folder: read_echo(folder))
            assert execute(simulator, theta, seeds, ledger, workers=workers, time_limit=time_limit) == 8
            assert execute(simulator, theta, seeds, ledger) == 0
            runs = ledger.runs(simulator)
            assert set(runs["status"]) == {"ok"}, runs["error"].tolist()
            found.append(pd.DataFrame({"a": runs["a"], "seed": runs["seed"]}).assign(
                out_a=ledger.outputs(simulator, "told"), out_seed=ledger.outputs(simulator, "number")
            ).sort_values("a", ignore_index=True))  # fmt: skip
    assert found[0].equals(found[1]) and found[0].equals(found[2])
    np.testing.assert_array_equal(found[0]["a"], found[0]["out_a"])
    np.testing.assert_array_equal(found[0]["seed"], found[0]["out_seed"])


def read_echo(folder):
    """A reader that a worker cannot import."""
    a, seed = map(float, (Path(folder) / "run.stdout").read_text().splitlines()[1].split(","))
    return {"told": a, "number": seed}


# --- What is refused


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"command": ["no-such-model", "told.json"]}, "command not found: 'no-such-model'; give the path"),
        ({"command": []}, "give a list of the program and its arguments"),
        ({"command": "model --config {workdir}/told.json"}, "command is 'model --config .*no shell reads it"),
        ({"parameters": ["a", "b"]}, "parameter 'b' is used by no template, argument or variable: write {b}"),
        (
            {"parameters": []},
            "template '.*told.json' has the unknown placeholder {a}; known are .*Write {{a}}",
        ),
        ({"parameters": ["aa"]}, "unknown placeholder {a}, did you mean {aa}?"),
        ({"parameters": "a"}, "parameters is 'a': give a list of names"),
        ({"parameters": 3}, "parameters is 3: give a list of names"),
        ({"parameters": ["a", "workdir"]}, "parameter 'workdir' has the name of another placeholder"),
        (
            {"environment": {"S": "{sead}"}},
            "variable 'S' of environment has the unknown placeholder {sead}, did you",
        ),
        (
            {"environment": {"S": "{file}", "T": "{workdir:.2f}"}},
            "{workdir:.2f} gives a number's format to a text",
        ),
        ({"deterministic": True}, "deterministic=True, but there is a {seed}"),
        ({"read": {"told": CSV("o", "a")}}, "output 'number' has no reader"),
        (
            {"read": {"told": CSV("o", "a"), "b": CSV("o", "b")}},
            "read has 'b', which is no output; outputs are told, number",
        ),
        ({"read": CSV("o", "a")}, "give a dict of output to LongTable, CSV or JSON, or a function"),
        ({"read": None}, "read is None: give a dict"),
        (
            {"read": {"told": CSV("{scenario}", "a"), "number": CSV("o", "a")}},
            "declare a shape whose first axis is the 0",
        ),
        ({"outputs": {}}, "declares no outputs"),
        ({"outputs": {"told": 3, "number": ()}}, "shape of output 'told' .* is 3: give a tuple"),
        ({"version": ""}, "version of simulator .* give a non-empty text"),
        ({"keep": "sometimes"}, "keep is one of never, failed, always, not 'sometimes'"),
        ({"time_limit": 0}, "time_limit is 0: give the seconds"),
        ({"time_limit": "5"}, "time_limit is '5': give the seconds"),
        ({"environment": 3}, "environment is 3: give a dict"),
        ({"files": 3}, "files is 3: give a path, or a list"),
        ({"scenarios": {"s1": 3}}, "scenario 's1' is 3: give a dict"),
        ({"files": "no-such-file"}, "fixed file 'no-such-file' cannot be read .No such file"),
        ({"templates": "no-such-file"}, "template 'no-such-file' cannot be read .No such file"),
        ({"templates": [3]}, "templates has 3: give paths"),
        ({"scenarios": {}}, "give a DataFrame, or a dict of name to dict"),
        ({"scenarios": {"s 1": {}}}, "scenario 's 1' cannot stand in a file name"),
        ({"scenarios": {"s1": {"x": 1}, "s2": {}}}, "scenario 's2' and the first differ in column 'x'"),
        ({"scenarios": {"s1": {"x": np.nan}}}, "scenario 's1' has no value for 'x'"),
        (
            {"scenarios": {"s1": {"seed": 1}}},
            "scenarios have a column 'seed', the name of another placeholder",
        ),
        ({"scenarios": {"s1": {"a": 1}}}, "parameter 'a' has the name of another placeholder"),
    ],
)
def test_what_cannot_be_used_is_refused(folder, changed, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        echo(folder, **changed)


@pytest.mark.parametrize(
    "content, sentence",
    [
        (b'{"a": 1}', "template '.*told.json' has no placeholder: write {name} where"),
        (b"\xff\xfe{a}", "told.json' is not UTF-8 text"),
        (
            b"{a} { seed }",
            "there is no {seed} in any template, argument or variable.*or say deterministic=True",
        ),
    ],
)
def test_templates_that_cannot_be_used_are_refused(folder, content, sentence):
    (folder / "told.json").write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        echo(folder)


def test_names_of_templates_are_checked(folder):
    template = folder / "told.json"
    for templates, sentence in [
        ({"../told.json": template}, "leads out of the working directory"),
        ({str(folder / "x"): template}, "leads out of the working directory"),
        (
            {"{a}.json": template},
            r"file name '\{a\}.json' of templates may have the placeholder \{scenario\} only",
        ),
        ({"{scenario}.json": template}, "but scenarios= is not given"),
        ([template, template], "two input files are called 'told.json'"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            echo(folder, templates=templates)
    template.write_text("{a} {x} {seed}")
    with pytest.raises(ValueError, match="differs by scenario .x.: put {scenario} into its name"):
        echo(folder, scenarios={"s1": {"x": 1}})


def test_a_program_must_be_executable(tmp_path):
    (tmp_path / "model").write_text("")
    with pytest.raises(ValueError, match="model' is not executable: run `chmod [+]x .*model`"):
        Command(
            [tmp_path / "model", "{a}", "{seed}"], parameters=["a"], outputs={"y": ()}, version="1", read=len
        )


def test_a_model_without_chance_says_so():
    simulator = Command(
        [*PYTHON, "-c", "print('y'); print({a} ** 2)"],
        parameters=["a"], outputs={"y": ()}, version="1", read={"y": CSV("run.stdout", "y")}, deterministic=True,
    )  # fmt: skip
    assert simulator({"a": 3.0}, 1) == {"y": 9.0}


def test_a_call_with_other_parameters_is_refused(folder):
    with pytest.raises(ValueError, match="parameters are a, not b"):
        echo(folder)({"b": 1.0}, 1)


def test_what_a_start_left_in_its_outputs_is_kept_by_the_exception():
    simulator = script(
        "print('x'); print(3)", outputs={"x": (), "y": ()}, read={n: CSV("run.stdout", n) for n in "xy"}
    )
    with pytest.raises(CommandFailed, match="output 'y'") as caught:
        simulator({"a": 1.0}, 1)
    assert caught.value.outputs == {"x": 3.0}
