"""What changes a fingerprint and what does not."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hetcal.simulators import StochasticSIR, fingerprint, settings, simulator

STUDY = '''
import functools
import math
import numpy as np
import numba
from hetcal.simulators import simulator, fingerprint

RATE = 2.0
TABLE = np.arange(4.0)
LABELS = {"alpha", "beta", "gamma"}
BY_NAME = {"a": 1, "b": [1, 2]}

class Contact:
    """How people meet."""
    strength = 3

    def __init__(self, scale):
        self.scale = scale

    def meet(self, x):
        return self.strength * x * self.scale  # the rate

CONTACT = Contact(1.5)

@numba.njit
def compiled(x):
    return x + 1.0

def recursive(n):
    return 0 if n == 0 else recursive(n - 1)

@functools.lru_cache
def cached(x):
    return x * 7

def make(factor):
    def inner(x, power=2):
        return factor * x**power
    return inner

powered = make(4)

def unused():
    return 1

@simulator(parameters=["a"], outputs={"x": (2,)}, version="1")
def model(theta, seed):
    """One run."""
    from math import exp
    value = compiled(CONTACT.meet(theta["a"])) * RATE + TABLE.sum() + powered(2) + cached(2)
    value += len(LABELS) + BY_NAME["a"] + recursive(3) + sum(k for k in range(RATE.__trunc__()))
    return {"x": np.full(2, value * math.pi * exp(0))}
'''


def run_study(folder: Path, text: str, hash_seed: str = "0") -> str:
    """Fingerprint of the study's model, from a process of its own."""
    path = folder / "study_under_test.py"
    path.write_text(text)
    return run_python(
        f"import runpy; m = runpy.run_path({str(path)!r}); print(m['fingerprint'](m['model']))", hash_seed
    )


def run_python(code: str, hash_seed: str = "0") -> str:
    """Output of python -c."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return run_study(tmp_path_factory.mktemp("study"), STUDY)


@pytest.mark.parametrize(
    "old, new",
    [
        ("RATE = 2.0", "RATE = 2.5"),
        ("np.arange(4.0)", "np.arange(5.0)"),
        ("np.arange(4.0)", "np.arange(4)"),
        ('"gamma"}', '"delta"}'),
        ('"b": [1, 2]', '"b": [1, 3]'),
        ("strength = 3", "strength = 4"),
        ("Contact(1.5)", "Contact(1.6)"),
        ("self.strength * x", "self.strength + x"),
        ("x + 1.0", "x + 2.0"),
        ("x * 7", "x * 8"),
        ("make(4)", "make(5)"),
        ("power=2", "power=3"),
        ("recursive(n - 1)", "recursive(n - 2)"),
        ("math.pi", "math.e"),
        ("@numba.njit", "@numba.njit(fastmath=True)"),
        ('version="1"', 'version="2"'),
        ('outputs={"x": (2,)}', 'outputs={"x": (2,), "y": ()}'),
        ('parameters=["a"]', 'parameters=["a", "b"]'),
    ],
)
def test_every_part_that_a_run_reaches_counts(tmp_path, original, old, new):
    assert old in STUDY
    assert run_study(tmp_path, STUDY.replace(old, new)) != original


@pytest.mark.parametrize(
    "old, new",
    [
        ("  # the rate", ""),
        ('"""How people meet."""', '"""Otherwise."""'),
        ('"""One run."""', '"""One run, told at\n    length."""'),
        ("factor * x**power", "(factor *\n            x ** power)"),
        ("return 1", "return 2"),  # of a function that no run reaches
        ("RATE = 2.0", "# a comment\n\nRATE = 2.0"),
        ('{"alpha", "beta", "gamma"}', '{"gamma", "alpha", "beta"}'),
        ('{"a": 1, "b": [1, 2]}', '{"b": [1, 2], "a": 1}'),
    ],
)
def test_comments_layout_docstrings_and_unreached_code_do_not_count(tmp_path, original, old, new):
    assert old in STUDY
    assert run_study(tmp_path, STUDY.replace(old, new)) == original


def test_the_same_with_any_hash_seed(tmp_path, original):
    assert {run_study(tmp_path, STUDY, seed) for seed in ("1", "2", "3")} == {original}


@pytest.mark.parametrize(
    "style", ["import helper_under_test as h; use = h.double", "from helper_under_test import *"]
)
def test_helpers_in_other_modules_of_the_user_count(tmp_path, style):
    def of(factor: int, inside: str) -> str:
        (tmp_path / "helper_under_test.py").write_text(
            f"FACTOR = {factor}\ndef double(x):\n    return x * FACTOR\n"
        )
        return run_python(
            textwrap.dedent(
                f"""
            import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.dont_write_bytecode = True
            import helper_under_test
            from hetcal.simulators import simulator, fingerprint
            @simulator(parameters=["a"], outputs={{"x": ()}}, version="1")
            def model(theta, seed):
                {inside}
            print(fingerprint(model))
        """
            )
        )

    for inside in (
        "return {'x': helper_under_test.double(theta['a'])}",
        "from helper_under_test import double; return {'x': double(theta['a'])}",
    ):
        assert of(2, inside) == of(2, inside)
        assert of(2, inside) != of(30, inside)


def test_code_without_a_file_counts_by_its_bytecode():
    code = """
