"""The fingerprint of a simulator: what must be equal for two runs to be interchangeable.

It covers name, version, parameters, outputs, settings, and the source of the simulator and of the user's
own functions, classes and constants that it reaches. Libraries (the standard library, site-packages, hetcal
outside its models) enter by name only. Source is compared as syntax, without comments, layout and
docstrings; where the file does not hold the code that runs (edited since the import, a REPL), the bytecode
stands in for it.
"""

from __future__ import annotations

import copyreg
import functools
import hashlib
import importlib.util
import random
import struct
import sys
import threading
import types
from collections.abc import Iterator
from operator import itemgetter
from pathlib import PurePath
from typing import Any

import numpy as np

from hetcal.simulators.source import constants_of, imports_made, names_used, normalised_source

PROTOCOL = ("name", "version", "parameters", "outputs")

_LOCKS = (type(threading.Lock()), type(threading.RLock()))

# Of a class, what Python adds by itself and what no result depends on.
_CLASS_NOISE = frozenset(
    "__dict__ __weakref__ __doc__ __module__ __qualname__ __annotations__ __slots__ __repr__ __str__ "
    "__match_args__ __dataclass_fields__ __dataclass_params__ __abstractmethods__ _abc_impl __parameters__ "
    "__slotnames__ __static_attributes__ __firstlineno__ __annotate__ __annotate_func__ "
    "__annotations_cache__ _is_protocol _is_runtime_protocol "
    "__protocol_attrs__ __non_callable_proto_members__ "
    "__replace__".split()
)


def settings(simulator: Any) -> dict[str, Any]:
    """Fixed settings of a simulator: its instance attributes but name, version, parameters and outputs.

    Use it to print what a study ran. A decorated function has none but its code.

    Examples
    --------
    >>> import hetcal as hc
    >>> hc.simulators.settings(hc.simulators.StochasticSIR(population=763, days=14))["population"]
    763
    """
    if getattr(simulator, "function", None) is not None and type(simulator).__name__ == "FunctionSimulator":
        return {}
    return {name: value for name, value in sorted(_attributes(simulator).items()) if name not in PROTOCOL}


def fingerprint(simulator: Any) -> str:
    """Hexadecimal SHA-256 of everything that decides a simulator's outputs.

    Two simulators that differ in a setting, a default, a constant or the code of a helper differ; comments,
    layout and docstrings do not count. The same in every process. Data read from files while running is not
    seen: read it before and keep it as a setting. An object may declare a text `fingerprint` instead.

    Raises
    ------
    TypeError
        When something it depends on has no fixed content (an open file, a random generator), naming where.

    Examples
    --------
    >>> from hetcal.simulators import StochasticSIR, fingerprint
    >>> fingerprint(StochasticSIR(763, 14)) == fingerprint(StochasticSIR(764, 14))
    False
    """
    walk = _Walk(simulator)
    walk.feed([simulator.name, simulator.version, list(simulator.parameters)], "simulator")
    walk.feed([[name, list(shape)] for name, shape in simulator.outputs.items()], "outputs")
    declared = getattr(simulator, "fingerprint", None)
    if declared is None:
        walk.feed(getattr(simulator, "function", simulator), f"simulator {simulator.name!r}")
    elif isinstance(declared, str) and declared:
        walk.feed(declared, "fingerprint")
    else:
        raise TypeError(f"fingerprint of simulator {simulator.name!r} is {declared!r}: give a non-empty text")
    return walk.hash.hexdigest()


def content_hash(value: Any, where: str) -> str:
    """Hexadecimal SHA-256 of a value's content, functions by their code; ``where`` names it in errors."""
    walk = _Walk(value)
    walk.feed(value, where)
    return walk.hash.hexdigest()


def is_library(module: str | None) -> bool:
    """True for modules whose code belongs to somebody else: named in a fingerprint, not read."""
    if module is None or module in ("__main__", "__mp_main__"):
        return False
    top = module.partition(".")[0]
    if top == "hetcal":
        return not module.startswith("hetcal.simulators.") or module.rpartition(".")[2] in (
            "base",
            "identity",
            "source",
            "stepping",
        )
    if top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return True
    parts = PurePath(getattr(sys.modules.get(top), "__file__", None) or _package_folder(top)).parts
    return "site-packages" in parts or "dist-packages" in parts


def _package_folder(name: str) -> str:
    """Folder of a namespace package, which has no file of its own."""
    return next(iter(getattr(sys.modules.get(name), "__path__", [])), "")


def _attributes(value: Any) -> dict[str, Any]:
    """Instance attributes, in __dict__ and slots, without values that cached_property keeps."""
    found = dict(getattr(value, "__dict__", {}))
    for owner in type(value).__mro__:
        slots = vars(owner).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot not in ("__dict__", "__weakref__") and hasattr(value, slot):
                found[slot] = getattr(value, slot)
        for name, member in vars(owner).items():
            if isinstance(member, functools.cached_property):
                found.pop(name, None)
    return found


