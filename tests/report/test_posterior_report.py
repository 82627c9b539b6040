"""The report of a posterior: what stands first, whose numbers the tables hold, and what it judges."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from html import unescape
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import hetcal as hc
from hetcal.calibrate.anchor import Anchor
from hetcal.calibrate.emulator_share import remaining_width
from hetcal.calibrate.sampler import sample_posterior
from hetcal.report.card import methods_paragraph, report_card, what_next
from hetcal.report.posterior_findings import gather_posterior
from hetcal.report.posterior_tables import failing, intervals
from hetcal.report.posterior_words import answer, cautions
from hetcal.report.words import value_of

pytestmark = pytest.mark.filterwarnings("ignore::hetcal.emulators.FitWarning", "ignore:Only .* effective")

SD = 0.1
OPTIONS = {"emulator": hc.HetGP(noise="homoskedastic"), "initial": 30, "replicates": 4, "rounds": 0}
OBSERVED = np.array([0.42, 0.50, 0.47, 0.71, 0.74, 0.83])


@dataclass(frozen=True)
class Line:
    """Six values on a line with noise; `level` says where it starts, exactly."""

    lift: float = 0.0
    name = "line"
    version = "1"
    parameters = ("a", "b")
    outputs = {"y": (6,), "level": ()}  # noqa: RUF012

    def __call__(self, theta, seed):
        noise = np.random.default_rng(seed).normal(0, SD, 6)
        return {
            "y": self.lift + theta["a"] + theta["b"] * np.arange(6) / 5 + noise,
            "level": np.array(theta["a"]),
        }


SPACE = hc.Space([hc.Parameter("a", hc.uniform(0, 1), label="start"), hc.Parameter("b", hc.uniform(0, 1))])


def problem(observed=OBSERVED):
    return hc.Problem(
        SPACE, Line(), [hc.Target("y", observed=observed, loss="gaussian", sd=SD, label="six values")]
    )


def run(observed=OBSERVED, **options):
    return hc.Posterior(problem(observed), **OPTIONS | {"predictive": 60} | options).run(seed=1)


@pytest.fixture(scope="module")
def right(needs_r):
    return run()


@pytest.fixture(scope="module")
def wrong(needs_r):
    """A zigzag, which no line makes."""
    return run(np.array([0.2, 1.5, 0.1, 1.6, 0.0, 1.7]))


@pytest.fixture(scope="module")
def findings(right):
    return gather_posterior(right)


@pytest.fixture(scope="module")
def page(right, tmp_path_factory):
    folder = tmp_path_factory.mktemp("right")
    scenarios = right.scenarios({"as it is": {}, "low start": {"a": 0.1}}, "level", draws=50, seeds=2)
    path = right.report(folder, scenarios)
    return SimpleNamespace(
        folder=folder,
        text=path.read_text(encoding="utf-8"),
        numbers=json.loads((folder / "summary.json").read_text(encoding="utf-8")),
        scenarios=scenarios,
    )


def anchored(findings, shift=0.0, width=1.0, rhat=1.0):
    """Findings beside an exact posterior that stands `shift` apart and has 1 / `width` of the width."""
    table = findings.result.intervals(0.9)
    for name in ("median", "low", "high"):
        table[f"exact_{name}"] = table[name] + 0.01
    table["width_ratio"], table["shift"] = width, shift
    anchor = Anchor(findings.result.samples.iloc[:500], table, 0.4, rhat, 500.0, 50)
    return replace(findings, anchor=anchor)


def judged(findings):
    return {row[0]: (row[1], row[2]) for row in report_card(findings).rows}


def test_the_verdict_comes_first_on_the_page_and_in_the_numbers(page, right):
    box = page.text.split('class="answer"')[1].split("</section>")[0]
    first, second, third = (part.split("</p>")[0] for part in box.split("<p>")[1:])
    assert first == right.verdict.sentence and first.startswith("The model fits")
    assert second.startswith("With 90 % probability each, the data put start (a) between ")
    assert unescape(third) == page.scenarios.says
    assert next(iter(page.numbers)) == "versions" and page.numbers["verdict"]["kind"] == "fits"
    assert page.numbers["verdict"]["sentence"] == right.verdict.sentence


def test_tables_and_numbers_are_the_posteriors_own(page, right, findings):
    table = intervals(findings)
    assert table.head == ["parameter", "prior", "median", "50 % interval", "90 % interval"]
    for row, parameter in zip(table.rows, SPACE.parameters, strict=True):
        for cell, level in ((row[3], 0.5), (row[4], 0.9)):
            low, high = right.intervals(level).set_index("parameter").loc[parameter.name, ["low", "high"]]
            assert cell == f"{value_of(parameter, low)} to {value_of(parameter, high)}" and cell in page.text
    kept = pd.DataFrame(page.numbers["posterior"]["intervals"]["90%"])
    pd.testing.assert_frame_equal(kept, right.intervals(0.9), check_exact=True)
    assert page.numbers["posterior"]["runs"] == {"total": 30 * 4 + 60, "failed": 0}
    # Its decision is a section of its own: the lower start gives the lower level, surely.
    assert "What it means for a decision" in page.text and page.scenarios.best == "low start"
    assert page.numbers["posterior"]["scenarios"]["best"] == "low start"


def test_a_report_without_predictive_runs_says_that_nothing_was_checked(needs_r, tmp_path):
    result = run(predictive=0)
    text = result.report(tmp_path).read_text(encoding="utf-8")
    assert "No predictive runs were asked for, so nothing says whether the model can make the data" in text
    assert "What it means for a decision" not in text
    numbers = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert numbers["verdict"] is None and numbers["posterior"]["exact"] is None
    assert judged(gather_posterior(result))["verdict"] == ("not checked: predictive=0", "look")


def test_exact_columns_stand_only_where_an_exact_posterior_was_computed(findings, right):
    row = intervals(anchored(findings, width=1.2)).rows[0]
    low, high = right.intervals(0.9).loc[0, ["low", "high"]] + 0.01
    a = SPACE.parameters[0]
    assert row[5].endswith(f"({value_of(a, low)} to {value_of(a, high)})") and row[6] == "1.20"
    assert judged(findings)["exact posterior"] == ("not computed", "")
    assert "particle-marginal" not in methods_paragraph(findings)
    assert "50 particles (largest split R-hat 1.00)" in methods_paragraph(anchored(findings))


def test_an_exact_posterior_that_disagrees_is_the_answer_and_one_that_has_not_mixed_is_not(findings):
    found, judgement = judged(anchored(findings))["exact posterior"]
    assert judgement == "good" and "disagree" not in found
    apart = anchored(findings, shift=1.5)
    assert judged(apart)["exact posterior"][1] == "bad"
    assert "the exact likelihood puts" in answer(apart)[1]
    assert any(note.startswith("Emulated and exact posterior differ") for note in cautions(apart))
    rough = anchored(findings, shift=1.5, rhat=1.4)
    found, judgement = judged(rough)["exact posterior"]
    assert judgement == "look" and "its chains have not met (split R-hat 1.40)" in found
    assert "the data put" in answer(rough)[1]
    notes = [note for note in cautions(rough) if "exact posterior" in note]
    assert len(notes) == 1 and notes[0].startswith("The exact posterior cannot be used yet")


def recovery(verdict, trusted):
    table = pd.DataFrame({"verdict": [verdict]})
    return SimpleNamespace(table=table, trusted=trusted, says=["What it found."])


def test_judgements_follow_their_causes(findings):
    card = judged(findings)
    sets = len(findings.runs[["a", "b"]].drop_duplicates())
    assert card["run"] == (
        f"180 runs at {sets} parameter sets (60 of them at draws from the posterior, to check it), 0 failed",
        "good",
    )
    failed = findings.runs.assign(status=["failed", *findings.runs["status"][1:]])
    assert judged(replace(findings, runs=failed))["run"][1] == "look"
    assert card["interval"] == ("no rounds asked", "look")
    still = replace(findings, result=replace(findings.result, stopped="the interval stopped moving"))
    assert judged(still)["interval"][1] == "good"
    assert card["draws"][1] == "good"
    few = replace(findings, result=replace(findings.result, effective=90.0))
    assert judged(few)["draws"] == ("90 effective draws", "look")
    assert any(note.startswith("Only 90 effective draws") for note in cautions(few))
    said = "The emulators do not know the likelihood yet (standard deviation of log L "
    for sd, told in ((1.9, False), (12.34, True)):
        history = findings.result.history.assign(sd_log_likelihood=sd)
        notes = cautions(replace(findings, result=replace(findings.result, history=history)))
        assert any(note.startswith(f"{said}{sd:.1f})") for note in notes) is told
    broken = findings.diagnostics.assign(verdict="bad")
    assert judged(replace(findings, diagnostics=broken))["emulators"][1] == "bad"
    assert card["verdict"][1] == "good" and card["summaries"][1] == "good"


@pytest.mark.parametrize(
    "verdict, trusted, judgement, note",
    [
        ("as claimed", True, "good", None),
        ("as claimed", False, "look", "The self-test was too small: What it found."),
        ("too narrow", False, "bad", "The self-test fails: What it found."),
    ],
)
def test_a_self_test_of_few_data_sets_is_no_failure(findings, verdict, trusted, judgement, note):
    assert judged(findings)["self-test"][1] == "look"
    tested = replace(findings, recovery=recovery(verdict, trusted))
    assert judged(tested)["self-test"] == ("What it found.", judgement)
    assert [n for n in cautions(tested) if "self-test" in n] == ([] if note is None else [note])


def test_data_that_no_parameters_make_are_told_so_everywhere(wrong, tmp_path):
    findings = gather_posterior(wrong)
    assert not findings.fits
    told = answer(findings)
    assert told[0].startswith("No parameters fit: ") and told[1].startswith("If the model were right, ")
    assert judged(findings)["verdict"][1] == "bad"
    table = failing(findings)
    assert table is not None and all(row[0].startswith("six values") for row in table.rows)
    assert [float(row[4]) for row in table.rows] == sorted(float(row[4]) for row in table.rows)
    assert what_next(findings).rows[0][0] == "another model"
    assert failing(gather_posterior(run())) is None


def test_the_next_step_of_the_largest_gain_comes_first(findings):
    rows = what_next(findings).rows
    # `level` is a itself: observing it takes the whole interval of a away.
    assert [row[0] for row in rows] == [
        "observe level",
        "more runs (locations and replicates)",
        "a self-test",
    ]
    widths = findings.narrowed_by_data.set_index(["what", "parameter"])["width"]
    assert widths["level", "a"] < 0.05 < widths["level", "b"] < 1
    exact = [row[0] for row in what_next(anchored(findings, width=4.0)).rows]
    assert exact.index("better summaries") == 1
    lacking = SimpleNamespace(kind="fits with discrepancy", sentence="", reasons=())
    assert what_next(replace(findings, verdict=lacking)).rows[0][0] == "a discrepancy"


def test_of_many_data_worth_observing_the_best_are_listed_and_the_others_counted(findings):
    widths = np.linspace(0.2, 0.9, 8)
    many = replace(findings)
    # In the place of what regression on the runs says.
    vars(many)["narrowed_by_data"] = pd.DataFrame(
        {"what": [f"day {i}" for i in range(8)], "parameter": "a", "width": widths[::-1]}
    )
    told = [row[0] for row in what_next(many).rows if row[0].startswith("observe")]
    assert told == [*(f"observe day {i}" for i in (7, 6, 5, 4, 3)), "observe one of 3 more"]


def test_the_methods_paragraph_has_numbers_and_citations_and_a_file_of_its_own(page, findings):
    written = (page.folder / "methods.txt").read_text(encoding="utf-8")
    assert written == methods_paragraph(findings) + "\n"
    for text in (
        "We calibrated line (version 1, fingerprint ",
        "with 2 unknown parameters to six values, using 180 runs",
        "Fearnhead and Prangle 2012",
        "with homoskedastic noise (Binois, Gramacy and Ludkovski 2018; R package hetGP ",
        "sampled by 4,000 draws",
    ):
        assert text in written
    assert "took off" not in written and "  " not in written and "None" not in written


def test_backticks_are_code_and_a_parameter_keeps_its_small_letter(page):
    assert "<code>hetcal self-test</code>" in page.text and "`" not in page.text.split("<pre>")[0]
    assert "<figcaption>b: posterior and, dashed, prior." in page.text
    assert "<figcaption>Start (a): posterior" in page.text


@hc.simulator(parameters=["a", "b"], outputs={"y": (2,)}, version="1")
def bent(theta, seed):
    x = np.array([theta["a"], theta["b"]])
    return {"y": x + 0.1 * np.sin(8 * x) + np.random.default_rng(seed).normal(0, 0.03, 2)}


def test_more_runs_are_worth_much_where_few_were_made_and_little_where_many_were(needs_r):
    """Against the posterior of the same summaries with emulators of many more runs."""
    target = hc.Target("y", observed=[0.5, 0.6], loss="gaussian", sd=0.03)
    options = OPTIONS | {"predictive": 0, "replicates": 2}

    def fitted(initial):
        return hc.Posterior(hc.Problem(SPACE, bent, [target]), **options | {"initial": initial}).run(seed=1)

    few, many = fitted(14), fitted(150)
    of_few, of_many = (remaining_width(result, np.random.default_rng(1)) for result in (few, many))
    assert min(of_many.values()) > 0.95 and max(of_many.values()) <= 1
    assert min(of_few.values()) < 0.85
    runs = many.prior_runs()
    summaries = few.likelihood.summaries({"y": runs["outputs"]["y"]})
    unit = SPACE.to_unit(runs["theta"])
    emulators = {
        name: hc.HetGP(noise="homoskedastic").fit(unit, column)
        for name, column in zip(few.likelihood.emulators, summaries.T, strict=True)
    }
    surer = replace(few.likelihood, emulators=emulators)
    samples, _ = sample_posterior(surer, SPACE, few.observed, 1)
    # What one set of surer emulators gives strays widely about what was expected (0.3 to 1.0 over seeds).
    ratio = samples.std() / few.samples.std()
    assert ratio.mean() < 0.9
