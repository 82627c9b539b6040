"""The report of a posterior given ensemble statistics: whose numbers it holds, and what it says of statistics."""

from __future__ import annotations

import json
from html import unescape

import numpy as np
import pytest

import hetcal as hc
from hetcal.report import write_report
from hetcal.report.card import methods_paragraph, report_card
from hetcal.report.ensemble_words import cautions
from hetcal.report.posterior_findings import gather_posterior
from hetcal.report.posterior_tables import drivers, emulators, would_change

pytestmark = pytest.mark.filterwarnings("ignore::hetcal.emulators.FitWarning")

SPACE = hc.Space([hc.Parameter("rate", hc.uniform(0, 1)), hc.Parameter("chance", hc.uniform(0, 1))])


@hc.simulator(
    parameters=["rate", "chance"],
    outputs={"y": (), "event": (), "follows": (), "six": (6,), "later": ()},
    version="1",
)
def model(theta, seed):
    rng = np.random.default_rng(seed)
    y, event = 4 * theta["rate"] + rng.normal(0, 0.3), float(rng.random() < theta["chance"])
    later = 10 * theta["chance"] + rng.normal(0, 0.1)
    return {"y": y, "event": event, "follows": 3 * event, "six": y + rng.normal(0, 1, 6), "later": later}


def target(output, value, statistic, **options):
    options = {"realisations": 25, "label": f"{statistic} of {output}"} | options
    return hc.EnsembleTarget(output, observed=value, loss="rss", statistic=statistic, **options)


PROBLEM = hc.Problem(
    SPACE,
    model,
    [
        target("event", 0.6, "share_positive"),
        target("y", 2.0, "mean"),
        target("y", 0.3, "sd", name="spread"),
        target("follows", 1.8, "mean"),
        target("six", [2.0] * 6, "mean", weight=0, names=list("abcdef")),
    ],
)


@pytest.fixture(scope="module")
def result(needs_r):
    method = hc.EnsemblePosterior(
        PROBLEM,
        emulator=hc.HetGP(noise="homoskedastic"),
        initial=30,
        replicates=5,
        batch=100,
        rounds=1,
        predictive=100,
    )
    return method.run(seed=1)


@pytest.fixture(scope="module")
def findings(result):
    arms = {"as it was": {}, "half the chance": {"chance": lambda chance: chance / 2}}
    return gather_posterior(result, scenarios=result.scenarios(arms, "event", draws=60))


@pytest.fixture(scope="module")
def folder(result, findings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ensemble")
    write_report(result, folder, scenarios=findings.scenarios)
    return folder


def test_the_page_shows_statistics_among_those_predicted(folder, result):
    text = unescape((folder / "report.html").read_text(encoding="utf-8"))
    assert "at each as often as the data were" in text and "a share is binomial" in text
    assert "hc.EnsemblePosterior(problem, ...)" in text and "Settings of EnsemblePosterior" in text
    figures = {path.stem for path in (folder / "figures").iterdir()}
    # Single statistics share a figure; one of six elements has its own.
    assert {"predictive-statistics", "predictive-six", "scenarios"} <= figures
    assert not {"predictive-y", "predictive-event"} & figures
    assert "100 fresh ensembles" in text
    assert result.verdict.sentence in text


def test_the_numbers_are_those_of_the_result(folder, result):
    numbers = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["posterior"]
    assert numbers["statistics"]["realisations"] == 25
    assert numbers["statistics"]["fitted"] == {"share": ["event"], "mean": ["y"], "sd": ["spread"]}
    assert list(numbers["statistics"]["left_out"]) == ["follows"]
    low, high = numbers["learned_within"]["rate"]
    assert (low, high) == tuple(SPACE.from_unit(result.likelihood.box)[:, 0])
    assert numbers["intervals"]["90%"] == result.intervals(0.9).to_dict("records")


def test_what_says_nothing_of_its_own_is_told(findings):
    assert cautions(findings) == [
        "One statistic says nothing of its own and does not count: follows. The report card says why."
    ]
    row = next(row for row in report_card(findings).rows if row[0] == "statistics")
    assert row[1].startswith("3 of 4 count: event, y and spread; follows is left out: between the runs")
    assert findings.words.assumed(findings).startswith("the data are those of 25 independent realisations")


def test_the_methods_paragraph_names_the_sampling_laws(findings):
    text = methods_paragraph(findings)
    assert "binomial counts for event, a normal law for y, given the shares of the same runs" in text
    assert "a chi-squared law for spread" in text and "Probabilities were emulated" in text
    assert "Each summary" not in text and "stable variance" not in text


def test_emulators_are_judged_where_they_know_something(findings, result):
    table = emulators(findings)
    assert [row[0] for row in table.rows] == ["y"] and "runs at" in table.rows[0][1]
    (within,) = {str(found.within) for found in findings.sobol.values()}
    assert within != "{}"
    moved = dict(zip(drivers(findings).head, drivers(findings).rows[0], strict=True))
    assert float(moved["rate"].split()[0]) > 0.9 > 0.1 > float(moved["chance"].split()[0])


def test_what_else_could_be_known_is_a_mean_over_realisations(findings):
    known = findings.narrowed_by_data.set_index(["what", "parameter"])["width"]
    # The mean of 25 gives the chance exactly, and says nothing of the rate.
    assert known["mean later", "chance"] < 0.2 and known["mean later", "rate"] > 0.9


def test_many_data_that_would_change_little_are_not_listed(findings):
    kinds = [row[1] for row in would_change(findings).rows]
    assert kinds.count("datum") <= 5 and kinds.count("parameter") == 3
