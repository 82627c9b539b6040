"""The vignettes run as they stand, as plain scripts, and say what their text says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_external_model(needs_r, tmp_path):
    said = said_by("external_model.py", tmp_path)
    # The text: a program and a simulator of the same law; each mean within four standard errors of their difference.
    means = re.findall(r"(\d+) ± (\d+) bed-days from 200 runs", said)
    (mean, error), (other, other_error) = ((float(a), float(b)) for a, b in means)
    assert abs(mean - other) < 4 * (error + 1) + 4 * (other_error + 1)
    assert 3 < float(said.split("least mean loss of single runs: R0 ")[1].split(",")[0]) < 4.5
    assert said.count("rate 0.5: ok") == 2
    failures = re.findall(
        "rate 2.5: failed: CommandFailed: ended with exit code 1; .* ends: .*rate above 2", said
    )
    assert len(failures) == 2
    peaks = said.split("school and town: ")[1].split()
    assert int(peaks[0]) < int(peaks[1]) < int(peaks[2])


def test_stack_or_process(needs_r, tmp_path):
    said = said_by("stack_or_process.py", tmp_path, CASES="smooth,jump", SHARE="0.5")
    columns = re.search(r"^ +(R2.*)$", said, re.M).group(1).split("  ")
    names = [name.strip() for name in columns if name.strip()]
    rows = {
        kind: dict(zip(names, map(float, re.findall(r"-?\d+\.\d+", told))))
        for kind, told in re.findall(r"^(?:smooth|jump)? +([a-z, ]+?)  +(-?\d.*)$", said, re.M)
    }
    assert set(rows) == {"process", "stack", "stack, as published"}
    # The text: the published variance holds about half; what is claimed at the best of a jump is too low.
    published, calibrated = (rows[kind]["90 %"] for kind in ("stack, as published", "stack"))
    assert published < 0.7 and published < calibrated - 0.1
    assert rows["process"]["claimed"] < rows["process"]["true"]


def test_measles(needs_r, tmp_path):
    said = said_by("measles.py", tmp_path, TRIALS="4", ROUNDS="2")
    assert (tmp_path / "flu" / "stages.png").stat().st_size > 10_000
    # The text: beta moves attack rate and peak, k the peak, c only the share that invades C.
    effect = {
        label: dict(zip(("beta", "k", "c"), map(float, re.findall(r"[+-][\d.]+", told))))
        for label, told in re.findall(r"^ *([A-Za-z ]+), sampling errors for a tenth more: (.*)$", said, re.M)
    }
    assert effect["attack rate in A"]["beta"] > 50 and effect["peak in A"]["beta"] < -8
    assert -4 < effect["peak in A"]["k"] < -1 and -2 < effect["share that invades C"]["c"] < -0.4
    # The CMP is two weeks late and makes up for it; the mean field with the right waiting times is not.
    cheap = {
        name: [float(x) for x in told]
        for name, *told in re.findall(
            r"^ *([A-Za-z ]+): peak.*day (\d+); .* beta ([\d.]+), k ([\d.]+)$", said, re.M
        )
    }
    assert cheap["CMP"][0] > 108 and cheap["CMP"][1] > 1.05 and cheap["CMP"][2] > 1.7
    assert 93 <= cheap["mean field"][0] <= 98 and cheap["mean field"][1:] == pytest.approx([1, 0.77], rel=0.1)
    assert "narrowed by the CMP" in said and said.count("the truth is outside") == 1
    assert said.split("narrowed by the mean field")[1].split("\n")[0].endswith("the truth is inside")
    floor = dict(re.findall(r"loss at the truth with (\d+) seeds: median ([\d.]+)", said))
    assert 0.2 < float(floor["60"]) < float(floor["12"])
    ends = re.findall(r"^ *(beta|k|c): ([\d.]+) to ([\d.]+) of the truth", said, re.M)
    posterior = {name: (float(low), float(high)) for name, low, high in ends}
    width = {name: high - low for name, (low, high) in posterior.items()}
    # The full number of rounds holds all three; after two, of 480 runs, c is near and the least known.
    assert width["beta"] < 0.02 and width["beta"] < width["k"] < width["c"]
    assert all(low < 1.25 and high > 0.8 for low, high in posterior.values())