from hetcal.simulators import simulator, fingerprint
def helper(x):
    {doc}
    return x * {factor}
@simulator(parameters=["a"], outputs={{"x": ()}}, version="1")
def model(theta, seed):
    return {{"x": helper(theta["a"])}}
print(fingerprint(model))
"""
    first = run_python(code.format(factor=2, doc="'one'"))
    assert run_python(code.format(factor=2, doc="'another'"), hash_seed="5") == first
    assert run_python(code.format(factor=3, doc="'one'")) != first


def test_a_file_edited_after_the_import_is_not_taken_for_the_code_that_runs(tmp_path):
    path = tmp_path / "edited.py"
    path.write_text(STUDY)
    code = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("edited", {str(path)!r})
module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
open({str(path)!r}, "w").write({STUDY.replace("self.strength * x", "self.strength + x")!r})
print(module.fingerprint(module.model))
"""
    stale = run_python(code)
    assert stale != run_study(tmp_path, STUDY.replace("self.strength * x", "self.strength + x"))


@dataclass(frozen=True)
class Village:
    """A simulator with settings of several kinds."""

    people: int = 10
    rates: object = None
    parameters = ("a",)
    outputs = {"x": ()}
    name = "village"
    version = "1"

    def __call__(self, theta, seed):
        return {"x": self.people * theta["a"]}


def test_settings_count():
    values = [None, 1, 1.0, True, "1", b"1", [1], (1,), [[1]], {"a": 1}, {1}, np.ones(2), np.ones((2, 1))]
    values += [pd.DataFrame({"a": [1.0]}), pd.DataFrame({"a": [2.0]}), pd.Series([1.0], index=[3]), Path("a")]
    values += [
        np.ones(2, dtype=np.float32),
        np.array(["a", "b"], dtype=object),
        functools.partial(max, 1),
        len,
        np.sin,
    ]
    prints = [fingerprint(Village(rates=value)) for value in values]
    assert len(set(prints)) == len(values)
    assert fingerprint(Village(11)) != fingerprint(Village(10)) == fingerprint(Village(np.int64(10)))
    assert prints == [fingerprint(Village(rates=value)) for value in values]


def test_cycles_end():
    loop: list[object] = [1]
    loop.append(loop)
    assert fingerprint(Village(rates=loop)) == fingerprint(Village(rates=loop))


@pytest.mark.parametrize(
    "make", [lambda: np.random.default_rng(1), lambda: open(os.devnull), lambda: (k for k in "a")]
)
def test_what_has_no_fixed_content_is_refused_by_name(make):
    with pytest.raises(TypeError, match="'rates'"):
        fingerprint(Village(rates={"inner": make()}))


def test_an_object_may_declare_its_own():
    class Declared:
        name, version, parameters, outputs = "declared", "1", ("a",), {"x": ()}

        def __init__(self, text):
            self.fingerprint = text
            self.handle = threading.Thread

    assert fingerprint(Declared("one")) == fingerprint(Declared("one")) != fingerprint(Declared("two"))
    with pytest.raises(TypeError, match="is 3: give a non-empty text"):
        fingerprint(Declared(3))


def test_sir_settings_and_kernels_count(monkeypatch):
    from hetcal.simulators import chain_binomial

    first = fingerprint(StochasticSIR(763, 14))
    assert fingerprint(StochasticSIR(763, 14)) == first
    assert len({first, fingerprint(StochasticSIR(764, 14)), fingerprint(StochasticSIR(763, 14, 12))}) == 3
    monkeypatch.setattr(chain_binomial, "LARGE_VARIANCE", 90.0)
    assert fingerprint(StochasticSIR(763, 14)) != first


def test_settings_for_reports():
    assert settings(StochasticSIR(763, 14)) == {
        "days": 14,
        "isolation_day": None,
        "isolation_rate": 1.0,
        "population": 763,
        "steps_per_day": 24,
    }

    @simulator(parameters=["a"], outputs={"x": ()}, version="1")
    def model(theta, seed):
        return {"x": 1}

    assert settings(model) == {}
