"""The published variants by name: their designs, what they cost in all, and that they share what they share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import hetcal as hc
from hetcal.studies.three_cluster_variants import VARIANTS, published, variant

SPACE = hc.Space(
    [
        hc.Parameter("beta", hc.uniform(0.1, 1.5)),
        hc.Parameter("k", hc.log_uniform(1e-4, 0.1)),
        hc.Parameter("c", hc.uniform(0.5, 3.0)),
    ]
)


@hc.simulator(parameters=["beta", "k", "c"], outputs={"peak": ()}, version="1")
def compartments(theta, seed):
    return {"peak": 50 / theta["beta"]}


@hc.simulator(parameters=["beta", "k", "c"], outputs={"peak": ()}, version="1")
def agents(theta, seed):
    return {"peak": 48 / theta["beta"] - np.log10(theta["k"]) + np.random.default_rng(seed).normal(0, 2)}


CHEAP = hc.Problem(SPACE, compartments, [hc.Target("peak", observed=97, loss="rss")])
DEAR = hc.Problem(
    SPACE, agents, [hc.EnsembleTarget("peak", observed=97, loss="gaussian", sd=3, weight=2, statistic="mean")]
)


@pytest.mark.parametrize(
    "name, own, total", [("original", 288, 288), ("A", 720, 720), ("B", 480, 480), ("F", 1200, 2688)]
)
def test_costs_are_those_published_with_inherited_runs(name, own, total):
    planned = variant(name, CHEAP, DEAR).planned.set_index("stage")
    assert planned.loc[name, "runs"] == own and planned.loc[name, "total"] == total
    assert planned.loc["CMP", "runs"] == 100 and planned.loc["CMP", "simulator"] == "compartments"
    row = published().set_index("variant").loc[name]
    assert (row["runs"], row["total"]) == (own, total)


def test_designs_and_the_published_table_agree():
    table = published()
    assert tuple(table["variant"]) == VARIANTS
    for name, design in table[["variant", "design"]].iloc[1:].itertuples(index=False):
        stage = variant(name, CHEAP, DEAR).stages[-1]
        assert design.startswith(f"{stage.trials} x {stage.replicates}") and not stage.debias
    assert table.set_index("variant").loc["F", ["beta", "k", "c"]].tolist() == [0.99, 0.91, 0.72]
    assert pd.isna(table.loc[0, "c"])
    assert variant("A", CHEAP, DEAR, debias=True).stages[-1].debias


def test_f_costs_what_was_planned_and_runs_nothing_that_original_had_run():
    ledger = hc.Ledger()
    first = variant("original", CHEAP, DEAR, winner_replicates=20).run(ledger, seed=1)
    before = len(ledger.runs(agents))
    assert before == 288 + 20
    last = variant("F", CHEAP, DEAR, winner_replicates=20).run(ledger, seed=1)
    cost = last.cost.set_index("stage")
    assert cost.loc["F", ["runs", "inherited", "total"]].tolist() == [1200, 1488, 2688]
    assert len(ledger.runs(agents)) == before + 720 + 480 + 1200 + 20
    assert len(last.study.trials) == 24 + 60 + 24 + 20
    pd.testing.assert_frame_equal(
        last.history[last.history["stage"] == "original"], first.history[first.history["stage"] == "original"]
    )
    cmp = last.history[last.history["stage"] == "CMP"]
    assert len(cmp) == 100 and (cmp["c"] == 1.5).all()
    assert abs(cmp.nsmallest(1, "value")["beta"].iloc[0] - 50 / 97) < 0.05


def test_unknown_variants_are_refused():
    with pytest.raises(ValueError, match="unknown variant 'C': choose one of CMP, original, A, B, F"):
        variant("C", CHEAP, DEAR)
