"""What arrives in R, and what comes back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays


@pytest.mark.parametrize("n", [0, 1, 5])
def test_a_1d_array_reaches_r_as_a_plain_vector(r, n):
    arrived = r("describe", x=np.arange(float(n)))
    assert arrived == {"class": "numeric", "dim": None, "type": "double", "plain": True, "length": n}


@pytest.mark.parametrize("strided", [np.arange(10.0)[::2], np.arange(10.0).reshape(5, 2)[:, 0]])
def test_a_strided_vector_is_plain_as_well(r, strided):
    assert r("describe", x=strided)["plain"] is True
    np.testing.assert_array_equal(r("echo", x=strided), strided)


def test_the_dim_attribute_would_spoil_a_fit_and_the_bridge_does_not_send_it(r):
    rng = np.random.default_rng(3)
    X = rng.random((60, 2))
    Z = np.sin(6 * X[:, 0]) + 0.01 * rng.standard_normal(60)
    good, spoilt = r("raw_fit", X=X, Z=Z), r("with_dim", X=X, Z=Z)
    assert "CONVERGENCE" in good["message"]
    assert spoilt["ll"] < good["ll"] - 10


def test_matrices_keep_their_orientation(r):
    matrix = np.arange(6.0).reshape(2, 3)
    arrived = r("describe", x=matrix)
    assert arrived["class"] == ["matrix", "array"] and arrived["dim"].tolist() == [2, 3]
    back = r("echo", x=matrix)
    np.testing.assert_array_equal(back, matrix)
    assert back.flags.c_contiguous


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(arrays(np.float64, array_shapes(max_dims=3, min_side=0, max_side=6)))
def test_arrays_come_back_bit_by_bit(r, array):
    back = np.asarray(r("echo", x=array))
    if array.shape == (1,):
        back = back.reshape(1)
    assert back.shape == array.shape and back.dtype == np.float64
    np.testing.assert_array_equal(back.view(np.int64), array.view(np.int64))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text("abc äöπ'\"\\", max_size=5),
        lambda inner: st.dictionaries(st.text("abc_", min_size=1), inner, max_size=3),
        max_leaves=8,
    )
)
def test_nested_dicts_and_scalars_come_back(r, value):
    assert r("echo", x=value) == value


@pytest.mark.parametrize(
    "value, kind",
    [
        (3, "double"),
        (np.int64(3), "double"),
        (np.float32(1.5), "double"),
        (np.arange(3), "double"),
        (np.arange(3, dtype=np.uint8), "double"),
        (True, "logical"),
        (np.bool_(True), "logical"),
        (np.array([True, False]), "logical"),
        ("a", "character"),
        (["a", "b"], "character"),
        (np.array(["a", "b"]), "character"),
        ([1.0, 2.0], "list"),
        ({"a": 1}, "list"),
        (None, "NULL"),
        (pd.Series([1, 2]), "double"),
    ],
)
def test_types_in_r(r, value, kind):
    assert r("describe", x=value)["type"] == kind


def test_nan_and_na_are_told_apart(r):
    sent = np.array([1.0, np.nan, None, pd.NA], dtype=object)
    kinds = r("missing_kinds", x=sent)
    assert kinds["na"].tolist() == [False, False, True, True]
    assert kinds["nan"].tolist() == [False, True, False, False]
    again = r("missing_kinds", x=r("echo", x=sent))
    assert again["na"].tolist() == [False, False, True, True]


def test_missing_values_come_back(r):
    back = r("missings")
    assert np.isnan(back["real"]) and back["logical"] is None
    assert back["text"] == ["a", None] and back["logicals"].tolist() == [True, None]


def test_integers_come_back(r):
    back = r("integers")
    assert back["whole"].dtype == np.int64 and back["whole"].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(back["with_na"], [1.0, np.nan])
    assert back["matrix"].dtype == np.float64 and back["matrix"].tolist() == [[1, 3, 5], [2, 4, 6]]
    assert back["one"] == 7 and np.isnan(back["na"])


def test_length_one_is_a_scalar_unless_kept(r):
    back = r("kept")
    assert back["plain"] == 1.0 and back["a"].shape == (1,) and back["b"] == ["x"]
    assert r("one_named").shape == (1,) and r("two_numbers").tolist() == [1, 2]
    assert r("unnamed") == [1.0, "a", None]


@pytest.mark.parametrize(
    "function, named",
    [
        ("a_function", r"closure as a_function\(\)\$value\$state\$f"),
        ("an_environment", "type environment"),
        ("complex_number", "type complex"),
        ("a_factor", "factor"),
        ("text_matrix", "character matrix"),
        ("half_named", "names"),
    ],
)
def test_what_cannot_come_back_is_named(r, function, named):
    with pytest.raises(TypeError, match=named):
        r(function)
    assert r("echo", x=1) == 1


@pytest.mark.parametrize(
    "value, error, named",
    [
        (object(), TypeError, "object"),
        ({"a": {"b": {1, 2}}}, TypeError, r"\['x'\]\['a'\]\['b'\] is a set"),
        ({1: 2}, TypeError, "key 1"),
        (2**53 + 1, ValueError, "9007199254740993"),
        (np.array([2**60]), ValueError, "2\\*\\*53"),
        (np.array([1 + 2j]), TypeError, "complex128"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), TypeError, "datetime64"),
        (np.array([1.0, "a"], dtype=object), TypeError, "not all numbers"),
        (np.ma.masked_array([1.0, 2.0], mask=[True, False]), TypeError, "masked"),
    ],
)
def test_what_cannot_go_is_named(r, value, error, named):
    with pytest.raises(error, match=named):
        r("echo", x=value)
