from __future__ import annotations

import os
import signal
import sqlite3
import struct
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hetcal as hc
from hetcal.ensemble import execute
from hetcal.simulators import RunResult


def make_simulator(scale=1.0, outputs=None):
    """A simulator whose fingerprint depends on `scale`."""

    @hc.simulator(parameters=["a", "b"], outputs=outputs or {"total": (), "x": (2, 2)}, version="1")
    def plane(theta, seed):
        return {"total": scale * theta["a"], "x": np.full((2, 2), theta["b"] + seed)}

    return plane


THETA = np.array([[1.0, 2.0], [1.0, 2.0], [3.0, 4.0]])
SEEDS = np.array([0, 1, 0])
FLAT = np.arange(15.0).reshape(3, 5)
RESULTS = [RunResult("ok", row, 0.5, None) for row in FLAT]


@pytest.fixture
def plane():
    return make_simulator()


@pytest.fixture
def ledger():
    with hc.Ledger() as ledger:
        yield ledger


def test_what_is_recorded_is_read_back_from_the_file(tmp_path, plane):
    path = tmp_path / "new" / "runs.sqlite"
    with hc.Ledger(path) as ledger:
        assert ledger.record(plane, THETA, SEEDS, RESULTS) == 3
    with hc.Ledger(path) as ledger:
        runs = ledger.runs(plane)
        assert list(runs.columns) == ["run_id", "a", "b", "seed", "status", "seconds", "error"]
        np.testing.assert_array_equal(runs[["a", "b"]], THETA)
        assert runs["seed"].tolist() == [0, 1, 0] and set(runs["status"]) == {"ok"}
        np.testing.assert_array_equal(ledger.outputs(plane, "total"), FLAT[:, 0])
        np.testing.assert_array_equal(ledger.outputs(plane, "x"), FLAT[:, 1:].reshape(3, 2, 2))
        assert repr(ledger) == f"Ledger({str(path)!r}, 3 runs)"
    assert not list(path.parent.glob("*-wal")), "a closed ledger is one file"


def test_the_same_run_again_is_not_written_again(ledger, plane):
    ledger.record(plane, THETA, SEEDS, RESULTS)
    assert ledger.record(plane, THETA[:2], SEEDS[:2], RESULTS[:2]) == 0
    assert ledger.missing(plane, np.array([[1.0, 2.0], [9.0, 9.0]]), [0, 0]).tolist() == [False, True]


def test_negative_zero_is_zero(ledger, plane):
    ledger.record(plane, [[0.0, 1.0]], [0], RESULTS[:1])
    assert not ledger.missing(plane, [[-0.0, 1.0]], [0]).any()


def test_failed_runs_are_tried_again_only_when_asked_and_every_attempt_is_kept(ledger, plane):
    failed = [RunResult("failed", np.full(5, np.nan), 0.1, "ValueError: no")]
    ledger.record(plane, THETA[:1], SEEDS[:1], failed)
    assert not ledger.missing(plane, THETA[:1], SEEDS[:1]).any()
    assert ledger.missing(plane, THETA[:1], SEEDS[:1], retry_failed=True).all()
    assert np.isnan(ledger.outputs(plane, "x")).all()
    assert ledger.record(plane, THETA[:1], SEEDS[:1], failed) == 1
    assert ledger.record(plane, THETA[:1], SEEDS[:1], RESULTS[:1]) == 1
    runs = ledger.runs(plane)
    assert runs["status"].tolist() == ["ok"] and runs["run_id"].tolist() == [3]
    assert ledger.outputs(plane, "total").tolist() == [0.0]
    status, flat, run_id = ledger.lookup(plane, THETA[:1], SEEDS[:1])
    assert (status[0], run_id[0]) == ("ok", 3) and flat[0].tolist() == FLAT[0].tolist()


