"""Numbers are written without meaningless digits, and sentences claim what is known."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

import hetcal as hc
from hetcal.calibrate.winner import noise_floor
from hetcal.report.findings import _gap_se, gather
from hetcal.report.part import file_names
from hetcal.report.summary import plain
from hetcal.report.cautions import cautions
from hetcal.report.words import (
    against_floor,
    answer,
    convergence_of,
    listed,
    not_identified,
    number,
    optimism,
    percent,
    section,
    value_of,
    with_error,
)


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


def with_ranges(findings, share, low=(0.4, 1.0), high=(0.6, 2.0), **changes):
    """The same findings with other ranges of a, whose prior is 0 to 1, and b, whose prior is 0 to 3."""
    table = findings.result.ranges.table.assign(low=low, high=high, share=share)
    result = dataclasses.replace(findings.result)
    result.__dict__["ranges"] = dataclasses.replace(findings.result.ranges, table=table, **changes)
    return dataclasses.replace(findings, result=result)


def test_the_answer_is_three_sentences_and_ranges_are_no_intervals(findings):
    sentences = answer(findings)
    assert len(sentences) == 3
    assert all(text.endswith(".") for text in sentences)
    assert "ot ruled out yet: jointly" in sentences[1]
    assert "confidence" not in sentences[1]
    assert "end of walk" in sentences[2]


def test_what_is_left_is_told_jointly_and_parameters_without_bounds_come_first(findings):
    def second(*share):
        return answer(with_ranges(replaced(findings, ties=()), share, volume=0.1423))[1]

    assert second(0.3, 0.3).startswith(
        "Not ruled out yet: jointly 14 % of the prior; a from 0.400 to 0.600 and b"
    )
    assert second(0.95, 0.3).startswith(
        "These data and runs do not identify a; not ruled out yet: jointly 14 %"
    )
    assert "b from" in second(0.95, 0.3) and "a alone still spans nearly all" in second(0.95, 0.3)
    assert "identify a and b" in second(0.95, 0.99)
    assert "each parameter alone still spans nearly all of the prior" in second(0.95, 0.99)


def test_ties_far_apart_are_not_identified(findings):
    narrow = with_ranges(findings, (0.3, 0.3))
    theta = {"a": 0.5, "b": 0.2}
    far, near = ({"a": 0.5, "b": b} for b in (2.9, 0.3))
    assert not_identified(replaced_in(narrow, theta=theta, ties=(near,))) == []
    assert not_identified(replaced_in(narrow, theta=theta, ties=(near, far))) == ["b"]


def replaced_in(findings, **changes):
    """Another winner, the ranges as they are."""
    other = replaced(findings, **changes)
    other.result.__dict__["ranges"] = findings.result.ranges
    return other


@pytest.mark.parametrize(
    ("loss", "gap_se", "where", "words"),
    [
        (10.0, 1.0, "near", "cannot be told from the 9 that chance alone would cost"),
        (20.0, 1.0, "above", "by 11.0 ± 1.0 above the 9 that chance alone"),
        (20.0, 8.0, "near", "the difference is 11.0 ± 8.0"),
        (5.0, 0.5, "below", "parameters whose runs vary much raise that floor"),
    ],
)
def test_the_answer_sets_the_loss_against_the_noise_floor(findings, loss, gap_se, where, words):
    case = dataclasses.replace(replaced(findings, loss=loss, loss_se=1.0, noise_floor=9.0), gap_se=gap_se)
    assert against_floor(case) == where
    assert words in answer(case)[0]
    assert (
        f"{loss:.1f} ± 1.0 over {case.result.best.replicates} fresh runs (± is one standard"
        in answer(case)[0]
    )
    assert ("does not reproduce the data fully" in answer(case)[0]) == (where == "above")


@pytest.mark.parametrize("rare", [0.0, 0.02])
def test_the_error_against_the_floor_is_that_of_repeated_blocks(findings, rare):
    """Mean loss minus floor over 1,000 blocks of runs, of which some die out, spreads as its error says."""
    target = hc.Target("count", 60)
    problem = hc.Problem(findings.result.problem.space, findings.result.problem.simulator, [target])
    rng = np.random.default_rng(0)
    gaps, errors = [], []
    for _ in range(1000):
        block = {"count": np.where(rng.random(100) < rare, 0.0, rng.poisson(50, 100))}
        gaps.append(target.losses(block["count"]).mean() - noise_floor(problem, block))
        errors.append(_gap_se(SimpleNamespace(problem=problem), block))
    # Both sides are known to some 3 %, less well where the two runs in a hundred that die out decide.
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(gaps), rel=0.2)


def test_one_rare_run_that_carries_the_mean_is_told(findings):
    usual = 200 + np.random.default_rng(0).normal(0, 20, 399)
    notes = []
    for last in (15_210.0, 230.0):
        fresh = np.append(usual, last)
        best = {"loss": fresh.mean(), "loss_se": fresh.std(ddof=1) / 20}
        case = dataclasses.replace(replaced(findings, **best), fresh=fresh)
        notes.append([n for n in cautions(case) if "of 400 fresh runs carries" in n])
    assert (
        "1 of 400 fresh runs carries 16 % of the mean loss: it lost 15,210, the median run 199 ("
        in notes[0][0]
    )
    assert notes[1] == []


def test_every_report_says_that_the_best_fit_is_no_estimate(findings):
    assert (
        "not an estimate of the true values and the ranges are no confidence intervals"
        in cautions(findings)[0]
    )
    assert "hc.Posterior" in cautions(findings)[0] and "hc.ParticleMCMC" in cautions(findings)[0]


def test_failed_runs_are_a_caution_with_their_region(findings):
    note = next(n for n in cautions(findings) if "runs failed" in n)
    failed = int(findings.failed.sum())
    # Runs fail only where a > .75.
    assert note.startswith(
        f"{failed} of {len(findings.runs)} runs failed, {failed} of them where a is 0.750 to 1.000"
    )
    well = dataclasses.replace(findings, runs=findings.runs.assign(status="ok"))
    assert not [n for n in cautions(well) if "runs failed" in n]


def test_a_winner_at_the_end_of_its_prior_is_told(findings):
    def notes(b):
        case = replaced(findings, theta={"a": 0.5, "b": b})
        case.result.__dict__["ranges"] = findings.result.ranges
        return [n for n in cautions(case) if n.startswith("The best fit of")]

    assert notes(1.0) == notes(0.1) == []
    assert "The best fit of b, 2.99, stands at the upper end" in notes(2.99)[0]
    assert "lower end" in notes(0.01)[0]


def test_the_optimisers_messages_are_told_in_words():
    def told(message):
        return convergence_of(SimpleNamespace(state=SimpleNamespace(message=message)))

    assert told("CONVERGENCE: REL_REDUCTION_OF_F <= FACTR*EPSMCH") == "converged"
    assert told("NEW_X").startswith("stopped at the limit of iterations")
    assert told("ABNORMAL_TERMINATION_IN_LNSRCH") == "failed: ABNORMAL_TERMINATION_IN_LNSRCH"


def test_optimism_is_told_with_its_side(findings):
    believed = {"believed": 4.0, "loss": 9.0, "loss_se": 1.0}
    assert "a loss of 4, 5 better than the 9.0 ± 1.0" in optimism(
        replaced(findings, optimism=5.0, **believed)
    )
    assert "3 worse than" in optimism(replaced(findings, optimism=-3.0, **believed))


def test_shares_that_no_point_fell_into_are_not_zero():
    assert [percent(s) for s in (0.0, 0.1423, 1.0)] == ["less than 0.01 %", "14 %", "100 %"]


def test_cautions_point_to_the_section_of_the_diagnostics(findings):
    poor = dataclasses.replace(findings, diagnostics=findings.diagnostics.assign(verdict="bad"))
    assert section("emulators") == "section “Can the emulator be trusted?”"
    assert any(f"of its checks ({section('emulators')})" in note for note in cautions(poor))


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


def test_a_range_that_touches_its_prior_asks_for_a_wider_one_only_where_the_loss_falls_towards_it(findings):
    def notes(low, high, slope=0.0):
        case = with_ranges(
            findings, 0.3, (0.4, low), (0.6, high), unit=np.random.default_rng(0).random((500, 2))
        )
        emulated = SimpleNamespace(
            predict=lambda X: SimpleNamespace(mean=slope * X[:, 1], mean_var=np.full(len(X), 0.01)),
        )
        result = dataclasses.replace(case.result, emulator=emulated)
        result.__dict__["ranges"] = case.result.ranges
        return [n for n in cautions(dataclasses.replace(case, result=result)) if "of its prior:" in n]

    assert notes(1.0, 2.0) == []
    assert "of b reaches the upper end" in notes(1.0, 3.0)[0] and "do not bound it" in notes(1.0, 3.0)[0]
    assert "do not bound it" in notes(1.0, 3.0, slope=9.0)[0]
    assert "a wider prior may hold better values" in notes(1.0, 3.0, slope=-9.0)[0]
    assert "of b reaches the lower end" in notes(0.0, 1.0)[0]
    assert "wider prior" in notes(0.0, 1.0, slope=9.0)[0]
