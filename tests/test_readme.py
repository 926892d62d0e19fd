"""Every block of output in the README is what its command prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vswaplab.cli import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = r"<!-- vswaplab {} -->\n```text\n(.*?)```"


def block(command: str) -> str:
    found = re.search(BLOCK.format(command), README, re.DOTALL)
    assert found is not None, f"README has no block of `vswaplab {command}`"
    return found[1]


@pytest.mark.parametrize("command", ["run", "traces", "profiles"])
def test_readme__shows_what_the_command_prints(
    command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main([command]) == 0

    assert capsys.readouterr().out == block(command)


def test_readme__links_to_what_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)

    missing = [link for link in links if not link.startswith("http") and not (ROOT / link).exists()]
    assert not missing