def test_lookup_answers_in_the_order_asked_also_for_repeats_and_unknown_runs(ledger, plane):
    ledger.record(plane, THETA, SEEDS, RESULTS)
    asked = THETA[[2, 0, 0]], [0, 7, 0]
    status, flat, run_id = ledger.lookup(plane, *asked)
    assert status.tolist() == ["ok", "missing", "ok"] and run_id.tolist() == [3, -1, 1]
    np.testing.assert_array_equal(flat, [FLAT[2], np.full(5, np.nan), FLAT[0]])
    assert ledger.lookup(make_simulator(2.0), *asked)[0].tolist() == ["missing"] * 3


def test_an_edited_simulator_does_not_get_the_runs_of_the_old_one(ledger, plane):
    edited = make_simulator(2.0)
    ledger.record(plane, THETA, SEEDS, RESULTS)
    assert ledger.missing(edited, THETA, SEEDS).all() and ledger.runs(edited).empty
    assert list(ledger.runs(edited).columns) == list(ledger.runs(plane).columns)
    assert ledger.outputs(edited, "x").shape == (0, 2, 2)
    other = ledger.other_versions(edited)
    assert other[["version", "runs"]].values.tolist() == [["1", 3]] and ledger.other_versions(plane).empty


finite = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=60, deadline=None)
@given(
    theta=st.tuples(finite, finite),
    seed=st.integers(0, 2**63 - 1),
    flat=st.lists(st.floats(), min_size=5, max_size=5),
    seconds=st.floats(0, 1e6),
    error=st.none() | st.text(st.characters(blacklist_categories=["Cs"]), max_size=20),
)
def test_values_survive_exactly(theta, seed, flat, seconds, error):
    plane = make_simulator()
    with hc.Ledger() as ledger:
        ledger.record(plane, [theta], [seed], [RunResult("partial", np.array(flat), seconds, error)])
        status, read, _ = ledger.lookup(plane, [theta], [seed])
        assert status[0] == "partial" and read.tobytes() == np.array([flat]).tobytes()
        run = ledger.runs(plane).iloc[0]
        # The seconds are a number like the others, and nothing is timed.
        assert run["seed"] == seed and run["seconds"] == seconds and run["error"] == error
        assert (run["a"], run["b"]) == theta


@pytest.mark.parametrize(
    "seeds, told",
    [
        ([-1], "seed -1 is negative"),
        ([0.5], "seed 0.5"),
        ([2.0**53], "seed"),
        ([2**63], str(2**63)),
        ([True], "True"),
        (["a"], "'a'"),
        ([np.nan], "nan"),
        (3, "shape"),
    ],
)
def test_bad_seeds_are_named(ledger, plane, seeds, told):
    with pytest.raises(ValueError, match=told):
        ledger.record(plane, THETA[:1], seeds, RESULTS[:1])
    assert ledger.runs(plane).empty


def test_bad_parameter_sets_and_results_are_named_and_nothing_is_written(ledger, plane):
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=f"parameter 'b' is {bad} in row 1"):
            ledger.record(plane, [[1.0, 2.0], [1.0, bad]], [0, 1], RESULTS[:2])
    with pytest.raises(ValueError, match=r"shape \(1, 3\).*a, b"):
        ledger.missing(plane, [[1.0, 2.0, 3.0]], [0])
    with pytest.raises(ValueError, match="do not match"):
        ledger.record(plane, THETA, SEEDS[:2], RESULTS)
    with pytest.raises(ValueError, match=r"shape \(4,\)"):
        ledger.record(plane, THETA[:1], SEEDS[:1], [RunResult("ok", np.zeros(4), 0.0, None)])
    with pytest.raises(ValueError, match="'fine'"):
        ledger.record(plane, THETA[:1], SEEDS[:1], [RunResult("fine", np.zeros(5), 0.0, None)])
    with pytest.raises(ValueError, match="no output 'y'.*total, x"):
        ledger.outputs(plane, "y")
    with pytest.raises(TypeError, match="no attribute 'name'"):
        ledger.register(3.0)
    assert ledger.runs(plane).empty


# runs made elsewhere


