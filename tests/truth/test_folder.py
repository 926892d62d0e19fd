"""Truth folders: traces to the bit, counters to the digit, and one line for everything that is broken."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vswaplab as vl
from vswaplab.truth import TruthRun, read_metadata
from vswaplab.truth.counters import COUNTERS, agreement, ceiling, kernel_counters, lru_agreement, ranges, repetitions
from vswaplab.truth.machines import trace_of
from vswaplab.truth.traces import TRACE_KINDS, TraceSettings, accesses, content_classes, trace_sha256

TRUTH = Path(__file__).resolve().parents[2] / "data" / "truth"
KERNEL = {run.name: run for run in vl.read_truth(TRUTH / "kernel")}
VSWAP = {run.name: run for run in vl.read_truth(TRUTH / "vswap")}
EVERY = KERNEL | VSWAP
COMPLETED = [name for name, run in EVERY.items() if not run.is_killed]

# Traces ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(EVERY))
def test_accesses__are_those_of_the_kernel_bit_for_bit(name: str) -> None:
    run = EVERY[name]

    assert run.trace_sha256 == trace_sha256(accesses(run.trace)) or (run.is_killed and run.trace_sha256 is None)


def test_accesses__every_kind_was_replayed_by_a_kernel() -> None:
    assert {run.trace.kind for run in EVERY.values() if run.trace_sha256} == set(TRACE_KINDS)


@pytest.mark.parametrize("kind", list(TRACE_KINDS))
def test_accesses__stay_within_the_pages(kind: str) -> None:
    packed = accesses(TraceSettings(kind, n_pages=10, n_acc=200, seed=3, write_pct=100))

    assert (packed >> 31).all()
    assert set((packed & 0x7FFFFFFF).tolist()) <= set(range(10))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"kind": "zipff"}, "no trace of kind 'zipff': choose from uniform, loop"),
        ({"n_pages": 9}, "trace n_pages must be between 10"),
        ({"n_acc": 7}, "trace n_acc must be between 8"),
        ({"write_pct": 101}, "trace write_pct must be between 0 and 100, got 101"),
    ],
)
def test_trace_settings__refuses_what_no_trace_can_have(changed: dict[str, Any], words: str) -> None:
    good = {"kind": "zipf", "n_pages": 10, "n_acc": 8, "seed": 1, "write_pct": 0}

    with pytest.raises(vl.InputError, match=words):
        TraceSettings(**good | changed)


def test_content_classes__as_many_pages_of_each_as_the_kernel_saw() -> None:
    found = np.bincount(content_classes(65_536, [5, 15, 30, 35, 15], 101))

    assert found.tolist() == [3_323, 9_796, 19_654, 22_926, 9_837]  # present and swapped pages of the full runs
    end = KERNEL["loop_off"].epochs.filter(row="epoch")[-1]
    assert [end[f"present_c{k}"][0] + end[f"swapped_c{k}"][0] for k in range(5)] == found.tolist()


def test_trace_of__the_fill_writes_every_page_in_order() -> None:
    trace = trace_of(VSWAP["vs_zipf_mp10"])

    assert len(trace) == 65_536 + 300_000
    assert trace.page[:65_536].tolist() == list(range(65_536))
    assert set(trace.op[:65_536]) == {1}


# Counters -------------------------------------------------------------------------------------

# As they were published with the measurements, the mean in whole pages: resident (mean), hit, swap cache, zswap or
# zero, disk, zswpout, zswpin, zswpwb, pswpout, stored at the end; with zswap off nothing is stored.
COLUMNS = ("resident_mean", "hits", "swap_cache", "zswap", "disk", "zswpout", "zswpin", "zswpwb", "pswpout")
PUBLISHED: dict[str, tuple[int, ...]] = {
    "global_zipf_mp20": (34271, 269812, 358, 21386, 8444, 43015, 19939, 1300, 16554, 21776),
    "hotscan_mp10": (18467, 261125, 275, 21462, 17138, 50968, 19546, 9255, 31347, 22167),
    "k73_zipf_mp10": (18485, 249688, 721, 24332, 25259, 67512, 21846, 28938, 41881, 16728),
    "loop_off": (28489, 0, 0, 15152, 284848, 0, 0, 0, 139218, 0),
    "phases_mp10": (20431, 190567, 1879, 39460, 68094, 84310, 33906, 33320, 70001, 17084),
    "uniform_off": (28493, 130112, 128, 8687, 161073, 0, 0, 0, 116246, 0),
    "zipf_mp10": (20271, 252452, 1131, 22719, 23698, 55910, 20389, 27756, 48575, 7765),
    "zipf_mp10_mglru": (21157, 253785, 1151, 19500, 25564, 50466, 17226, 23296, 48625, 9944),
    "zipf_mp10_shr": (24650, 258412, 1721, 9245, 30622, 58247, 7201, 46150, 56750, 4896),
    "zipf_mp20": (10195, 232368, 3, 57513, 10116, 98349, 54138, 0, 12851, 44211),
    "zipf_mp20_m160_nowb": (17517, 247648, 8146, 44206, 0, 79703, 41636, 0, 0, 38067),
    "zipf_off": (28477, 263495, 53, 1851, 34601, 0, 0, 0, 62046, 0),
}
# there the mean is cut to whole pages; then vswap used, swap slots used, swap-cache pages
VSWAP_PUBLISHED: dict[str, tuple[int, ...]] = {
    "no_phases_mp10": (18187, 184308, 340, 51855, 63497, 73891, 46008, 5536, 60327, 22347, -1, 65539, 17176),
    "no_zipf_mp10": (18090, 248486, 44, 26505, 24965, 47836, 23978, 0, 36416, 23858, -1, 65158, 16031),
    "vs_zipf_mp10": (18070, 247797, 51, 27154, 24998, 48910, 24599, 0, 36453, 24311, 55947, 29135, 6603),
    "vs_zipf_mp10_shr": (24556, 258588, 1286, 9313, 30813, 68572, 7269, 57324, 57324, 3979, 58388, 52415, 19347),
    "vs_zipf_off": (28453, 263142, 116, 1855, 34887, 0, 0, 0, 63972, 0, 62264, 60371, 25260),
    "vs_zipf_mp20_m160_swapmax16": (17802, 247972, 0, 52028, 0, 94720, 49485, 0, 0, 45235, 47648, 0, 0),
}
# hit, minor, swap without I/O, disk, demoted, freed on the node
CRAM_PUBLISHED: dict[str, tuple[int, ...]] = {
    "cram128_zipf384_swap": (273267, 9906, 1020, 15807, 22151, 6949),
    "cram_loop_noswap": (248765, 51235, 0, 0, 51471, 51233),
    "cram_zipf_noswap": (290542, 9458, 0, 0, 8554, 9457),
    "nocram_zipf_swap": (276387, 265, 1159, 22189, 0, 0),
}


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_kernel_counters__are_the_published_ones(name: str) -> None:
    found = kernel_counters(KERNEL[name])

    assert tuple(round(found[column]) for column in (*COLUMNS, "stored_end")) == PUBLISHED[name]


@pytest.mark.parametrize("name", list(VSWAP_PUBLISHED))
def test_kernel_counters__of_vswap_are_the_published_ones(name: str) -> None:
    found = {"vs_used": -1} | kernel_counters(VSWAP[name])

    columns = (*COLUMNS, "stored_end", "vs_used", "slots_used", "swap_cache_end")
    assert tuple(int(found[column]) for column in columns) == VSWAP_PUBLISHED[name]


@pytest.mark.parametrize("name", list(CRAM_PUBLISHED))
def test_kernel_counters__of_cram_are_the_published_ones(name: str) -> None:
    found = kernel_counters(VSWAP[name])

    columns = ("hits", "swap_cache", "zswap", "disk", "demoted", "promoted")
    assert tuple(found[column] for column in columns) == CRAM_PUBLISHED[name]


@pytest.mark.parametrize("name", COMPLETED)
def test_kernel_counters__every_access_has_one_outcome(name: str) -> None:
    found = kernel_counters(EVERY[name])

    assert sum(found[column] for column in ("hits", "swap_cache", "zswap", "disk")) == EVERY[name].trace.n_acc
    assert set(found) <= set(COUNTERS)


def test_ranges__of_all_repetitions_are_those_of_the_noise_table() -> None:
    both = repetitions(
        KERNEL["hotscan_mp10"], list(KERNEL.values())
    )  # the one repeated run whose repetitions are all here
    bare = [replace(run, noise={}) for run in both]

    assert [run.name for run in both] == ["hotscan_mp10", "hotscan_mp10.r1"]
    assert {name: ends for name, ends in ranges(bare).items() if name in both[0].noise} == both[0].noise
    assert len(both[0].noise) == 12


def test_ranges__the_noise_table_tells_of_repetitions_that_are_not_here() -> None:
    (alone,) = repetitions(KERNEL["zipf_off"], list(KERNEL.values()))
    low, high = ranges([alone])["hits"]

    assert low <= kernel_counters(alone)["hits"] <= high
    assert low < high


def test_repetitions__with_and_without_vswap_are_two_configurations() -> None:
    runs = list(VSWAP.values())

    assert VSWAP["vs_zipf_mp20"].config == VSWAP["no_zipf_mp20"].config
    assert [run.name for run in repetitions(VSWAP["vs_zipf_mp20"], runs)] == ["vs_zipf_mp20", "vs_zipf_mp20.r1"]


# Agreement ------------------------------------------------------------------------------------


def test_agreement__what_the_model_did_not_come_to_does_not_agree() -> None:
    kernel = np.array([0, 1, 2, 3], np.uint8)

    assert agreement(kernel, kernel) == 1
    assert agreement(kernel, kernel[:3]) == 0.75
    assert agreement(kernel, np.array([0, 0, 2, 2], np.uint8)) == 0.5


def test_ceiling__is_the_lowest_agreement_of_two_repetitions() -> None:
    both = [KERNEL["hotscan_mp10"], KERNEL["hotscan_mp10.r1"]]

    assert ceiling(both[:1]) is None
    assert ceiling(both) == agreement(both[0].code, both[1].code) == pytest.approx(0.924, abs=0.05)


def small(page: list[int], code: list[int], resident: int) -> TruthRun:
    """Make a run of ten pages and eight accesses; ``page`` is not used but says what a loop touches."""
    epochs = pl.DataFrame({"row": ["epoch"], "present_c0": [resident]})
    run = replace(
        KERNEL["loop_off"], trace=TraceSettings("loop", 10, 8, 1, 0), classes=KERNEL["loop_off"].classes[:1],
        epochs=epochs, code=np.array(code, np.uint8),
    )  # fmt: skip
    assert accesses(run.trace).tolist() == page
    return run


def test_lru_agreement__by_hand() -> None:
    # after the fill 4 pages are in: 6, 7, 8, 9; the loop evicts each just before it comes, so an LRU never hits
    loop = list(range(8))

    assert lru_agreement(small(loop, [3] * 8, resident=4)) == 1
    assert lru_agreement(small(loop, [0, 1, 2, 3] * 2, resident=4)) == 0.75  # two hits that it misses
    assert lru_agreement(small(loop, [0] * 8, resident=10)) == 1


# Broken folders -------------------------------------------------------------------------------

Edit = Callable[[Path], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Copy one run to a folder of its own."""
    return one_run(tmp_path / "truth")


