"""Calibration: the loops around the path from space to emulator, and what they answer."""

from hetcal.calibrate.bayesopt import BayesianCalibration
from hetcal.calibrate.cascade import Cascade
from hetcal.calibrate.cascade_result import CascadeResult
from hetcal.calibrate.ensemble_posterior import EnsemblePosterior
from hetcal.calibrate.particle_mcmc import ParticleMCMC, ParticlePosterior
from hetcal.calibrate.posterior import Posterior
from hetcal.calibrate.posterior_result import PosteriorResult
from hetcal.calibrate.result import CalibrationResult
from hetcal.calibrate.stage import Stage
from hetcal.calibrate.winner import Winner

__all__ = [
    "BayesianCalibration",
    "CalibrationResult",
    "Cascade",
    "CascadeResult",
    "EnsemblePosterior",
    "ParticleMCMC",
    "ParticlePosterior",
    "Posterior",
    "PosteriorResult",
    "Stage",
    "Winner",
]
