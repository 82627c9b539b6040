"""Is everything there, does it fit together, does a fit come out right? And which command mends it if not."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TextIO

import numpy as np

from hetcal.rbridge import session
from hetcal.rbridge.install import r_home, r_home_on_path

_PYTHON_NEEDED = ("numpy", "scipy", "pandas", "numba", "statsmodels", "matplotlib", "pebble", "threadpoolctl")
_PYTHON_OPTIONAL = {
    "SALib": "Morris, FAST and delta indices are missing",
    "distributed": "runs on several machines are missing",
}
# SALib's newest asks for a newer numpy than Debian's.
_HOW = {"SALib": "pip install --no-deps 'SALib>=1.4.8,<1.5' dill multiprocess"}
_LEARNERS = ("mlr", "brnn", "mda", "randomForest")

Finding = tuple[str, str]


def doctor(stream: TextIO | None = None) -> bool:
    """Check the installation, end to end, and print what was found and the command for each failure.

    When to use: after installing, and first when anything about R goes wrong (``hetcal doctor``).

    Parameters
    ----------
    stream : text file, optional
        Where the lines go; standard output if not given. A line begins with ``ok``, ``note`` (an optional
        part is missing) or ``FAIL``.

    Returns
    -------
    bool
        True when nothing failed.

    Examples
    --------
    >>> import io
    >>> from hetcal import rbridge
    >>> rbridge.doctor(io.StringIO())
    True
    """
    out = sys.stdout if stream is None else stream
    well = True
    for check in (_python, _r, _r_packages, _blas, _fit):
        try:
            for status, text in check():
                well = well and status != "FAIL"
                print(f"{status:<5} {text}", file=out)
        except RuntimeError as error:
            # RMissing, RError, or a start that is refused: the checks that follow would only repeat it.
            well = False
            print(f"FAIL  {error}", file=out)
            break
    return well


def _python() -> Iterator[Finding]:
    yield "ok", f"Python {'.'.join(map(str, sys.version_info[:3]))}"
    for package in _PYTHON_NEEDED:
        found = _python_version(package)
        yield ("ok", f"{package} {found}") if found else (
            "FAIL",
            f"{package} is missing: `pip install {package}`",
        )
    for package, loss in _PYTHON_OPTIONAL.items():
        found = _python_version(package)
        yield ("ok", f"{package} {found}") if found else (
            "note",
            f"{loss}: `{_HOW.get(package, f'pip install {package}')}`",
        )


def _r() -> Iterator[Finding]:
    home = r_home()
    on_path = r_home_on_path()
    session.start()
    versions = session.versions()
    yield "ok", f"R {versions['R']} ({home}), rpy2 {versions['rpy2']}"
    if on_path is not None and not _same_folder(home, on_path):
        yield "FAIL", (
            f"two R installations: R_HOME is {os.environ.get('R_HOME')}, the R on the PATH is {on_path}, and "
            "packages of one do not load in the other: `unset R_HOME`"
        )
    running = Path(session.call("r_installation")["home"])
    if not _same_folder(home, running):
        yield "FAIL", f"rpy2 was built for the R in {running}, not {home}: `export R_HOME={running}`"


def _r_packages() -> Iterator[Finding]:
    versions = session.versions()
    if versions["hetGP"]:
        yield "ok", f"R's hetGP {versions['hetGP']}"
    else:
        yield "FAIL", "R's hetGP is missing, which every emulator is fitted by: `hetcal install-r`"
    for package in _LEARNERS:
        if versions[package]:
            yield "ok", f"R's {package} {versions[package]}"
        else:
            yield "note", f"R's {package} is missing, a part of StackedGP: `hetcal install-r`"


def _blas() -> Iterator[Finding]:
    from threadpoolctl import threadpool_info

    for library in threadpool_info():
        if library["user_api"] == "blas":
            yield "ok", (
                f"BLAS {library['internal_api']} {library['version']}, {library['num_threads']} threads, "
                f"one inside R calls ({library['filepath']})"
            )
    yield "ok", f"R's BLAS {session.call('r_installation')['blas']}"


def _fit() -> Iterator[Finding]:
    """A hetGP fit whose data must come back unchanged and whose predictions numpy must reproduce."""
    rng = np.random.default_rng(0)
    X, X_new = rng.random((60, 2)), rng.random((40, 2))
    Z = np.sin(6 * X[:, 0]) + X[:, 1] + 0.1 * rng.standard_normal(60)
    fit = session.call("doctor_fit", X=X, Z=Z, X_new=X_new)
    if not (np.array_equal(fit["X"], X) and np.array_equal(fit["Z"], Z)):
        yield "FAIL", "arrays do not come back from R as they were sent: `pip install --force-reinstall rpy2`"
        return

    def covariance(A: np.ndarray, B: np.ndarray) -> np.ndarray:
        return np.exp(-(((A[:, None] - B[None]) ** 2) / fit["theta"]).sum(axis=2))

    K = covariance(X, X) + np.eye(len(X)) * (fit["g"] + fit["eps"])
    mean = fit["beta0"] + covariance(X_new, X) @ np.linalg.solve(K, Z - fit["beta0"])
    difference = float(np.abs(mean - fit["mean"]).max())
    if difference < 1e-8:
        yield "ok", f"a hetGP fit: predictions of R and numpy agree to {difference:.0e}"
    else:
        yield "FAIL", (
            f"a hetGP fit: predictions of R and numpy differ by {difference:.1e}, which points to a "
            "broken BLAS: `apt install libopenblas0-pthread`, or on conda `conda install libblas`"
        )


def _python_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _same_folder(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
