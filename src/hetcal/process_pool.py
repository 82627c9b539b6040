"""Worker processes that may die: those that did are replaced, and whoever waits learns what became of a task."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Self

from hetcal import workers as worker


@dataclass(frozen=True)
class Lost:
    """A task without results: why, or None when it cannot be to blame and is to be sent again."""

    reason: str | None
    exit_code: int | None = None


class ProcessPool:
    """Worker processes on this machine, by pebble: each task can be stopped, and may kill its process."""

    def __init__(
        self,
        workers: int,
        start: Callable[..., None],
        arguments: tuple[Any, ...] = (),
        time_limit: float | None = None,
    ) -> None:
        self._workers = workers
        self._start = start
        self._arguments = arguments
        self._time_limit = time_limit
        self._lock = threading.Lock()
        self._pending: set[Any] = set()
        self._closed = False
        self._broken = 0

    def __enter__(self) -> Self:
        self._pool = self._new_pool()
        self._mend()  # asking a new pool for its state starts it, now and from this thread
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
            self._give_up()

    def _new_pool(self) -> Any:
        import pebble

        return pebble.ProcessPool(
            self._workers,
            initializer=self._start,
            initargs=self._arguments,
            context=worker.WorkerContext(),
        )

    def schedule(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Queue a call; the time limit counts from when a worker takes it."""
        self._mend()
        future = self._pool.schedule(function, args=arguments, timeout=self._time_limit)
        self._pending.add(future)
        return future

    def finished(self, futures: Collection[Any], wait: bool = True) -> Iterator[tuple[Any, Any]]:
        """Those calls that are done, failed or stopped, with what they gave or `Lost`; with `wait` at least one."""
        done: set[Any] = set()
        while not done:
            done, _ = concurrent.futures.wait(
                futures, timeout=1.0 if wait else 0.0, return_when=concurrent.futures.FIRST_COMPLETED
            )
            if not wait:
                break
            self._mend()
        for future in done:
            yield future, self._outcome(future)
            self._pending.discard(future)

    def _mend(self) -> None:
        """A new pool for a broken one: pebble's breaks when a worker dies while no call is under way."""
        with self._lock:
            if self._closed or self._pool.active:
                return
            self._broken += 1
            self._give_up()
            self._pool = self._new_pool()
        if self._broken > 3:
            raise RuntimeError(
                "the worker processes die before they take a task: look for too little memory or a limit on "
                "processes, or use workers=1"
            )

    def _give_up(self) -> None:
        """Stop a pool; whoever waits for what it had taken learns of it."""
        self._pool.stop()
        self._pool.join()
        for future in list(self._pending):
            if not future.done():
                future.set_exception(BrokenProcessPool())

    def _outcome(self, future: Any) -> Any:
        """What a call gave, or why there is nothing."""
        import pebble

        try:
            value = future.result()
        except BrokenProcessPool:
            return Lost(None)
        except pebble.ProcessExpired as error:
            code = 0 if error.exitcode == worker.EXITED_WITH_0 else error.exitcode
            return Lost(f"killed its process (exit code {code})", code)
        except concurrent.futures.TimeoutError:
            return Lost(f"exceeded the time limit of {self._time_limit:g} s and was stopped")
        self._broken = 0
        return value
