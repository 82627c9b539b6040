"""Decorator, checks, and runs that fail without raising."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from hetcal.simulators import (
    Simulator,
    StochasticSIR,
    check_simulator,
    flat_size,
    run_many,
    run_one,
    simulator,
    split_outputs,
    validate_outputs,
)


def returning(value):
    """A simulator of two outputs that returns value, or raises it."""

    @simulator(parameters=["a", "b"], outputs={"total": (), "series": (2, 2)}, version="1")
    def model(theta, seed):
        if isinstance(value, BaseException):
            raise value
        return value

    return model


GOOD = {"series": np.arange(4).reshape(2, 2), "total": 7}


def test_outputs_are_laid_out_in_declared_order():
    status, flat, error = validate_outputs(returning(GOOD), GOOD)
    assert (status, error) == ("ok", None)
    np.testing.assert_array_equal(flat, [7, 0, 1, 2, 3])
    assert flat.dtype == np.float64 and flat_size(returning(GOOD)) == 5
    parts = split_outputs(returning(GOOD).outputs, np.stack([flat, flat + 1]))
    assert list(parts) == ["total", "series"]
    np.testing.assert_array_equal(parts["total"], [7, 8])
    np.testing.assert_array_equal(parts["series"][1], GOOD["series"] + 1)


class Carries(Exception):
    """A fault with what there was of the outputs."""

    def __init__(self, outputs):
        super().__init__("diverged")
        self.outputs = outputs


@pytest.mark.parametrize(
    "returned, status, usable, sentence",
    [
        ({**GOOD, "total": np.nan}, "partial", [False, True], "output 'total' is not finite"),
        (
            {**GOOD, "series": [[1, 2], [3, np.inf]]},
            "partial",
            [True, False],
            "output 'series' is not finite",
        ),
        ({"total": 7}, "partial", [True, False], "output 'series' is missing"),
        ({}, "failed", [False, False], "'total' is missing; output 'series' is missing"),
        ({**GOOD, "series": [1, 2]}, "failed", [False, False], "shape (2,), declared is (2, 2)"),
        ({**GOOD, "total": [7]}, "failed", [False, False], "shape (1,), declared is ()"),
        ({**GOOD, "other": 1}, "failed", [False, False], "'other' that is not declared"),
        ({**GOOD, "total": "7"}, "failed", [False, False], "'total' is of type <U1, not numbers"),
        ({**GOOD, "total": 7j}, "failed", [False, False], "complex128"),
        ({**GOOD, "series": [[1], [2, 3]]}, "failed", [False, False], "'series'"),
        (None, "failed", [False, False], "returned NoneType, not a dict"),
        (ZeroDivisionError("by zero"), "failed", [False, False], "ZeroDivisionError: by zero"),
        (SystemExit(3), "failed", [False, False], "SystemExit: 3"),
        (Carries({"total": 7}), "partial", [True, False], "Carries: diverged"),
        (Carries(GOOD), "failed", [False, False], "Carries: diverged"),
        (Carries(None), "failed", [False, False], "Carries: diverged"),
    ],
)
def test_a_fault_costs_its_output_or_its_run_and_says_why(returned, status, usable, sentence):
    result = run_one(returning(returned), np.array([1.0, 2.0]), 1)
    assert result.status == status
    assert sentence in result.error
    np.testing.assert_array_equal(np.isfinite(result.outputs), np.repeat(usable, [1, 4]))
    assert result.seconds >= 0  # nothing is timed: a failed run has its seconds too


def test_control_c_is_not_a_failed_run():
    with pytest.raises(KeyboardInterrupt):
        run_one(returning(KeyboardInterrupt()), np.array([1.0, 2.0]), 1)


def test_theta_and_seed_reach_the_function_as_plain_numbers():
    seen = []

    @simulator(parameters=["a", "b"], outputs={"x": ()}, version="1", name="named")
    def model(theta, seed):
        seen.append((theta, seed, type(theta["b"]), type(seed)))
        return {"x": theta["a"]}

    results = run_many(model, [[1, 2], [3, 4]], [5, 2**52])
    assert seen == [({"a": 1.0, "b": 2.0}, 5, float, int), ({"a": 3.0, "b": 4.0}, 2**52, float, int)]
    assert [r.outputs[0] for r in results] == [1, 3]
    assert model.name == "named" and isinstance(model, Simulator)


class Batched:
    """A simulator with a batch whose behaviour is chosen."""

    name, version, parameters, outputs = "batched", "1", ("a",), {"x": (), "y": (3,)}

    def __init__(self, batch):
        self.batch = batch

    def __call__(self, theta, seed):
        if theta["a"] < 0:
            raise ValueError("a below 0")
        return {"x": theta["a"], "y": np.full(3, seed)}


def test_batch_is_used_and_judged_row_by_row():
    def batch(theta, seeds):
        return {"x": np.array([1.0, np.nan, np.nan]), "y": np.array([[1, 2, 3], [1, 2, 3], [1, np.inf, 3]])}

    results = run_many(Batched(batch), np.zeros((3, 1)), np.arange(3))
    assert [r.status for r in results] == ["ok", "partial", "failed"]
    np.testing.assert_array_equal(results[1].outputs, [np.nan, 1, 2, 3])
    assert np.isnan(results[2].outputs).all()
    assert run_many(Batched(batch), np.zeros((0, 1)), np.arange(0)) == []


def test_a_batch_that_raises_costs_only_the_culprit():
    def batch(theta, seeds):
        raise ValueError("somewhere")

    results = run_many(Batched(batch), [[1.0], [-1.0], [2.0]], [0, 1, 2])
    assert [r.status for r in results] == ["ok", "failed", "ok"]
    assert results[1].error == "ValueError: a below 0"


def test_a_batch_of_the_wrong_shape_warns_and_is_not_used():
    with pytest.warns(UserWarning, match=r"output 'x' has shape \(1,\), declared is \(2,\)"):
        results = run_many(Batched(lambda theta, seeds: {"x": np.ones(1)}), [[1.0], [2.0]], [0, 1])
    assert [r.outputs[0] for r in results] == [1, 2]


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ({"parameters": ["a", "a"]}, "name 'a' twice"),
        ({"parameters": ["x"]}, "name 'x' twice"),
        ({"parameters": ["seed"]}, "name 'seed', a column"),
        ({"parameters": "ab"}, r"give a list, \['ab'\]"),
        ({"parameters": [1]}, "the name 1"),
        ({"outputs": {}}, "declares no outputs"),
        ({"outputs": {"x": 3}}, "shape of output 'x' is 3"),
        ({"outputs": {"x": (2.5,)}}, r"shape of output 'x' .* is \(2.5,\)"),
        ({"outputs": {"x": (0,)}}, r"is \(0,\)"),
        ({"outputs": {"x.1": ()}}, "contains a dot"),
        ({"version": 1}, "version of simulator .* is 1"),
        ({"name": ""}, "name of simulator .* is ''"),
    ],
)
def test_a_bad_declaration_is_named(arguments, sentence):
    good = {"parameters": ["a"], "outputs": {"x": ()}, "version": "1"}
    with pytest.raises((TypeError, ValueError), match=sentence):
        simulator(**{**good, **arguments})(lambda theta, seed: {"x": 1})


def test_check_simulator_on_objects():
    check_simulator(StochasticSIR(763, 14))
    with pytest.raises(TypeError, match="has no attribute 'name'"):
        check_simulator(object())
    with pytest.raises(TypeError, match="batch of simulator 'batched' is 3"):
        check_simulator(Batched(3))
    with pytest.raises(TypeError, match="cannot be called"):
        check_simulator(
            type("Mute", (), {"name": "m", "version": "1", "parameters": ("a",), "outputs": {"x": ()}})()
        )


HELPER = "OFFSET = 10\ndef shift(x):\n    return x + OFFSET\n"
STUDY = """
import numpy as np
import numba
from hetcal.simulators import simulator
from helper_of_study import shift
SCALE = 2.0