def one_run(folder: Path, name: str = "loop_off") -> Path:
    folder.mkdir()
    document = json.loads((TRUTH / "kernel" / "runs.json").read_text())
    document["runs"] = [run for run in document["runs"] if run["run"] == name]
    (folder / "runs.json").write_text(json.dumps(document))
    pl.read_csv(TRUTH / "kernel" / "epochs.csv", infer_schema_length=None).filter(run=name).write_csv(
        folder / "epochs.csv"
    )
    with np.load(TRUTH / "kernel" / "outcomes.npz") as packed:
        np.savez_compressed(folder / "outcomes.npz", **{name: packed[name]})
    return folder


def settings_of(change: Callable[[dict[str, Any]], Any]) -> Edit:
    def edit(folder: Path) -> None:
        document = json.loads((folder / "runs.json").read_text())
        change(document["runs"][0])
        (folder / "runs.json").write_text(json.dumps(document))

    return edit


def epochs_of(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Edit:
    def edit(folder: Path) -> None:
        change(pl.read_csv(folder / "epochs.csv", infer_schema_length=None)).write_csv(folder / "epochs.csv")

    return edit


def codes_of(change: Callable[[np.ndarray], np.ndarray]) -> Edit:
    def edit(folder: Path) -> None:
        with np.load(folder / "outcomes.npz") as packed:
            code = packed["loop_off"]
        np.savez_compressed(folder / "outcomes.npz", loop_off=change(code))

    return edit


def cut(name: str, share: float) -> Edit:
    def edit(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * share)])

    return edit