def flat_frame():
    columns = ["total", "x.0.0", "x.0.1", "x.1.0", "x.1.1"]
    return pd.DataFrame(
        {"seed": SEEDS, "b": THETA[:, 1], "a": THETA[:, 0], **dict(zip(columns, FLAT.T))},
    )


def test_runs_made_elsewhere_come_in_by_flat_columns_and_by_arrays(ledger, plane):
    frame = flat_frame()
    assert ledger.output_columns(plane) == [name for name in frame.columns if name[0] in "tx"]
    assert ledger.add_runs(frame, plane) == 3
    assert ledger.add_runs(frame) == 0, "the only simulator is meant, and its runs are there"
    by_arrays = frame[["a", "b", "seed", "total"]].assign(
        x=list(FLAT[:, 1:].reshape(3, 2, 2)), seconds=2.0, error=None
    )
    with hc.Ledger() as second:
        assert second.add_runs(by_arrays, plane) == 3
        for name in ("total", "x"):
            np.testing.assert_array_equal(second.outputs(plane, name), ledger.outputs(plane, name))
        np.testing.assert_array_equal(second.outputs(plane, "x")[1], FLAT[1, 1:].reshape(2, 2))
        assert second.runs(plane)["seconds"].tolist() == [2.0] * 3
    assert len(ledger.given(plane)) == 3


def test_missing_outputs_make_partial_and_failed_runs(ledger, plane):
    frame = flat_frame().assign(status=["ok", "ok", "failed"], error=["", np.nan, "disk full"])
    frame.loc[0, "x.1.0"] = np.nan
    frame.loc[1, ["total", "x.0.0"]] = np.nan, np.inf
    assert ledger.add_runs(frame, plane) == 3
    runs = ledger.runs(plane)
    assert runs["status"].tolist() == ["partial", "failed", "failed"]
    assert runs["error"].tolist() == ["brought in without x", "brought in without outputs", "disk full"]
    assert np.isnan(ledger.outputs(plane, "x")[0]).all() and ledger.outputs(plane, "total")[0] == 0.0
    assert ledger.add_runs(frame, plane) == 0, "the same failures again are no new attempts"
    assert ledger.add_runs(flat_frame().iloc[[2]], plane) == 1, "a failed run that worked now"


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda f: f.assign(R0=1.0), "unknown column 'R0'"),
        (
            lambda f: f.assign(**{"x.2.0": 1.0}),
            "unknown column 'x.2.0'.*elements of 'x' are numbered from 0.0 to 1.1;",
        ),
        (lambda f: f.drop(columns="a"), "lacks the column 'a'"),
        (lambda f: f.drop(columns=["x.0.0", "x.1.1"]), "lacks the columns 'x.0.0', 'x.1.1'"),
        (lambda f: pd.concat([f, f[["a"]]], axis=1), "repeated column 'a'"),
        (lambda f: f.assign(seed=[0, 1, -2]), "seed -2 is negative"),
        (lambda f: f.assign(seed=[0, 1, 0.5]), "seed 0.5"),
        (lambda f: f.assign(a=[0, np.nan, 1]), "parameter 'a' is nan in row 1"),
        (lambda f: f.assign(total=["1", "2", "many"]), "column 'total'.*many"),
        (lambda f: f.assign(status="done"), "status is 'done' in row 0"),
        (
            lambda f: f[["a", "b", "seed", "total"]].assign(x=[np.zeros(4)] * 3),
            r"'x' has shape \(4,\) in row 0",
        ),
    ],
)
def test_bad_frames_are_refused_whole(ledger, plane, change, told):
    with pytest.raises(ValueError, match=told):
        ledger.add_runs(change(flat_frame()), plane)
    assert ledger.runs(plane).empty


def test_the_simulator_must_be_said_where_it_is_not_the_only_one(ledger, plane):
    with pytest.raises(hc.LedgerError, match="knows 0 simulators"):
        ledger.add_runs(flat_frame())
    ledger.register(plane), ledger.register(make_simulator(2.0))
    with pytest.raises(hc.LedgerError, match="knows 2 simulators"):
        ledger.add_runs(flat_frame())


