"""Emulators: what stands in for the simulator."""

from hetcal.emulators.base import Emulator, Prediction, load_emulator
from hetcal.emulators.hetgp import CrossedSeedsWarning, FitWarning, HetGP

__all__ = ["CrossedSeedsWarning", "Emulator", "FitWarning", "HetGP", "Prediction", "load_emulator"]
