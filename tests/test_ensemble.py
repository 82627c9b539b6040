from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pandas as pd
import pytest

import hetcal as hc
from hetcal.ensemble import execute
from hetcal.executors import Lost, Processes
from hetcal.simulators import to_bytes

PARENT = os.getpid()


@hc.simulator(parameters=["a", "b"], outputs={"y": (3,), "total": ()}, version="1")
def noisy(theta, seed):
    y = np.random.default_rng(seed).normal(theta["a"], 1 + theta["b"] ** 2, 3)
    matrix = np.outer(y, y) + np.eye(3)
    return {"y": np.linalg.solve(matrix, y), "total": (matrix @ matrix).sum()}


SPACE = hc.Space([hc.Parameter("b", hc.uniform(0, 1)), hc.Parameter("a", hc.uniform(-5, 5))])
PROBLEM = hc.Problem(SPACE, noisy, [hc.Target("y", observed=[0.0, 1.0, 2.0], loss="rss")])
DESIGN = hc.designs.sobol(SPACE, 8, seed=1)


@hc.simulator(parameters=["what"], outputs={"y": (2,), "pid": ()}, version="1")
def faulty(theta, seed):
    """Well behaved, but for seed 3."""
    what = FAULTS[int(theta["what"])] if seed == 3 else "nothing"
    if what == "raises":
        raise ValueError("no such country")
    if what == "unpicklable":

        class Local(Exception):
            def __reduce__(self):
                raise TypeError("never")

        raise Local("odd")
    if what == "sys.exit":
        sys.exit(4)
    if what == "hangs":
        time.sleep(1000)
    if what == "exits":
        os._exit(5)
    if what == "exits well":
        os._exit(0)
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    y = {"nan": [np.nan, 1.0], "shape": np.zeros(3)}.get(what, [1.0, seed])
    return {"y": y, "pid": os.getpid(), **({"z": 1.0} if what == "unknown" else {})}


FAULTS = ["raises", "unpicklable", "sys.exit", "nan", "shape", "unknown"]
SAFE = len(FAULTS)
FAULTS += ["exits", "exits well", "killed", "hangs"]
REASONS = [
    "ValueError: no such country",
    "Local: odd",
    "SystemExit: 4",
    "'y' is not finite",
    "'y' has shape (3,)",
    "'z' that is not declared",
    "killed its process (exit code 5)",
    "killed its process (exit code 0)",
    "killed its process (exit code -9)",
    "exceeded the time limit of 1.5 s and was stopped",
]


@pytest.fixture
def ledger():
    with hc.Ledger() as ledger:
        yield ledger


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster, distributed.Client(cluster) as client:
        yield client


def check_one_row_each(ledger, faults):
    """Every fault cost the run of seed 3 and no other."""
    runs = ledger.runs(faulty)
    assert len(runs) == 10 * faults
    bad = runs[runs["status"] != "ok"].sort_values("what")
    assert bad["seed"].tolist() == [3] * faults and bad["what"].tolist() == list(range(faults))
    for status, error, fault, reason in zip(bad["status"], bad["error"], FAULTS, REASONS):
        assert reason in error, (fault, error)
        assert status == ("partial" if fault == "nan" else "failed")


def faulty_runs(faults):
    return np.repeat(np.arange(float(faults)), 10)[:, None], np.tile(np.arange(10), faults)


def test_each_fault_costs_one_row_in_this_process(ledger):
    assert execute(faulty, *faulty_runs(SAFE), ledger) == 10 * SAFE
    check_one_row_each(ledger, SAFE)
    assert np.nanmax(ledger.outputs(faulty, "pid")) == PARENT


def test_each_fault_costs_one_row_on_processes(ledger):
    assert execute(faulty, *faulty_runs(len(FAULTS)), ledger, workers=2, time_limit=1.5) == 100
    check_one_row_each(ledger, len(FAULTS))
    assert not np.any(ledger.outputs(faulty, "pid") == PARENT)
    assert execute(faulty, *faulty_runs(SAFE), ledger) == 0, "failed runs are not made again unasked"
    assert execute(faulty, *faulty_runs(SAFE), ledger, retry_failed=True) == SAFE - 1


