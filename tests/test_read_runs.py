"""R's read_runs() gives back exactly what the ledger wrote."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

import hetcal
from hetcal.ledger import Ledger
from hetcal.simulators import run_many, simulator

SOURCE = Path(hetcal.__file__).parent / "resources" / "R" / "R" / "read_runs.R"

# Everything as doubles, so that not a bit is lost on the way: parameters, seed and seconds, then outputs with
# the last index fastest.
WRITE = """
arguments <- commandArgs(TRUE)
source(arguments[1])
runs <- read_runs(arguments[2])
writeBin(c(runs$run_id, runs$R0, runs[["days ill"]], runs$seed, runs$seconds, runs$total, t(runs$daily),
           unlist(lapply(runs$contacts, t))), arguments[3], size = 8)
writeLines(c(names(runs), runs$status, ifelse(is.na(runs$error), "NA", runs$error)))
"""


@simulator(
    parameters=["R0", "days ill"], outputs={"total": (), "daily": (3,), "contacts": (2, 3)}, version="1"
)
def model(theta, seed):
    """Numbers with all their digits; fails for one seed and leaves an output out for another."""
    if seed == 4:
        raise ValueError("seed 4 is not to my liking")
    rng = np.random.default_rng(seed)
    daily = rng.random(3) if seed != 3 else np.full(3, np.nan)
    return {"total": theta["R0"] / 3, "daily": daily, "contacts": rng.normal(size=(2, 3)) * theta["days ill"]}


@pytest.fixture
def written(tmp_path):
    """A ledger with every kind of run, one of them tried twice, and still open for writing."""
    rng = np.random.default_rng(0)
    theta = rng.random((5, 2)) * [8, 1e-9]
    seeds = np.array([0, 2**53 - 1, 3, 4, 4])
    with Ledger(tmp_path / "runs.sqlite") as ledger:
        results = run_many(model, theta, seeds)
        ledger.record(model, theta, seeds, results)
        ledger.record(model, theta[3:4], seeds[3:4], results[3:4])
        yield ledger


def test_read_runs_equals_the_ledger_bit_for_bit(written, tmp_path):
    done = subprocess.run(
        ["Rscript", "--vanilla", "-e", WRITE, str(SOURCE), str(written.path), str(tmp_path / "out.bin")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    runs = written.runs(model)
    columns = [runs[name] for name in ("run_id", "R0", "days ill", "seed", "seconds")]
    outputs = [written.outputs(model, name).ravel() for name in model.outputs]
    expected = np.concatenate([np.asarray(part, dtype=float) for part in [*columns, *outputs]])
    np.testing.assert_array_equal(np.fromfile(tmp_path / "out.bin"), expected)
    assert list(runs["status"]) == ["ok", "ok", "partial", "failed", "failed"]
    errors = [error or "NA" for error in runs["error"]]
    assert done.stdout.splitlines() == [*runs.columns, *model.outputs, *runs["status"], *errors]
