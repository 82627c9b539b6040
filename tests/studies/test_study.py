"""Study objects, and how they are found: by name, in a user's file."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest

import hetcal as hc
from hetcal.simulators import fingerprint
from hetcal.studies import StudyError, load

# The simulator, a constant and a helper live in the file itself; workers cannot import any of it.
FILE = """
from __future__ import annotations
from dataclasses import dataclass
import numpy as np
import hetcal as hc

SCALE = 2.0

def mean_of(x):
    return SCALE * x

@dataclass(frozen=True)
class Line:
    slope: float = 3.0
    name = "line"
    version = "1"
    parameters = ("x",)
    outputs = {"y": (2,)}

    def __call__(self, theta, seed):
        return {"y": mean_of(theta["x"]) + self.slope * np.random.default_rng(seed).normal(size=2)}

problem = hc.Problem(hc.Space([hc.Parameter("x", hc.uniform(0, 1))]), Line(), [hc.Target("y", [1, 1], loss="rss")])
"""
FIXED = (
    "study = hc.Study('line', problem, hc.BayesianCalibration(problem), title='A line', source='made up')\n"
)
BY_BUDGET = """
def study(budget):
    method = hc.BayesianCalibration(problem, rounds={"quick": 1, "full": 5}[budget])
    return hc.Study("line", problem, method, title="A line", source="made up")
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))

    def to(name, text):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return to


def test_shipped_studies_come_by_name_and_budget():
    assert hc.studies.load("flu1978").method.rounds == 12
    assert load("flu1978", "full").method.rounds > 12
    with pytest.raises(StudyError, match="no study 'flu': shipped are flu1978"):
        load("flu")
    with pytest.raises(AttributeError, match="the shipped studies are flu1978"):
        hc.studies.flu1879


@pytest.mark.parametrize("name", ["line.py", "random.py"])
def test_a_file_runs_in_workers_that_cannot_import_it(write, name):
    study = load(write(name, FILE + FIXED))
    design = [[0.2], [0.8]]
    ledgers = [hc.Ledger(), hc.Ledger()]
    for workers, ledger in zip((1, 2), ledgers):
        runs = hc.run_ensemble(study.problem, design, replicates=4, ledger=ledger, seed=1, workers=workers)
        assert runs["status"].tolist() == ["ok"] * 8
    simulator = study.problem.simulator
    order = [np.argsort(ledger.runs(simulator)["seed"].to_numpy()) for ledger in ledgers]
    one, two = (ledger.outputs(simulator, "y")[rows] for ledger, rows in zip(ledgers, order))
    assert np.array_equal(one, two)
    assert importlib.import_module("random").__name__ == "random"


def test_a_study_has_the_same_name_in_a_ledger_however_its_file_is_loaded(write, tmp_path):
    decorated = """
@hc.simulator(parameters=["x"], outputs={"y": (2,)}, version="1")
def line(theta, seed):
    return {"y": [mean_of(theta["x"]), seed]}
"""
    text = FILE.replace("\nproblem =", decorated + "\nproblem =").replace("Line(), [", "line, [")
    study = load(write("line_by_import.py", text + FIXED))
    sys.path.insert(0, str(tmp_path))
    imported = importlib.import_module("line_by_import")
    assert fingerprint(study.problem.simulator) == fingerprint(imported.study.problem.simulator)
    assert study.method.study_name(1) == imported.study.method.study_name(1)


def test_an_edited_file_is_read_again(write):
    first = load(write("line.py", FILE + FIXED)).problem.simulator
    # As long as the old text, and within the second: no cache of compiled files may serve the old one.
    second = load(write("line.py", FILE.replace("SCALE = 2.0", "SCALE = 7.0") + FIXED)).problem.simulator
    assert fingerprint(first) != fingerprint(second)


def test_a_file_may_offer_budgets(write):
    path = write("line.py", FILE + BY_BUDGET)
    assert [load(path, budget).method.rounds for budget in (None, "quick", "full")] == [1, 1, 5]


@pytest.mark.parametrize(
    "text, budget, sentence",
    [
        ("x = 1\n", None, "defines no study: let it end with"),
        ("study = 'flu'\n", None, "study in .* is 'flu': make it"),
        ("def study(budget):\n    return 3\n", None, "study in .* is 3"),
        ("x = 1\nstudy = (\n", None, r"line 2: '\(' was never closed"),
        (
            "x = 1\n\nimport no_such_model\n",
            None,
            "line 3: ModuleNotFoundError: No module named 'no_such_model'",
        ),
        ("raise SystemExit(4)\n", None, "line 1: SystemExit: 4"),
        (FILE + BY_BUDGET.replace('"quick": 1, ', ""), "quick", "line 2[0-9]: KeyError: 'quick'"),
        (FILE + FIXED, "full", "offers no choice of budgets: leave --budget out"),
        (FILE + FIXED.replace("'line'", "'a/b'"), None, "name='a/b' cannot name a folder"),
        (FILE + FIXED.replace("source=", "story=[3], source="), None, "story of study 'line' is one text"),
        (
            FILE + FIXED.replace("source=", "look_at='all', source="),
            None,
            "look_at of study 'line' is a list",
        ),
        (FILE + FIXED.replace("problem, hc", "0, hc"), None, "of another problem"),
    ],
)
def test_a_faulty_file_is_a_sentence_with_its_line(write, text, budget, sentence):
    path = write("faulty.py", text)
    with pytest.raises(StudyError, match=sentence) as caught:
        load(path, budget)
    assert path in str(caught.value) and "\n" not in str(caught.value)


def test_a_study_runs_its_method(write):
    study = load(write("line.py", FILE + FIXED))
    with pytest.raises(TypeError, match="speed"):
        study.run(hc.Ledger(), 0, speed=3)
    assert repr(study) == "Study('line': line by BayesianCalibration)"
