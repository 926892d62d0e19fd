"""Plug-ins registered in a notebook, and the files that need none."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import vswaplab as vl
from tests.plugins.test_installed import PROFILE
from vswaplab.base.plugins import plugin_names, remember, source_of, unregister
from vswaplab.cli import main
from vswaplab.contents.sizes import measures
from vswaplab.engine.reference.policies import Lru

OWN = PROFILE.partition('[[profile]]\nname = "rle"\n')[0]


def halves(pages):
    return np.full(len(pages), 2048)


@pytest.mark.filterwarnings("ignore:the column lzo_4k is left out")  # where liblzo2 is missing
def test_codec__is_a_column_that_measure_makes_and_a_profile_stores_by(tmp_path):
    pytest.importorskip("lz4")
    (tmp_path / "image").write_bytes(bytes(range(256)) * 64)
    (tmp_path / "mine.toml").write_text(OWN.replace("runs_4k", "halves_4k"))
    vl.register("codec", "halves_4k", halves)
    vl.register("profiles", "mine", tmp_path / "mine.toml")
    try:
        contents = vl.measure(tmp_path / "image", processes=1)
        assert contents.table["halves_4k"].to_list() == [2048] * 4
        trace = vl.zipf(n_pages=64, n_accesses=500, corpus=contents.corpus)
        machine = vl.Machine(vl.Dram(20, high=1), vl.Cram(1 << 20, "rle-device"), layer="vswap")
        totals = vl.simulate(trace, machine).totals
        assert totals["cram_in_bytes"] == 2048 * totals["cram_in"] > 0
    finally:
        unregister("codec", "halves_4k")
        unregister("profiles", "mine")
    with pytest.raises(vl.InputError, match="no cram profile 'rle-device'"):
        vl.Cram(1 << 20, "rle-device")


class Far(vl.Store):
    """Does not say what a page takes."""

    name = "far"


@pytest.mark.parametrize(
    ("kind", "name", "plugin", "words"),
    [
        ("profiles", "mine", "/tmp/nosuch.toml", "cannot read the profile file /tmp/nosuch.toml"),
        ("profiles", "mine", "bad.toml", "bad.toml: a profile without a name"),
        ("profiles", "mine", "taken.toml", "taken.toml: profile 'zstd' is there already; rename it"),
        ("profiles", "mine", 1, "the plug-in 'mine' of profiles is 1: it must be a TOML file's path"),
        ("profiles", "mine", lambda: 1 / 0, "'mine' of profiles gave no file .ZeroDivisionError"),
        ("policy", "lru", Lru, "'lru' is a policy that is built in"),
        ("policy", "mine", object(), "the policy 'mine' lacks arrive"),
        ("policy", "mine", Lru(), "the policy 'mine' is no class"),
        ("store", "dram", object(), "the store 'dram' is no subclass of vl.Store"),
        ("store", "dram", type("Own", (Far,), {"name": "dram", "stored_bytes": print}), "no tier's or counter's own"),
        ("store", "far", Far, "the store 'far' does not say what a page takes: give it stored_bytes"),
        ("codec", "x", 1, "the codec 'x' is 1: it must be a function"),
        ("codec", "lz4_4k", halves, "'lz4_4k' is a column of a corpus that is built in"),
        ("codec", "is_zero", halves, "'is_zero' is a column of a corpus that is built in"),
    ],
)
def test_register__looks_at_what_it_is_given(kind, name, plugin, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text("[[profile]]\nx = 1\n")
    (tmp_path / "taken.toml").write_text(OWN.replace("runs_4k", "lz4_4k").replace('"rle-device"', '"zstd"'))
    before = plugin_names(kind)

    with pytest.raises(vl.InputError, match=words):
        vl.register(kind, name, plugin)
    assert plugin_names(kind) == before


def test_register__again_reads_the_file_again(tmp_path):
    for name in ("first", "second"):
        (tmp_path / "mine.toml").write_text(OWN.replace("runs_4k", "lz4_4k").replace("rle-device", name))
        vl.register("profiles", "mine", tmp_path / "mine.toml")
        try:
            assert name in vl.profiles()["name"]
        finally:
            unregister("profiles", "mine")


def test_profiles__of_a_file_that_cannot_be_read_are_missed_when_they_are_asked_for(tmp_path):
    remember("profiles", "mine", tmp_path / "gone.toml")  # as an installed one is
    try:
        with pytest.warns(UserWarning, match="profiles of a plug-in are left out: cannot read the profile file"):
            assert vl.Zswap(compressor="zstd").compressor == "zstd"
        with pytest.raises(
            vl.InputError, match=r"no cram profile 'rle-device'; .*a plug-in's are left out: .*gone.toml"
        ):
            vl.Cram(1 << 20, "rle-device")
    finally:
        unregister("profiles", "mine")


@pytest.mark.parametrize(
    "gives", [lambda pages: np.full(len(pages), 4097), lambda pages: np.full(3, 5), lambda pages: 1.5]
)
def test_codec__that_gives_no_sizes_is_refused(gives):
    pytest.importorskip("lz4")
    vl.register("codec", "odd_4k", gives)
    try:
        with pytest.raises(vl.InputError, match="the codec 'odd_4k' gave"):
            measures()["odd_4k"](np.zeros((2, 4096), np.uint8))
    finally:
        unregister("codec", "odd_4k")


def test_profile__may_store_by_a_column_of_the_user_s_own_corpus(tmp_path):
    (tmp_path / "mine.toml").write_text(OWN.replace("runs_4k", "own_device"))
    corpus = vl.Corpus(pl.DataFrame({"own_device": [1000, 3000]}))
    machine = vl.Machine(vl.Dram(8, high=1), swapfiles=[vl.Swapfile(99)])
    from vswaplab.machine.presets import with_settings

    settings = ["cram.media_bytes=1MiB", "cram.profile=rle-device"]
    machine = with_settings(machine, settings, tmp_path / "mine.toml")
    trace = vl.loop(n_pages=20, n_accesses=100, corpus=corpus)
    assert vl.simulate(trace, machine).totals["cram_in"] > 0
    with pytest.raises(vl.InputError, match="the corpus has no size column 'own_device'"):
        vl.simulate(vl.loop(n_pages=20, n_accesses=100), machine)


def test_costs__from_a_file_change_times_and_nothing_else(tmp_path, capsys):
    (tmp_path / "costs.toml").write_text("[costs]\nfault_ns = 5000\ndram_ns = 90\n")
    (tmp_path / "bad.toml").write_text("fualt_ns = 5000\n")
    costs = vl.load_costs(tmp_path / "costs.toml")

    assert (costs.fault_ns, costs.dram_ns, costs.victim_ns) == (5000, 90, vl.Costs().victim_ns)
    words = ["run", "sort", "--head", "20000", "--no-report", "--out", str(tmp_path / "out"), "--costs"]
    assert main([*words, str(tmp_path / "costs.toml")]) == 0
    assert vl.load_result(tmp_path / "out").provenance["machine"]["costs"]["fault_ns"] == 5000
    assert main([*words, str(tmp_path / "bad.toml")]) == 2
    assert "costs.fualt_ns is not a setting: choose from dram_ns, fault_ns" in capsys.readouterr().err.splitlines()[-1]


class Young(Lru):
    """The page that came last leaves."""

    def next_victim(self):
        return self.pages.popitem(last=True)[0]


class Old(Young):
    """The page that came first leaves."""

    def next_victim(self):
        return self.pages.popitem(last=False)[0]


def swept_as_it_changes(tmp_path, monkeypatch, machine, setting, counter):
    # Two classes under one name stand for a plug-in before and after a change; each its own source.
    monkeypatch.setattr("vswaplab.sweeps.run.source_of", lambda plugin: plugin.__doc__)
    trace = vl.loop(n_pages=20, n_accesses=200)
    found = []
    for policy in (Young, Old, Young):
        vl.register("policy", "mine", policy)
        table = vl.sweep(trace, machine, {setting: ["mine"]}, store=tmp_path / "store")
        found.append(table[counter].item())
    unregister("policy", "mine")
    return found


def test_sweep__knows_a_changed_plug_in_from_the_one_before(tmp_path, monkeypatch):
    machine = vl.Machine(vl.Dram(10, high=1), swapfiles=[vl.Swapfile(99)])
    found = swept_as_it_changes(tmp_path, monkeypatch, machine, "dram.policy", "dram_hit")
    assert found[0] == found[2] > found[1] == 0


def test_sweep__knows_a_changed_plug_in_of_the_device_too(tmp_path, monkeypatch):
    cram = vl.Cram(8 << 12, advertised_bytes=8 << 12, node_low=1, node_high=2)
    machine = vl.Machine(vl.Dram(5, high=1), cram, swapfiles=[vl.Swapfile(99)])
    found = swept_as_it_changes(tmp_path, monkeypatch, machine, "cram.writeback_policy", "pswpin")
    assert found[0] == found[2] != found[1]


def test_source_of__is_the_module_s():
    assert "def test_source_of__is_the_module_s" in source_of(Young)