# asks and checkpoints


def test_asks_are_kept_once_and_a_changed_ask_is_refused(ledger, plane):
    ask = dict(study="s", round=0, purpose="calibration", simulator=plane, theta=THETA[1:])
    for _ in range(2):
        ledger.ask(**ask, seeds=[[1, 2], [2**62]])
    asks = ledger.asks("s")
    assert list(asks.columns) == ["round", "position", "purpose", "a", "b", "seeds"]
    assert asks[["round", "position", "a", "b"]].values.tolist() == [[0, 0, 1, 2], [0, 1, 3, 4]]
    assert [each.tolist() for each in asks["seeds"]] == [[1, 2], [2**62]]
    for changed in (
        {**ask, "seeds": [[1, 2], [3]]},
        {**ask, "seeds": [[1, 2]], "theta": THETA[1:2]},
        {**ask, "seeds": [[1, 2], [2**62]], "simulator": make_simulator(2.0)},
    ):
        with pytest.raises(hc.LedgerError, match="'s' has asked for other runs in round 0"):
            ledger.ask(**changed)
    assert (
        len(ledger.asks("s")) == 2 and ledger.asks("t").empty and ledger.asks("s", make_simulator(3.0)).empty
    )


def test_a_study_of_two_simulators_has_the_parameters_of_both(ledger, plane):
    @hc.simulator(parameters=["a", "c"], outputs={"y": ()}, version="1")
    def other(theta, seed):
        return {"y": 0.0}

    ledger.ask("s", 0, "calibration", other, [[1.0, 5.0]], [[1]])
    ledger.ask("s", 1, "calibration", plane, [[2.0, 3.0]], [[1]])
    ledger.ask("s", 2, "calibration", other, [[4.0, 6.0]], [[1]])
    asks = ledger.asks("s")
    assert asks["a"].tolist() == [1.0, 2.0, 4.0]
    np.testing.assert_array_equal(asks[["b", "c"]], [[np.nan, 5], [3, np.nan], [np.nan, 6]])
    assert ledger.asks("s", plane)["b"].tolist() == [3.0]


def test_runs_are_found_by_study_and_purpose_and_the_others_are_given(ledger, plane):
    ledger.record(plane, THETA, SEEDS, RESULTS)
    ledger.ask("s", 0, "calibration", plane, THETA[:1], [[0]])
    ledger.ask("s", 0, "finalists", plane, THETA[:1], [[1, 5]])
    assert ledger.runs(plane, study="s")["run_id"].tolist() == [1, 2]
    assert ledger.runs(plane, study="s", purpose="finalists")["run_id"].tolist() == [2]
    assert ledger.outputs(plane, "total", purpose="finalists").tolist() == [5.0]
    assert ledger.runs(plane, study="t").empty
    assert ledger.given(plane)["run_id"].tolist() == [3]
    ledger.checkpoint("u", "done", True)
    assert ledger.studies().values.tolist() == [["s", 1, 2, 3, 0], ["u", 0, 0, 0, 1]]


def test_checkpoints_are_exact_and_written_once(ledger):
    value = {
        "loss": 0.1 + 0.2,
        "low": -np.inf,
        "theta": np.array([1e-300, np.pi]),
        "n": np.int64(3),
        "none": None,
    }
    ledger.checkpoint("s", "winner", value)
    ledger.checkpoint("s", "winner", dict(reversed(value.items())))
    ledger.checkpoint("s", "nan", float("nan"))
    ledger.checkpoint("s", "nan", float("nan"))
    read = ledger.checkpoints("s")
    assert read["winner"] == {**value, "theta": [1e-300, np.pi]} and np.isnan(read["nan"])
    with pytest.raises(hc.LedgerError, match="'winner' of study 's' holds"):
        ledger.checkpoint("s", "winner", {"loss": 0.3})
    with pytest.raises(TypeError, match="set"):
        ledger.checkpoint("s", "bad", {1, 2})
    assert ledger.checkpoints("t") == {}


