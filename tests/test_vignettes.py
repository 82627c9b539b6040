"""The vignettes run as they stand, as plain scripts, and say what their text says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

VIGNETTES = Path(__file__).parents[1] / "vignettes"


def test_flu1978(needs_r, tmp_path):
    environment = {
        **os.environ,
        "HETCAL_VIGNETTE_FOLDER": str(tmp_path / "flu"),
        "HETCAL_VIGNETTE_ROUNDS": "1",
        "PYTHONWARNINGS": "ignore",
    }
    done = subprocess.run(
        [sys.executable, str(VIGNETTES / "flu1978.py")],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    written = sorted(path.name for path in (tmp_path / "flu").glob("*.png"))
    assert written == ["loss-and-chance.png", "single-runs.png", "winner.png"]
    assert (tmp_path / "flu" / "report" / "report.html").stat().st_size > 10_000
    said = done.stdout
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
