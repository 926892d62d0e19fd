"""Charts build, encode what they should, keep one colour a tier, and say their units."""

from __future__ import annotations

import errno
import json
import os
import re
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import altair as alt
import polars as pl
import pytest

import vswaplab as vl
from vswaplab.charts import (
    TIER_COLOURS,
    TIERS,
    comparison_chart,
    faults_chart,
    folio_chart,
    media_chart,
    policies_chart,
    residency_chart,
    save_chart,
    stall_chart,
)
from vswaplab.charts.describe import alt_text
from vswaplab.charts.digest import data_digest
from vswaplab.charts.display import svg_bundle
from vswaplab.charts.history import PALE_CRAM

MEDIA = 300 * 4096


def run(n_pages: int = 2_000, n_accesses: int = 30_000, **settings: int) -> vl.Result:
    trace = vl.phases(n_pages=n_pages, n_accesses=n_accesses, seed=3)
    machine = vl.Machine(
        dram=vl.Dram(capacity_pages=400),
        cram=vl.Cram(media_bytes=MEDIA),
        zswap=vl.Zswap(),
        swapfiles=[vl.Swapfile(capacity_slots=4_000)],
    )
    return vl.simulate(trace, machine, **settings)


RESULT = run()
COMPARISON = pl.DataFrame(
    {"machine": ["b", "b", "a"], "tier": ["DRAM", "CRAM", "DRAM"], "access_ns": [100.0, 20.0, 240.0]}
)
FOLIOS = pl.DataFrame(
    {
        "access": [0, 0, 1, 1],
        "page": [0, 1, 0, 1],
        "place": ["DRAM", None, "CRAM", "DRAM"],
        "op": ["R", None, "", "W"],
    }
)
POLICIES = pl.DataFrame(
    {
        "policy": ["unlimited", "clairvoyant", "lru", "sieve"],
        "title": ["unlimited DRAM", "clairvoyant", "LRU", "SIEVE"],
        "bound": ["floor", "ceiling", None, None],
        "miss_share": [0.1, 0.2, 0.4, 0.3],
        "access_ns": [200.0, 1000.0, 3000.0, 3500.0],
    }
)
CHARTS = {
    "residency": residency_chart(RESULT.tiers, cram_mode="swap"),
    "faults": faults_chart(RESULT.epochs, cram_mode="swap"),
    "stall": stall_chart(RESULT.epochs, cram_mode="swap"),
    "media": media_chart(RESULT.tiers, media_bytes=MEDIA, thresholds={"close_at": 0.95}, cram_mode="swap"),
    "comparison": comparison_chart(COMPARISON, cram_mode="swap"),
    "folio": folio_chart(FOLIOS, cram_mode="swap"),
    "policies": policies_chart(POLICIES, cram_mode="swap"),
}
every_chart = pytest.mark.parametrize("name", list(CHARTS))


def walk(node: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - a specification nests anything
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walk(child)


def spec_of(name: str) -> dict[str, Any]:
    return CHARTS[name].to_dict()  # validates against the Vega-Lite schema


def fields_of(spec: dict[str, Any]) -> set[str]:
    return {str(node["field"]) for node in walk(spec) if "field" in node}


def data_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for rows in spec["datasets"].values() for row in rows]


@every_chart
def test_chart__says_what_it_shows_and_which_cram(name: str) -> None:
    spec = spec_of(name)

    assert len(spec["title"]["text"]) > 10
    assert "CRAM behind swap entries (mode swap)" in spec["title"]["subtitle"]
    assert spec["description"].endswith(".")


@every_chart
def test_chart__axes_of_quantities_name_a_unit(name: str) -> None:
    quantities = [
        " ".join(title) if isinstance(title := node[axis].get("title") or node[axis]["axis"]["title"], list) else title
        for node in walk(spec_of(name))
        for axis in ("x", "y")
        if node.get(axis, {}).get("type") == "quantitative" and ("title" in node[axis] or "axis" in node[axis])
    ]

    assert [
        title for title in quantities if not re.search(r"\((MiB|ns|ms|s|%|faults|per|accesses).*\)", title, re.I)
    ] == []
    assert quantities or name == "folio"


@every_chart
def test_chart__type_is_large_enough_for_a_projector(name: str) -> None:
    sizes = [value for node in walk(spec_of(name)) for key, value in node.items() if key.endswith("ontSize")]

    assert sizes
    assert min(sizes) >= 12


