"""hetcal: calibrate noisy simulators and say honestly how sure you are.

The public names; each is imported when it is first used, so that ``import hetcal`` stays light and starts no R.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_ROOMS = {
    "hetcal.parameters": ["Parameter", "Space", "log_uniform", "uniform"],
    "hetcal.simulators": ["simulator"],
    "hetcal.targets": ["EnsembleTarget", "Target"],
    "hetcal.problem": ["Problem"],
    "hetcal.ledger": ["Ledger", "LedgerError"],
    "hetcal.ensemble": ["run_ensemble"],
    "hetcal.emulators": ["HetGP", "Prediction", "StackedGP", "load_emulator"],
    "hetcal.acquisition": ["EI", "LCB", "Thompson"],
    "hetcal.calibrate": [
        "BayesianCalibration",
        "CalibrationResult",
        "Cascade",
        "CascadeResult",
        "EnsemblePosterior",
        "ParticleMCMC",
        "Posterior",
        "Stage",
    ],
    "hetcal.checks": ["recovery_test", "synthetic_recovery"],
    "hetcal.comparison": ["compare_models"],
    "hetcal.sensitivity": ["sobol", "sobol_by_loss"],
    "hetcal.report": ["Exhibit"],
    "hetcal.studies": ["Study"],
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}
_MODULES = ["data", "designs", "losses", "observation", "rbridge", "simulators", "studies"]

__all__ = sorted([*_HOME, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    elif name in _MODULES:
        value = import_module(f"hetcal.{name}")
    else:
        raise AttributeError(f"hetcal has no {name!r}: it offers {', '.join(__all__)}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
