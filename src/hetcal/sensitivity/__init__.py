"""Which parameters matter: variance-based sensitivity indices with their sampling error."""

from hetcal.sensitivity.sobol import Indices, SobolResult, jansen, sobol

__all__ = ["Indices", "SobolResult", "jansen", "sobol"]
