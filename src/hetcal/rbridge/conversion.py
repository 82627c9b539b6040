"""Values across the bridge: numpy arrays and Python scalars on one side, R vectors on the other.

Every vector and array is copied as one block of memory. A 1-D array becomes a plain R vector, never an
array with a dim attribute: with one, hetGP's gradient fails inside a ``try`` and an unoptimised model
comes back.

===========================================  ===========================================
Python                                       R
===========================================  ===========================================
1-D array (numbers)                          double vector, no dim
array of two or more dimensions              matrix or array of doubles
bool array; str array or list of str         logical; character
float, int, numpy integer                    double of length one (an int beyond 2**53 is refused)
bool, str, None                              logical, character, NULL
bytes                                        raw vector
dict; other list or tuple                    named list; unnamed list (element by element)
===========================================  ===========================================

Back again: named list to dict, unnamed list to list, vectors to 1-D arrays (character: list of str),
matrices to C-contiguous arrays. A vector of length one without names is a scalar; ``I(x)`` keeps it a
1-D array. Names of vectors that are not lists are dropped. Integers come back as int64, integer matrices
and integers with NA as float64.

Missing values: NaN stays NaN. None and pandas' NA in an object array are R's ``NA_real_``, which comes
back as NaN (numpy has no NA; the bits are kept, so that sent again it still is NA in R). A logical or
character NA comes back as None.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# R marks its missing double by 1954 in the low word of a NaN.
NA_REAL = np.array(0x7FF80000000007A2, dtype=np.uint64).view(np.float64)[()]
_NA_INTEGER = -(2**31)
_LARGEST_EXACT = 2**53


def to_r(value: Any, name: str) -> Any:
    """R object for a Python value; `name` says in errors which argument it is."""
    from rpy2 import rinterface

    if value is None:
        return rinterface.NULL
    if isinstance(value, (bool, np.bool_)):
        return rinterface.BoolSexpVector([bool(value)])
    if isinstance(value, str):
        return rinterface.StrSexpVector([str(value)])
    if isinstance(value, bytes):
        return rinterface.ByteSexpVector.from_memoryview(memoryview(value))
    if isinstance(value, dict):
        return _dict_to_r(value, name)
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(item, str) for item in value):
            return rinterface.StrSexpVector([str(item) for item in value])
        return rinterface.ListSexpVector([to_r(item, f"{name}[{i}]") for i, item in enumerate(value)])
    if isinstance(value, (int, float)) or hasattr(value, "__array__"):
        return _array_to_r(_numbers(value, name))
    raise TypeError(
        f"{name} is a {type(value).__name__}, which has no R counterpart: "
        "send arrays, numbers, strings, booleans, None, and lists or dicts of these"
    )


def from_r(value: Any, name: str = "value") -> Any:
    """Python value of an R object; `name` says in errors where in the result it is."""
    from rpy2 import rinterface

    if value.typeof == rinterface.RTYPES.NILSXP:
        return None
    if isinstance(value, rinterface.ListSexpVector):
        return _list_from_r(value, name)
    classes = _classes(value)
    if "factor" in classes:
        raise TypeError(f"R returned a factor as {name}: wrap it in as.character() or as.integer() there")
    keep = "AsIs" in classes or "names" in _attribute_names(value)
    if isinstance(value, rinterface.StrSexpVector):
        strings = [None if item is rinterface.NA_Character else item for item in value]
        if "dim" in _attribute_names(value):
            raise TypeError(f"R returned a character matrix as {name}: only vectors of strings cross")
        return strings[0] if len(strings) == 1 and not keep else strings
    if isinstance(value, rinterface.ByteSexpVector):
        return np.array(value, dtype=np.uint8).tobytes()
    if isinstance(value, rinterface.FloatSexpVector):
        array = np.array(value, dtype=np.float64, order="C")
    elif isinstance(value, rinterface.IntSexpVector):
        array = _integers(np.array(value, order="C"))
    elif isinstance(value, rinterface.BoolSexpVector):
        array = _booleans(np.array(value, order="C"))
    else:
        kind = rinterface.baseenv["typeof"](value)[0]
        raise TypeError(
            f"R returned an object of type {kind} as {name}: only vectors and lists cross the bridge"
        )
    if array.ndim == 1 and array.size == 1 and not keep:
        return array.item()
    return array


def shape_of(value: Any) -> str:
    """Shape and type of an argument, as error messages show it."""
    if hasattr(value, "__array__") and np.ndim(value):
        return f"{np.shape(value)} {np.asarray(value).dtype}"
    if isinstance(value, (dict, list, tuple)):
        return f"{type(value).__name__} of {len(value)}"
    return type(value).__name__


def _numbers(value: Any, name: str) -> np.ndarray:
    """float64, bool or str array for anything array-like."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: fill it first, e.g. with .filled(numpy.nan)")
    if isinstance(value, int) and abs(value) > _LARGEST_EXACT:
        raise ValueError(f"{name} = {value} is beyond 2**53 and would lose digits as an R number")
    array = np.asarray(value)
    if array.dtype.kind in "iu":
        if array.size and max(int(array.max()), -int(array.min())) > _LARGEST_EXACT:
            raise ValueError(f"{name} holds integers beyond 2**53, which would lose digits as R numbers")
    elif array.dtype.kind == "O":
        return _from_objects(array, name)
    elif array.dtype.kind not in "fbU":
        raise TypeError(f"{name} has dtype {array.dtype}: only numbers, booleans and strings go to R")
    return array if array.dtype.kind in "bU" else array.astype(np.float64, copy=False)