# files that are no ledger, or cannot be used


def full_file(path, plane):
    with hc.Ledger(path) as ledger:
        ledger.record(plane, THETA, SEEDS, RESULTS)
    return path.read_bytes()


def sqlite_file(path, version=0, application=0):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE notes(text)")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.execute(f"PRAGMA application_id = {application}")
    connection.close()


@pytest.mark.parametrize("kept", [1, 50, 5000, -1])
def test_a_truncated_ledger_is_refused_and_left_alone(tmp_path, plane, kept):
    path = tmp_path / "runs.sqlite"
    path.write_bytes(full_file(path, plane)[:kept])
    before = path.read_bytes()
    with pytest.raises(hc.LedgerError, match=r"runs\.sqlite.*left untouched"):
        hc.Ledger(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["runs.sqlite"]


@pytest.mark.parametrize("what", ["text", "foreign", "newer", "folder"])
def test_a_file_that_is_no_ledger_is_refused_and_left_alone(tmp_path, what):
    path = tmp_path / "runs.sqlite"
    if what == "text":
        path.write_text("run_id,seed\n" * 50)
    elif what == "foreign":
        sqlite_file(path)
    elif what == "newer":
        sqlite_file(path, version=99, application=0x68657463)
    else:
        path.mkdir()
    before = None if what == "folder" else path.read_bytes()
    told = {
        "text": "no SQLite file",
        "foreign": "another program",
        "newer": "newer hetcal .schema 99",
        "folder": "Is a directory",
    }
    with pytest.raises(hc.LedgerError, match=told[what]):
        hc.Ledger(path)
    assert what == "folder" or path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["runs.sqlite"]


def test_a_damaged_page_is_named(tmp_path, plane):
    path = tmp_path / "runs.sqlite"
    data = bytearray(full_file(path, plane))
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(hc.LedgerError, match="damaged; restore it"), hc.Ledger(path) as ledger:
        ledger.runs(plane)


def test_a_read_only_folder_is_named(tmp_path):
    folder = tmp_path / "shelf"
    folder.mkdir()
    folder.chmod(0o555)
    tmp_path.chmod(0o755)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)  # root may write anywhere
    try:
        with pytest.raises(hc.LedgerError, match="shelf.*(writable|cannot)"):
            hc.Ledger(folder / "runs.sqlite")
    finally:
        if root:
            os.seteuid(0)


