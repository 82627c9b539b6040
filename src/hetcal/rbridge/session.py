"""The one R inside this Python process: started when first needed, called under one lock, left as found.

Start R on the main thread (R's signal and console set-up belong there); once it runs, any thread may call
and calls wait for each other. A fork copies R's memory but not its consistency, so a forked child is
refused. Each call leaves R's random state, the SIGINT handler, BLAS's thread count and the console as they
were.
"""

from __future__ import annotations

import contextlib
import locale
import logging
import os
import signal
import threading
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hetcal.rbridge import conversion
from hetcal.rbridge.errors import RError, RWarning
from hetcal.rbridge.guards import InterruptWatch, StackLimit
from hetcal.rbridge.install import check_installation, does_not_load, package_missing

logger = logging.getLogger(__name__)

SOURCES = Path(__file__).parents[1] / "resources" / "R" / "R"
PACKAGES = ("R", "hetGP", "mlr", "brnn", "mda", "randomForest")


def start() -> None:
    """Start R now rather than at the first call; does nothing when it runs already.

    When to use: in a program that calls the bridge from threads, once on the main thread before them.

    Raises
    ------
    RMissing
        R or rpy2 is not installed, or the two do not fit together.
    RuntimeError
        Not on the main thread, or in a child forked from a process that had started R.

    Examples
    --------
    >>> from hetcal import rbridge
    >>> rbridge.start()
    """
    _running()


def call(function: str, /, **arguments: Any) -> Any:
    """Call a function of hetcal's R package and return its value as plain Python and numpy.

    The functions are those of the package's own files (``R/R/*.R``), which reach hetGP and others as
    ``pkg::fun``; R objects never leave the bridge.

    Parameters
    ----------
    function : str
        Name of the R function.
    **arguments
        Arrays, numbers, strings, booleans, None, and lists or dicts of these; see
        `hetcal.rbridge.conversion` for what becomes what.

    Returns
    -------
    dict, list, ndarray, scalar, str or None
        A named R list is a dict; a vector of length one is a scalar unless R wraps it in ``I()``.

    Raises
    ------
    RError
        The R code stopped; has R's call, its message and the shapes of the arguments.
    RMissing
        R, rpy2 or an R package is not installed; the message has the command that mends it.
    KeyboardInterrupt
        Ctrl-C while R was computing. R has unwound and takes the next call.
    TypeError, ValueError
        A value that cannot cross, or a function that the package does not have.

    Warns
    -----
    RWarning
        Each warning of the R code, once.

    Examples
    --------
    >>> from hetcal import rbridge
    >>> list(rbridge.call("package_versions", packages=["stats"]))
    ['stats']
    """
    return _running().call(function, arguments)


def versions() -> dict[str, str | None]:
    """Versions of R, rpy2 and the R packages hetcal works with; None for a package that is not installed.

    Examples
    --------
    >>> from hetcal import rbridge
    >>> "rpy2" in rbridge.versions()
    True
    """
    from importlib.metadata import version

    found = call("package_versions", packages=list(PACKAGES))
    return {"R": found.pop("R"), "rpy2": version("rpy2"), **found}