def test_each_fault_costs_one_row_on_dask(ledger, client):
    pids = set(client.run(os.getpid).values())
    assert execute(faulty, *faulty_runs(len(FAULTS)), ledger, executor=client, time_limit=1.5) == 100
    check_one_row_each(ledger, len(FAULTS))
    assert set(client.run(os.getpid).values()) == pids, "no Dask worker died"


def test_a_time_limit_holds_with_one_worker(ledger):
    execute(faulty, [[FAULTS.index("hangs")]] * 2, [3, 4], ledger, time_limit=1.5)
    assert sorted(ledger.runs(faulty)["status"]) == ["failed", "ok"]


def test_the_numbers_are_the_same_on_every_executor(client):
    bits = []
    for options in ({}, {"workers": 2}, {"workers": 3, "time_limit": 60}, {"executor": client}):
        with hc.Ledger() as ledger:
            runs = hc.run_ensemble(PROBLEM, DESIGN, replicates=25, ledger=ledger, seed=1, **options)
            theta = runs[["a", "b"]].to_numpy()
            _, flat, _ = ledger.lookup(noisy, theta, runs["seed"])
            bits.append((theta.tobytes(), runs["seed"].tolist(), flat.tobytes()))
    assert np.isfinite(flat).all() and all(each == bits[0] for each in bits)


def test_a_batch_gives_the_same_numbers_in_chunks_of_any_size():
    sir = hc.simulators.StochasticSIR(population=763, days=14)
    theta = np.tile([[3.7, 2.2, 3.0]], (3000, 1))
    with hc.Ledger() as serial, hc.Ledger() as parallel:
        execute(sir, theta, np.arange(3000), serial)
        execute(sir, theta, np.arange(3000), parallel, workers=2)
        np.testing.assert_array_equal(
            *(each.lookup(sir, theta, np.arange(3000))[1] for each in (serial, parallel))
        )


def test_rows_come_location_by_location_with_seeds_of_their_own(ledger):
    runs = hc.run_ensemble(PROBLEM, DESIGN, replicates=3, ledger=ledger, seed=1)
    assert list(runs.columns) == ["run_id", "a", "b", "seed", "status", "seconds", "error"]
    np.testing.assert_array_equal(runs[["b", "a"]], np.repeat(DESIGN.frame.to_numpy(), 3, axis=0))
    assert runs["seed"].nunique() == len(runs) == 24
    more = hc.run_ensemble(PROBLEM, DESIGN.frame[["a", "b"]], replicates=5, ledger=ledger, seed=1)
    assert set(more["run_id"]) > set(runs["run_id"]) and len(ledger.runs(noisy)) == 40
    other = hc.run_ensemble(PROBLEM, DESIGN, replicates=3, ledger=ledger, seed=0)
    assert not set(other["seed"]) & set(more["seed"])
    common = hc.run_ensemble(PROBLEM, DESIGN.frame.to_numpy()[[0, 0, 1]], seeds=[7, 8], ledger=ledger)
    assert common["seed"].tolist() == [7, 8] * 3
    assert common["run_id"].tolist()[:2] == common["run_id"].tolist()[2:4], "a location asked for twice"


@pytest.mark.parametrize(
    "arguments, told",
    [
        ({"workers": 0}, "workers is 0"),
        ({"workers": 1.5}, "workers is 1.5"),
        ({"replicates": 0}, "replicates is 0"),
        ({"time_limit": 0}, "time_limit is 0"),
        ({"time_limit": float("nan")}, "time_limit is nan"),
        ({"seeds": [-1]}, "seed -1"),
        ({"seeds": [0.5]}, "seed 0.5"),
        ({"seed": -1}, "-1"),
        ({"seed": 0.5}, "0.5"),
        ({"design": pd.DataFrame({"a": [1.0], "c": [1.0]})}, "'?c'?"),
        ({"design": pd.DataFrame({"a": [1.0]})}, "'?b'?"),
        ({"design": [[1.0, np.nan]]}, "a'? is (nan|not finite)"),
        ({"design": [[1.0, 2.0, 3.0]]}, "3"),
    ],
)
def test_bad_arguments_are_named_and_nothing_runs(ledger, arguments, told):
    with pytest.raises(ValueError, match=told):
        hc.run_ensemble(PROBLEM, **{"design": DESIGN, "ledger": ledger, **arguments})
    assert ledger.runs(noisy).empty


