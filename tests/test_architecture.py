"""Imports go down the layers, rpy2 lives in one room, and `import hetcal` stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "hetcal"

# From the ground up. A room may use the layers below it and, one way only, its neighbours on its own.
LAYERS = [
    {"streams", "progress", "threads"},
    {"parameters"},
    {"designs"},
    {"targets", "observed", "losses", "observation", "simulators", "data"},
    {"ledger", "ledgerfile", "studylog", "frames"},
    {"ensemble", "executors", "dask_executor", "process_pool", "workers"},
    {"problem"},
    {"rbridge"},
    {"emulators"},
    {"acquisition", "candidates"},
    {"calibrate", "sensitivity", "diagnostics"},
    {"checks", "decisions", "comparison"},
    {"report"},
    {"studies"},
    {"cli"},
]
HEIGHT = {room: height for height, layer in enumerate(LAYERS) for room in layer}
# What a result offers as a method of its own, though the room stands above it.
OPENED_ABOVE = {
    ("report", "report"),
    ("verdict", "checks"),
    ("predictive", "checks"),
    ("scenarios", "decisions"),
}
HEAVY = ("rpy2", "SALib", "optuna", "dask", "distributed", "matplotlib", "numba")
LONGEST = 420

MODULES = sorted(SOURCE.rglob("*.py"))
ROOMS = [module for module in MODULES if module != SOURCE / "__init__.py"]


def path_of(module: Path) -> str:
    """A module's path inside the package, the name a failing test shows."""
    return module.relative_to(SOURCE).as_posix()


def room_of(module: Path) -> str:
    """The room that a module stands in: its top-level module or folder."""
    return module.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_names(node: ast.AST, package: list[str]) -> list[str]:
    """The dotted names that one import statement brings in, relative ones resolved."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = package[: len(package) - node.level + 1] if node.level else []
        origin = ".".join(base + ([node.module] if node.module else []))
        return [f"{origin}.{alias.name}" for alias in node.names]
    return []


def imports(source: str, package: list[str]) -> Iterator[tuple[str, str, int]]:
    """Every import that is carried out, with the function it stands in (or "") and its line."""

    def walk(node: ast.AST, function: str) -> Iterator[tuple[str, str, int]]:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            function = node.name
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            children: list[ast.AST] = list(node.orelse)
        else:
            children = list(ast.iter_child_nodes(node))
        for name in imported_names(node, package):
            yield name, function, node.lineno
        for child in children:
            yield from walk(child, function)

    return walk(ast.parse(source), "")


def imports_of(module: Path) -> Iterator[tuple[str, str, int]]:
    """The imports of one of hetcal's modules."""
    package = ["hetcal", *module.relative_to(SOURCE).parent.parts]
    return imports(module.read_text(encoding="utf-8"), package)


def rooms_used(module: Path) -> Iterator[tuple[str, str, int]]:
    """The rooms of hetcal that a module imports from, other than its own."""
    for name, function, line in imports_of(module):
        parts = name.split(".")
        if parts[0] == "hetcal" and name != "hetcal.__version__":
            room = parts[1] if len(parts) > 1 else ""
            if room != room_of(module):
                yield room, function, line


def test_the_reader_of_imports_sees_what_python_would_import():
    source = """
from __future__ import annotations
import numpy as np
from typing import TYPE_CHECKING
from ..ledger import Ledger
from . import lcb
if TYPE_CHECKING:
    from hetcal.cli import main
def report(self):
    from hetcal import report
class A:
    def fit(self):
        import rpy2.robjects as ro
"""
    seen = [(name, function) for name, function, _ in imports(source, ["hetcal", "acquisition"])]
    assert seen[3:] == [
        ("hetcal.ledger.Ledger", ""),
        ("hetcal.acquisition.lcb", ""),
        ("hetcal.report", "report"),
        ("rpy2.robjects", "fit"),
    ]


@pytest.mark.parametrize("module", ROOMS, ids=path_of)
def test_imports_go_down_the_layers(module):
    here = room_of(module)
    assert here in HEIGHT, f"{path_of(module)}: give the room {here} its place in LAYERS"
    for room, function, line in rooms_used(module):
        where = f"{path_of(module)}:{line}"
        assert room in HEIGHT, f"{where}: {room!r} is no room of LAYERS; import from the module that holds it"
        opens_above = (function, room) in OPENED_ABOVE
        assert (
            HEIGHT[room] <= HEIGHT[here] or opens_above
        ), f"{where}: {here} imports {room}, which stands above it"


def test_neighbours_import_each_other_one_way_only():
    uses = {(room_of(module), room) for module in ROOMS for room, _, _ in rooms_used(module)}
    both = {(a, b) for a, b in uses if a < b and (b, a) in uses and HEIGHT[a] == HEIGHT[b]}
    assert not both


def test_rpy2_lives_in_one_room():
    users = {
        room_of(module)
        for module in MODULES
        for name, _, _ in imports_of(module)
        if name.split(".")[0] == "rpy2"
    }
    assert users == {"rbridge"}


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh Python has loaded after running a piece of code."""
    code += "; import sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_import_hetcal_stays_light():
    loaded = loaded_by("import hetcal")
    assert "hetcal" in loaded
    assert not loaded.intersection(HEAVY)


def test_no_public_name_brings_in_more_than_kernels():
    loaded = loaded_by("import hetcal; [getattr(hetcal, name) for name in hetcal.__all__]")
    assert "hetcal.parameters" in loaded
    assert loaded.intersection(HEAVY) <= {"numba"}


@pytest.mark.parametrize("module", MODULES, ids=path_of)
def test_modules_are_short(module):
    lines = len(module.read_text(encoding="utf-8").splitlines())
    assert lines < LONGEST, f"{path_of(module)} has {lines} lines: one idea a module"
