"""How many threads the linear algebra may use."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


@lru_cache(maxsize=1)
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def single_blas_thread() -> Any:
    """Context in which BLAS uses one thread: where the caller runs blocks side by side, or hands over to R."""
    return _controller().limit(limits=1, user_api="blas")


def one_blas_thread(function: _Function) -> _Function:
    """Decorator: BLAS uses one thread inside of ``function``, so that its numbers are the same on any machine."""

    @wraps(function)
    def limited(*args: Any, **kwargs: Any) -> Any:
        with single_blas_thread():
            return function(*args, **kwargs)

    return limited  # type: ignore[return-value]
