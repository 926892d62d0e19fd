"""The guide: its reference says what the docstrings say, and its links lead somewhere."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

GUIDE = Path(__file__).resolve().parents[2] / "notebooks" / "guide"


@pytest.mark.slow  # seconds
def test_api_reference__is_what_the_docstrings_say() -> None:
    pytest.importorskip("griffe2md", reason="needs griffe2md: pip install -e '.[test]'")
    made = runpy.run_path(str(Path(__file__).with_name("api_reference.py")))
    assert (GUIDE / "api.md").read_text() == made["reference"](), "out of step: python tests/guide/api_reference.py"


def test_troubleshooting__quotes_what_the_commands_say() -> None:
    made = runpy.run_path(str(Path(__file__).with_name("troubleshooting.py")))
    said = (GUIDE / "troubleshooting.md").read_text()
    assert said == made["page"](), "out of step: python tests/guide/troubleshooting.py"


def test_tables__are_told_column_by_column() -> None:
    made = runpy.run_path(str(Path(__file__).with_name("tables.py")))
    assert (GUIDE / "tables.md").read_text() == made["dictionary"](), "out of step: python tests/guide/tables.py"


@pytest.mark.parametrize("page", sorted(GUIDE.glob("*.md")), ids=lambda page: page.stem)
def test_links__lead_somewhere(page: Path) -> None:
    text = page.read_text()
    anchors = {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in _titles(text)}
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif "://" not in target:
            assert (page.parent / target.partition("#")[0]).exists(), target


def _titles(text: str) -> list[str]:
    return re.findall(r"^#+ (.*)$", text, re.MULTILINE)