def test_a_ledger_that_is_closed_or_of_another_process_says_so(tmp_path, plane):
    ledger = hc.Ledger(tmp_path / "runs.sqlite")
    child = os.fork()
    if child == 0:
        try:
            ledger.runs(plane)
        except hc.LedgerError as error:
            os._exit(0 if "was opened by process" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    ledger.close()
    ledger.close()
    with pytest.raises(hc.LedgerError, match="is closed"):
        ledger.runs(plane)


def test_the_file_can_be_read_without_hetcal(tmp_path, plane):
    path = tmp_path / "runs.sqlite"
    full_file(path, plane)
    connection = sqlite3.connect(path)
    theta, seed, outputs = connection.execute(
        "SELECT theta, seed, outputs FROM runs WHERE run_id = 2"
    ).fetchone()
    assert struct.unpack("<2d", theta) == (1.0, 2.0) and seed == 1
    assert struct.unpack("<5d", outputs) == tuple(FLAT[1])
    assert connection.execute("SELECT parameters, outputs FROM simulators").fetchone() == (
        '["a", "b"]',
        '{"total": [], "x": [2, 2]}',
    )
    connection.close()


WRITER = """
import sys, numpy as np, hetcal as hc
from hetcal.simulators import RunResult

@hc.simulator(parameters=["a"], outputs={"y": (50,)}, version="1")
def model(theta, seed):
    return {"y": np.zeros(50)}

ledger = hc.Ledger(sys.argv[1])
start = len(ledger.runs(model))
for block in range(start // 100, 100_000):
    seeds = np.arange(100 * block, 100 * block + 100)
    results = [RunResult("ok", np.full(50, block), 0.0, None)] * 100
    ledger.record(model, np.full((100, 1), block), seeds, results)
    print(seeds[-1] + 1, flush=True)
"""


def test_a_writer_killed_at_any_moment_loses_nothing_it_committed(tmp_path):
    script, path = tmp_path / "writer.py", tmp_path / "runs.sqlite"
    script.write_text(textwrap.dedent(WRITER))
    rng = np.random.default_rng(1)
    told = 0
    for _ in range(5):
        process = subprocess.Popen([sys.executable, script, path], stdout=subprocess.PIPE, text=True)
        for _ in range(rng.integers(1, 40)):
            told = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        told = max([told, *map(int, process.stdout.read().split("\n")[:-1])])
        process.wait()
        with hc.Ledger(path) as ledger:  # recovers from the log that was left
            connection = sqlite3.connect(path)
            rows = connection.execute("SELECT seed, theta, outputs FROM runs ORDER BY run_id").fetchall()
            connection.close()
            assert repr(ledger).endswith(f"{len(rows)} runs)")
        assert len(rows) >= told and len(rows) % 100 == 0
        assert [row[0] for row in rows] == list(range(len(rows)))
        assert all(outputs == 50 * theta for _, theta, outputs in rows)


def test_130_000_runs_are_comfortable(tmp_path):
    @hc.simulator(parameters=["a", "b"], outputs={"y": (14,)}, version="1")
    def model(theta, seed):
        return {"y": np.zeros(14)}

    n = 130_000
    rng = np.random.default_rng(1)
    theta, seeds, flat = rng.uniform(size=(n, 2)), rng.integers(0, 2**53, n), rng.uniform(size=(n, 14))
    with hc.Ledger(tmp_path / "runs.sqlite") as ledger:
        assert ledger.record(model, theta, seeds, [RunResult("ok", row, 0.0, None) for row in flat]) == n
        order = rng.permutation(n)
        status, read, run_id = ledger.lookup(model, theta[order], seeds[order])
        assert (
            set(status) == {"ok"} and np.array_equal(read, flat[order]) and np.array_equal(run_id, order + 1)
        )
        assert np.array_equal(ledger.outputs(model, "y"), flat)


def test_a_run_that_comes_again_with_other_outputs_is_refused_and_nothing_is_written(ledger, plane):
    frame = flat_frame()
    ledger.add_runs(frame.iloc[:2], plane)
    column = ledger.output_columns(plane)[0]
    changed = frame.copy()
    changed.loc[changed.index[1], column] += 1
    with pytest.raises(
        ValueError, match=r"row 1 \(seed .*\) has other outputs than the same run has in the ledger"
    ):
        ledger.add_runs(changed, plane)
    assert len(ledger.runs(plane)) == 2


def test_settings_that_a_study_asked_for_as_scenarios_are_no_other_code():
    def model(lower):
        @hc.simulator(parameters=["a"], outputs={"y": ()}, version=str(lower), name="model")
        def run(theta, seed):
            return {"y": theta["a"] - lower}

        return run

    with hc.Ledger() as ledger:
        own, scenario, old = (model(lower) for lower in (0.0, 1.0, 2.0))
        for simulator in (own, scenario, old):
            execute(simulator, [[0.5], [0.5]], [1, 2], ledger)
        ledger.ask("study/scenarios", 0, "scenarios", scenario, [[0.5]], [np.array([1, 2])])
        others = ledger.other_versions(own)
        assert others["version"].tolist() == ["2.0"] and others["runs"].tolist() == [2]
        # Exhibits run a study's own simulator too: once its code is another, the study's runs are still told of.
        for study, purpose in (("study", "design"), ("exhibits/1", "exhibits")):
            ledger.ask(study, 0, purpose, old, [[0.5]], [np.array([1, 2])])
        assert ledger.other_versions(own).equals(others)
