"""R's own functions beside hetcal's, and emulator states made by hand, without R."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hetcal.emulators.hetgp import HetGP
from hetcal.emulators.hetgp_state import HetGPState

PEERS = Path(__file__).with_name("peers.R")


@pytest.fixture(scope="session")
def r(needs_r):
    """`hetcal.rbridge.call` that also knows the functions of peers.R."""
    from hetcal import rbridge
    from hetcal.rbridge import session

    running = session._session
    source = running.rinterface.baseenv["sys.source"]
    source(running.rinterface.StrSexpVector([str(PEERS)]), envir=running.environment)
    return rbridge.call


@pytest.fixture
def by_hand():
    """An emulator with hyperparameters as given; the noise varies where asked."""

    def make(
        X, y, theta, transform=None, noise=0.05, varying=False, covariance="Matern5_2", mult=None, scale=1.0
    ):
        n, d = X.shape
        mult = np.ones(n, dtype=np.int64) if mult is None else np.asarray(mult)
        latent = {}
        if varying:
            delta = np.log(noise) + 1.5 * (X[:, 0] - 0.5)
            latent = {
                "theta_g": np.full(d, 1.5),
                "k_theta_g": 1.5,
                "nmean": float(np.log(noise)),
                "nu_hat_var": 1.0,
                "Delta": delta,
                "Lambda": np.exp(delta),
            }
        emulator = HetGP(covariance, transform=transform)
        emulator._condition(
            HetGPState(
                X,
                y,
                mult,
                np.repeat(y, mult),
                theta=np.broadcast_to(np.asarray(theta, dtype=float), (d,)).copy(),
                g=0.01 if varying else noise,
                nu_hat=scale,
                beta0=0.0,
                eps=1e-8,
                log_likelihood=0.0,
                message="by hand",
                **latent,
            )
        )
        K = emulator.process.factor @ emulator.process.factor.T
        ones = np.linalg.solve(K, np.ones(n))
        emulator._condition(HetGPState(**{**vars(emulator.state), "beta0": float(ones @ y / ones.sum())}))
        return emulator

    return make
