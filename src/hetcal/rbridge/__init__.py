"""R from Python: the only room that imports rpy2, and only when R is first needed."""

from __future__ import annotations

from hetcal.rbridge.doctor import doctor
from hetcal.rbridge.errors import RError, RMissing, RWarning, RWorkerDied
from hetcal.rbridge.install import install_r
from hetcal.rbridge.pool import RPool
from hetcal.rbridge.session import call, start, versions

__all__ = [
    "RError",
    "RMissing",
    "RPool",
    "RWarning",
    "RWorkerDied",
    "call",
    "doctor",
    "install_r",
    "start",
    "versions",
]
