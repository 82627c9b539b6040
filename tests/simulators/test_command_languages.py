"""Real models of other languages: the Reed-Frost epidemic of a household of three, in C and in R."""

from __future__ import annotations

import shutil
import subprocess

import command_models as models
import numpy as np
import pytest
from scipy import stats

import hetcal as hc
from hetcal.ensemble import execute
from hetcal.simulators import CSV, Command, LongTable, run_one


@pytest.fixture(scope="module")
def c_model(tmp_path_factory):
    """The C program as a simulator of 20 households."""
    folder = tmp_path_factory.mktemp("c")
    (folder / "household.xml").write_text(models.XML.replace("{outbreaks}", "20"))
    return Command(
        [models.compiled(folder), "{workdir}/household.xml", "out.txt"],
        parameters=["beta"],
        outputs={"infected": (3, 20), "size": (20,)},
        version="1",
        templates=folder / "household.xml",
        read={"infected": LongTable("out.txt", measure=1), "size": LongTable("out.txt", measure=2)},
    )


@pytest.fixture(scope="module")
def r_model(tmp_path_factory):
    """The R script as a simulator of 400 households."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        pytest.skip("no Rscript")
    folder = tmp_path_factory.mktemp("r")
    (folder / "household.R").write_text(models.R_SOURCE)
    (folder / "settings.R").write_text("beta <- {beta}\nseed <- {seed}\n")
    return Command(
        [rscript, "--vanilla", folder / "household.R", "settings.R"],
        parameters=["beta"],
        outputs={"size": (400,)},
        version="1",
        templates=folder / "settings.R",
        read={"size": CSV("out.csv", "infected")},
    )


def by_hand(beta, seed):
    """What the C program does, in Python: infections by generation of 20 households."""
    mask, state = 2**64 - 1, seed

    def uniform():
        nonlocal state
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return ((z ^ (z >> 31)) >> 11) * 2.0**-53

    infected = np.zeros((3, 20))
    for household in range(20):
        susceptible, infectious = 2, 1
        for generation in range(3):
            new = sum(uniform() > np.exp(-beta) ** infectious for _ in range(susceptible))
            infected[generation, household] = infectious = new
            susceptible -= new
    return infected


def test_the_c_model_gives_the_numbers_worked_out_in_python(c_model):
    for beta, seed in [(0.7, 5), (0.1234567890123456, 2**31 - 1)]:
        outputs = c_model({"beta": beta}, seed)
        np.testing.assert_array_equal(outputs["infected"], by_hand(beta, seed))
        np.testing.assert_array_equal(outputs["size"], outputs["infected"].sum(axis=0))


def test_the_r_model_gives_the_numbers_of_r_itself(r_model, needs_r):
    outputs = r_model({"beta": 0.7}, seed=11)
    code = f"settings <- list(beta = 0.7, seed = 11)\n{models.R_MODEL}\ncat(size)"
    said = subprocess.run(
        ["Rscript", "--vanilla", "-e", code], capture_output=True, text=True, check=True
    ).stdout
    np.testing.assert_array_equal(outputs["size"], np.array(said.split(), dtype=float))


def test_final_sizes_follow_the_law_of_reed_and_frost(c_model, r_model):
    # Two tests of 1e-4 each: one false alarm in 5,000 seeds.
    with hc.Ledger() as ledger:
        execute(c_model, np.full((60, 1), 0.7), np.arange(60) + 1000, ledger, workers=2)
        assert set(ledger.runs(c_model)["status"]) == {"ok"}
        sizes = [ledger.outputs(c_model, "size").ravel()]
    sizes.append(np.concatenate([r_model({"beta": 0.7}, seed)["size"] for seed in (1, 2, 3)]))
    for found in sizes:
        counts = np.bincount(found.astype(int), minlength=3)
        assert stats.chisquare(counts, models.final_size_law(0.7) * counts.sum()).pvalue > 1e-4


def test_what_a_c_program_says_of_bad_input_is_in_the_runs_row(c_model, tmp_path):
    (tmp_path / "household.xml").write_text(
        models.XML.replace("{outbreaks}", "20").replace("people=", "persons=")
    )
    broken = Command(
        [c_model.command[0], "{workdir}/household.xml", "out.txt"],
        parameters=["beta"], outputs={"size": (20,)}, version="1", templates=tmp_path / "household.xml",
        read={"size": LongTable("out.txt", 2)},
    )  # fmt: skip
    result = run_one(broken, np.array([0.7]), 1)
    assert result.error == "CommandFailed: ended with exit code 3; standard error ends: no attribute people"


def test_a_recompiled_model_is_another_model(c_model, tmp_path):
    again = models.compiled(tmp_path)
    same = Command(**{**models.arguments(c_model), "command": [again, *c_model.command[1:]]})
    assert hc.simulators.fingerprint(same) == hc.simulators.fingerprint(c_model)
    with open(again, "ab") as file:
        file.write(b"\0")
    other = Command(**{**models.arguments(c_model), "command": [again, *c_model.command[1:]]})
    assert hc.simulators.fingerprint(other) != hc.simulators.fingerprint(c_model)
    assert run_one(same, np.array([0.7]), 1).error.endswith(
        "has changed since the simulator was made: make it again"
    )
