"""How many threads the linear algebra may use."""

from __future__ import annotations

from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1)
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def single_blas_thread() -> Any:
    """Context in which BLAS uses one thread: where the caller runs blocks side by side, or hands over to R."""
    return _controller().limit(limits=1, user_api="blas")
