"""What CONTRIBUTING says of a new tier is so."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = re.findall(r"`(vswaplab/[\w/]+\.py)`", TEXT.partition("## A tier with rules of its own")[2])


def test_tier_with_rules__names_the_files_that_know_zram():
    assert f"That is {len(set(FILES))} files" in TEXT
    for name in FILES:
        assert "zram" in (ROOT / name).read_text(encoding="utf-8").lower(), name


def test_tier_with_rules__names_every_file_of_the_engines_that_does():
    engines = [path for part in ("reference", "vectorised") for path in (ROOT / "vswaplab/engine" / part).glob("*.py")]
    knows = {
        path.relative_to(ROOT).as_posix() for path in engines if "zram" in path.read_text(encoding="utf-8").lower()
    }

    assert knows <= set(FILES)


def test_tier_in_one_file__is_the_class_that_the_tests_use():
    told = re.search(r"class Lines\(vl\.Store\):.*?size \+ 8, 0\)", TEXT, re.S)[0]
    used = re.search(
        r"class Lines\(vl\.Store\):.*?size \+ 8, 0\)", (ROOT / "tests/engine/test_stores.py").read_text(), re.S
    )[0]

    words = [re.sub(r"\s+", " ", text) for text in (told, used)]
    assert words[0] == words[1]


def test_no_file_of_the_engines_knows_the_plugged_tiers_of_the_tests():
    for path in (ROOT / "vswaplab/engine").rglob("*.py"):
        assert not re.search(r"\b(far|lines)_(in|out|refused)\b", path.read_text(encoding="utf-8")), path
