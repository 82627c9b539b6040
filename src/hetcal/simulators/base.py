"""What a simulator is, how a run of it is made and how its outputs are checked.

A run never raises for a fault of the simulator: it is a `RunResult` with a status and a sentence.
"""

from __future__ import annotations

import math
import pickle
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from hetcal.simulators.identity import is_library

Shape = tuple[int, ...]

# Columns that tables of runs carry beside the parameters and outputs.
RESERVED_NAMES = frozenset({"run_id", "seed", "status", "seconds", "error"})


@runtime_checkable
class Simulator(Protocol):
    """What hetcal asks of a simulator: a pure function of parameters and seed that says what it returns.

    Use `simulator` for a plain function; write a class when there are fixed settings (a population, a
    campaign), which then belong to its `fingerprint`. A fast simulator may also have
    ``batch(theta, seeds)`` with theta (n, d) and seeds (n,), returning each output with shape (n, \\*shape);
    it must equal the one-by-one results exactly.

    Attributes
    ----------
    name, version : str
        Change the version when the meaning of an output changes.
    parameters : tuple of str
        Names of the parameters, in the order of the columns of theta.
    outputs : dict of str to tuple of int
        Shape of each output; ``()`` is a scalar.

    Examples
    --------
    >>> import hetcal as hc
    >>> isinstance(hc.simulators.StochasticSIR(population=763, days=14), hc.simulators.Simulator)
    True
    """

    @property
    def name(self) -> str:
        """Name in the ledger."""

    @property
    def version(self) -> str:
        """The author's version of the model."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters."""

    @property
    def outputs(self) -> Mapping[str, Shape]:
        """Shape of each output."""

    def __call__(self, theta: dict[str, float], seed: int) -> Mapping[str, Any]:
        """Outputs of one run at one parameter set."""


class RunResult(NamedTuple):
    """What one run left behind.

    `status` is ok, partial or failed; `outputs` the flat float64 vector of all outputs in declared order,
    NaN where one is missing; `seconds` the time taken; `error` the reason, None when all is well.
    """

    status: str
    outputs: np.ndarray
    seconds: float
    error: str | None


@dataclass(frozen=True, eq=False)
class FunctionSimulator:
    """A function with the names and shapes that make it a simulator; made by `simulator`.

    Examples
    --------
    >>> import hetcal as hc
    >>> hc.simulator(parameters=["x"], outputs={"y": ()}, version="1")(lambda theta, seed: {"y": 1.0}).outputs
    {'y': ()}
    """

    function: Callable[[dict[str, float], int], Mapping[str, Any]]
    name: str
    version: str
    parameters: tuple[str, ...]
    outputs: dict[str, Shape]

    def __call__(self, theta: dict[str, float], seed: int) -> Mapping[str, Any]:
        """Run the function."""
        return self.function(theta, seed)

    def __reduce__(self) -> tuple[Any, ...]:
        # By value: a worker process can import neither a script's __main__ nor a study file.
        fields = (self.name, self.version, self.parameters, self.outputs)
        return _load_function_simulator, (to_bytes(self.function), *fields)


def _load_function_simulator(function: bytes, *fields: Any) -> FunctionSimulator:
    """The other end of FunctionSimulator.__reduce__: bytes from the user's own process, never from a file."""
    import cloudpickle

    return FunctionSimulator(cloudpickle.loads(function), *fields)


def simulator(
    *,
    parameters: Sequence[str],
    outputs: Mapping[str, Sequence[int]],
    version: str,
    name: str | None = None,
) -> Callable[[Callable[..., Mapping[str, Any]]], FunctionSimulator]:
    """Turn a function of (theta, seed) into a simulator.

    The function gets theta as a dict of floats and seed as an int >= 0, and returns a dict of arrays. It must
    be pure: the same theta and seed give the same outputs, in any process.

    Parameters
    ----------
    parameters : sequence of str
        Names of the parameters.
    outputs : mapping of str to shape
        Shape of each output, ``()`` for a scalar.
    version : str
        Your version of the model.
    name : str, optional
        Name in the ledger; the function's name if left out.

    Raises
    ------
    TypeError, ValueError
        When a name or shape cannot be used, naming it.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> @hc.simulator(parameters=["rate"], outputs={"cases": (3,)}, version="1")
    ... def poisson_cases(theta, seed):
    ...     return {"cases": np.random.default_rng(seed).poisson(theta["rate"], 3)}
    ...
    >>> poisson_cases({"rate": 2.0}, seed=1)["cases"].shape
    (3,)
    """

    def decorate(function: Callable[..., Mapping[str, Any]]) -> FunctionSimulator:
        if isinstance(parameters, str):
            raise TypeError(f"parameters is the text {parameters!r}: give a list, [{parameters!r}]")
        made = FunctionSimulator(
            function=function,
            name=name if name is not None else getattr(function, "__name__", ""),
            version=version,
            parameters=tuple(parameters),
            outputs={key: _as_shape(key, shape) for key, shape in outputs.items()},
        )
        check_simulator(made)
        return made

    return decorate


