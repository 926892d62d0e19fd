"""Damaged files are refused in one line: a short run here, ``python tests/fuzz/long.py`` for as long as you like.

In processes of their own, whose memory is bounded.
"""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

LONG = Path(__file__).with_name("long.py")
READERS = runpy.run_path(str(Path(__file__).with_name("readers.py")))["READERS"]


def fuzz(folder: Path, *words: str) -> None:
    done = subprocess.run([sys.executable, str(LONG), *words], cwd=folder, capture_output=True, text=True, check=False)
    assert not done.returncode, f"{done.stdout[-500:]}{done.stderr[-3000:]}"


def test_readers__take_whole_files_and_refuse_what_is_nothing_like_them(tmp_path: Path) -> None:
    fuzz(tmp_path, "--alone", "--files=0", *READERS)


@pytest.mark.slow  # half a minute
@pytest.mark.parametrize("share", range(4))
def test_readers__refuse_damaged_files_in_one_line(share: int, tmp_path: Path) -> None:
    fuzz(tmp_path, "--alone", "--files=40", "--seed=1", *list(READERS)[share::4])
