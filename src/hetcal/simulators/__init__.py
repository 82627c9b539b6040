"""Simulators: pure functions of (parameters, seed), one module each.

`simulator` turns a function into one; any object with the attributes of the `Simulator` protocol is one.
"""

from __future__ import annotations

from importlib import import_module
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
from hetcal.simulators.stepping import Stepper, check_step, check_stepper, run_steps

__all__ = [
    "BoardingSchool",
    "Campaign",
    "CSV",
    "Chain",
    "Command",
    "CompetingDestinations",
    "FunctionSimulator",
    "GivenWeights",
    "Gravity",
    "JSON",
    "LongTable",
    "Mixing",
    "Radiation",
    "RunResult",
    "Simulator",
    "SpatialABM",
    "SpatialCMP",
    "SpatialMeanField",
    "Stepper",
    "StochasticSIR",
    "Stouffer",
    "VillageOutbreak",
    "check_simulator",
    "check_step",
    "check_stepper",
    "fingerprint",
    "flat_size",
    "run_many",
    "run_one",
    "run_steps",
    "settings",
    "simulator",
    "split_outputs",
    "to_bytes",
    "validate_outputs",
]

# Models of outbreaks in many patches and what they are made of, by the module that holds them.
_SPATIAL = {
    "Campaign": "spatial_settings",
    "Chain": "mixing",
    "CompetingDestinations": "mixing",
    "GivenWeights": "mixing",
    "Gravity": "mixing",
    "Mixing": "mixing",
    "Radiation": "mixing",
    "SpatialABM": "spatial_abm",
    "SpatialCMP": "spatial_cmp",
    "SpatialMeanField": "spatial_mean_field",
    "Stouffer": "mixing",
}

# Programs of any language, and the readers of what they write.
_COMMAND = {
    "CSV": "command_readers",
    "Command": "command",
    "JSON": "command_readers",
    "LongTable": "command_readers",
}


def __getattr__(name: str) -> Any:
    """Import the models on first use: numba takes a second to load."""
    if name == "BoardingSchool":
        from hetcal.simulators.boarding_school import BoardingSchool

        return BoardingSchool
    if name == "StochasticSIR":
        from hetcal.simulators.sir import StochasticSIR

        return StochasticSIR
    if name == "VillageOutbreak":
        from hetcal.simulators.village import VillageOutbreak

        return VillageOutbreak
    if name in _COMMAND:
        return getattr(import_module(f"hetcal.simulators.{_COMMAND[name]}"), name)
    if name in _SPATIAL:
        return getattr(import_module(f"hetcal.simulators.{_SPATIAL[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
