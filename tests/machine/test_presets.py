"""Presets do what they say; machines from files and single settings refuse nonsense in one line."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

import vswaplab as vl
from vswaplab.machine.describe import machine_words
from vswaplab.machine.presets import load_machine, preset, preset_names, swap_profile, with_settings

N = 2_500
TRACES = {
    "zipf": vl.zipf(n_pages=N, n_accesses=30_000, seed=1, redraw_probability=0.3),
    "uniform": vl.uniform(n_pages=N, n_accesses=30_000, seed=1, redraw_probability=0.3),
}
FOUR = preset("four-tiers", 1_000)
MINE = '[[profile]]\nname = "mine"\nkind = "cram"\ntitle = "Mine"\nalgorithm = "LZ4"\ngranule_bytes = 1024\n'
MINE += 'size_column = "lz4_1k"\nrounding_bytes = 256\nmetadata_bytes = 32\nread_ns = 300\nread_loaded_ns = 900\n'
MINE += "write_ns = 600\nstore_ns = 600\nload_ns = 500\nadvertised_ratio = 2.0\nratio_kind = 'x'\n"
MINE += "tag = 'A'\nsource = 'x'\ndate = '2026-11-23'\n"


@cache
def totals(name: str, stream: str) -> dict[str, int]:
    return vl.simulate(TRACES[stream], preset(name, N)).totals


def one_line(error: pytest.ExceptionInfo[vl.InputError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("stream", list(TRACES))
@pytest.mark.parametrize("name", list(preset_names()))
def test_preset__keeps_every_page_and_reaches_the_swapfile(name: str, stream: str) -> None:
    counts = totals(name, stream)

    assert counts["oom"] == counts["reclaim_fail"] == 0
    assert counts["pswpin"] > 0


@pytest.mark.parametrize("stream", list(TRACES))
def test_four_tiers__uses_all_four(stream: str) -> None:
    counts = totals("four-tiers", stream)

    assert min(counts[name] for name in ("dram_hit", "cram_soft_fault", "cram_read", "zswpin", "swpin_zero")) > 0
    assert counts["cram_writeback_zswap"] > 0


@pytest.mark.parametrize("stream", list(TRACES))
def test_cram_tier__is_read_without_a_fault(stream: str) -> None:
    counts = totals("cram-tier", stream)

    assert counts["cram_read"] > 0 == counts["cram_soft_fault"]


@pytest.mark.parametrize("stream", list(TRACES))
def test_zswap_only__compresses_and_writes_back(stream: str) -> None:
    counts = totals("zswap-only", stream)

    assert counts["zswpin"] > 0 < counts["zswpwb"]
    assert counts["cram_in"] == 0


@pytest.mark.parametrize("stream", list(TRACES))
def test_swap_only__is_textbook_lru(stream: str) -> None:
    trace, counts, room = TRACES[stream], totals("swap-only", stream), N * 40 // 100
    lru: dict[int, None] = {}
    misses = 0
    for page in trace.page.tolist():
        misses += page not in lru
        lru.pop(page, None)
        lru[page] = None
        if len(lru) > room:
            lru.pop(next(iter(lru)))

    assert counts["accesses"] - counts["dram_hit"] == misses


@pytest.mark.parametrize("stream", list(TRACES))
def test_cram_writable__writes_in_place_and_flushes(stream: str) -> None:
    counts = totals("cram-writable", stream)

    assert min(counts[name] for name in ("cram_made_writable", "cram_write", "flushes")) > 0


@pytest.mark.parametrize("stream", list(TRACES))
def test_small_media__works_its_gate_and_its_writeback(stream: str) -> None:
    counts = totals("small-media", stream)

    assert counts["gate_closed_intervals"] > 0 < counts["cram_refused_gate"]
    assert counts["cram_writeback_zswap"] > 0


@pytest.mark.parametrize("name", list(preset_names()))
@pytest.mark.parametrize("n_pages", [1, 2, 7])
def test_preset__any_number_of_pages_makes_a_machine(name: str, n_pages: int) -> None:
    assert preset(name, n_pages).dram.capacity_pages >= 1


def test_preset__unknown_name_is_answered_with_near_ones() -> None:
    with pytest.raises(vl.InputError, match=r"no preset 'four-teirs'; nearest: four-tiers") as error:
        preset("four-teirs", 10)
    one_line(error)


def test_preset__refuses_no_pages() -> None:
    with pytest.raises(vl.InputError, match=r"n_pages must be .* got 0"):
        preset("swap-only", 0)


def test_machine_words__say_every_tier_in_bytes() -> None:
    words = machine_words(preset("cram-writable", 10_000))

    assert [line.partition(":")[0] for line in words] == ["DRAM", "CRAM", "zswap", "swapfile 0", "layer"]
    assert "shows 11.7 MiB (3,000 pages) over 5.9 MiB of media" in words[1]
    assert "150 pages may be writable" in words[1]


# Settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("dram.capacity_pages=20000", "dram.capacity_pages", 20_000),
        ("dram.capacity_pages=4MiB", "dram.capacity_pages", 1_024),
        ("cram.media_bytes=512KiB", "cram.media_bytes", 512 << 10),
        ("dram.low=4KiB", "dram.low", 1),
        ("dram.high=1MiB", "dram.high", 256),
        ("cram.close_at=0.97", "cram.close_at", 0.97),
        ("cram.mode=tier", "cram.mode", "tier"),
        ("zswap.max_pool_percent=30", "zswap.max_pool_percent", 30),
        ("zswap.writeback=false", "zswap.writeback", False),
        ("cram=none", "cram", None),
        ("layer=swap-table", "layer", "swap-table"),
        ("swap_max_slots=1.5MiB", "swap_max_slots", 384),
        ("costs.cram_loaded=true", "costs.cram_loaded", True),
    ],
)
def test_with_settings__puts_the_value_in_place(setting: str, path: str, value: object) -> None:
    found: object = with_settings(FOUR, [setting])
    for name in path.split("."):
        found = getattr(found, name)

    assert found == value


def test_with_settings__watermarks_of_the_node_take_a_size() -> None:
    cram = with_settings(FOUR, ["cram.node_low=64KiB", "cram.node_high=0.25MiB"]).cram

    assert cram is not None
    assert (cram.node_low, cram.node_high) == (16, 64)


def test_with_settings__a_version_is_a_text() -> None:
    small = replace(preset("swap-only", 100), layer="none")

    assert with_settings(small, ["kernel.version=7.3"]).kernel == vl.Kernel(version="7.3")
    with pytest.raises(vl.InputError, match=r"got 7\.3, a number: write it in quotes, '7\.3'$"):
        vl.Kernel(version=7.3)  # type: ignore[arg-type]


def test_with_settings__nothing_changes_nothing() -> None:
    assert with_settings(FOUR, []).to_dict() == FOUR.to_dict()


def test_with_settings__derived_sizes_follow_the_capacity() -> None:
    dram = with_settings(preset("four-tiers", 100_000), ["dram.capacity_pages=20"]).dram

    assert (dram.total_pages, dram.high) == (20, 20)


def test_with_settings__chosen_sizes_stay() -> None:
    changed = with_settings(FOUR, ["dram.total_pages=9000", "dram.capacity_pages=500"])

    assert (changed.dram.total_pages, changed.dram.capacity_pages) == (9_000, 500)
    assert with_settings(changed, ["dram.capacity_pages=600"]).dram.total_pages == 9_000


def test_with_settings__media_alone_keeps_the_ratio_to_what_is_shown() -> None:
    cram = with_settings(FOUR, ["cram.media_bytes=1MiB"]).cram

    assert cram is not None
    assert cram.advertised_bytes == 2 << 20


def test_with_settings__media_and_advertised_together_are_taken_as_they_are() -> None:
    cram = with_settings(FOUR, ["cram.media_bytes=1MiB", "cram.advertised_bytes=4MiB"]).cram

    assert cram is not None
    assert (cram.media_bytes, cram.device_pages) == (1 << 20, 1_024)


def test_with_settings__adds_a_tier_and_a_second_swapfile() -> None:
    added = [
        "zswap.compressor=zstd",
        "cram.media_bytes=1MiB",
        "swapfiles.1.capacity_slots=7",
        "swapfiles.1.priority=-2",
    ]
    machine = with_settings(preset("swap-only", 100), added)

    assert machine.zswap is not None
    assert machine.cram is not None
    assert [device.capacity_slots for device in machine.swapfiles] == [200, 7]


def test_with_settings__takes_every_swapfile_away() -> None:
    assert with_settings(FOUR, ["swapfiles=none"]).swapfiles == ()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("dram.capacity_pages", "'dram.capacity_pages' is not name=value"),
        ("dram.capacity_pages=many", "dram.capacity_pages must be a whole number .* got 'many'"),
        ("dram.capacity_pages=-3", "got -3"),
        ("dram.colour=red", "dram.colour is not a setting: choose from"),
        ("rocket.size=1", "rocket is not a part of a machine"),
        ("layer.size=1", "layer has no settings of its own"),
        ("cram.close_at=nan", "cram.close_at must be a share between 0 and 1, got nan"),
        ("cram.close_at=0.2", "cram.open_at 0.9 is above cram.close_at 0.2"),
        ("cram.close_at=3MiB", "only settings in bytes, pages or slots take a size"),
        ("cram.report_lag=3MiB", "only settings in bytes, pages or slots take a size"),
        ("tiers.fast=[1,9]", r"a machine's \.toml file sets tiers, as in \[tiers\] and fast = \[1, 9\]"),
        ("tiers=none", r"a machine's \.toml file sets tiers"),
        ("dram.capacity_pages=1KiB", "not a whole number of pages"),
        ("cram.profile=ocp-spce", "no cram profile 'ocp-spce'; nearest: ocp-spec"),
        ("swapfiles.5.capacity_slots=3", "name a swapfile by its number, 0 to 1"),
        ("swapfiles=3", "name a swapfile by its number"),
        ("dram=none", "dram=none: every machine has dram; set one of its values, as in dram.capacity_pages=64MiB"),
        ("costs=none", "costs=none: every machine has costs; set one of its values, as in costs.fault_ns=1500"),
    ],
)
def test_with_settings__nonsense_is_named_in_one_line(setting: str, message: str) -> None:
    with pytest.raises(vl.InputError, match=message) as error:
        with_settings(FOUR, [setting])
    one_line(error)


@pytest.mark.parametrize("device", ["none", "rst"])
def test_swap_profile__keeps_the_media_and_shows_what_the_new_device_would(device: str) -> None:
    before, after = FOUR.cram, swap_profile(FOUR, device).cram

    assert before is not None
    assert after == vl.Cram(media_bytes=before.media_bytes, profile=device)


def test_swap_profile__keeps_a_size_that_was_chosen() -> None:
    chosen = with_settings(FOUR, ["cram.advertised_bytes=1GiB"])

    cram = swap_profile(chosen, "rst").cram

    assert cram is not None
    assert cram.advertised_bytes == 1 << 30


def test_swap_profile__a_compressor_goes_to_zswap() -> None:
    zswap = swap_profile(FOUR, "zstd").zswap

    assert zswap is not None
    assert zswap.profile.name == "zstd"


@pytest.mark.parametrize(
    ("name", "message"), [("ocp", "no cram profile 'ocp'; nearest: ocp-spec"), ("rst", "'rst' is for cram, which")]
)
def test_swap_profile__what_cannot_be_used_is_refused(name: str, message: str) -> None:
    with pytest.raises(vl.InputError, match=message):
        swap_profile(preset("swap-only", 10), name)


# Files ----------------------------------------------------------------------------------------


def written(folder: Path, text: str, name: str = "machine.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


GOOD = """
layer = "swap-table"
[dram]
capacity_pages = "4MiB"
[cram]
media_bytes = "1MiB"
profile = "lz4-inline"
[zswap]
compressor = "zstd"
[[swapfiles]]
capacity_slots = 5000
"""


def test_load_machine__reads_every_part(tmp_path: Path) -> None:
    machine = load_machine(written(tmp_path, GOOD))

    assert machine.dram.capacity_pages == 1_024
    assert machine.layer == "swap-table"
    assert machine.cram is not None
    assert machine.cram.media_bytes == 1 << 20


def test_load_machine__finds_profiles_of_the_users_file(tmp_path: Path) -> None:
    own = written(tmp_path, MINE, "mine.toml")
    machine = load_machine(written(tmp_path, GOOD.replace("lz4-inline", "mine")), own)

    assert machine.cram is not None
    assert machine.cram.device.read_ns == 300
    assert swap_profile(FOUR, "mine", own).to_dict()["cram"]["profile"]["name"] == "mine"  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a machine needs a dram table"),
        ("[dram", "is not TOML"),
        ("[dram]\ncapacity_pages = 0\n", "dram.capacity_pages must be .* got 0"),
        ("[dram]\n", "dram needs capacity_pages"),
        ("[dram]\ncapacity_pages = 9\n[swapfiles]\nx = 1\n", "swapfiles must be a list of tables"),
        ("[dram]\ncapacity_pages = 9\n[turbo]\nx = 1\n", "turbo is not a part of a machine"),
        (GOOD.replace("[[swap", "close_at = nan\n[[swap"), "zswap.close_at is not a setting"),
        (GOOD.replace("lz4-inline", "lz5"), "no cram profile 'lz5'; nearest: .*lz4-inline"),
        (GOOD.replace('"zstd"', "3"), "zswap.compressor must name a compressor profile .* got 3"),
    ],
)
def test_load_machine__bad_file_is_named_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(vl.InputError, match=message) as error:
        load_machine(written(tmp_path, text))

    assert re.search(r"machine\.toml", one_line(error))


def test_load_machine__missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(vl.InputError, match=r"cannot read the machine .*gone\.toml: No such file") as error:
        load_machine(tmp_path / "gone.toml")
    one_line(error)
