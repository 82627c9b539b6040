"""Which parameters matter: variance-based sensitivity indices with their sampling and emulator error."""

from hetcal.sensitivity.emulated import SeedShare
from hetcal.sensitivity.jansen import Indices, jansen
from hetcal.sensitivity.sobol import SobolResult, sobol

__all__ = ["Indices", "SeedShare", "SobolResult", "jansen", "sobol"]