def _as_shape(name: str, shape: Any) -> Shape:
    """A list or tuple as a tuple."""
    if not isinstance(shape, (tuple, list)):
        raise TypeError(
            f"shape of output {name!r} is {shape!r}: give a tuple such as (14,), or () for a scalar"
        )
    return tuple(shape)


def check_simulator(simulator: Any) -> None:
    """Check that an object is a usable simulator, once, before anything is run.

    Raises
    ------
    TypeError
        When an attribute is missing or of the wrong type.
    ValueError
        When names repeat, are empty or reserved, or a shape is not made of positive whole numbers.

    Examples
    --------
    >>> from hetcal.simulators import check_simulator
    >>> check_simulator(3)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    TypeError: simulator 3 has no attribute 'name': a simulator has name, version, ...
    """
    for attribute in ("name", "version", "parameters", "outputs"):
        if not hasattr(simulator, attribute):
            raise TypeError(
                f"simulator {simulator!r} has no attribute {attribute!r}: a simulator has name, version, "
                "parameters and outputs and is called with (theta, seed); or decorate a function"
            )
    for attribute in ("name", "version"):
        value = getattr(simulator, attribute)
        if not isinstance(value, str) or not value:
            raise TypeError(f"{attribute} of simulator {simulator!r} is {value!r}: give a non-empty text")
    label = f"simulator {simulator.name!r}"
    if not callable(simulator):
        raise TypeError(f"{label} cannot be called: give it __call__(theta, seed)")
    if not callable(getattr(simulator, "batch", check_simulator)):
        raise TypeError(f"batch of {label} is {simulator.batch!r}: make it a method batch(theta, seeds)")
    if not isinstance(simulator.parameters, (tuple, list)):
        raise TypeError(f"parameters of {label} is {simulator.parameters!r}: give a tuple of names")
    if not isinstance(simulator.outputs, Mapping):
        raise TypeError(f"outputs of {label} is {simulator.outputs!r}: give a dict of name to shape")
    if not simulator.outputs:
        raise ValueError(f"{label} declares no outputs: give a dict of name to shape")
    _check_names(label, [*simulator.parameters], [*simulator.outputs])
    for name, shape in simulator.outputs.items():
        if not isinstance(shape, tuple) or not all(_is_whole(size) and size > 0 for size in shape):
            raise ValueError(
                f"shape of output {name!r} of {label} is {shape!r}: "
                "give a tuple of whole numbers above 0, or () for a scalar"
            )


def _check_names(label: str, parameters: list[Any], outputs: list[Any]) -> None:
    """Names must be texts that can stand side by side as columns of one table."""
    names = parameters + outputs
    for name in names:
        if not isinstance(name, str) or not name:
            raise TypeError(
                f"{label} has the name {name!r}: parameters and outputs are named by non-empty texts"
            )
        if names.count(name) > 1:
            raise ValueError(
                f"{label} has the name {name!r} twice: parameters and outputs need different names"
            )
        if name in RESERVED_NAMES:
            raise ValueError(
                f"{label} has the name {name!r}, a column of every table of runs: choose another"
            )
    for name in outputs:
        if "." in name:
            raise ValueError(f"output {name!r} of {label} contains a dot, which columns use before an index")