@every_chart
def test_chart__a_tier_has_one_colour_everywhere(name: str) -> None:
    for node in walk(spec_of(name)):
        if isinstance(node.get("domain"), list) and set(node["domain"]) <= set(TIERS) and node["domain"]:
            assert node["range"] == [TIER_COLOURS[tier] for tier in node["domain"]]


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("residency", {"access", "mib", "tier", "rank"}),
        ("faults", {"access", "value", "kind", "tier", "rank"}),
        ("stall", {"access", "value", "tier", "time", "label"}),
        ("media", {"access", "mib", "series", "mark"}),
        ("comparison", {"machine", "tier", "access_ns", "label"}),
        ("folio", {"access", "page", "place", "op"}),
        ("policies", {"title", "value", "what"}),
    ],
)
def test_chart__encodes_its_columns(name: str, columns: set[str]) -> None:
    assert columns <= fields_of(spec_of(name))


def test_residency_chart__stacks_up_to_the_pages_of_the_run() -> None:
    rows = data_of(spec_of("residency"))
    end = [row["mib"] for row in rows if row["access"] == 30_000]

    assert sum(end) == pytest.approx(RESULT.tiers.filter(pl.col("epoch") == 199)["pages"].sum() / 256)


def test_faults_chart__loses_no_fault_when_windows_are_added_up() -> None:
    rows = [row for row in data_of(spec_of("faults")) if row.get("kind") == "swapfile, read"]
    per_window = [row["value"] * 300 / 1000 for row in sorted(rows, key=lambda row: row["access"])[:-1]]

    assert sum(per_window) == pytest.approx(RESULT.totals["pswpin"])


def test_stall_chart__windows_add_up_to_the_stall_of_a_tier() -> None:
    rows = [row for row in data_of(spec_of("stall")) if "value" in row and row["tier"] == "swapfile"]
    per_window = [row["value"] * 300 for row in sorted(rows, key=lambda row: row["access"])[:-1]]

    assert sum(per_window) == pytest.approx(RESULT.epochs["stall_swapfile_ns"].sum())


def test_stall_chart__bars_show_every_tier_dram_included() -> None:
    bars = [row for row in data_of(spec_of("stall")) if "share" in row]

    assert [row["tier"] for row in bars] == [tier for tier in TIERS if tier != "zram"]  # the machine has none
    assert sum(row["share"] for row in bars) == pytest.approx(1)
    assert len({row["label"].split(" ")[1] for row in bars}) == 1  # one unit


def test_media_chart__labels_are_a_line_apart() -> None:
    marks = {"close_at": 0.95, "open_at": 0.949, "writeback_high": 0.9}
    rows = data_of(media_chart(RESULT.tiers, media_bytes=MEDIA, thresholds=marks).to_dict())
    heights = sorted(row["label"] for row in rows if "label" in row)

    assert len(heights) == 4
    assert min(b - a for a, b in pairwise(heights)) > 0.05


def test_comparison_chart__keeps_the_order_of_the_table_and_says_who_is_best() -> None:
    spec = spec_of("comparison")

    assert spec["title"]["text"] == "What an access costs: b least, a 2.0 times that"
    assert spec["layer"][0]["encoding"]["y"]["sort"] == ["b", "a"]


def test_comparison_chart__another_time_has_its_unit_and_its_names() -> None:
    table = COMPARISON.select("machine", "tier", ms=1000 * pl.col("access_ns"))
    spec = comparison_chart(table, ("ms", "Time below DRAM (ms)"), "Device").to_dict()

    assert {row["label"] for row in data_of(spec) if "label" in row} == {"120,000.0 ms", "240,000.0 ms"}
    assert [spec["layer"][0]["encoding"][axis]["title"] for axis in "xy"] == ["Time below DRAM (ms)", "Device"]
    assert spec["title"]["text"] == "Time below DRAM"


def test_folio_chart__a_page_without_data_is_nowhere_before_its_first_touch_and_once_freed() -> None:
    story = vl.Trace(page=[0, 1, 0], op=[1, 1, 2], n_pages=2)
    steps = vl.follow(story, vl.Machine(vl.Dram(2, high=1), swapfiles=[vl.Swapfile(4)]))
    drawn = data_of(folio_chart(steps.with_columns(place="tier")).to_dict())

    assert {(row["access"], row["page"]) for row in drawn if row["place"] == "nowhere"} == {(0, 1), (2, 0)}


