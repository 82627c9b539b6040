"""Simulators: pure functions of (parameters, seed), one module each.

`simulator` turns a function into one; any object with the attributes of the `Simulator` protocol is one.
"""

from __future__ import annotations

from typing import Any

from hetcal.simulators.base import (
    FunctionSimulator,
    RunResult,
    Simulator,
    check_simulator,
    flat_size,
    run_many,
    run_one,
    simulator,
    split_outputs,
    to_bytes,
    validate_outputs,
)
from hetcal.simulators.identity import fingerprint, settings

__all__ = [
    "FunctionSimulator",
    "RunResult",
    "Simulator",
    "StochasticSIR",
    "check_simulator",
    "fingerprint",
    "flat_size",
    "run_many",
    "run_one",
    "settings",
    "simulator",
    "split_outputs",
    "to_bytes",
    "validate_outputs",
]


def __getattr__(name: str) -> Any:
    """Import the models on first use: numba takes a second to load."""
    if name == "StochasticSIR":
        from hetcal.simulators.sir import StochasticSIR

        return StochasticSIR
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