class Session:
    """R embedded in this process, with the R package's functions loaded; made once, by `start`."""

    def __init__(self) -> None:
        from threadpoolctl import ThreadpoolController

        check_installation()
        self.pid = os.getpid()
        self.rinterface = _start_embedded_r()
        from rpy2.rinterface_lib import callbacks, openrlib

        self._callbacks, self._library = callbacks, openrlib.rlib
        # rpy2's own lock, so that a user's rpy2 code in another thread waits as well.
        self._lock = openrlib.rlock
        self._stack_limit = StackLimit(openrlib.rlib)
        self._interrupts = InterruptWatch(openrlib.rlib)
        self.environment = self._load_sources()
        self._bridge_call = self.environment["bridge_call"]
        # Calling LAPACK's version loads it, so that the controller below finds every BLAS that R uses.
        self.rinterface.baseenv["La_version"]()
        self._blas = ThreadpoolController().select(user_api="blas")

    def call(self, function: str, arguments: dict[str, Any]) -> Any:
        """What `hetcal.rbridge.call` does, on this session."""
        with (
            self._lock,
            self._interrupts.during_call(),
            self._stack_limit.of_this_thread(),
            self._console() as console,
        ):
            try:
                outcome = self._evaluate(function, arguments)
            except BaseException as error:
                # rpy2 frees R objects when Python does: that must be now, not in another thread's call.
                traceback.clear_frames(error.__traceback__)
                if not isinstance(error, self.rinterface.embedded.RRuntimeError):
                    raise
                if self._interrupts.seen:
                    raise KeyboardInterrupt from None
                raise RError("", str(error).strip(), _shapes(arguments)) from None
        if console:
            logger.debug("%s printed: %s", function, "".join(console))
        for warning in outcome["warnings"]:
            text = f"{warning['message']} (in R's {warning['call'] or function})"
            warnings.warn(text, RWarning, stacklevel=3)
        if outcome["status"] == "ok":
            return outcome["value"]
        if outcome["status"] == "interrupt":
            raise KeyboardInterrupt
        if outcome["status"] == "missing":
            raise package_missing(outcome["package"])
        raise RError(outcome["call"], outcome["message"], _shapes(arguments))

    def _evaluate(self, function: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Outcome of the R call; no R object outlives this function."""
        try:
            self.environment[function]
        except KeyError:
            raise ValueError(f"hetcal's R package has no function {function!r}") from None
        sent = conversion.to_r(arguments, "arguments")
        name = self.rinterface.StrSexpVector([function])
        with self._blas.limit(limits=1), self._interrupts.computing():
            outcome = self._bridge_call(name, sent)
        return conversion.from_r(outcome, f"{function}()")

    @contextlib.contextmanager
    def _console(self) -> Iterator[list[str]]:
        """Collect what R prints, and answer its questions with an empty line instead of waiting for one."""
        printed: list[str] = []
        hooks = {
            "consolewrite_print": printed.append,
            "consolewrite_warnerror": printed.append,
            "consoleread": lambda prompt: "",
        }
        with contextlib.ExitStack() as stack:
            for name, hook in hooks.items():
                stack.enter_context(self._callbacks.obj_in_module(self._callbacks, name, hook))
            yield printed

    def _load_sources(self) -> Any:
        """The package's files, in an environment that finds stats and utils but not the user's workspace."""
        r = self.rinterface.baseenv
        stats = r["as.environment"](self.rinterface.StrSexpVector(["package:stats"]))
        environment = r["new.env"](parent=stats)
        for file in sorted(SOURCES.glob("*.R")):
            r["sys.source"](self.rinterface.StrSexpVector([str(file)]), envir=environment)
        return environment


_session: Session | None = None


def _running() -> Session:
    """The session of this process, started if need be."""
    global _session
    if _session is None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "R must be started on the main thread: call hetcal.rbridge.start() there before the threads"
            )
        _session = Session()
    if _session.pid != os.getpid():
        raise RuntimeError(
            "R was started before this process was forked and cannot be used in the copy: start workers by "
            'spawn (multiprocessing.get_context("spawn")), or start R only inside them'
        )
    return _session


def _start_embedded_r() -> Any:
    """rpy2's interface to a running R, with Python's SIGINT handler and locale as they were."""
    try:
        from rpy2 import rinterface
    except (ImportError, OSError, ValueError, AttributeError) as error:
        raise does_not_load(error) from error

    handler = signal.getsignal(signal.SIGINT)
    time_locale = locale.setlocale(locale.LC_TIME)
    if not rinterface.embedded.isinitialized():
        # A workspace that lies in the current folder must not be part of a calibration.
        rinterface.embedded.set_initoptions(("rpy2", "--quiet", "--no-save", "--no-restore"))
    try:
        rinterface.initr()
    finally:
        signal.signal(signal.SIGINT, handler)
        locale.setlocale(locale.LC_TIME, time_locale)
    return rinterface


def _shapes(arguments: dict[str, Any]) -> dict[str, str]:
    return {name: conversion.shape_of(value) for name, value in arguments.items()}
