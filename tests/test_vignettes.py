"""The vignettes run as they stand, as plain scripts, and say what their text says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

VIGNETTES = Path(__file__).parents[1] / "vignettes"


def said_by(name, folder, **settings):
    """What a vignette prints."""
    environment = {**os.environ, "HETCAL_VIGNETTE_FOLDER": str(folder / "flu"), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, str(VIGNETTES / name)],
        capture_output=True,
        text=True,
        timeout=600,
        env=environment | {f"HETCAL_VIGNETTE_{key}": value for key, value in settings.items()},
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_uncertainty(needs_r, tmp_path):
    said = said_by("uncertainty.py", tmp_path, SETS="2")
    assert (tmp_path / "flu" / "four-answers.png").stat().st_size > 10_000
    ranges = {
        way: [float(x) for x in re.findall(r"[\d.]+", told.split("infectious_days")[1].split(",")[0])]
        for way, told in re.findall(r"^ *([a-z ]+): (R0.*)$", said, re.M)
    }
    assert list(ranges) == ["loss band", "not ruled out", "emulated likelihood", "particle filter"]
    width = {way: high - low for way, (low, high) in ranges.items()}
    # The text: the band is the narrowest by far, history matching keeps most, the others are near each other.
    assert width["loss band"] < 0.5 * width["particle filter"] < width["not ruled out"]
    assert 0.6 < width["emulated likelihood"] / width["particle filter"] < 3
    assert "No parameters fit: boys that fell ill, held out: 512 observed" in said
    assert "share of 2 outbreaks whose truth was held" in said


def test_flu1978(needs_r, tmp_path):
    said = said_by("flu1978.py", tmp_path, ROUNDS="1")
    written = sorted(path.name for path in (tmp_path / "flu").glob("*.png"))
    assert written == ["loss-and-chance.png", "single-runs.png", "winner.png"]
    assert (tmp_path / "flu" / "report" / "report.html").stat().st_size > 10_000
    assert "1559 bed-days, 512 ill boys: 3.0 days each" in said
    assert "least_squares: R0 3.92, 2.19 days, I0 2.1" in said
    assert "poisson_deviance: R0 3.93, 2.08 days, I0 1.5" in said
    single = {
        float(k): float(v)
        for k, v in re.findall(r"from +([\d.]+) boys: mean loss of single runs +(\d+)", said)
    }
    mean = {
        float(k): float(v) for k, v in re.findall(r"from +([\d.]+) boys.*loss of the mean run +(\d+)", said)
    }
    assert min(single, key=single.get) == 6 and single[6] < 0.4 * single[3]
    assert min(mean, key=mean.get) == 4 and mean[6] > mean[3]
    infected = int(said.split("infected at the winner: ")[1].split()[0])
    assert infected > 700
