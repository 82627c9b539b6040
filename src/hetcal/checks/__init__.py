"""Checks of an answer: can it be trusted, and does the model fit at all."""

from hetcal.checks.ecdf import ecdf_band, uniformity_p
from hetcal.checks.recovery import RecoveryTest, recovery_test

__all__ = ["RecoveryTest", "ecdf_band", "recovery_test", "uniformity_p"]
