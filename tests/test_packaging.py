"""A wheel works without the checkout: the R half, the data and the report templates travel in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
PIP = [sys.executable, "-m", "pip", "--isolated", "--quiet", "--disable-pip-version-check"]


def files_under(folder: Path, pattern: str) -> set[str]:
    """The files below a folder, as paths relative to it."""
    return {file.relative_to(folder).as_posix() for file in folder.glob(pattern) if file.is_file()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel of a copy of the checkout, in which tests and checks have left their litter."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("src", "R", "data"):
        litter = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(CHECKOUT / name, copy / name, symlinks=True, ignore=litter)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, copy / name)
    for leftover in ("hetcal.Rcheck/hetcal/R/hetcal.R", "tests/testthat/test-leftover.R", ".Rhistory"):
        (copy / "R" / leftover).parent.mkdir(parents=True, exist_ok=True)
        (copy / "R" / leftover).write_text("# not for users\n")
    out = tmp_path_factory.mktemp("wheel")
    build = ["wheel", str(copy), "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(out)]
    subprocess.run([*PIP, *build], check=True, timeout=300)
    (built,) = out.glob("hetcal-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A fresh virtual environment that holds the wheel and sees Debian's packages, but not the checkout."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run(
        [sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", str(folder)],
        check=True,
        timeout=300,
    )
    install = ["--python", str(folder / "bin" / "python"), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([*PIP, *install], check=True, timeout=300)
    return folder


def run(installed: Path, *command: str) -> str:
    """What a command of the environment prints, run from a folder that holds nothing of hetcal."""
    completed = subprocess.run(
        [str(installed / "bin" / command[0]), *command[1:]],
        cwd=installed, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


def test_wheel_holds_modules_r_code_data_and_templates(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    source = CHECKOUT / "src" / "hetcal"
    wanted = {
        "": files_under(source, "**/*.py"),
        "resources/R/": files_under(CHECKOUT / "R", "R/*.R") | {"DESCRIPTION", "NAMESPACE"},
        "resources/data/": files_under(CHECKOUT / "data", "*"),
        "report/templates/": files_under(source / "report" / "templates", "*"),
    }
    for folder, files in wanted.items():
        assert files, f"the checkout has nothing for {folder or 'the package'}"
        missing = {name for name in files if f"hetcal/{folder}{name}" not in inside}
        assert not missing, f"not in the wheel: {sorted(missing)} of {folder}"


def test_wheel_holds_no_litter(wheel):
    inside = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in inside if "Rcheck" in name or "/tests/" in name or ".Rhistory" in name]
    assert not [name for name in inside if not name.startswith(("hetcal/", "hetcal-"))]


def test_installed_wheel_reads_its_data_and_r_code(installed):
    code = """
from importlib.resources import files
from pathlib import Path
import hetcal.data
print(Path(hetcal.__file__).resolve().parent)
print(hetcal.data.flu1978()["in_bed"].sum())
print(sum("function" in file.read_text() for file in (files("hetcal") / "resources" / "R" / "R").iterdir()))
"""
    package, bed_days, r_files = run(installed, "python", "-I", "-c", code).split()
    assert Path(package).is_relative_to(installed.resolve())
    assert int(bed_days) == 1559
    assert int(r_files) > 0


def test_installed_wheel_brings_the_command(installed):
    assert "flu1978" in run(installed, "hetcal", "studies")