def test_policies_chart__shows_both_bounds_in_both_panels() -> None:
    rules = [row for row in data_of(spec_of("policies")) if "what" in row]
    assert {(row["bound"], row["value"]) for row in rules} == {
        ("floor", 10.0), ("ceiling", 20.0), ("floor", 200.0), ("ceiling", 1000.0)
    }  # fmt: skip


def test_policies_chart__title_says_who_is_best_and_how_near_the_ceiling() -> None:
    assert spec_of("policies")["title"]["text"] == (
        "SIEVE misses DRAM least: 30.0 %, 50 % of the way from LRU to the clairvoyant"
    )


def test_policies_chart__of_writeback_names_both_tiers_that_were_missed() -> None:
    spec = policies_chart(POLICIES.with_columns(of=pl.lit("cram"))).to_dict()
    assert spec["title"]["text"].startswith("SIEVE misses DRAM and CRAM least: 30.0 %")
    assert "share of accesses that missed DRAM and CRAM" in spec["description"]
    titles = [layer["encoding"]["x"]["title"] for layer in spec["hconcat"][0]["layer"]]
    assert set(titles) == {"Accesses that missed DRAM and CRAM (%)"}


def test_policies_chart__needs_both_bounds_and_a_policy_between() -> None:
    with pytest.raises(vl.InputError, match="the table has no ceiling: take all rows"):
        policies_chart(POLICIES.filter(pl.col("policy") != "clairvoyant"))
    with pytest.raises(vl.InputError, match="no policy besides the bounds"):
        policies_chart(POLICIES.filter(pl.col("bound").is_not_null()))


def test_policies_chart__names_policies_under_which_memory_ran_out_and_draws_the_others() -> None:
    ended = POLICIES.with_columns(oom=(pl.col("policy") == "sieve").cast(pl.Int64))
    spec = policies_chart(ended).to_dict()
    assert spec["title"]["text"] == "LRU misses DRAM least: 40.0 %, the clairvoyant 20.0 %; memory ran out under SIEVE"
    assert "SIEVE" not in {row["title"] for row in data_of(spec) if "title" in row}
    for policies in (["lru", "sieve"], ["clairvoyant"]):
        with pytest.raises(vl.InputError, match=r"memory ran out under .*, so nothing compares"):
            policies_chart(POLICIES.with_columns(oom=pl.col("policy").is_in(policies).cast(pl.Int64)))


def test_comparison_chart__missing_column_is_named() -> None:
    with pytest.raises(vl.InputError, match="no column 'access_ns'"):
        comparison_chart(COMPARISON.drop("access_ns"))