def test_what_is_no_client_is_refused(ledger, client):
    with pytest.raises(TypeError, match="executor is 'dask'"):
        hc.run_ensemble(PROBLEM, DESIGN, ledger=ledger, executor="dask")
    with pytest.raises(ValueError, match="workers=2 beside an executor"):
        hc.run_ensemble(PROBLEM, DESIGN, ledger=ledger, executor=client, workers=2)


def test_a_simulator_that_cannot_be_sent_says_so(ledger):
    class Holder:
        name, version, parameters, outputs, fingerprint = "holder", "1", ("a",), {"y": ()}, "fixed"

        def __init__(self):
            self.lock = threading.Lock()

        def __call__(self, theta, seed):
            return {"y": 0.0}

    holder = Holder()
    with pytest.raises(ValueError, match="'holder' cannot be sent to worker processes.*workers=1"):
        execute(holder, [[1.0]], [1], ledger, workers=2)
    assert execute(holder, [[1.0]], [1], ledger) == 1


class LoadsOnlyHere:
    """A simulator whose copy cannot be made in another process."""

    name, version, parameters, outputs, fingerprint = "rooted", "1", ("a",), {"y": ()}, "fixed"

    def __call__(self, theta, seed):
        return {"y": 0.0}

    def __reduce__(self):
        return os.listdir, ("/there/is/no/such/folder",)


def test_a_simulator_that_no_worker_can_load_stops_the_work(ledger):
    with pytest.raises(RuntimeError, match="cannot load the simulator .FileNotFoundError"):
        execute(LoadsOnlyHere(), [[1.0]], [1], ledger, workers=2)
    assert ledger.runs(LoadsOnlyHere()).empty


@hc.simulator(parameters=["a"], outputs={"blas": (), "numba": ()}, version="1")
def threads(theta, seed):
    import numba
    import threadpoolctl

    pools = threadpoolctl.threadpool_info()
    return {"blas": max(pool["num_threads"] for pool in pools), "numba": numba.get_num_threads()}


def test_a_worker_uses_one_thread(ledger):
    execute(threads, [[1.0]], [1], ledger, workers=2)
    assert ledger.outputs(threads, "blas").tolist() == ledger.outputs(threads, "numba").tolist() == [1.0]


def run_script(tmp_path, text, *arguments):
    script = tmp_path / "plain.py"
    script.write_text(textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, script, *map(str, arguments)], capture_output=True, text=True, timeout=120
    )


