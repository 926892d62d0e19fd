"""The guide: its reference says what the docstrings say, and its links lead somewhere."""

from __future__ import annotations

import ast
import inspect
import re
import runpy
from dataclasses import replace
from enum import EnumMeta
from pathlib import Path
from types import FunctionType

import polars as pl
import pytest

import vswaplab as vl
from vswaplab.engine.sampled import Estimate
from vswaplab.recorder.record import Recording
from vswaplab.truth.replay import Replay

GUIDE = Path(__file__).resolve().parents[2] / "notebooks" / "guide"


@pytest.mark.slow  # seconds
def test_api_reference__is_what_the_docstrings_say() -> None:
    pytest.importorskip("griffe2md", reason="needs griffe2md: pip install -e '.[test]'")
    made = runpy.run_path(str(Path(__file__).with_name("api_reference.py")))
    assert (GUIDE / "api.md").read_text() == made["reference"](), "out of step: python tests/guide/api_reference.py"


def _callables() -> list[tuple[str, object]]:
    public = [(f"vl.{name}", getattr(vl, name)) for name in vl.__all__ if not isinstance(getattr(vl, name), EnumMeta)]
    given = [(f"{one.__module__}.{one.__name__}", one) for one in (Estimate, Recording, Replay)]
    return public + given


@pytest.mark.parametrize(("name", "thing"), _callables(), ids=lambda value: value if isinstance(value, str) else "-")
def test_api_reference__has_signature_and_parameters(name: str, thing: type | FunctionType) -> None:
    # By inspect, which knows nothing of how the page is made.
    told = (GUIDE / "api.md").read_text().partition(f"### `{name}`\n")[2].partition("\n### ")[0].partition("\n#### ")[0]
    signature = inspect.signature(thing)
    called = re.search(r"\A\n```python\n(\w+)(\(.*?\))\n```\n", told, re.DOTALL)
    assert called is not None, "no signature"
    arguments = ast.walk(ast.parse(f"def {called[1]}{called[2]}: pass"))
    assert {one.arg for one in arguments if isinstance(one, ast.arg)} == set(signature.parameters)
    for parameter, is_typed in _documented(thing):
        shown = re.search(rf"^- \*\*\*{{0,2}}{parameter}\*\* \(<code>(.*?)</code>\)", told, re.MULTILINE)
        assert shown is not None, parameter
        if not is_typed:
            assert _plain(shown[1]) == str(signature.parameters[parameter].annotation).replace("pl.", "")


def _documented(thing: type | FunctionType) -> list[tuple[str, bool]]:
    # Parameters of a docstring, and whether it says what to give in place of a type.
    said = re.search(
        r"^Parameters\n-+\n(.*?)(?=\n\n\w+\n---|\Z)", inspect.getdoc(thing) or "", re.DOTALL | re.MULTILINE
    )
    lines = [line for line in (said[1] if said else "").split("\n") if re.match(r"[\w*]", line)]
    return [(one.lstrip("*"), " : " in line) for line in lines for one in line.partition(" : ")[0].split(", ")]


def _plain(shown: str) -> str:
    return re.sub(r"\[([^\[\]]*)\]\(#\w+\)", r"\1", shown)


def test_troubleshooting__quotes_what_the_commands_say() -> None:
    made = runpy.run_path(str(Path(__file__).with_name("troubleshooting.py")))
    said = (GUIDE / "troubleshooting.md").read_text()
    assert said == made["page"](), "out of step: python tests/guide/troubleshooting.py"


def test_tables__are_told_column_by_column() -> None:
    made = runpy.run_path(str(Path(__file__).with_name("tables.py")))
    assert (GUIDE / "tables.md").read_text() == made["dictionary"](), "out of step: python tests/guide/tables.py"


def test_tables__columns_of_pages_are_as_told() -> None:
    trace = vl.zipf(n_pages=2000, n_accesses=20_000, seed=1, redraw_probability=0.5, write_share=0.5)
    machine = vl.preset("four-tiers", 2000)
    cram = replace(machine.cram, media_bytes=250_000, writable_budget_pages=600)
    result = vl.simulate(trace, replace(machine, cram=cram))
    found, tiers = result.state(), result.tiers.tail(5)

    in_cram = found.filter(pl.col("backing") == "CRAM")
    assert set(in_cram["mapping"]) == {"softleaf", "read-only", "writable", "poisoned"}
    assert set(found.filter(pl.col("stored_bytes") > 0)["backing"]) == {"CRAM", "ZSWAP"}
    assert set(found["swap_device"]) == {0, None}
    assert (found["copy"].is_null() == found["swap_device"].is_null()).all()
    is_sound = (found["backing"] == "CRAM") & (found["mapping"] != "poisoned")
    ranked = found["is_resident"] | (found["backing"] == "ZSWAP") | is_sound
    assert (found["reclaim_rank"].is_not_null() == ranked).all()
    budget = found["mapping"].is_in(["writable", "poisoned"]).sum()
    assert tiers.filter(tier="CRAM")["writable_pages"].item() == budget
    assert tiers.filter(tier="swapfile")["media_bytes"].item() == 4096 * found["swap_device"].count()


def test_result__docstring_names_every_column_of_events_and_pages() -> None:
    result = vl.simulate(vl.loop(n_pages=9, n_accesses=9), vl.Machine(vl.Dram(9), swapfiles=[vl.Swapfile(9)]))

    said = inspect.getdoc(vl.Result) or ""
    spelled = {name for name in result.events.columns if not name.startswith(("visits_", "scan_"))}
    assert {name for name in spelled if f"``{name}``" not in said} == set()
    pages = inspect.getdoc(vl.Result.state) or ""
    assert {name for name in result.state().columns if f"``{name}``" not in pages} == set()


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
