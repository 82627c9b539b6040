"""Studies: a problem, a method and the story around them; one module each for those that are shipped.

A shipped study is a module of this folder, named in `SHIPPED`, with a function ``study(budget)``; it is imported
when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from hetcal.studies.study import SHIPPED, Study, StudyError, load

__all__ = [*SHIPPED, "SHIPPED", "Study", "StudyError", "load"]


def __getattr__(name: str) -> Any:
    if name in SHIPPED:
        return import_module(f"hetcal.studies.{name}")
    raise AttributeError(
        f"module {__name__!r} has no attribute {name!r}: the shipped studies are {', '.join(SHIPPED)}"
    )