def _from_objects(array: np.ndarray, name: str) -> np.ndarray:
    """float64 array of Python objects, None and pandas' NA becoming R's NA."""
    import pandas as pd

    missing = np.array([item is None or item is pd.NA for item in array.flat], dtype=bool).reshape(
        array.shape
    )
    numbers = np.full(array.shape, NA_REAL)
    try:
        numbers[~missing] = array[~missing].astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} is an array of objects that are not all numbers: {error}") from None
    return numbers


def _array_to_r(array: np.ndarray) -> Any:
    from rpy2 import rinterface

    flat = array.ravel(order="F")
    if array.dtype.kind == "U":
        vector = rinterface.StrSexpVector(flat.tolist())
    elif array.dtype.kind == "b":
        vector = rinterface.BoolSexpVector.from_memoryview(flat.astype(np.int32).data)
    else:
        vector = rinterface.FloatSexpVector.from_memoryview(np.ascontiguousarray(flat).data)
    if array.ndim > 1:
        vector.do_slot_assign("dim", rinterface.IntSexpVector(array.shape))
    return vector


def _dict_to_r(value: dict, name: str) -> Any:
    from rpy2 import rinterface

    for key in value:
        if not isinstance(key, str) or not key:
            raise TypeError(f"{name} has the key {key!r}: an R list is named by non-empty strings")
    items = rinterface.ListSexpVector([to_r(item, f"{name}[{key!r}]") for key, item in value.items()])
    items.do_slot_assign("names", rinterface.StrSexpVector(list(value)))
    return items


def _list_from_r(value: Any, name: str) -> dict | list:
    if "names" not in _attribute_names(value):
        return [from_r(item, f"{name}[[{i}]]") for i, item in enumerate(value, start=1)]
    names = list(value.do_slot("names"))
    if len(set(names)) < len(names) or "" in names:
        raise TypeError(f"R returned as {name} a list whose names are not all there and unique: {names}")
    return {key: from_r(item, f"{name}${key}") for key, item in zip(names, value)}


def _attribute_names(value: Any) -> tuple[str, ...]:
    return tuple(value.list_attrs())


def _classes(value: Any) -> tuple[str, ...]:
    return tuple(value.do_slot("class")) if "class" in _attribute_names(value) else ()


def _integers(array: np.ndarray) -> np.ndarray:
    missing = array == _NA_INTEGER
    if missing.any():
        return np.where(missing, NA_REAL, array)
    return array.astype(np.int64 if array.ndim == 1 else np.float64)


def _booleans(array: np.ndarray) -> np.ndarray:
    missing = array == _NA_INTEGER
    values = array.astype(bool)
    if missing.any():
        values = values.astype(object)
        values[missing] = None
    return values
