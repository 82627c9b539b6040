"""Runs on a Dask cluster: each Dask worker gets a pool of worker processes of its own for the time of the
work.

So a run that dies or exceeds its time limit never takes a Dask worker with it, and costs the same as on one
machine. Imported only when a Dask client is used; hetcal must be installed where the Dask workers run.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator
from typing import Any, Self

import distributed
import numpy as np

from hetcal.executors import Lost, Outcome, Processes


class WorkerPool(distributed.WorkerPlugin):
    """The worker processes beside one Dask worker, as many as it has threads."""

    processes: Processes

    def __init__(self, name: str, simulator: bytes, time_limit: float | None) -> None:
        self.name = name
        self._arguments = simulator, time_limit

    def setup(self, worker: Any) -> None:
        """Start with the Dask worker, also one that joins later."""
        simulator, time_limit = self._arguments
        self.processes = Processes(simulator, worker.state.nthreads, time_limit).__enter__()

    def teardown(self, worker: Any) -> None:
        """End with it, or with the work."""
        self.processes.__exit__()


def run_in_pool(name: str, theta: np.ndarray, seeds: np.ndarray) -> Outcome:
    """Run a chunk in the pool beside the Dask worker that executes this."""
    plugin: Any = distributed.get_worker().plugins[name]
    token = plugin.processes.submit(theta, seeds)
    ((_, outcome),) = plugin.processes.finished([token])
    return outcome


class Dask:
    """A Dask cluster, through its client."""

    def __init__(self, simulator: bytes, client: Any, time_limit: float | None) -> None:
        if not isinstance(client, distributed.Client):
            raise TypeError(f"executor is {client!r}: give a dask.distributed Client, or None")
        if client.asynchronous:
            raise TypeError("executor is an asynchronous Dask client: give one made with asynchronous=False")
        self._client = client
        self._name = f"hetcal-{uuid.uuid4().hex}"
        self._plugin = WorkerPool(self._name, simulator, time_limit)
        self._futures: set[Any] = set()

    @property
    def slots(self) -> int:
        """Two chunks a thread of the Dask workers that are there now."""
        return 2 * max(1, sum(self._client.nthreads().values()))

    def __enter__(self) -> Self:
        self._client.register_worker_plugin(self._plugin, name=self._name)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.cancel(list(self._futures))
        self._client.unregister_worker_plugin(self._name)

    def submit(self, theta: np.ndarray, seeds: np.ndarray) -> Any:
        """Hand a chunk to the scheduler."""
        future = self._client.submit(run_in_pool, self._name, theta, seeds, pure=False)
        self._futures.add(future)
        return future

    def finished(self, tokens: Collection[Any], wait: bool = True) -> Iterator[tuple[Any, Outcome]]:
        """Chunks that are done."""
        if wait:
            distributed.wait(list(tokens), return_when="FIRST_COMPLETED")
        for future in [token for token in tokens if token.done()]:
            try:
                outcome = future.result()
            except distributed.KilledWorker:
                outcome = Lost("was on Dask workers that died")
            self._futures.discard(future)
            yield future, outcome
