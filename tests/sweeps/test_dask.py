"""A real Dask scheduler and two workers, each a process, on the loopback interface."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from test_survival import N_RUNS, Sweep, before, serial, until  # the same sweep, from another door

pytest.importorskip("distributed", reason="dask is not installed: pip install 'vswaplab[sweep]'")

pytestmark = pytest.mark.slow
