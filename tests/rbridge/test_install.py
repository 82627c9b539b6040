"""What is missing is named with the command that mends it; installing and the doctor."""

from __future__ import annotations

import io
import subprocess
from importlib import import_module

import pytest

from hetcal import rbridge
from hetcal.rbridge import install

START = """
try:
    rbridge.start()
except rbridge.RMissing as missing:
    print(missing)
"""


def test_no_r_on_the_path(run_python, tmp_path):
    done = run_python(START, PATH=str(tmp_path), R_HOME="")
    assert "R is not installed" in done.stdout and "`hetcal install-r`" in done.stdout, done.stderr


def test_an_r_home_without_r(run_python, tmp_path):
    done = run_python(START, R_HOME=str(tmp_path))
    assert str(tmp_path) in done.stdout and "`unset R_HOME`" in done.stdout, done.stderr


def test_no_rpy2(needs_r, run_python):
    hide = """
import importlib.metadata, sys
class Hide(importlib.metadata.DistributionFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "rpy2":
            raise ModuleNotFoundError(name)
    def find_distributions(self, context):
        return []
sys.path_importer_cache.clear()
sys.meta_path.insert(0, Hide())
"""
    done = run_python(hide + START)
    assert "rpy2" in done.stdout and "`pip install" in done.stdout, done.stderr


def test_rpy2_that_cannot_load_r(needs_r, run_python):
    broken = """
import sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("_rinterface_cffi"):
            raise ImportError("undefined symbol: R_Something")
sys.meta_path.insert(0, Broken())
"""
    done = run_python(broken + START)
    assert "cannot load the R" in done.stdout and "`pip install --force-reinstall" in done.stdout, done.stderr


def test_rpy2_that_is_too_new_for_r(needs_r, monkeypatch, tmp_path):
    home = tmp_path / "library" / "base"
    home.mkdir(parents=True)
    (home / "DESCRIPTION").write_text("Package: base\nVersion: 4.3.1\n")
    monkeypatch.setenv("R_HOME", str(tmp_path))
    monkeypatch.setattr(install, "version", lambda package: "3.6.4")
    with pytest.raises(rbridge.RMissing, match=r"R 4\.3\.1 .*`pip install 'rpy2>=3.5,<3.6'`"):
        install.check_installation()
    (home / "DESCRIPTION").write_text("Package: base\nVersion: 4.5.0\n")
    install.check_installation()


def test_installing_what_is_there_needs_no_network(needs_r):
    told = io.StringIO()
    rbridge.install_r(["stats", "hetGP"], told)
    assert told.getvalue() == "R's stats: there\nR's hetGP: there\n"


@pytest.mark.parametrize("name", ["a b", "x'); quit('", "", "-e"])
def test_what_is_no_package_name_is_refused(name):
    with pytest.raises(ValueError, match="not the name of an R package"):
        rbridge.install_r([name])


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A CRAN of one package, in a folder, and a library of its own to install into."""
    package = tmp_path / "hetcalprobe"
    (package / "R").mkdir(parents=True)
    (package / "DESCRIPTION").write_text(
        "Package: hetcalprobe\nVersion: 1.0\nTitle: A Probe\nDescription: Nothing.\nLicense: MIT\n"
        "Author: hetcal\nMaintainer: hetcal <hetcal@example.org>\n"
    )
    (package / "NAMESPACE").write_text("export(one)\n")
    (package / "R" / "one.R").write_text("one <- function() 1\n")
    contrib = tmp_path / "mirror" / "src" / "contrib"
    contrib.mkdir(parents=True)
    r = str(install.r_home() / "bin" / "R")
    subprocess.run([r, "CMD", "build", str(package)], cwd=contrib, check=True, capture_output=True)
    index = f"tools::write_PACKAGES('{contrib}', type = 'source')"
    subprocess.run([r, "--slave", "-e", index], check=True, capture_output=True)
    profile = tmp_path / "profile.R"
    profile.write_text(f"options(repos = c(CRAN = 'file://{tmp_path / 'mirror'}'))\n")
    library = tmp_path / "library"
    library.mkdir()
    monkeypatch.setenv("R_PROFILE_USER", str(profile))
    monkeypatch.setenv("R_LIBS", str(library))
    return library


def test_a_missing_package_is_installed_once(needs_r, mirror):
    told = io.StringIO()
    rbridge.install_r(["hetcalprobe"], told)
    assert "R's hetcalprobe: installed" in told.getvalue()
    assert (mirror / "hetcalprobe" / "DESCRIPTION").is_file()
    rbridge.install_r(["hetcalprobe"], told)
    assert told.getvalue().endswith("R's hetcalprobe: there\n")


def test_a_package_that_cannot_be_installed_does_not_stop_the_others(needs_r, mirror):
    told = io.StringIO()
    with pytest.raises(rbridge.RMissing, match=r"nosuchpackage could not.*`hetcal install-r`"):
        rbridge.install_r(["nosuchpackage", "hetcalprobe"], told)
    assert "R's nosuchpackage: failed" in told.getvalue() and "R's hetcalprobe: installed" in told.getvalue()


def test_the_doctor_finds_this_machine_well(needs_r):
    told = io.StringIO()
    assert rbridge.doctor(told), told.getvalue()
    lines = told.getvalue().splitlines()
    assert all(line.startswith(("ok    ", "note  ")) for line in lines)
    for part in ("R's hetGP", "rpy2", "BLAS", "predictions of R and numpy agree"):
        assert any(part in line for line in lines), part


def test_the_doctor_sees_two_installations(needs_r, monkeypatch, tmp_path):
    # The module is behind the function of the same name.
    monkeypatch.setattr(import_module("hetcal.rbridge.doctor"), "r_home_on_path", lambda: tmp_path)
    told = io.StringIO()
    assert not rbridge.doctor(told)
    (failure,) = (line for line in told.getvalue().splitlines() if line.startswith("FAIL"))
    assert "two R installations" in failure and str(tmp_path) in failure and "`unset R_HOME`" in failure


def test_the_doctor_names_what_is_wrong(run_python, tmp_path):
    done = run_python("print(rbridge.doctor())", R_HOME=str(tmp_path))
    assert done.stdout.endswith("False\n"), done.stderr
    failures = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert len(failures) == 1 and "`unset R_HOME`" in failures[0]
