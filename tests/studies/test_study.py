"""Study objects, and how they are found: by name, in a user's file."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace

import numpy as np
import pytest

import hetcal as hc
from hetcal.calibrate.anchor import known_anchor
from hetcal.simulators import fingerprint
from hetcal.studies import StudyError, load
from hetcal.studies.answers import lines

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


# A study of a search, a posterior, scenarios and an exact posterior

OUTBREAK = hc.simulators.StochasticSIR(population=200, days=8)
COUNTS = [2, 5, 9, 18, 30, 41, 50, 47]
PRIORS = [
    hc.Parameter("R0", hc.uniform(1.5, 6)),
    hc.Parameter("infectious_days", hc.uniform(1, 5)),
    hc.Parameter("I0", hc.uniform(1, 5)),
]


def whole_study(**options):
    problem = hc.Problem(hc.Space(PRIORS), OUTBREAK, [hc.Target("in_bed", COUNTS, loss="poisson_deviance")])
    search = hc.BayesianCalibration(
        problem,
        initial=24,
        replicates=4,
        batch=3,
        rounds=1,
        candidates=300,
        emulator=hc.HetGP(noise="homoskedastic"),
        finalists=3,
        finalist_replicates=10,
        winner_replicates=20,
    )
    posterior = hc.Posterior(
        problem,
        observation={"in_bed": hc.observation.NegativeBinomialObservation(10)},
        emulator=hc.HetGP(noise="homoskedastic"),
        predictive=50,
    )
    options = {"posterior": posterior} | options
    return hc.Study("whole", problem, search, "A small outbreak", "made up", **options)


DECISION = {
    "scenarios": {"as it is": {}, "half": {"R0": lambda draws: draws / 2}},
    "outcome": "total_infected",
}


@pytest.mark.filterwarnings("ignore::hetcal.emulators.FitWarning", "ignore:Only .* effective")
def test_a_study_of_two_methods_goes_on_where_it_stopped_and_is_told_in_full(needs_r):
    study, ledger = whole_study(**DECISION), hc.Ledger()
    made, purposes = 0, []
    # By file: everything that is asked for is simulated elsewhere, until nothing is.
    while len(todo := study.ask(ledger, seed=2)):
        hc.ensemble.execute(OUTBREAK, study.problem.theta(todo), todo["seed"].to_numpy(), ledger)
        made += len(todo)
        purposes += [p for p in todo["purpose"].unique() if p not in purposes]
    # The posterior learns from the search's runs, so that only its predictive ones are new.
    assert purposes == ["design", "search", "finalists", "reporting", "predictive"]
    assert len(ledger.runs(OUTBREAK)) == made == 24 * 4 + 3 * 4 + 3 * 10 + 20 + 50
    answers = study.result(ledger, seed=2)
    assert isinstance(answers.result, hc.calibrate.CalibrationResult)
    assert answers.posterior.runs["given"] == 24 * 4 + 3 * 4
    assert answers.scenarios.best == "half"
    with_scenarios = len(ledger.runs(OUTBREAK))
    assert with_scenarios > made
    again = study.run(ledger, seed=2, progress=False)
    assert len(ledger.runs(OUTBREAK)) == with_scenarios
    assert again.posterior.samples.equals(answers.posterior.samples)
    assert again.scenarios.table.equals(answers.scenarios.table)
    told = list(lines(answers))
    assert told[0] == f"verdict: {answers.posterior.verdict.sentence}"
    assert [line.split(":")[0] for line in told[1:4]] == ["R0", "infectious_days", "I0"]
    assert told[4] == answers.scenarios.says and told[5].startswith("best: ")


@pytest.mark.filterwarnings("ignore::hetcal.emulators.FitWarning", "ignore:Only .* effective")
def test_the_order_in_which_runs_came_in_changes_no_number(needs_r):
    """As with several workers, whose runs end in any order."""
    problem = whole_study().problem
    method = hc.Posterior(problem, emulator=hc.HetGP(noise="homoskedastic"), predictive=0)
    theta = np.repeat(hc.designs.sobol(problem.space, 24, seed=1).frame.to_numpy(), 3, axis=0)
    seeds = np.arange(len(theta))
    samples = []
    for order in (seeds, seeds[::-1]):
        ledger = hc.Ledger()
        hc.ensemble.execute(OUTBREAK, theta[order], seeds[order], ledger)
        samples.append(method.run(ledger, seed=1).samples)
    assert samples[0].equals(samples[1])


@pytest.mark.filterwarnings("ignore::hetcal.emulators.FitWarning", "ignore:Only .* effective")
def test_a_study_with_an_exact_posterior_computes_it_once(needs_r, monkeypatch):
    posterior, lengths = replace(whole_study().posterior, initial=20, rounds=0, predictive=0), []
    study = hc.Study("exact", posterior.problem, posterior, "A small outbreak", "made up", exact=True)
    exact = hc.calibrate.PosteriorResult.exact

    def short(result):
        lengths.append(len(result.ledger.checkpoints(result.study)))
        return exact(result, iterations=10, burn_in=30)

    monkeypatch.setattr(hc.calibrate.PosteriorResult, "exact", short)
    ledger = hc.Ledger()
    answers = study.run(ledger, seed=2, progress=False)
    assert known_anchor(answers.posterior).comparison["parameter"].tolist() == ["R0", "infectious_days", "I0"]
    study.result(ledger, seed=2)
    # The second time it finds what the first one noted.
    assert lengths[1] == lengths[0] + 1


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"posterior": None, "exact": True}, "exact=True but no posterior"),
        ({"posterior": None} | DECISION, "has scenarios or exact=True but no posterior"),
        (DECISION | {"outcome": None}, "scenarios of study 'whole' need outcome="),
        ({"outcome": "total_infected"}, "outcome of study 'whole' judges scenarios: give scenarios= too"),
    ],
)
def test_decisions_without_what_they_need_are_refused(options, sentence):
    with pytest.raises(StudyError, match=sentence):
        whole_study(**options)


def test_a_posterior_of_another_problem_is_refused():
    with pytest.raises(StudyError, match="is Posterior of another problem"):
        whole_study(posterior=whole_study().posterior)
