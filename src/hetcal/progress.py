"""The progress bar of long work."""

from __future__ import annotations

import sys
import time
from typing import Any, Self


class Progress:
    """A bar with the time that is left, on stderr; as a context manager.

    Parameters
    ----------
    total : int
        How many steps there are.
    label : str
        What is being done.
    show : bool, optional
        None shows it where stderr is a terminal and the work takes longer than two seconds.
    """

    def __init__(self, total: int, label: str, show: bool | None = None) -> None:
        self._total = total
        self._label = label
        self._wanted = sys.stderr.isatty() if show is None else show
        self._patience = 2.0 if show is None else 0.0
        self._done = 0
        self._bar: Any = None

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self.advance(0)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, steps: int) -> None:
        """So many more steps are done."""
        self._done += steps
        if self._bar is None and self._wanted and time.monotonic() - self._started >= self._patience:
            self._bar = _bar()
            self._task = self._bar.add_task(self._label, total=self._total)
            self._bar.start()
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)


def _bar() -> Any:
    """A rich bar with count, time gone and time left."""
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
    )
