"""Damaged files are refused in one line: a short run here, ``python tests/fuzz/long.py`` for as long as you like."""

from __future__ import annotations

import random
import runpy
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

_made = runpy.run_path(str(Path(__file__).with_name("readers.py")))
READERS, damage = _made["READERS"], _made["damage"]

every_reader = pytest.mark.parametrize("name", READERS)


@every_reader
def test_reader__takes_a_whole_file(name: str) -> None:
    assert READERS[name].survives(READERS[name].whole)


@pytest.mark.slow  # seconds each
@every_reader
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rng=st.randoms(use_true_random=False))
def test_reader__refuses_a_damaged_file_in_one_line(name: str, rng: random.Random) -> None:
    READERS[name].survives(damage(READERS[name].whole, rng))


@every_reader
@pytest.mark.parametrize(
    "data", [b"", b"\x00" * 5000, b"PAR1" * 1000, b"\xff" * 100, b"[" * 100_000, b"a = " + b"[" * 100_000]
)
def test_reader__refuses_what_is_nothing_like_it(name: str, data: bytes) -> None:
    READERS[name].survives(data)