@numba.njit
def compiled(x):
    return x * SCALE

@simulator(parameters=["a"], outputs={"x": (2,)}, version="1")
def model(theta, seed):
    return {"x": np.full(2, shift(compiled(theta["a"])) + seed)}
"""
DUMP = "import sys, cloudpickle; sys.stdout.buffer.write(cloudpickle.dumps(model))"
LOAD = """
import sys, cloudpickle
model = cloudpickle.load(sys.stdin.buffer)
assert not {"study", "helper_of_study"} & set(sys.modules)
print(model({"a": 1.5}, 4)["x"].tolist())
"""


@pytest.mark.parametrize("run_as", ["script", "study file"])
def test_a_decorated_function_works_in_a_process_that_cannot_import_it(tmp_path, run_as):
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "helper_of_study.py").write_text(HELPER)
    (folder / "study.py").write_text(STUDY + (DUMP if run_as == "script" else ""))
    command = [sys.executable, str(folder / "study.py")]
    if run_as == "study file":
        load = f"""
            import importlib.util, sys
            sys.path.insert(0, {str(folder)!r})
            spec = importlib.util.spec_from_file_location("study", {str(folder / "study.py")!r})
            module = sys.modules["study"] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            model = module.model
        """
        command = [sys.executable, "-c", textwrap.dedent(load) + DUMP]
    pickled = subprocess.run(command, capture_output=True, check=True).stdout
    result = subprocess.run([sys.executable, "-c", LOAD], input=pickled, capture_output=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout.decode().strip() == "[17.0, 17.0]"


def test_the_package_is_light():
    heavy = "{'numba', 'scipy', 'cloudpickle'}"
    code = f"import sys, hetcal.simulators as s; assert not {heavy} & set(sys.modules); s.StochasticSIR"
    subprocess.run([sys.executable, "-c", code], check=True)
