"""Numbers are written without meaningless digits, and sentences claim what is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import hetcal as hc
from hetcal.report.findings import gather
from hetcal.report.html import file_names
from hetcal.report.summary import plain
from hetcal.report.words import answer, at_noise_floor, cautions, listed, number, value_of, with_error


@pytest.fixture(scope="module")
def findings(several_targets):
    return gather(several_targets)


def replaced(findings, **changes):
    """The same findings with another winner."""
    best = dataclasses.replace(findings.result.best, **changes)
    return dataclasses.replace(findings, result=dataclasses.replace(findings.result, best=best))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (6.0, "6"), (2.20536, "2.21"), (15234.7, "15,235"), (1200, "1,200"), (-0.0901, "-0.0901")],
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_numbers_that_are_none_are_dashes():
    assert number(float("nan")) == number(float("inf")) == "–"


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (201.2389, 8.04, "201.2 ± 8.0"),
        (15234.7, 812.3, "15,235 ± 812"),
        (0.12345, 0.00123, "0.1235 ± 0.0012"),
    ],
)
def test_values_are_rounded_as_their_error(value, error, text):
    assert with_error(value, error) == text


def test_a_value_without_error_stands_alone():
    assert with_error(2.0, float("nan")) == "2"


def test_parameters_are_rounded_by_the_width_of_their_prior():
    assert value_of(hc.Parameter("a", hc.uniform(0, 1)), 0.000012) == "0.000"
    assert value_of(hc.Parameter("a", hc.uniform(1.2, 8)), 3.67612) == "3.68"
    assert value_of(hc.Parameter("a", hc.uniform(0, 50_000)), 12345.6) == "12,346"
    assert value_of(hc.Parameter("a", hc.log_uniform(1e-6, 1)), 0.000012) == "1.20e-05"


def test_lists_read_as_sentences():
    assert [listed(list("abc")[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]


def test_file_names_are_safe_and_differ():
    files = file_names(["in bed", "in/bed", "IN_BED", "../..", "", "späť"])
    assert len({file.lower() for file in files.values()}) == 6
    assert not [file for file in files.values() if "/" in file or file.startswith(".") or not file]


def test_plain_values_are_json():
    given = {"a": np.array([[1.0, np.nan]]), 2: (np.float64(np.inf), np.int64(3)), "t": np.bool_(True)}
    assert plain(given) == {"a": [[1.0, None]], "2": [None, 3], "t": True}


def test_the_answer_is_three_sentences_and_ranges_have_no_percentage(findings):
    sentences = answer(findings)
    assert len(sentences) == 3
    assert all(text.endswith(".") for text in sentences)
    assert sentences[1].startswith("Not ruled out yet: ")
    assert "%" not in sentences[1] and "confidence" not in sentences[1]
    assert "end of walk" in sentences[2]


def test_the_answer_sets_the_loss_against_the_noise_floor(findings):
    near = replaced(findings, loss=10.0, loss_se=1.0, noise_floor=9.0)
    far = replaced(findings, loss=20.0, loss_se=1.0, noise_floor=9.0)
    assert (at_noise_floor(near), at_noise_floor(far)) == (True, False)
    assert "cannot be told from the 9" in answer(near)[0]
    assert "20.0 ± 1.0" in answer(far)[0] and "does not reproduce the data fully" in answer(far)[0]


def test_a_search_that_believed_too_much_is_told(findings):
    fooled = replaced(findings, optimism=5.0, loss_se=1.0, believed=4.0)
    sober = replaced(findings, optimism=1.0, loss_se=1.0)
    assert [any("too good by 5" in note for note in cautions(f)) for f in (fooled, sober)] == [True, False]


def test_convergence_shows_what_was_believed_after_each_round_even_where_it_rose(findings):
    known = findings.result.ledger.checkpoints(findings.result.study)
    assert findings.believed["mean"].tolist() == [known[f"round {r}"]["mean"] for r in range(4)]


def test_bands_hold_their_share_of_the_winners_runs(findings):
    for check in findings.checks:
        inside = (check.simulated >= check.quantiles[0]) & (check.simulated <= check.quantiles[-1])
        # Interpolated quantiles of n runs may leave one more run outside on each side.
        assert inside.mean(axis=0).min() >= 0.9 - 2 / len(inside)
        assert check.simulated.shape[1:] == check.target.observed.shape


def test_a_winner_without_complete_runs_is_told(findings):
    empty = [dataclasses.replace(check, simulated=check.simulated[:0]) for check in findings.checks]
    assert "could not be compared" in answer(dataclasses.replace(findings, checks=empty))[2]


def test_a_range_that_touches_its_prior_asks_for_a_wider_one(findings):
    def notes(low, high):
        table = findings.result.ranges.table.assign(low=[0.4, low], high=[0.6, high], share=0.3)
        result = dataclasses.replace(findings.result)
        result.__dict__["ranges"] = dataclasses.replace(findings.result.ranges, table=table)
        return [n for n in cautions(dataclasses.replace(findings, result=result)) if "wider prior" in n]

    assert notes(1.0, 2.0) == []
    assert "of b reaches the upper end" in notes(1.0, 3.0)[0]
    assert "of b reaches the lower end" in notes(0.0, 1.0)[0]
