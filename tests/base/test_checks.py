"""Checks of single numbers: what is one, and what a message says."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

import vswaplab as vl
from vswaplab.base.checks import array_of, count_of, names_of, number, one_of, whole, whole_of
from vswaplab.base.errors import InputError, shown


@pytest.mark.parametrize("value", [3, np.uint8(3), np.int64(3)])
def test_whole__takes_whole_numbers_of_numpy_too(value: object) -> None:
    found = whole("n", value, 3, 3)

    assert (found, type(found)) == (3, int)


@pytest.mark.parametrize(
    "value", [2, -1, True, np.True_, 3.0, np.float64(3), math.nan, "3", None, [3], np.array([3, 3])]
)
def test_whole__refuses_in_one_line(value: object) -> None:
    with pytest.raises(InputError) as error:
        whole("n", value, 3)

    assert str(error.value) == f"n must be a whole number of at least 3, got {value!r}"


@pytest.mark.parametrize("error", [TypeError, OverflowError, RuntimeError])
def test_whole__refuses_what_cannot_say_which_number_it_is(error: type[Exception]) -> None:
    class Odd:
        def __index__(self) -> int:
            raise error

        def __repr__(self) -> str:
            return "Odd()"

    with pytest.raises(InputError, match=r"n must be a whole number of at least 0, got Odd\(\)"):
        whole("n", Odd())
    with pytest.raises(InputError, match="n must be a whole number of at least 0, got array"):
        whole("n", np.array(7))


def test_whole__names_both_ends_or_what_was_expected() -> None:
    with pytest.raises(InputError, match="n must be a whole number from 0 to 1000, got 1001"):
        whole("n", 1001, 0, 1000)
    with pytest.raises(InputError, match="at must be the index of an access, got -1"):
        whole("at", -1, expected="the index of an access")


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1), np.float64(1), np.int64(1), np.uint8(1)])
def test_number__takes_numbers_of_numpy_too(value: object) -> None:
    found = number("share", value, 0, 1)

    assert (found, type(found)) == (1.0, float)


@pytest.mark.parametrize("value", [-0.1, 1.1, 10**400, True, np.True_, math.nan, np.float32("nan"), "1", None, 1j])
def test_number__refuses_in_one_line(value: object) -> None:
    with pytest.raises(InputError) as error:
        number("share", value, 0, 1, expected="a number from 0 to 1")

    assert str(error.value) == f"share must be a number from 0 to 1, got {shown(value)}"


def test_messages__are_short_whatever_they_are_given() -> None:
    machine = vl.preset("four-tiers", 1000)
    assert len(repr(machine)) > 300
    with pytest.raises(InputError, match="got Machine") as error:
        whole("n", machine)
    assert len(str(error.value)) < 220


def test_number__above_is_an_end_that_may_not_come() -> None:
    assert number("part", 1e-9, above=0) == 1e-9
    assert number("limit", -5) == -5.0
    with pytest.raises(InputError, match="part must be a number, got 0"):
        number("part", 0, above=0)
    with pytest.raises(InputError, match="limit must be a number, got 1000"):
        number("limit", 10**400)


def test_whole_of__reads_text_and_shows_it() -> None:
    assert whole_of("--n", "12", 1, 12) == 12
    for text in ("13", "0", "1.5", "1e1", "", "9" * 160):
        with pytest.raises(InputError, match=f"--n must be a whole number from 1 to 12, got '{text}'"):
            whole_of("--n", text, 1, 12)
    with pytest.raises(InputError, match=rf"got '{'9' * 160}\.\.\.'$"):
        whole_of("--n", "9" * 5000, 1, 12)


def test_count_of__takes_units_of_1024() -> None:
    texts = {"1": 1, " 4K": 4096, "2 M": 2 << 20, "3GiB": 3 << 30, "1TB": 1 << 40}
    assert [count_of("--n", text) for text in texts] == list(texts.values())
    for text in ("0", "0K", "-1", "1.5G", "4k", "many", ""):
        with pytest.raises(InputError, match="--n must be a whole number of at least 1, such as 1000000 or 4G, got '"):
            count_of("--n", text)


def test_array_of__refuses_masked_values_and_ragged_rows() -> None:
    assert array_of("page", np.ma.array([1, 2])).tolist() == [1, 2]
    with pytest.raises(InputError, match="page has masked values, which stand for missing ones: drop or fill them"):
        array_of("page", np.ma.array([1, 2], mask=[0, 1]))
    with pytest.raises(InputError, match="page has rows of different length"):
        array_of("page", [[1], [1, 2]])


@pytest.mark.parametrize("value", [None, 5, b"lru", ["lru"], np.array(["lru", "fifo"]), pl.DataFrame({"a": [1, 2]})])
def test_one_of_and_names_of__refuse_in_one_line(value: object) -> None:
    with pytest.raises(InputError, match="policy must be one of lru, fifo, got ") as error:
        one_of("policy", value, ("lru", "fifo"))
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="policies must be a list of names, got 'lru'"):
        names_of("policies", "lru")
    assert names_of("policies", ("lru",)) == ["lru"]


def test_an_input_error__is_one_line_whatever_it_quotes() -> None:
    assert str(InputError(f"n must be a number, got {np.arange(4).reshape(2, 2)!r}")) == (
        "n must be a number, got array([[0, 1], [2, 3]])"
    )
    assert str(InputError("no such  file")) == "no such  file"
