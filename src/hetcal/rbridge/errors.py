"""What can go wrong between Python and R: an error of R's, a missing part, a warning."""

from __future__ import annotations

from collections.abc import Mapping


class RError(RuntimeError):
    """An R function stopped with an error.

    Parameters
    ----------
    call : str
        The R call that failed, shortened to a line; empty where R does not tell.
    message : str
        R's own message.
    shapes : mapping of str to str
        What was sent: the shape or type of each argument, by name.

    Examples
    --------
    >>> from hetcal import rbridge
    >>> print(rbridge.RError("solve.default(a)", "'a' is 0-diml", {"a": "array (0, 0)"}))
    R's solve.default(a) stopped: 'a' is 0-diml (sent a: array (0, 0))
    """

    def __init__(self, call: str, message: str, shapes: Mapping[str, str]) -> None:
        super().__init__(call, message, dict(shapes))
        self.call = call
        self.message = message
        self.shapes = dict(shapes)

    def __str__(self) -> str:
        sent = ", ".join(f"{name}: {shape}" for name, shape in self.shapes.items()) or "no arguments"
        where = f"R's {self.call}" if self.call else "R"
        return f"{where} stopped: {self.message} (sent {sent})"


class RMissing(RuntimeError):
    """R, rpy2 or an R package is not there; the message has the command that mends it."""


class RWorkerDied(RuntimeError):
    """A worker process with R died at a task, and so did its replacement.

    Parameters
    ----------
    name : str
        Of the task.
    cause : str
        What ended the worker.

    Examples
    --------
    >>> from hetcal import rbridge
    >>> print(rbridge.RWorkerDied("'cases'", "it was killed"))
    the R worker that fitted 'cases' died, and again when the fit was tried once more: it was killed
    """

    def __init__(self, name: str, cause: str) -> None:
        super().__init__(name, cause)
        self.name = name
        self.cause = cause

    def __str__(self) -> str:
        return f"the R worker that fitted {self.name} died, and again when the fit was tried once more: {self.cause}"


class RWarning(UserWarning):
    """A warning raised by R code, with the R call it came from."""
