"""Every example in a docstring runs when it is pasted into a new session, and every public name has one."""

from __future__ import annotations

import doctest
import inspect
import pkgutil
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

import hetcal

# Rooms whose examples call R, by the start of the module's name.
WITH_R = (
    "hetcal.acquisition",
    "hetcal.calibrate",
    "hetcal.checks",
    "hetcal.comparison",
    "hetcal.diagnostics",
    "hetcal.emulators",
    "hetcal.rbridge",
    "hetcal.report",
    "hetcal.sensitivity",
)

# Rooms that list what they offer in __all__, and modules that offer every public name they define.
LISTED = (
    "hetcal",
    "calibrate",
    "checks",
    "decisions",
    "emulators",
    "rbridge",
    "report",
    "sensitivity",
    "simulators",
)
DEFINED = ("acquisition", "comparison", "data", "designs", "diagnostics", "losses", "observation", "streams")

# What the path from simulator to ledger calls on; a user of hetcal meets none of them.
MACHINERY = {"RunResult", "flat_size", "run_many", "run_one", "to_bytes", "validate_outputs"}


def examples_of(module: ModuleType) -> list[doctest.DocTest]:
    """The examples of a module's docstrings, each with an empty namespace as a new session has."""
    found = doctest.DocTestFinder().find(module, globs={}, extraglobs={"__name__": "__main__"})
    return [test for test in found if test.examples]


MODULES = [import_module(found.name) for found in pkgutil.walk_packages(hetcal.__path__, "hetcal.")]
WITH_EXAMPLES = [module for module in MODULES if examples_of(module)]


def public_names() -> dict[str, Any]:
    """Public functions and classes by their dotted name, without exceptions and warnings."""
    found = {}
    for room in LISTED:
        module = hetcal if room == "hetcal" else import_module(f"hetcal.{room}")
        found.update({f"{room}.{name}": getattr(module, name) for name in module.__all__})
    for room in DEFINED:
        module = import_module(f"hetcal.{room}")
        found.update({f"{room}.{n}": v for n, v in vars(module).items() if defined_in(module, n, v)})
    return {
        name: value
        for name, value in found.items()
        if (inspect.isclass(value) or inspect.isfunction(value))
        and not (inspect.isclass(value) and issubclass(value, Exception))
        and name.rpartition(".")[2] not in MACHINERY
    }


def defined_in(module: ModuleType, name: str, value: Any) -> bool:
    """Whether a module defines this public name itself."""
    return not name.startswith("_") and getattr(value, "__module__", None) == module.__name__


@pytest.mark.parametrize("module", WITH_EXAMPLES, ids=lambda module: module.__name__)
def test_examples_run_in_a_new_session(module: ModuleType, request: pytest.FixtureRequest) -> None:
    if module.__name__.startswith(WITH_R):
        request.getfixturevalue("needs_r")
    heard: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    for test in examples_of(module):
        runner.run(test, out=heard.append)
    assert not runner.failures, "".join(heard)


def test_the_examples_of_the_package_are_found() -> None:
    assert len(WITH_EXAMPLES) > 30


@pytest.mark.parametrize("name", sorted(public_names()))
def test_public_names_have_an_example_that_is_not_skipped(name: str) -> None:
    value = public_names()[name]
    text = inspect.getdoc(value) or ""
    assert "Examples\n--------\n" in text, f"{name} has no Examples section"
    assert "doctest: +SKIP" not in text, f"{name} has an example that is never run"
