"""Emulators: what stands in for the simulator."""

from hetcal.emulators.base import CrossedSeedsWarning, Emulator, Prediction, load_emulator
from hetcal.emulators.hetgp import FitWarning, HetGP
from hetcal.emulators.stacked import StackedGP
from hetcal.emulators.stacked_fit import LearnerWarning

__all__ = [
    "CrossedSeedsWarning",
    "Emulator",
    "FitWarning",
    "HetGP",
    "LearnerWarning",
    "Prediction",
    "StackedGP",
    "load_emulator",
]
