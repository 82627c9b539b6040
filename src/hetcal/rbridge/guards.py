"""What is put round each call of R: the stack of the calling thread, and Ctrl-C.

While R computes, the main thread is inside C and Python's SIGINT handler cannot run. The interpreter's
C-level handler writes to the wakeup file descriptor all the same; a thread that reads it sets R's
``R_interrupts_pending``, R raises its interrupt condition at its next check, and Python's own handler runs
once R has unwound.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any


class StackLimit:
    """Lets R see the end of the calling thread's stack, so that a runaway recursion is an error, not a crash.

    rpy2 turns R's check off, since R knows the stack of one thread only.
    """

    def __init__(self, library: Any) -> None:
        self._library = library
        self._known = threading.local()
        self._thread = threading.get_ident()
        self._c = ctypes.CDLL(None)

    @contextlib.contextmanager
    def of_this_thread(self) -> Iterator[None]:
        """R's idea of the stack while the body runs."""
        if not hasattr(self._c, "pthread_getattr_np"):
            if threading.get_ident() != self._thread:
                raise RuntimeError(
                    "on this system R can be called only from the thread that started it: "
                    "call it there, or in worker processes"
                )
            yield
            return
        if not hasattr(self._known, "stack"):
            self._known.stack = self._measure()
        low, size = self._known.stack
        before = self._library.R_CStackStart, self._library.R_CStackLimit
        self._library.R_CStackStart, self._library.R_CStackLimit = low + size, int(0.9 * size)
        try:
            yield
        finally:
            self._library.R_CStackStart, self._library.R_CStackLimit = before

    def _measure(self) -> tuple[int, int]:
        """Lowest address and size of this thread's stack in bytes."""
        attributes = ctypes.create_string_buffer(256)
        low, size = ctypes.c_void_p(), ctypes.c_size_t()
        self._c.pthread_getattr_np(ctypes.c_ulong(threading.get_ident()), attributes)
        self._c.pthread_attr_getstack(attributes, ctypes.byref(low), ctypes.byref(size))
        self._c.pthread_attr_destroy(attributes)
        return low.value or 0, size.value


class InterruptWatch:
    """Turns SIGINT during a call into R's own interrupt."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._wakeup, self._listener = socket.socketpair()
        self._wakeup.setblocking(False)
        self._guard = threading.RLock()
        self._drained = threading.Event()
        self._watching = False
        self._computing = False
        self._seen = False
        self._told = False
        self._displaced_fd = -1
        threading.Thread(target=self._listen, name="hetcal-r-interrupts", daemon=True).start()

    @property
    def seen(self) -> bool:
        """Whether a SIGINT came during this call."""
        return self._seen

    @contextlib.contextmanager
    def during_call(self) -> Iterator[None]:
        """Hold SIGINT back while the body runs, then hand it to the handler that was there before."""
        handler = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(handler):
            yield
            return
        self._seen, self._told = False, False
        signal.signal(signal.SIGINT, self._note)
        self._displaced_fd = signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        self._watching = True
        try:
            yield
        finally:
            self._watching = False
            signal.set_wakeup_fd(self._displaced_fd)
            # This runs the handlers of signals that are still pending before it sets the new one.
            signal.signal(signal.SIGINT, handler)
            if self._seen:
                self._drain()
                self._seen = False
                handler(signal.SIGINT, None)

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """Let SIGINT reach R while the body runs.

        The body must be one protected evaluation: an interrupt that R meets outside of one jumps into
        frames that are gone.
        """
        self._computing = self._watching
        if self._seen:
            self._tell_r()
        try:
            yield
        finally:
            with self._guard:
                self._computing = False
                self._library.R_interrupts_pending = 0

    def _tell_r(self) -> None:
        # Once a call: R may be cleaning up after the first.
        with self._guard:
            if self._computing and not self._told:
                self._told = True
                self._library.R_interrupts_pending = 1

    def _note(self, number: int, frame: Any) -> None:
        """Python's handler during a call; it runs in time only where R is not computing yet, or prints."""
        self._seen = True
        self._tell_r()

    def _listen(self) -> None:
        """Read signal numbers as they come; the number 0 asks whether all before it were read."""
        while numbers := self._listener.recv(64):
            if signal.SIGINT in numbers:
                self._tell_r()
            if self._displaced_fd >= 0:
                # An event loop (asyncio) learns of its signals by this descriptor.
                with contextlib.suppress(BlockingIOError):
                    os.write(self._displaced_fd, numbers.replace(b"\0", b""))
            if 0 in numbers:
                self._drained.set()

    def _drain(self) -> None:
        """Wait until the listener has read this call's signals, lest one of them interrupts the next."""
        self._drained.clear()
        self._wakeup.send(b"\0")
        self._drained.wait()