def test_a_plain_script_without_a_main_guard_works_with_two_workers(tmp_path):
    done = run_script(
        tmp_path,
        """
        import os, numpy as np, hetcal as hc
        print("started")
        SHIFT = 5.0

        @hc.simulator(parameters=["a"], outputs={"y": (), "pid": ()}, version="1")
        def model(theta, seed):
            return {"y": theta["a"] + SHIFT, "pid": os.getpid()}

        space = hc.Space([hc.Parameter("a", hc.uniform(0, 1))])
        problem = hc.Problem(space, model, [hc.Target("y", observed=1.0, loss="rss")])
        with hc.Ledger() as ledger:
            runs = hc.run_ensemble(problem, [[0.25], [0.5]], replicates=3, ledger=ledger, workers=2)
            assert runs["a"].tolist() == [0.25] * 3 + [0.5] * 3 and set(runs["status"]) == {"ok"}
            assert sorted(ledger.outputs(model, "y")) == [5.25] * 3 + [5.5] * 3
            assert os.getpid() not in ledger.outputs(model, "pid")
        """,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "started\n" and done.stderr == "", "no worker ran the script again"


def test_a_study_module_that_workers_cannot_import_works(tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "my_study.py").write_text(
        "import hetcal as hc\nFACTOR = 3.0\n\n\ndef helper(x):\n    return FACTOR * x\n\n\n"
        "class Model:\n    name, version, parameters, outputs = 'm', '1', ('a',), {'y': ()}\n\n"
        "    def __call__(self, theta, seed):\n        return {'y': helper(theta['a'])}\n"
    )
    done = run_script(
        tmp_path,
        """
        import importlib.util, sys, hetcal as hc
        from hetcal.ensemble import execute

        spec = importlib.util.spec_from_file_location("my_study", sys.argv[1])
        sys.modules["my_study"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        with hc.Ledger() as ledger:
            execute(module.Model(), [[2.0]], [1], ledger, workers=2)
            print(ledger.runs(module.Model())["error"].tolist(), ledger.outputs(module.Model(), "y"))
        """,
        folder / "my_study.py",
    )
    assert done.stdout == "[None] [6.]\n", done.stderr


SLOW_SCRIPT = """
import os, sys, time, numpy as np, hetcal as hc
from hetcal.ensemble import execute

@hc.simulator(parameters=["a"], outputs={"pid": ()}, version="1")
def slow(theta, seed):
    time.sleep(0.05 if seed < 40 else 1000)
    os.write(1, b"%d\\n" % os.getpid())  # in one piece, beside the other worker's
    return {"pid": os.getpid()}

if __name__ == "__main__":
    with hc.Ledger(sys.argv[1]) as ledger:
        execute(slow, np.zeros((60, 1)), np.arange(60), ledger, workers=2)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_what_finished_is_kept_and_no_worker_is_left_when_the_parent_is_stopped(tmp_path, end):
    script, path = tmp_path / "slow.py", tmp_path / "runs.sqlite"
    script.write_text(SLOW_SCRIPT)
    process = subprocess.Popen(
        [sys.executable, script, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        pids = [int(process.stdout.readline()) for _ in range(30)]
        if end == signal.SIGINT:
            pids += [int(process.stdout.readline()) for _ in range(10)]
            time.sleep(1.0)  # the workers hang in seeds 40 and 41 now
        process.send_signal(end)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert end == signal.SIGKILL or errors.rstrip().endswith("KeyboardInterrupt")
    deadline = time.monotonic() + 10  # nothing is timed here: a limit to waiting
    while any(alive(pid) for pid in set(pids)):
        assert time.monotonic() < deadline, "a worker outlives the process that started it"
        time.sleep(0.05)
    with hc.Ledger(path) as ledger:
        from importlib.util import module_from_spec, spec_from_file_location

        spec = spec_from_file_location("slow_script", script)
        spec.loader.exec_module(module := module_from_spec(spec))
        runs = ledger.runs(module.slow)
        assert set(runs["status"]) == {"ok"}
        # Unfinished chunks hold at most five runs each (0.25 s of 0.05 s): one a worker when interrupted, two
        # a worker when killed.
        assert len(runs) >= (32 if end == signal.SIGINT else 10)


def alive(pid):
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_worker_that_dies_between_runs_is_replaced():
    @hc.simulator(parameters=["a"], outputs={"y": ()}, version="1")
    def victim(theta, seed):
        if seed == 0:  # dies a moment after its result was sent
            threading.Timer(0.3, os._exit, [7]).start()
        return {"y": 1.0}

    with Processes(to_bytes(victim), 1, None) as processes:
        for seed in (0, 1):
            token = processes.submit(np.zeros((1, 1)), np.array([seed]))
            ((_, (result,)),) = processes.finished([token])
            assert result.status == "ok"
            time.sleep(1.0)


def test_closing_a_pool_frees_whoever_waits_for_it():
    with Processes(to_bytes(faulty), 1, None) as processes:
        token = processes.submit(np.array([[float(FAULTS.index("hangs"))]]), np.array([3]))
    assert dict(processes.finished([token])) == {token: Lost(None)}


def test_the_bar_shows_when_wanted_only(ledger, capfd):
    execute(noisy, np.zeros((3, 2)), [1, 2, 3], ledger, progress=None)
    assert capfd.readouterr() == ("", "")
    execute(noisy, np.zeros((3, 2)), [4, 5, 6], ledger, progress=True)
    out, err = capfd.readouterr()
    assert out == "" and "3/3" in err


@hc.simulator(parameters=["a"], outputs={"y": ()}, version="1")
def fatal(theta, seed):
    """Kills its process at once, three times of four."""
    if seed % 4:
        os._exit(seed % 2)
    return {"y": seed}


def test_many_deaths_in_a_row_cost_their_own_runs_only(ledger):
    execute(fatal, np.zeros((24, 1)), np.arange(24), ledger, workers=2)
    runs = ledger.runs(fatal)
    assert sorted(runs["seed"][runs["status"] == "ok"]) == [0, 4, 8, 12, 16, 20]
    assert set(runs["error"].dropna()) == {f"killed its process (exit code {code})" for code in (0, 1)}