def _is_whole(value: Any) -> bool:
    """True for ints of Python and numpy, not for bools."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def flat_size(simulator: Simulator) -> int:
    """Number of values one run returns, all outputs together."""
    return sum(math.prod(shape) for shape in simulator.outputs.values())


def split_outputs(outputs: Mapping[str, Shape], flat: np.ndarray) -> dict[str, np.ndarray]:
    """Cut flat vectors (n, size) into one array (n, \\*shape) per declared output.

    Examples
    --------
    >>> import numpy as np
    >>> from hetcal.simulators import split_outputs
    >>> parts = split_outputs({"total": (), "cases": (2,)}, np.array([[9.0, 4.0, 5.0]]))
    >>> parts["total"], parts["cases"]
    (array([9.]), array([[4., 5.]]))
    """
    parts = {}
    start = 0
    for name, shape in outputs.items():
        size = math.prod(shape)
        parts[name] = flat[:, start : start + size].reshape(len(flat), *shape)
        start += size
    return parts


def validate_outputs(simulator: Simulator, outputs: Any) -> tuple[str, np.ndarray, str | None]:
    """Judge what a simulator returned from one run.

    Returns
    -------
    status : str
        ok; partial when some outputs are missing or not finite; failed when all are, or when a name or
        shape is not the declared one.
    flat : (size,) float64 array
        All outputs raveled in the declared order, an unusable one wholly NaN.
    error : str or None
        The reason.
    """
    fault = _fault(simulator, outputs)
    if fault is None:
        stacked = {name: np.asarray(value, dtype=np.float64)[np.newaxis] for name, value in outputs.items()}
        result = _judge(simulator, stacked, n=1, seconds=0.0)[0]
        return result.status, result.outputs, result.error
    return "failed", np.full(flat_size(simulator), np.nan), fault


def _fault(simulator: Simulator, outputs: Any, rows: tuple[int, ...] = ()) -> str | None:
    """Why outputs are not of the declared names, type and shapes (after the axis `rows`), or None."""
    if not isinstance(outputs, Mapping):
        return f"returned {type(outputs).__name__}, not a dict of outputs"
    for name, value in outputs.items():
        if name not in simulator.outputs:
            return (
                f"returned an output {name!r} that is not declared (declared: {', '.join(simulator.outputs)})"
            )
        try:
            array = np.asarray(value)
        except ValueError:
            return f"output {name!r} is not an array of numbers"
        if array.dtype.kind not in "biuf":
            return f"output {name!r} is of type {array.dtype}, not numbers"
        declared = rows + simulator.outputs[name]
        if array.shape != declared:
            return f"output {name!r} has shape {array.shape}, declared is {declared}"
    return None


def _judge(
    simulator: Simulator, outputs: Mapping[str, np.ndarray], n: int, seconds: float
) -> list[RunResult]:
    """Status of each of n runs from outputs that have the declared shapes after their first axis."""
    blocks = []
    finite = np.zeros((n, len(simulator.outputs)), dtype=bool)
    for k, (name, shape) in enumerate(simulator.outputs.items()):
        block = np.full((n, math.prod(shape)), np.nan)
        if name in outputs:
            block[:] = np.asarray(outputs[name]).reshape(block.shape)
            finite[:, k] = np.isfinite(block).all(axis=1)
            block[~finite[:, k]] = np.nan
        blocks.append(block)
    flat = np.concatenate(blocks, axis=1)
    results = []
    for row, good in zip(flat, finite):
        if good.all():
            results.append(RunResult("ok", row, seconds, None))
            continue
        reasons = [
            f"output {name!r} is {'not finite' if name in outputs else 'missing'}"
            for name, usable in zip(simulator.outputs, good)
            if not usable
        ]
        results.append(RunResult("partial" if good.any() else "failed", row, seconds, "; ".join(reasons)))
    return results


def run_one(simulator: Simulator, theta: np.ndarray, seed: int) -> RunResult:
    """Run a simulator at one parameter set (d,) and seed; its faults, ``sys.exit`` too, become a failed run.

    Only KeyboardInterrupt is let through. Where a fault carries some of the outputs as `outputs`, the run is partial.
    """
    started = time.perf_counter()
    named = {name: float(value) for name, value in zip(simulator.parameters, theta)}
    try:
        status, flat, error = validate_outputs(simulator, simulator(named, int(seed)))
    except (Exception, SystemExit) as fault:
        status, flat, _ = validate_outputs(simulator, getattr(fault, "outputs", {}))
        if status == "ok":  # a run that ended in a fault is not, whatever it left
            status, flat = "failed", np.full_like(flat, np.nan)
        error = f"{type(fault).__name__}: {fault}"
    return RunResult(status, flat, time.perf_counter() - started, error)


def run_many(simulator: Simulator, theta: np.ndarray, seeds: np.ndarray) -> list[RunResult]:
    """Run a simulator at the rows of theta (n, d) with seeds (n,), by its `batch` where it has one.

    When `batch` raises, the runs are made one by one, so that only the culprit fails. `seconds` of a batch
    is shared equally.
    """
    theta = np.ascontiguousarray(theta, dtype=np.float64)
    seeds = np.ascontiguousarray(seeds, dtype=np.int64)
    batch = getattr(simulator, "batch", None)
    if batch is not None and len(theta):
        started = time.perf_counter()
        try:
            outputs = batch(theta, seeds)
        except (Exception, SystemExit):
            outputs = None  # one of the rows: found below, with its own reason
        if outputs is not None:
            fault = _fault(simulator, outputs, rows=(len(theta),))
            if fault is None:
                return _judge(simulator, outputs, len(theta), (time.perf_counter() - started) / len(theta))
            warnings.warn(
                f"batch of simulator {simulator.name!r} {fault}: running one by one; mend batch", stacklevel=2
            )
    return [run_one(simulator, row, seed) for row, seed in zip(theta, seeds)]


def to_bytes(value: Any) -> bytes:
    """Serialise a simulator (or function) for a worker process; read it there with ``cloudpickle.loads``.

    The user's own modules travel by value, so that a worker need not be able to import them. Where that is
    not possible (a module holds a lock, a library handle) they travel by reference.
    """
    import cloudpickle

    own = [
        module
        for name, module in list(sys.modules.items())
        if name not in ("__main__", "__mp_main__") and "." not in name and not is_library(name)
    ]
    already = cloudpickle.list_registry_pickle_by_value()
    added = [module for module in own if module.__name__ in sys.modules and module.__name__ not in already]
    for module in added:
        cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(value)
    except (TypeError, pickle.PicklingError):
        pass  # by reference, below
    finally:
        for module in added:
            cloudpickle.unregister_pickle_by_value(module)
    return cloudpickle.dumps(value)
