"""Which parameters matter: variance-based sensitivity indices with their sampling and emulator error."""

from hetcal.sensitivity.by_loss import SobolByLoss, sobol_by_loss
from hetcal.sensitivity.emulated import SeedShare
from hetcal.sensitivity.forest import ForestCheck, forest_check
from hetcal.sensitivity.jansen import Indices, jansen
from hetcal.sensitivity.sobol import SobolResult, sobol

__all__ = [
    "ForestCheck",
    "Indices",
    "SeedShare",
    "SobolByLoss",
    "SobolResult",
    "forest_check",
    "jansen",
    "sobol",
    "sobol_by_loss",
]