class _Walk:
    """Feeds values, and all that functions and classes among them reach, into one hash."""

    def __init__(self, root: Any) -> None:
        self.hash = hashlib.sha256()
        owner = getattr(root, "function", None) or type(root)
        self.home = (getattr(owner, "__module__", None) or "").partition(".")[0]
        self.seen: dict[int, tuple[int, Any]] = {}  # functions, classes: number in order of meeting
        self.members: set[tuple[int, int]] = set()  # modules of the user's own, by the code that reads them
        self.open: list[int] = []  # containers and objects being fed, to see cycles

    def token(self, *parts: str | bytes) -> None:
        """One unambiguous item of the hash: its parts with their lengths."""
        for part in parts:
            data = part.encode() if isinstance(part, str) else part
            self.hash.update(struct.pack("<q", len(data)) + data)

    def library(self, module: str | None) -> bool:
        """is_library, but the simulator's own package is read wherever it is installed."""
        if module and self.home != "hetcal" and module.partition(".")[0] == self.home:
            return False
        return is_library(module)

    def first_time(self, kind: str, value: Any) -> bool:
        """Note a function, class or module; refer back to it by number when met again."""
        known = self.seen.get(id(value))
        if known is not None:
            self.token("again", str(known[0]))
            return False
        self.seen[id(value)] = (len(self.seen), value)
        self.token(kind)
        return True

    def feed(self, value: Any, where: str) -> None:
        """Add one value; `where` is the path to it for error messages."""
        if value is None or value is Ellipsis or isinstance(value, (bool, int, str, bytes, complex)):
            self.token(type(value).__name__, value if isinstance(value, bytes) else str(value))
        elif isinstance(value, float):
            self.token("float", struct.pack("<d", value))
        elif isinstance(value, np.generic) and value.dtype.kind in "biufc":
            self.feed(value.item(), where)
        elif isinstance(value, (np.ndarray, np.generic)):
            self.feed_array(np.asarray(value), where)
        elif isinstance(value, _LOCKS):
            self.token("lock")  # decides who runs when, not what comes out
        elif isinstance(value, types.CodeType):
            self.feed_code(value, where)
        elif isinstance(value, types.ModuleType):
            self.token("module", value.__name__)
        elif isinstance(value, (types.BuiltinFunctionType, np.ufunc)):
            self.token("builtin", f"{getattr(value, '__module__', None)}.{value.__name__}")
        elif isinstance(value, types.FunctionType):
            self.feed_function(value, where)
        elif isinstance(value, type):
            self.feed_class(value, where)
        else:
            self.feed_object(value, where)

    def feed_array(self, array: np.ndarray, where: str) -> None:
        """Type, shape and bytes; an array of objects by its elements."""
        self.token("array", array.dtype.newbyteorder("<").str, str(array.shape))
        if array.dtype.hasobject:
            for k, element in enumerate(array.ravel().tolist()):
                self.feed(element, f"{where}[{k}]")
        else:
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            self.token(np.ascontiguousarray(little).tobytes())

    def feed_code(self, code: types.CodeType, where: str) -> None:
        """What code does, where there is no source: instructions, names and constants but the docstring."""
        self.token("code", code.co_code, " ".join((*code.co_names, *code.co_varnames, *code.co_freevars)))
        self.token(str((code.co_argcount, code.co_kwonlyargcount, code.co_posonlyargcount, code.co_flags)))
        self.feed(list(constants_of(code)), f"constants of {where}")

    def feed_function(self, function: types.FunctionType, where: str) -> None:
        """Source, defaults, closure and the globals it names."""
        if self.library(function.__module__):
            self.token("function", f"{function.__module__}.{function.__qualname__}")
            return
        if not self.first_time("function", function):
            return
        code = function.__code__
        source = normalised_source(code)
        if source is None:
            self.feed_code(code, where)
        else:
            self.token("source", source)
        self.feed(function.__defaults__, f"defaults of {where}")
        self.feed(function.__kwdefaults__, f"defaults of {where}")
        for name, cell in zip(code.co_freevars, function.__closure__ or ()):
            self.token("closure", name)
            try:
                content = cell.cell_contents
            except ValueError:  # not filled yet: a function being defined
                continue
            self.feed(content, f"{name!r} in the closure of {where}")
        for name in sorted(names_used(code, "LOAD_GLOBAL", "LOAD_NAME") & function.__globals__.keys()):
            self.token("global", name)
            self.feed(function.__globals__[name], f"global {name!r} of {where}")
            self.feed_members(function.__globals__[name], code)
        for name in sorted(imports_made(code, function.__globals__.get("__package__"))):
            if not _is_library_on_disk(name):
                self.feed_members(importlib.import_module(name), code)

    def feed_members(self, module: Any, code: types.CodeType) -> None:
        """Of a module of the user's own, the members that the code names."""
        if not isinstance(module, types.ModuleType) or self.library(module.__name__):
            return
        if (id(module), id(code)) in self.members:
            return
        self.members.add((id(module), id(code)))
        for name in sorted(names_used(code, "LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM") & vars(module).keys()):
            self.token("member", name)
            self.feed(vars(module)[name], f"{name!r} of module {module.__name__}")
            self.feed_members(vars(module)[name], code)

    def feed_class(self, cls: type, where: str) -> None:
        """Bases, and every method and constant of the class body."""
        if self.library(cls.__module__):
            self.token("class", f"{cls.__module__}.{cls.__qualname__}")
            return
        if not self.first_time("class", cls):
            return
        self.token(cls.__qualname__)
        for base in cls.__bases__:
            self.feed(base, f"base {base.__qualname__} of {where}")
        for name, member in sorted(vars(cls).items()):
            if name not in _CLASS_NOISE and not _is_generated(member):
                self.token("attribute", name)
                self.feed(member, f"attribute {name!r} of class {cls.__qualname__}")

    def feed_object(self, value: Any, where: str) -> None:
        """Containers, wrappers of functions and instances, with cycles cut."""
        if id(value) in self.open:
            self.token("cycle", str(len(self.open) - self.open.index(id(value))))
            return
        self.open.append(id(value))
        try:
            for name, part in self.parts(value, where):
                self.feed(part, where if name is None else f"{name} of {where}")
        finally:
            self.open.pop()

    def parts(self, value: Any, where: str) -> Iterator[tuple[str | None, Any]]:
        """What an object consists of, after a token for its kind."""
        kind = type(value)
        # A user's own class is known by its code: its module is called __main__ in one way of running it.
        home = kind.__module__ if self.library(kind.__module__) else ""
        self.token("object", f"{home}.{kind.__qualname__}")
        if isinstance(value, (np.random.Generator, np.random.RandomState, random.Random)):
            raise TypeError(
                f"{where} is a random generator, which changes from run to run: make it from the seed"
            )
        if kind in (list, tuple):
            self.token(str(len(value)))
            yield from ((f"element {k}", element) for k, element in enumerate(value))
        elif kind in (set, frozenset):
            self.token(*sorted(self.digest(element, where) for element in value))
        elif kind in (dict, types.MappingProxyType):
            for digest, key in sorted(((self.digest(key, where), key) for key in value), key=itemgetter(0)):
                self.token(digest)
                yield f"entry {key!r}", value[key]
        elif isinstance(value, types.MethodType):
            yield from ((None, value.__func__), ("object", value.__self__))
        elif isinstance(value, (staticmethod, classmethod)):
            yield None, value.__func__
        elif isinstance(value, property):
            yield from ((None, value.fget), (None, value.fset), (None, value.fdel))
        elif isinstance(value, functools.cached_property):
            yield None, value.func
        elif hasattr(value, "py_func") and hasattr(value, "targetoptions"):  # a function compiled by numba
            yield from ((None, value.py_func), ("options", dict(value.targetoptions)))
        elif callable(value) and isinstance(getattr(value, "__wrapped__", None), types.FunctionType):
            yield None, value.__wrapped__  # functools.lru_cache and the like
        elif kind.__module__.partition(".")[0] == "pandas" and hasattr(value, "to_dict"):
            yield from ((None, value.index.to_numpy()), (None, value.reset_index(drop=True).to_dict()))
        elif self.library(kind.__module__):
            yield from self.reduced(value, where)
        else:
            yield None, kind
            attributes = _attributes(value)
            yield from ((f"attribute {name!r}", (name, attributes[name])) for name in sorted(attributes))
            if isinstance(value, (list, tuple, set, frozenset, dict, np.ndarray)):
                yield from self.reduced(value, where)

    def reduced(self, value: Any, where: str) -> Iterator[tuple[str | None, Any]]:
        """An object of a library by what pickle would keep of it."""
        try:
            reduce = copyreg.dispatch_table.get(type(value))
            kept = reduce(value) if reduce else value.__reduce_ex__(2)
        except Exception as error:
            raise TypeError(
                f"{where} is a {type(value).__name__}, which has no fixed content to fingerprint ({error}): "
                "make it inside the run, or give the simulator a text attribute `fingerprint` instead"
            ) from error
        if isinstance(kept, str):
            self.token(kept)
        else:
            yield from ((None, list(part) if isinstance(part, Iterator) else part) for part in kept)

    def digest(self, value: Any, where: str) -> bytes:
        """Hash of a value by itself, to sort what has no order."""
        kept = self.hash, self.seen
        self.hash, self.seen = hashlib.sha256(), dict(self.seen)
        try:
            self.feed(value, where)
            return self.hash.digest()
        finally:
            self.hash, self.seen = kept


def _is_generated(member: Any) -> bool:
    """True for methods written by dataclass, which follow from its fields."""
    return isinstance(member, types.FunctionType) and "__create_fn__" in member.__code__.co_qualname


def _is_library_on_disk(name: str) -> bool:
    """is_library, for a module that may not be imported yet; True when there is none."""
    if is_library(name):
        return True
    spec = importlib.util.find_spec(name.partition(".")[0])
    return spec is None or bool({"site-packages", "dist-packages"} & set(PurePath(spec.origin or "").parts))
