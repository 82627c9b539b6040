"""Emulators: what stands in for the simulator."""

from hetcal.emulators.base import CrossedSeedsWarning, Emulator, Prediction, load_emulator
from hetcal.emulators.hetgp import FitWarning, HetGP

__all__ = ["CrossedSeedsWarning", "Emulator", "FitWarning", "HetGP", "Prediction", "load_emulator"]
