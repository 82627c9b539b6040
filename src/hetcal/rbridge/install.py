"""Find R and rpy2, say what is missing and the command that mends it, and install R's packages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TextIO

from hetcal.rbridge.errors import RMissing

PACKAGES = ("hetGP", "brnn", "mda", "randomForest", "mlr")

_INSTALL_R = (
    "install R (Debian and Ubuntu: `apt install r-base-dev`; conda: `conda install r-base`; elsewhere the R "
    "project's own installer), then run `hetcal install-r`"
)

_LOADABLE = (
    "for (p in commandArgs(TRUE)) cat(p, suppressWarnings(requireNamespace(p, quietly = TRUE)), '\\n')"
)

_INSTALL = """
library <- .libPaths()[file.access(.libPaths(), 2) == 0][1]
if (is.na(library)) {
  library <- strsplit(Sys.getenv("R_LIBS_USER"), .Platform$path.sep)[[1]][1]
  dir.create(library, recursive = TRUE, showWarnings = FALSE)
}
if ("@CRAN@" %in% getOption("repos")) chooseCRANmirror(graphics = FALSE, ind = 1)
install.packages(commandArgs(TRUE), lib = library)
"""


def r_home() -> Path:
    """Folder of the R that the bridge uses: the environment's ``R_HOME``, else that of the R on the PATH.

    Raises
    ------
    RMissing
        There is no R, or ``R_HOME`` does not hold one.

    Examples
    --------
    >>> from hetcal.rbridge.install import r_home
    >>> r_home().name
    'R'
    """
    home = os.environ.get("R_HOME")
    if home:
        if not _description(Path(home)).is_file():
            raise RMissing(f"R_HOME is {home}, but no R is there: run `unset R_HOME`, or {_INSTALL_R}")
        return Path(home)
    found = r_home_on_path()
    if found is None:
        raise RMissing(f"R is not installed, or not on the PATH: {_INSTALL_R}")
    return found


def r_home_on_path() -> Path | None:
    """Folder of the R that the shell finds; None where there is none."""
    command = shutil.which("R")
    if command is None:
        return None
    # R's own script ignores R_HOME, and says so on its first line where the variable names another R.
    environment = {name: value for name, value in os.environ.items() if name != "R_HOME"}
    done = subprocess.run([command, "RHOME"], capture_output=True, text=True, env=environment)
    return Path(done.stdout.strip()) if done.returncode == 0 else None


def check_installation() -> None:
    """Check that R and an rpy2 that fits it are there, without loading either.

    Raises
    ------
    RMissing
        What is missing or does not fit, with the command that mends it.

    Examples
    --------
    >>> from hetcal.rbridge.install import check_installation
    >>> check_installation()
    """
    home = r_home()
    r_version = _r_version(home)
    try:
        rpy2_version = version("rpy2")
    except PackageNotFoundError:
        raise RMissing(f"rpy2 is not installed: run `pip install '{rpy2_pin(r_version)}'`") from None
    if _numbers(rpy2_version) >= (3, 6) and r_version < (4, 5):
        found = ".".join(map(str, r_version))
        raise RMissing(
            f"rpy2 {rpy2_version} needs R 4.5 or newer, and this is R {found} ({home}): "
            f"run `pip install '{rpy2_pin(r_version)}'`"
        )


def rpy2_pin(r_version: tuple[int, ...]) -> str:
    """The rpy2 to install beside an R, as pip writes it."""
    return "rpy2>=3.6" if r_version >= (4, 5) else "rpy2>=3.5,<3.6"


def does_not_load(error: Exception) -> RMissing:
    """What to raise when rpy2 is there but cannot load R."""
    home = r_home()
    return RMissing(
        f"rpy2 {version('rpy2')} cannot load the R in {home} ({error}): build it against this R with "
        "`pip install --force-reinstall --no-cache-dir --no-binary rpy2,rpy2-rinterface "
        f"'{rpy2_pin(_r_version(home))}'`"
    )


def package_missing(package: str) -> RMissing:
    """What to raise when R code needs a package that is not installed."""
    command = "hetcal install-r" if package in PACKAGES else f"Rscript -e 'install.packages(\"{package}\")'"
    return RMissing(f"R's package {package} is not installed: run `{command}`")


def install_r(packages: Sequence[str] = PACKAGES, stream: TextIO | None = None) -> None:
    """Install the R packages that are missing, from CRAN (the mirror set in R, else the first one).

    When to use: once, after R itself is there. Needs no network when nothing is missing. hetGP is what
    the emulators need; the others are the learners of `hetcal.StackedGP`.

    Parameters
    ----------
    packages : sequence of str
        Names of CRAN packages.
    stream : text file, optional
        Where the steps are told; standard output if not given.

    Raises
    ------
    RMissing
        R is not there, or a package could not be installed.
    ValueError
        A name that is not one of an R package.

    Examples
    --------
    >>> from hetcal import rbridge
    >>> rbridge.install_r(["stats"])
    R's stats: there
    """
    out = sys.stdout if stream is None else stream
    for package in packages:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9.]*", package):
            raise ValueError(f"{package!r} is not the name of an R package")
    home = r_home()
    absent = _not_loadable(home, packages)
    for package in packages:
        if package not in absent:
            print(f"R's {package}: there", file=out)
    reasons = {}
    for package in absent:
        print(f"R's {package}: installing from CRAN (a minute or more from source) ...", file=out, flush=True)
        done = _rscript(home, _INSTALL, [package])
        if _not_loadable(home, [package]):
            reasons[package] = _last_lines(done.stderr)
            print(f"R's {package}: failed\n{reasons[package]}", file=out)
        else:
            print(f"R's {package}: installed", file=out)
    if reasons:
        names = ", ".join(reasons)
        listed = ", ".join(f'"{package}"' for package in reasons)
        raise RMissing(
            f"R's {names} could not be installed (R's messages are above): mend what they name, then run "
            f"`hetcal install-r`, or in R install.packages(c({listed}))"
        )


def _rscript(home: Path, code: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command = [str(home / "bin" / "Rscript"), "-e", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def _not_loadable(home: Path, packages: Sequence[str]) -> list[str]:
    """Those that a fresh R cannot load."""
    answers = _rscript(home, _LOADABLE, packages).stdout.split("\n")
    there = {line.split()[0] for line in answers if line.split()[1:] == ["TRUE"]}
    return [package for package in packages if package not in there]


def _last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-15:])


def _description(home: Path) -> Path:
    return home / "library" / "base" / "DESCRIPTION"


def _r_version(home: Path) -> tuple[int, ...]:
    """From the base package's file, since asking R itself takes a tenth of a second."""
    found = re.search(r"^Version:\s*(\S+)", _description(home).read_text(encoding="utf-8"), re.MULTILINE)
    return _numbers(found.group(1)) if found else ()


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])
