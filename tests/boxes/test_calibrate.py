"""Boxes by hand, and two real samples: an Android phone's zram, and a zram device filled with known pages."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vswaplab as vl
from vswaplab.boxes.calibrate import psi
from vswaplab.cli import main
from vswaplab.engine.zsmalloc import SHARE_BITS, footprint_table
from vswaplab.machine.presets import load_machine

# An Android phone's zram, posted to linux-mm by Kairui Song:
# https://lore.kernel.org/all/CAMgjq7AQNGK-a=AOgvn4-V+zGO21QMbMTVbrYSW_R2oDSLoC+A@mail.gmail.com/
ANDROID = "4283899904 1317373036 1370259456 0 1475977216 116457 1991851 87273 1793760"

# Linux 6.18, lz4: 8,192 pages of a program's code and tables, 1,000 same-filled and 1,192 random ones among them.
FILLED = "33554432 18958171 20316160        0 20316160     1001        0     1340     1340"

BOX = {
    "proc/version": "Linux version 6.12.9 (someone@somewhere) #1",
    "proc/meminfo": (
        "MemTotal:       4000000 kB\nMemFree:  10000 kB\nMemAvailable:    400000 kB\nAnonPages:     2000000 kB\n"
        "Zswap:            40000 kB\nZswapped:        120000 kB\n"
    ),
    "proc/zoneinfo": "Node 0\n  pages free 3\n        min      80\n        low      100\n        high     120\n"
    "      high:  9\nNode 0, zone Normal\n        low      20\n        high     30\n",
    "proc/swaps": "Filename\t\t\t\tType\t\tSize\tUsed\tPriority\n"
    "/dev/nvme0n1p3                          partition\t8388604\t200000\t-2\n",
    "proc/vmstat": "pswpin 7\npswpout 9\nzswpin 100\nnr_dirtied 18446744073709551615\n",
    "proc/pressure/memory": "some avg10=0.50 avg60=1.25 avg300=0.10 total=42\n",
    "sys/module/zswap/parameters/enabled": "Y\n",
    "sys/module/zswap/parameters/compressor": "zstd\n",
    "sys/module/zswap/parameters/max_pool_percent": "25\n",
    "sys/module/zswap/parameters/accept_threshold_percent": "80\n",
    "sys/module/zswap/parameters/shrinker_enabled": "Y\n",
    "sys/fs/cgroup/web/memory.max": "536870912\n",
    "sys/fs/cgroup/web/memory.swap.max": "max\n",
    "sys/fs/cgroup/web/memory.swap.current": "81920000\n",
    "sys/fs/cgroup/web/memory.zswap.writeback": "0\n",
    "sys/fs/cgroup/web/memory.stat": "anon 409600000\nzswap 30000000\nzswapped 81920000\n",
    "sys/fs/cgroup/web/memory.pressure": "some avg10=9.00 avg60=9.00 avg300=9.00 total=9\n",
}


def box(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def known(calibration) -> dict[str, tuple[object, str]]:
    return {f"{s.part}.{s.name}": (s.value, s.evidence) for s in calibration.settings}


def test_guide__prints_the_file_that_the_phone_s_line_gives(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "notebooks" / "guide" / "calibrate.md").read_text(encoding="utf-8")
    path = box(tmp_path / "box", {"mm_stat": ANDROID})
    made = vl.calibrate(path).toml("box")
    assert made.strip() in guide


# Android -----------------------------------------------------------------------------------------


def test_android__contents_are_the_published_figures(tmp_path):
    found = vl.calibrate(box(tmp_path, {"mm_stat": ANDROID})).contents

    assert found.pages == 1_045_874
    assert round(found.total_ratio, 2) == 3.25
    assert round(found.pool_ratio, 2) == 3.13
    assert round(100 * found.allocator_overhead, 1) == 4.0
    assert round(100 * found.same_filled, 1) == 11.1
    assert round(100 * found.incompressible, 1) == 8.3


def test_android__machine_marks_all_it_does_not_know(tmp_path):
    found = vl.calibrate(box(tmp_path, {"mm_stat": ANDROID}))
    machine, says = found.machine, known(found)

    assert machine.zram.disksize_bytes == 5 << 30  # 3.99 GiB now, 7.7 % more at its most
    assert says["zram.compressor"] == ("lzo-rle", "ASSUMED")
    assert says["dram.capacity_pages"] == (2 * 1_045_874, "ASSUMED")
    assert {name for name, (_, evidence) in says.items() if evidence != "ASSUMED"} == {"dram.charge"}


def test_android__made_up_contents_compress_as_the_phone_s_do(tmp_path):
    corpus = vl.calibrate(box(tmp_path, {"mm_stat": ANDROID})).corpus(n_regions=256)
    size = np.where(corpus.is_zero, 0, corpus.sizes("lzo_4k"))  # a same-filled page costs no data
    footprint = footprint_table()[size[size > 0]].sum() / (1 << SHARE_BITS)

    assert len(corpus) * 4096 / size.sum() == pytest.approx(3.25, rel=0.01)
    assert corpus.is_zero.mean() == pytest.approx(0.111, abs=0.005)
    assert (size == 4096).mean() == pytest.approx(0.083, abs=0.005)
    assert 0.01 < footprint / size.sum() - 1 < 0.04  # the phone's: 4.0 %, with holes, which the model leaves out


def test_android__a_small_phone_runs_and_its_zram_compresses_alike(tmp_path):
    found = vl.calibrate(box(tmp_path, {"mm_stat": ANDROID}))
    trace = vl.uniform(n_pages=20_000, n_accesses=100_000, corpus=found.corpus(n_regions=256), write_share=0.5)
    zram = vl.simulate(trace, found.scaled(trace.n_pages).machine).tiers.filter(tier="zram").row(-1, named=True)

    # Zero pages, 11.1 % of all, do not reach zram here: (1 - 0.111) x 3.25
    assert zram["pages"] > 1000
    assert zram["pages"] * 4096 / zram["stored_bytes"] == pytest.approx(2.89, rel=0.06)


def test_filled_zram__says_what_was_written_to_it(tmp_path):
    files = {"sys/block/zram0/mm_stat": FILLED, "sys/block/zram0/comp_algorithm": "lzo-rle lzo [lz4] \n"}
    found = vl.calibrate(box(tmp_path, files | {"sys/block/zram0/disksize": "67108864\n"}))

    assert found.contents.pages == 8192
    assert found.contents.same_filled_pages == 1001
    assert known(found)["zram.compressor"] == ("lz4", "seen")
    assert found.machine.zram.disksize_bytes == 64 << 20


# A box with zswap --------------------------------------------------------------------------------


def test_box__every_setting_and_how_it_is_known(tmp_path):
    found = vl.calibrate(box(tmp_path, BOX))

    assert known(found) == {
        "dram.capacity_pages": ((2_000_000 + 400_000 + 40_000) // 4, "derived"),
        "dram.total_pages": (1_000_000, "seen"),
        "dram.charge": ("host", "derived"),
        "dram.low": (120, "seen"),
        "dram.high": (150, "seen"),
        ".layer": ("none", "derived"),
        "swapfiles.0.capacity_slots": (2_097_151, "seen"),
        "swapfiles.0.priority": (-2, "seen"),
        "swapfiles.0.read_ns": (80_000, "ASSUMED"),
        "zswap.compressor": ("zstd", "seen"),
        "zswap.max_pool_percent": (25, "seen"),
        "zswap.accept_threshold_percent": (80, "seen"),
    }
    assert found.seen == {
        "pswpin": 7, "pswpout": 9, "zswpin": 100,
        "psi some avg10": 0.5, "psi some avg60": 1.25, "psi some avg300": 0.1, "psi some total": 42,
    }  # fmt: skip
    assert found.contents.pool_ratio == 3
    assert any("shrinker" in note for note in found.notes)


def test_box__a_group_has_its_own_limits(tmp_path):
    found = vl.calibrate(box(tmp_path, BOX), cgroup="web")
    machine = found.machine

    assert (machine.dram.capacity_pages, machine.dram.total_pages) == (131_072, 1_000_000)
    assert machine.dram.charge == "memcg"
    assert machine.zswap.writeback is False
    assert machine.swap_max_slots is None
    assert found.contents.pages == 20_000
    assert found.demand_pages == (409_600_000 + 81_920_000) // 4096
    assert found.seen["psi some avg10"] == 9


def test_box__scaled_keeps_the_pressure(tmp_path):
    whole = vl.calibrate(box(tmp_path, BOX))
    demand = 500_000 + 50_000 + 30_000  # anonymous, on the partition, in zswap
    small = whole.scaled(5_800)

    assert whole.demand_pages == demand
    assert small.machine.swapfiles[0].capacity_slots == round(2_097_151 / 100)
    assert small.machine.dram.total_pages == 10_000
    assert small.machine.zswap == whole.machine.zswap


def test_box__zswap_that_is_off_is_left_out(tmp_path):
    assert vl.calibrate(box(tmp_path, BOX | {"sys/module/zswap/parameters/enabled": "N\n"})).machine.zswap is None


@pytest.mark.parametrize(("name", "stand_in"), [("842", "lzo"), ("lz4hc", "lz4"), ("snappy", "lzo")])
def test_box__a_compressor_without_a_profile_has_a_stand_in(tmp_path, name, stand_in):
    found = vl.calibrate(box(tmp_path, BOX | {"sys/module/zswap/parameters/compressor": name}))

    setting = next(s for s in found.settings if s.name == "compressor")
    assert (setting.value, setting.evidence) == (stand_in, "ASSUMED")
    assert f"the box uses {name}" in setting.why


def test_box__the_fullest_of_several_zram_devices(tmp_path):
    swaps = "Filename Type Size Used Priority\n/dev/zram0 partition 65532 0 5\n/dev/zram1 partition 65532 0 7\n"
    files = {
        "sys/block/zram0/mm_stat": "4096 40 4096 0 4096 0 0",
        "sys/block/zram1/mm_stat": FILLED,
        "proc/swaps": swaps,
    }
    found = vl.calibrate(box(tmp_path, files))

    assert found.machine.zram.priority == 7
    assert found.machine.swapfiles == ()
    assert "has 2 zram devices: the model has one, here the fullest, zram1" in found.notes


def test_box__a_group_s_limit_of_swap_counts_on_zram_too(tmp_path):
    files = {
        "proc/swaps": "Filename Type Size Used Priority\n/dev/zram0 partition 65532 0 5\n",
        "sys/fs/cgroup/web/memory.max": "536870912\n",
        "sys/fs/cgroup/web/memory.swap.max": "40960000\n",
    }
    found = vl.calibrate(box(tmp_path, files), cgroup="web")

    assert found.machine.swap_max_slots == 10_000


def test_box__a_zram_that_only_swaps_names(tmp_path):
    swaps = "Filename Type Size Used Priority\n/dev/zram0 partition 8388604 1048576 100\n"
    meminfo = "MemTotal: 4000000 kB\nMemAvailable: 400000 kB\nAnonPages: 2000000 kB\n"
    found = vl.calibrate(box(tmp_path, {"proc/meminfo": meminfo, "proc/swaps": swaps}))

    assert {name: value for name, value in known(found).items() if name.startswith("zram")} == {
        "zram.disksize_bytes": (8_388_604 * 1024, "seen"),
        "zram.compressor": ("lzo-rle", "ASSUMED"),
        "zram.priority": (100, "seen"),
    }
    assert found.machine.zram.capacity_slots == 2_097_151
    assert found.demand_pages == 500_000 + 262_144
    assert found.contents is None
    (note,) = found.notes
    assert note.startswith("has zram0 in /proc/swaps and no mm_stat of it")
    assert note.endswith("copy /sys/block/zram0/mm_stat too")


def test_calibrate__this_box_whatever_it_is():
    found = vl.calibrate()

    assert found.machine.dram.total_pages > 0
    assert tomllib.loads(found.toml("this box"))["dram"]["total_pages"] == found.machine.dram.total_pages


# The file ----------------------------------------------------------------------------------------


def test_cli__writes_a_file_that_run_takes(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = box(tmp_path / "box", BOX)

    assert main(["calibrate", str(folder), "--trace", "sort"]) == 0
    told = capsys.readouterr().out
    text = (tmp_path / "machine.toml").read_text()
    assert load_machine("machine.toml") == vl.calibrate(folder).scaled(vl.load_trace("sort").n_pages).machine
    assert 'compressor = "zstd"  # seen: /sys/module/zswap/parameters/compressor' in text
    assert "read_ns = 80000  # ASSUMED: the default, an NVMe drive" in text
    assert "12 settings, 1 of them ASSUMED" in told
    assert main(["calibrate", str(folder)]) == 0  # its own file may be written again


def test_cli__writes_contents_that_run_takes(tmp_path, capsys):
    folder = box(tmp_path / "box", {"mm_stat": ANDROID})
    words = ["calibrate", str(folder), "--out", str(tmp_path / "m.toml"), "--contents", str(tmp_path / "c.parquet")]

    assert main(words) == main(words) == 0  # its own files may be written again
    assert f"--machine {tmp_path / 'm.toml'} --contents {tmp_path / 'c.parquet'}" in capsys.readouterr().out
    made = vl.load_contents(tmp_path / "c.parquet").corpus
    assert made.is_zero.mean() == pytest.approx(0.111, abs=0.005)


def test_cli__leaves_a_file_that_is_not_its_own(tmp_path, capsys):
    mine = tmp_path / "machine.toml"
    mine.write_text("[dram]\ncapacity_pages = 5\n")

    assert main(["calibrate", str(box(tmp_path / "box", BOX)), "--out", str(mine)]) == 2
    assert "not from `vswaplab calibrate`" in capsys.readouterr().err
    assert mine.read_text() == "[dram]\ncapacity_pages = 5\n"


def test_cli__leaves_a_file_that_is_no_corpus_and_writes_no_machine_then(tmp_path, capsys):
    mine, folder = tmp_path / "notes.txt", box(tmp_path / "box", {"mm_stat": ANDROID})
    mine.write_text("mine")
    words = ["calibrate", str(folder), "--out", str(tmp_path / "m.toml"), "--contents", str(mine)]

    assert main(words) == 2
    assert "notes.txt is there, and no corpus that vswaplab wrote: name another file" in capsys.readouterr().err
    assert mine.read_text() == "mine"
    assert not (tmp_path / "m.toml").exists()


def test_toml__names_from_the_box_stay_in_their_comment(tmp_path):
    swaps = "Filename Type Size Used Priority\n/x\\040y\x1b[31m\x85capacity_slots=1 file 4096 0 1\n"
    found = vl.calibrate(box(tmp_path, BOX | {"proc/swaps": swaps}))

    assert tomllib.loads(found.toml("a\nb = 1"))["swapfiles"][0]["capacity_slots"] == 1024
    assert vl.machine_from_dict(tomllib.loads(found.toml("x"))) == found.machine


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "holds nothing that tells of a machine"),
        ({"other": "x"}, "holds nothing that tells of a machine"),
        ({"mm_stat": "1 2 3"}, "mm_stat has 3 numbers"),
        ({"mm_stat": "-4096 40 4096 0 4096 0 0"}, "orig_data_size is '-4096'"),
        ({"mm_stat": "nan 40 4096 0 4096 0 0"}, "orig_data_size is 'nan'"),
        ({"mm_stat": "4096 40 4096 0 4096 2 0"}, "does not add up"),
        ({"mm_stat": "4096 9999999999999999999 4096 0 4096 0 0"}, "compr_data_size is '9999999999999999999'"),
        ({"mm_stat": "4096 " * (1 << 18)}, "larger than 1,048,576 bytes"),
        ({"proc/meminfo": "MemTotal: 99999999999999999999999999 kB"}, "MemTotal is"),
        ({"proc/swaps": "Filename\n/x file many 0 1\n"}, "is 'many'"),
        ({"proc/swaps": "Filename\n/x file\n"}, "has the line '/x file'"),
        ({"proc/swaps": "Filename\n/dev/zram0 partition 0 0 5\n"}, "/dev/zram0 has 0 KiB: less than a page"),
        (BOX | {"proc/pressure/memory": "some avg10=nan avg60=0 avg300=0 total=0"}, "has the line 'some avg10=nan"),
        (BOX | {"sys/module/zswap/parameters/max_pool_percent": "101"}, "at most 100, got 101"),
    ],
)
def test_calibrate__refuses_in_one_line(tmp_path, files, words, capsys):
    folder = box(tmp_path / "box", {"nothing": "", **files})
    status = main(["calibrate", str(folder), "--out", str(tmp_path / "out.toml")])
    said = capsys.readouterr().err

    assert status == 2
    assert len(said.splitlines()) == 1
    assert words in said
    assert not (tmp_path / "out.toml").exists()


def test_calibrate__refuses_links_that_lead_out_of_the_folder(tmp_path):
    folder = box(tmp_path / "box", {"meminfo": "MemTotal: 4000 kB\n"})
    (tmp_path / "secret").write_text(ANDROID)
    (folder / "mm_stat").symlink_to(tmp_path / "secret")

    with pytest.raises(vl.InputError, match="is a link that leads out of"):
        vl.calibrate(folder)
    with pytest.raises(vl.InputError, match="leads out of the folder"):
        vl.calibrate(box(tmp_path / "other", BOX), cgroup="../../../etc")
    with pytest.raises(vl.InputError, match="no memory group 'nobody'"):
        vl.calibrate(box(tmp_path / "other", BOX), cgroup="nobody")
    with pytest.raises(
        vl.InputError, match=r"'nobody': /sys/fs/cgroup/nobody/memory\.max is not there; name one below"
    ):
        vl.calibrate(cgroup="nobody")


def test_calibrate__says_what_only_root_may_read(tmp_path, monkeypatch):
    folder = box(tmp_path, BOX | {"sys/kernel/debug/zswap/stored_pages": "5\n"})
    real = Path.is_file

    def guarded(path):
        if "debug" in path.parts:
            raise PermissionError
        return real(path)

    monkeypatch.setattr(Path, "is_file", guarded)
    assert any("as root it can): /sys/kernel/debug/zswap/stored_pages" in note for note in vl.calibrate(folder).notes)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(sorted(BOX)), st.binary(max_size=60), min_size=1, max_size=3))
def test_calibrate__makes_a_machine_or_refuses_whatever_is_in_the_files(tmp_path, damage):
    folder = box(tmp_path, BOX)
    for name, data in damage.items():
        (folder / name).write_bytes(data)

    try:
        found = vl.calibrate(folder)
        assert vl.machine_from_dict(tomllib.loads(found.toml("x"))) == found.machine
    except vl.InputError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either way is right


def test_psi__reads_both_lines():
    text = "some avg10=1.00 avg60=2.00 avg300=3.00 total=4\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"

    assert psi("memory", text)["psi full total"] == 0
    assert len(psi("memory", text)) == 8
