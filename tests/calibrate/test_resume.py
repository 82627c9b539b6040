"""A study killed with SIGKILL and run again comes to the same result; benchmarks/crash_test.py does it 1,000 times."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "crash_test.py"


@pytest.fixture(scope="module")
def crash_test():
    spec = importlib.util.spec_from_file_location("crash_test", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["crash_test"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def uninterrupted(crash_test, tmp_path_factory, needs_r):
    """What an uninterrupted study found, and how long its phases last."""
    path = tmp_path_factory.mktemp("reference") / "study.sqlite"
    life = crash_test.live(path)
    assert life.code == 0, life.text
    spans = {phase: [s for name, s in life.spans if name == phase] for phase in crash_test.PHASES}
    return crash_test.evidence(path), spans


@pytest.mark.parametrize(
    "phase, workers",
    [("simulating", 2), ("committing", 1), ("fitting", 1), ("choosing the winner", 1)],
)
def test_killed_twice_in_a_phase_a_study_comes_to_the_same_result(
    crash_test, uninterrupted, tmp_path, phase, workers
):
    expected, spans = uninterrupted
    path = tmp_path / "study.sqlite"
    random = np.random.default_rng(crash_test.PHASES.index(phase))
    held = 0
    # At once, which is sure to be within the phase; then at a random moment of it.
    for opening, delay in ((1, 0.0), (2, random.uniform(0, min(spans[phase])))):
        life = crash_test.live(path, workers, phase, opening, delay)
        held = crash_test.check(life, held, path)
        assert life.code == -9 or opening == 2, life.text
    life = crash_test.live(path, workers)
    assert life.code == 0, life.text
    assert life.found >= held
    found = crash_test.evidence(path)
    for name in ("best", "history", "ranges", "counts", "stopped", "asks", "checkpoints", "runs"):
        assert found[name] == expected[name], name


def test_a_smaller_number_of_kills_than_make_crash_test(crash_test, needs_r, tmp_path):
    said = []
    count = crash_test.run(8, tmp_path, say=said.append)
    assert sum(count.kills.values()) >= 8 and count.studies >= 1 and count.held > 0
    assert set(count.kills) <= set(crash_test.PHASES)
    assert "lost: 0 of the" in said[-1]


def test_the_crash_test_sees_a_loss(crash_test, tmp_path):
    killed = crash_test.Life(found=4, held=9, code=-9)
    assert crash_test.check(killed, 4, tmp_path) == 9
    with pytest.raises(AssertionError, match="5 runs were in the ledger, 4 are left"):
        crash_test.check(killed, 5, tmp_path)
    with pytest.raises(AssertionError, match="ended with code 1"):
        crash_test.check(crash_test.Life(code=1), 0, tmp_path)