def twice(folder: Path) -> None:
    document = json.loads((folder / "runs.json").read_text())
    document["runs"] *= 2
    (folder / "runs.json").write_text(json.dumps(document))


def flipped(code: np.ndarray) -> np.ndarray:
    return np.r_[code[:1] ^ 1, code[1:]]


BROKEN: dict[str, tuple[Edit, str]] = {
    "no folder": (shutil.rmtree, "is not a folder: give one that holds runs.json"),
    "no runs": (lambda folder: (folder / "runs.json").unlink(), "holds no runs.json and no cram_runs.json"),
    "runs cut": (cut("runs.json", 0.5), "runs.json is not whole JSON"),
    "runs no table": (lambda folder: (folder / "runs.json").write_text("[]"), "is not a table of settings"),
    "runs without runs": (lambda folder: (folder / "runs.json").write_text("{}"), "has no runs"),
    "run twice": (twice, "has run 'loop_off' twice"),
    "no kernel": (settings_of(lambda run: run.pop("kernel")), "run 'loop_off' has no kernel"),
    "wrong number": (settings_of(lambda run: run.update(vcpus="two")), "run 'loop_off': vcpus must be a whole number"),
    "wrong limit": (settings_of(lambda run: run["memcg"].update({"memory.max": -1})), "memory.max must be a whole"),
    "unknown trace": (settings_of(lambda run: run["trace"].update(kind="walk")), "no trace of kind 'walk'"),
    "other trace": (settings_of(lambda run: run["trace"].update(seed=12)), "run 'loop_off' replayed a trace with SHA-"),
    "other classes": (settings_of(lambda run: run["content"].update(seed_class=1)), "the outcomes have"),
    "shares": (settings_of(lambda run: run["content"]["mix"].pop()), "percentages add up to 100"),
    "no epochs": (lambda folder: (folder / "epochs.csv").unlink(), "cannot read"),
    "epochs cut": (cut("epochs.csv", 0.5), "epochs.csv"),
    "epochs empty": (lambda folder: (folder / "epochs.csv").write_text(""), "is not a whole CSV table"),
    "epoch lost": (epochs_of(lambda rows: rows.filter(pl.col("access") != 60_000)), "19 epochs up to access 300000"),
    "no start": (epochs_of(lambda rows: rows.filter(pl.col("row") != "start")), "lacks its row 'start'"),
    "column lost": (epochs_of(lambda rows: rows.drop("vm_pswpout")), "has no column vm_pswpout"),
    "column of words": (epochs_of(lambda rows: rows.with_columns(code0=pl.lit("many"))), "code0 holds something"),
    "number lost": (epochs_of(lambda rows: rows.with_columns(vm_pswpin=None)), "lacks numbers in column vm_pswpin"),
    "other sums": (epochs_of(lambda rows: rows.with_columns(pl.col("code3") + 1)), "accesses of code3, the epochs"),
    "no outcomes": (lambda folder: (folder / "outcomes.npz").unlink(), "cannot read"),
    "outcomes cut": (cut("outcomes.npz", 0.5), "is not a whole archive"),
    "outcomes of another run": (settings_of(lambda run: run.update(run="walk")), "walk"),
    "outcomes too short": (codes_of(lambda code: code[:-1]), "must be 75000 bytes, four accesses each"),
    "outcomes of another kind": (codes_of(lambda code: code.astype(np.int32)), "of int32"),
    "an outcome changed": (codes_of(flipped), "the files are not of one set"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(BROKEN))
def test_read_truth__refuses_a_broken_folder_in_one_line(folder: Path, name: str) -> None:
    edit, words = BROKEN[name]
    edit(folder)

    with pytest.raises(vl.InputError) as refusal:
        vl.read_truth(folder)

    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["runs.json", "epochs.csv", "outcomes.npz", "calibration.csv"])
