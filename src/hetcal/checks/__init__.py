"""Checks of an answer: can it be trusted, and does the model fit at all."""

from hetcal.checks.ecdf import ecdf_band, uniformity_p
from hetcal.checks.recovery import RecoveryTest, recovery_test
from hetcal.checks.truth_recovery import SyntheticRecovery, synthetic_recovery

__all__ = [
    "RecoveryTest",
    "SyntheticRecovery",
    "ecdf_band",
    "recovery_test",
    "synthetic_recovery",
    "uniformity_p",
]
