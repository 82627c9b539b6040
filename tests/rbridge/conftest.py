"""The bridge with the functions of probes.R, here and in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROBES = Path(__file__).with_name("probes.R")

PRELUDE = f"""
from hetcal import rbridge
from hetcal.rbridge import session

def load_probes():
    rbridge.start()
    running = session._session
    source = running.rinterface.baseenv["sys.source"]
    source(running.rinterface.StrSexpVector([{str(PROBES)!r}]), envir=running.environment)
"""


@pytest.fixture
def r(needs_r):
    """`hetcal.rbridge.call` that also knows the functions of probes.R."""
    names: dict = {}
    exec(PRELUDE, names)
    names["load_probes"]()
    return names["rbridge"].call


@pytest.fixture
def evaluate(needs_r):
    """Evaluate R code in R's workspace, past the bridge."""
    from rpy2 import rinterface

    return rinterface.evalr


def python(code, **environment):
    """Run code in a fresh Python; returns the finished process."""
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


@pytest.fixture
def run_python():
    return python


@pytest.fixture
def start_python():
    """Start code in a fresh Python with its output piped; whatever still runs is killed afterwards."""
    started = []

    def start(code):
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", PRELUDE + code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
