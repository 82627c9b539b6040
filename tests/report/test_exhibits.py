"""Exhibits of a study: a section of the report, drawn again from the ledger without simulating."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import hetcal as hc
from hetcal.report.exhibits import checked_exhibits, exhibits_part
from hetcal.report.page import write_page
from hetcal.studies import StudyError
from hetcal.studies.answers import Answers


@hc.simulator(parameters=["rate"], outputs={"cases": (3,), "total": ()}, version="1")
def outbreak(theta, seed):
    if theta["rate"] > 90:
        raise RuntimeError("too fast")
    cases = np.random.default_rng(seed).poisson(theta["rate"], 3)
    return {"cases": cases, "total": cases.sum()}


PROBLEM = hc.Problem(
    hc.Space([hc.Parameter("rate", hc.uniform(1, 50))]), outbreak, [hc.Target("cases", observed=[2, 3, 4])]
)


def answers(seed=1):
    return Answers(SimpleNamespace(seed=seed, ledger=hc.Ledger()), None, None)


def test_the_page_has_a_section_with_every_exhibit(tmp_path):
    table = pd.DataFrame({"day": ["first", "second"], "cases": [3.14159, np.nan], "from": ["a", "<b>"]})
    shown = [
        hc.Exhibit(
            "Cases & deaths", "Most on `day 2`.", {"By day": lambda a: a.plot([1, 2])}, table, "Counted"
        ),
        hc.Exhibit("Only a table", "None.", table=table),
    ]
    write_page(tmp_path, "report", "Title", [exhibits_part(shown)], [outbreak], "code")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    contents = text.split("<nav")[1].split("</nav>")[0]
    assert '<a href="#exhibits">What the study shows</a>' in contents
    section = text.split('<section id="exhibits">')[1].split("</section>")[0]
    assert "Cases &amp; deaths</h3>" in section and "Most on <code>day 2</code>." in section
    assert section.count("<img ") == 1 and (tmp_path / "figures" / "exhibit-Cases_deaths-1.png").is_file()
    assert '<td data-label="cases">3.14</td>' in section and '<td data-label="cases">–</td>' in section
    assert "&lt;b&gt;" in section and "Counted</caption>" in section and section.count("<table") == 2
    for anchor in ("exhibit-Cases_deaths", "exhibit-Only_a_table"):
        assert f'href="#{anchor}"' in section and f'id="{anchor}"' in section
    kept = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))["exhibits"]
    assert kept["Only a table"]["table"][0] == {"day": "first", "cases": 3.14159, "from": "a"}


def test_runs_of_exhibits_are_made_once_and_are_nobodys_training():
    found = answers()
    design = pd.DataFrame({"unused": [0.0, 0.0], "rate": [2.0, 30.0]})
    first = found.simulate(outbreak, design, replicates=4)
    ledger = found.result.ledger
    assert first["cases"].shape == (2, 4, 3) and len(ledger.runs(outbreak)) == 8
    assert first["total"][1].mean() > 60 > 20 > first["total"][0].mean()
    again = found.simulate(outbreak, [[2.0], [30.0]], replicates=4)
    assert np.array_equal(first["cases"], again["cases"]) and len(ledger.runs(outbreak)) == 8
    assert not len(ledger.given(outbreak))
    # A posterior takes training runs that it finds in the ledger over; these it does not.
    method = hc.Posterior(PROBLEM, initial=5, replicates=2)
    assert set(method.ask(ledger, 1)["purpose"]) == {"design"}


def test_common_seeds_pair_parameter_sets_and_streams_differ():
    found = answers()
    own = found.simulate(outbreak, [[5.0], [5.0]], replicates=3)["cases"]
    paired = found.simulate(outbreak, [[5.0], [5.0]], replicates=3, common=True)["cases"]
    other = found.simulate(outbreak, [[5.0], [5.0]], replicates=3, stream=1)["cases"]
    assert not np.array_equal(own[0], own[1]) and np.array_equal(paired[0], paired[1])
    assert not np.array_equal(own, other)
    given = found.simulate(outbreak, [[5.0]], replicates=[3, 4])["cases"]
    assert np.array_equal(given[0, 1], outbreak({"rate": 5.0}, 4)["cases"])
    assert not np.array_equal(own, answers(seed=2).simulate(outbreak, [[5.0], [5.0]], replicates=3)["cases"])


def test_a_failed_run_is_nan():
    total = answers().simulate(outbreak, [[5.0], [95.0]], replicates=2)["total"]
    assert np.isfinite(total[0]).all() and np.isnan(total[1]).all()


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: hc.Exhibit("", "text", table=pd.DataFrame()), "title of exhibit '' is ''"),
        (lambda: hc.Exhibit("A", " ", table=pd.DataFrame()), "text of exhibit 'A' is ' '"),
        (lambda: hc.Exhibit("A", "text"), "exhibit 'A' shows nothing"),
        (lambda: hc.Exhibit("A", "text", {"caption": 3}), "give a dict of captions with functions"),
        (lambda: hc.Exhibit("A", "text", table=[1]), "table of exhibit 'A' is a list: give a DataFrame"),
        (lambda: checked_exhibits([3]), "are a list of hetcal.Exhibit, not"),
        (
            lambda: checked_exhibits([hc.Exhibit("A", "t", table=pd.DataFrame())] * 2),
            "two exhibits are called 'A'",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused(made, says):
    with pytest.raises((TypeError, ValueError), match=says):
        made()


def test_a_study_calls_its_function_with_what_it_found():
    method = hc.BayesianCalibration(PROBLEM)
    told = {"problem": PROBLEM, "method": method, "title": "t", "source": "s"}

    def shown(answers):
        total = answers.simulate(outbreak, [[5.0]], replicates=2)["total"]
        return [hc.Exhibit("Total", f"{total.mean():.1f}", table=pd.DataFrame({"run": total[0]}))]

    study = hc.Study("s", exhibits=shown, **told)
    result = SimpleNamespace(seed=3, ledger=hc.Ledger())
    (found,) = study._answers([result], {}).exhibits
    runs = result.ledger.runs(outbreak)
    assert found.title == "Total" and len(runs) == 2 and runs["error"].isna().all()
    assert (
        study._answers([result], {}).exhibits[0].text == found.text and len(result.ledger.runs(outbreak)) == 2
    )
    with pytest.raises(StudyError, match="exhibits of study 's' is 3: give a function"):
        hc.Study("s", exhibits=3, **told)