def test_read_truth__a_file_that_the_disk_refuses_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to("/proc/self/mem")

    with pytest.raises(vl.InputError, match=f"cannot read .*{name}: Input/output error; "):
        vl.read_truth(folder)


def test_read_truth__a_folder_may_say_that_it_kept_no_outcomes(folder: Path) -> None:
    document = json.loads((folder / "runs.json").read_text()) | {"outcome_codes": False}
    (folder / "runs.json").write_text(json.dumps(document))
    (folder / "outcomes.npz").unlink()

    (run,) = vl.read_truth(folder)
    assert run.code is None
    assert lru_agreement(run) is None


def assert_read_or_refused(folder: Path) -> None:
    told = ""
    try:
        assert len(vl.read_truth(folder)) == 1
    except vl.InputError as refusal:
        told = str(refusal)
    assert "\n" not in told


# A file may lose its last row or a byte that nobody reads: then the run is read. It may not fail in any other way.
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    file=st.sampled_from(["runs.json", "epochs.csv", "outcomes.npz"]),
    place=st.floats(0, 1, exclude_max=True),
    byte=st.one_of(st.none(), st.integers(0, 255)),
)
def test_read_truth__damage_anywhere_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, file: str, place: float, byte: int | None
) -> None:
    folder = one_run(tmp_path_factory.mktemp("damage") / "truth")
    content = (folder / file).read_bytes()
    at = int(len(content) * place)
    (folder / file).write_bytes(content[:at] if byte is None else content[:at] + bytes([byte]) + content[at + 1 :])

    assert_read_or_refused(folder)


def test_read_truth__a_folder_s_name_need_not_be_utf_8(tmp_path: Path) -> None:
    folder = one_run(tmp_path / "own").rename(tmp_path / os.fsdecode(b"own\xff"))
    shutil.copy(TRUTH / "kernel" / "calibration.csv", folder)
    shutil.copy(TRUTH / "vswap" / "metadata.csv", folder)

    assert [run.name for run in vl.read_truth(folder)] == ["loop_off"]
    assert read_metadata(folder).height == read_metadata(TRUTH / "vswap").height


def test_read_metadata__a_folder_without_it_has_no_rows() -> None:
    assert read_metadata(TRUTH / "kernel").height == 0


def test_read_metadata__refuses_a_file_without_a_column(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("run,step\nx,u0\n")

    with pytest.raises(vl.InputError, match="has no column vswap"):
        read_metadata(tmp_path)