@pytest.mark.parametrize("rows", [1, 3_000])
def test_charts__any_number_of_windows_stays_below_the_row_limit(rows: int) -> None:
    result = run(n_pages=50, n_accesses=3_000, epoch_accesses=3_000 // rows)
    charts = (residency_chart(result.tiers), faults_chart(result.epochs), stall_chart(result.epochs))

    assert all(len(data) < 5_000 for chart in charts for data in chart.to_dict()["datasets"].values())


def test_charts__an_empty_result_still_draws() -> None:
    tiers, epochs = RESULT.tiers.clear(), RESULT.epochs.clear()

    for chart in (residency_chart(tiers), faults_chart(epochs), stall_chart(epochs)):
        assert chart.to_dict()["title"]


def test_tier_colours__are_six_different_ones() -> None:
    assert tuple(TIER_COLOURS) == TIERS
    assert len({*TIER_COLOURS.values(), PALE_CRAM}) == 7


def test_stall_chart__short_times_have_the_micro_sign() -> None:
    epochs = RESULT.epochs.head(1).with_columns(
        stall_dram_ns=pl.lit(79_500), **{f"stall_{tier.lower()}_ns": pl.lit(0) for tier in TIERS if tier != "DRAM"}
    )

    spec = stall_chart(epochs).to_dict()

    assert spec["description"].endswith("DRAM 79.50 µs (100.0 %).")
    assert "(µs)" in json.dumps(spec, ensure_ascii=False)


@pytest.mark.parametrize(("ending", "magic"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_save_chart__writes_the_kind_that_the_name_ends_in(tmp_path: Path, ending: str, magic: bytes) -> None:
    path = save_chart(CHARTS["comparison"], tmp_path / f"figure.{ending}")

    assert path.read_bytes().startswith(magic)


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_save_chart__a_title_may_name_a_file_that_is_not_utf_8(tmp_path: Path, ending: str) -> None:
    chart = CHARTS["comparison"].copy().properties(title=os.fsdecode(b"\xff.bin"))
    content = save_chart(chart, tmp_path / f"figure.{ending}").read_bytes()

    assert ending != "svg" or rb"<title>\udcff.bin</title>" in content


def test_save_chart__svg_carries_title_and_description(tmp_path: Path) -> None:
    text = save_chart(CHARTS["faults"], tmp_path / "f.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)

    assert root.get("role") == "img"
    assert root[0].text == "Faults, and the traffic they cause"
    assert root[1].text == spec_of("faults")["description"]


def test_save_chart__other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(vl.InputError, match=r"'figure.gif': end the name in .svg, .png, .pdf"):
        save_chart(CHARTS["folio"], tmp_path / "figure.gif")


def test_save_chart__place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(vl.InputError, match=r"cannot write .*nowhere"):
        save_chart(CHARTS["folio"], tmp_path / "nowhere" / "figure.svg")


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_save_chart__a_full_disk_leaves_the_figure_there_was(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / f"figure.{ending}").write_text("before")
    monkeypatch.setattr(os, "fsync", no_space)

    with pytest.raises(vl.InputError, match=r"cannot write .*No space left on device; choose another place"):
        save_chart(CHARTS["comparison"], tmp_path / f"figure.{ending}")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_setup_display__makes_still_figures_with_alt_text() -> None:
    bundle = svg_bundle(spec_of("comparison"))

    assert bundle["image/svg+xml"].startswith("<svg")
    assert bundle["text/plain"] == spec_of("comparison")["description"]


def test_charts__can_be_joined() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # altair mentions merged parameters
        joined = alt.vconcat(CHARTS["residency"], CHARTS["comparison"])

    assert len(joined.to_dict()["vconcat"]) == 2


def test_charts__a_window_without_an_access_draws_nothing_wrong() -> None:
    trace = vl.Trace([0, 1, 2], [1, 1, 1])
    result = vl.simulate(trace, vl.Machine(dram=vl.Dram(capacity_pages=2)), epoch_accesses=2)  # ends before access 2

    assert result.totals["oom"] == 1
    for chart in (faults_chart(result.epochs), stall_chart(result.epochs), residency_chart(result.tiers)):
        json.dumps(chart.to_dict(), allow_nan=False)


def test_data_digest__sees_one_number_and_not_the_order_of_rows_or_noise() -> None:
    table = pl.DataFrame({"x": [1, 2, 3], "y": [0.1, 0.2, 0.3]})

    def digest(data: pl.DataFrame) -> str:
        panel = alt.Chart(data).mark_line().encode(x="x:Q", y="y:Q")
        return data_digest(alt.hconcat(panel, panel.mark_point()).to_dict())

    assert digest(table[::-1]) == digest(table.with_columns(pl.col("y") + 1e-15)) == digest(table)
    assert digest(table.with_columns(y=pl.Series([0.1, 0.2, 0.300001]))) != digest(table)
    assert digest(table.rename({"y": "z"}).with_columns(y="z")) != digest(table)


def test_figures__carry_the_digest_of_their_data() -> None:
    chart = CHARTS["residency"]

    assert f'data-digest="{data_digest(chart.to_dict())}"' in svg_bundle(chart.to_dict())["image/svg+xml"]


def test_alt_text__of_a_chart_without_one_says_what_is_drawn() -> None:
    table = pl.DataFrame({"x": [1], "y": [2], "program": ["a"], "kind": ["b"]})
    lines = alt.Chart(table).encode(alt.X("x", title="Size (MiB)"), alt.Y("y", title="Time (ms)"), alt.Color("program"))
    panels = (lines.mark_line() + lines.mark_point()).facet(alt.Column("kind", title="Kind of run"))

    assert alt_text(panels.to_dict()) == (
        "Lines, points: Time (ms) against Size (MiB), told apart by program; a panel for each Kind of run."
    )
    assert alt_text(lines.mark_bar().properties(description="Said by hand.").to_dict()) == "Said by hand."
    assert alt_text(lines.mark_bar().facet("kind").to_dict()).endswith("; a panel for each kind.")


def test_alt_text__joins_a_title_of_two_lines() -> None:
    chart = alt.Chart(pl.DataFrame({"x": [1]})).mark_line().encode(alt.X("x", title=["Size", "(MiB)"]))

    assert alt_text(chart.to_dict()) == "Lines: nothing against Size (MiB)."
