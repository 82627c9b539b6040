"""A report of many losses stays readable: a heat map, tables in place of figures, the worst in full; and recoveries."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
from test_write_report import Page, strict

import hetcal as hc
from hetcal.calibrate.held_out_locations import held_out_frame
from hetcal.report import write_report
from hetcal.report.cautions import _held_out
from hetcal.report.many_losses import heat_map

NAMES = [f"p{i}" for i in range(4)]
LOSSES = [f"loss {i}" for i in range(6)]


@hc.simulator(parameters=NAMES, outputs={f"y{i}": (3,) for i in range(6)}, version="1")
def six_outputs(theta, seed):
    """Output i tells of p(i mod 3); p3 does nothing."""
    rng = np.random.default_rng(seed)
    return {f"y{i}": theta[f"p{i % 3}"] + rng.normal(0, 0.1, 3) for i in range(6)}


@pytest.fixture(scope="module")
def method():
    space = hc.Space([hc.Parameter(name, hc.uniform(0, 1)) for name in NAMES])
    # No run comes near the data of the last loss.
    observed = [[0.5] * 3] * 5 + [[5.0] * 3]
    targets = [
        hc.Target(
            f"y{i}",
            observed=observed[i],
            loss="gaussian",
            sd=0.1,
            name=LOSSES[i],
            weight=0.1 if i == 5 else 1,
        )
        for i in range(6)
    ]
    return hc.BayesianCalibration(
        hc.Problem(space, six_outputs, targets),
        emulator=hc.HetGP(noise="homoskedastic"),
        initial=40,
        replicates=2,
        centroid=10,
        hold_out=0.2,
        batch=4,
        rounds=2,
        candidates=1000,
        finalists=2,
        finalist_replicates=10,
        winner_replicates=40,
    )


@pytest.fixture(scope="module")
def recovery(method, needs_r):
    return hc.synthetic_recovery(method, dict.fromkeys(NAMES, 0.5), seed=2)


@pytest.fixture(scope="module")
def result(method, needs_r):
    return method.run(hc.Ledger(), seed=1)


@pytest.fixture(scope="module")
def folder(result, tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    write_report(result, folder)
    return folder


@pytest.fixture(scope="module")
def html(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


def test_figures_do_not_grow_with_the_losses(folder, html):
    figures = {file.stem for file in (folder / "figures").glob("*.png")}
    assert {"sensitivity-by-loss", "predicted-all"} <= figures
    assert not any(name.startswith(("residuals-", "predicted-loss")) for name in figures)
    drawn = {name for name in figures if name.startswith("data-")}
    # The four that are missed most, and the one that nothing reaches among them.
    assert len(drawn) == 4 and "data-loss_5" in drawn
    assert "Of 6 targets those are drawn that the model misses most" in Page(html).text
    assert (folder / "report.html").stat().st_size < 3_000_000


def test_every_loss_stands_in_every_table(html):
    tables = [
        re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", t)).strip()
        for t in re.findall("<table.*?</table>", html, re.S)
    ]
    for caption in (
        "Mean loss at the best fit",
        "Held-out parameter sets",
        "Emulators of all losses",
        "Cross-check",
    ):
        (text,) = (t for t in tables if t.startswith(caption))
        assert all(loss in text for loss in LOSSES), caption


def test_the_numbers_are_in_the_summary(folder, result):
    numbers = strict(folder / "summary.json")
    assert {row["target"] for row in numbers["held_out"]} == set(LOSSES)
    assert len(numbers["held_out"]) == 3 * 6
    rows = {(row["loss"], row["parameter"]): row for row in numbers["sobol_by_loss"]}
    assert len(rows) == 7 * 5
    for i, loss in enumerate(LOSSES):
        assert rows[loss, f"p{i % 3}"]["total"] > 0.8 and rows[loss, "p3"]["total"] < 0.1
    by_parameter = {row["parameter"]: row["total"] for row in numbers["sobol"]["indices"]}
    assert by_parameter == {name: rows["total", name]["total"] for name in NAMES}
    assert {row["loss"] for row in numbers["forest"]} == {*LOSSES, "total"}
    # 32 locations of the first design that are not held out, and the centre.
    assert {row["locations"] for row in numbers["forest"]} == {33}


def test_the_heat_map_tells_what_it_shows_in_words(result):
    shown = heat_map(hc.sobol_by_loss(result.emulator, result.problem.space, n=200, draws=0, bootstrap=99))
    for i, loss in enumerate(LOSSES):
        assert f"{loss}: p{i % 3}" in shown.alt
    assert shown.png.startswith(b"\x89PNG")


def test_what_came_back_stands_first(recovery, tmp_path):
    page = Page(recovery.report(tmp_path).read_text(encoding="utf-8"))
    assert "Recovery of a known truth by six_outputs" in page.text
    assert recovery.says in page.text and "1. Does a known truth come back?" in page.text
    assert "hc.synthetic_recovery(method, truth, seed=2)" in page.text
    numbers = strict(tmp_path / "summary.json")
    assert numbers["recovery"]["counts"] == recovery.counts
    assert [row["verdict"] for row in numbers["recovery"]["parameters"]] == recovery.table["verdict"].tolist()
    assert numbers["recovery"]["counts"]["recovered"] == 3
    assert numbers["recovery"]["parameters"][3]["verdict"] == "not recovered"
    assert (tmp_path / "figures" / "recovery.png").exists() and "held_out" in numbers


def test_emulators_that_predict_no_held_out_set_are_named(result):
    """Scores as they would be of one loss that is not predicted and of another whose intervals hold 6 of 20."""
    scores = result.held_out.copy()
    last = scores["round"] == 2
    scores.loc[last, ["locations", "r2", "coverage_90"]] = [20, 0.9, 0.9]
    found = SimpleNamespace(result=SimpleNamespace(held_out=scores))
    assert list(_held_out(found)) == []
    scores.loc[last & (scores["target"] == "loss 1"), "r2"] = -0.02
    scores.loc[last & (scores["target"] == "loss 4"), "coverage_90"] = 0.3
    blind, narrow = _held_out(found)
    assert (
        "the emulator of loss 1 predicts hardly more than the mean" in blind
        and "give more parameter sets" in blind
    )
    assert "90 % intervals of the emulator of loss 4 hold too few" in narrow
    assert list(_held_out(SimpleNamespace(result=SimpleNamespace(held_out=held_out_frame({}))))) == []


def test_a_sentence_names_no_more_parameters_than_a_reader_reads():
    from hetcal.report.words import _few

    space = hc.Space([hc.Parameter(f"q{i}", hc.uniform(0, 1)) for i in range(23)])
    assert _few(["q1", "q2"], space) == "q1 and q2"
    assert _few([f"q{i}" for i in range(9)], space) == "9 of 23 parameters (table below)"
