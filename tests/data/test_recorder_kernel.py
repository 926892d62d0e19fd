"""Runs of kernels in QEMU, without QEMU: settings, the guest's file system, its report, and a folder that grows."""

from __future__ import annotations

import importlib
import lzma
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

RECORDER = Path(__file__).parents[2] / "data" / "recorder" / "kernel"
OWN = Path(__file__).parents[2] / "data" / "truth" / "own"
NAMES = ("settings", "initrd", "folder")  # scripts: they import each other by their bare names
sys.path.insert(0, str(RECORDER))
try:
    settings, initrd, folder = (importlib.import_module(name) for name in NAMES)
finally:
    sys.path.remove(str(RECORDER))
    for name in NAMES:
        sys.modules.pop(name, None)

SMALL = settings.Settings("small", n_pages=10, n_acc=8, epoch=4, mix="50:0,50:400")

# ---- settings -----------------------------------------------------------------------------------


def test_read_matrix__a_run_goes_before_the_defaults_and_those_before_the_table(tmp_path):
    (tmp_path / "m.toml").write_text('[defaults]\nseed = 3\nvcpus = 2\n[[run]]\nname = "a"\nseed = 4\n')

    (found,) = settings.read_matrix(tmp_path / "m.toml")

    assert (found.seed, found.vcpus, found.n_acc) == (4, 2, 300_000)


def test_read_matrix__the_example_is_good():
    found = settings.read_matrix(RECORDER / "example.toml")

    assert [each.name for each in found] == ["zipf_off", "zipf_mp20", "uniform_mp30_zstd_m128"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[run]]\nseed = 1\n", "a run needs a name"),
        ('[[run]]\nname = "a b"\n', "letters, digits"),
        ('[[run]]\nname = "a"\nsede = 1\n', "no setting 'sede'"),
        ('[[run]]\nname = "a"\nseed = "1"\n', "seed must be of kind int, got '1'"),
        ('[[run]]\nname = "a"\nseed = true\n', "seed must be of kind int, got True"),
        ('[[run]]\nname = "a"\nwrite_pct = 101\n', "write_pct must be from 0 to 100, got 101"),
        ('[[run]]\nname = "a"\ncompressor = "zip"\n', "compressor must be one of lzo,"),
        ('[[run]]\nname = "a"\nmix = "50:0,51:8"\n', "add up to 100"),
        ('[[run]]\nname = "a"\nmix = "100:4"\n', "multiples of 8 bytes"),
        ('[[run]]\nname = "a"\nepoch = 1\n', "at most 400 snapshots"),
        ('[[run]]\nname = "a"\n[[run]]\nname = "a"\n', "has run 'a' twice"),
        ("[runs]\n", "must hold tables [[run]]"),
        ("[[run]\n", "is not TOML"),
    ],
)
def test_read_matrix__refuses_in_one_line(tmp_path, text, words):
    (tmp_path / "m.toml").write_text(text)

    with pytest.raises(settings.SetupError) as caught:
        settings.read_matrix(tmp_path / "m.toml")

    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_environment__is_shell_that_sets_what_init_reads():
    text = settings.environment(SMALL, "replay", ["virtio_blk.ko", "lz4.ko"])

    shown = subprocess.run(["sh", "-c", f'{text}\necho "$N_PAGES $ZSWAP $MODULES $MEMORY_MAX"'], capture_output=True)

    assert shown.stdout == b"10 Y virtio_blk.ko lz4.ko 117440512\n"


# ---- the guest's file system --------------------------------------------------------------------


def test_archive__is_laid_out_as_newc():
    made = initrd.archive({"init": (0o755, b"abcde")})

    at = made.index(b"init\0") - 110
    assert made[at : at + 6] == b"070701"
    assert int(made[at + 14 : at + 22], 16) == 0o100755
    assert int(made[at + 54 : at + 62], 16) == 5
    assert made[at + 116 : at + 124] == b"abcde\0\0\0"  # name and contents each padded to four
    assert b"TRAILER!!!" in made[at + 124 :]


def test_find_modules__loads_what_a_module_needs_before_it(tmp_path):
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel" / "lz4.ko.xz").write_bytes(lzma.compress(b"ELF\0depends=lz4-compress\0"))
    (tmp_path / "kernel" / "lz4_compress.ko").write_bytes(b"ELF\0depends=\0")
    kernel = initrd.Kernel("6.12", tmp_path, tmp_path)

    assert list(initrd.find_modules(kernel, ["zsmalloc", "lz4"])) == ["lz4_compress.ko", "lz4.ko"]


def test_find_kernel__wants_to_be_told_which_and_refuses_an_old_one(tmp_path):
    for release in ("6.1.0-9-amd64", "6.12.1-amd64"):
        (tmp_path / "boot").mkdir(exist_ok=True)
        (tmp_path / "boot" / f"vmlinuz-{release}").touch()
        (tmp_path / "usr/lib/modules" / release / "kernel").mkdir(parents=True)

    assert initrd.find_kernel(tmp_path, "6.12.1-amd64").release == "6.12.1-amd64"
    with pytest.raises(settings.SetupError, match=r"there is 6\.1\.0-9-amd64, 6\.12\.1-amd64; say --release"):
        initrd.find_kernel(tmp_path, None)
    with pytest.raises(settings.SetupError, match="too old"):
        initrd.find_kernel(tmp_path, "6.1.0-9-amd64")


def test_find_kernel__packages_that_are_split_keep_the_image_with_the_modules(tmp_path):
    place = tmp_path / "usr/lib/modules/7.3.4-amd64"
    place.mkdir(parents=True)
    (place / "vmlinuz").touch()

    with pytest.raises(settings.SetupError, match="with the kernel's modules too"):
        initrd.find_kernel(tmp_path, None)
    (place / "kernel").mkdir()
    assert initrd.find_kernel(tmp_path, None) == initrd.Kernel("7.3.4-amd64", place / "vmlinuz", place)


@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed: the recorder's C program is not built")
def test_build_workload__compiles(tmp_path):
    assert initrd.build_workload(tmp_path).stat().st_size > 10_000


# ---- the report ---------------------------------------------------------------------------------

TEXT = """row settings
kernel 6.12.1
zswap_enabled Y
zswap_compressor lzo
zswap_max_pool_percent 20
zswap_accept_threshold_percent 90
zswap_shrinker_enabled N
swappiness 100
page_cluster 0
lru_gen 0x0000
row start
access 0
mi_MemTotal_kb 4000
row epoch
access 4
code0 3
code3 1
present_c0 2
present_c1 2
zs_stored_pages 4
vm_unheard_of 1
row epoch
access 8
code0 {hits}
code3 {disk}
present_c0 2
present_c1 4
zs_stored_pages 6
row end
wrong_pages 0
hist_0_9 {hits}
hist_3_14 {disk}
"""


def disk(hits=6, text=TEXT):
    """Give a report disk: eight accesses, two bytes of outcomes."""
    text = text.format(hits=hits, disk=8 - hits).encode()
    head = struct.pack("<8sQQ", b"VSWREPT1", len(text), 2)
    return head.ljust(4096, b"\0") + text.ljust(4096, b"\0") + bytes([0b11_00_00_00, 0b11_00_00_00])


def entry(rep=0, made=SMALL):
    """Give an entry of runs.json as boot.py makes it."""
    run = f"{made.name}.r{rep}" if rep else made.name
    return {"run": run, "config": made.name, "rep": rep} | settings.asked(made)


def test_read_report__takes_settings_snapshots_and_codes_apart():
    report = folder.read_report(disk())

    assert report.settings["kernel"] == "6.12.1"
    assert [row["row"] for row in report.rows] == ["start", "epoch", "epoch"]
    assert report.rows[-1]["code0"] == "6"
    assert report.packed.tolist() == [192, 192]
    assert folder.read_report(bytes(8192)) is None


def test_check_read_back__a_compressor_that_the_kernel_does_not_have():
    report = folder.read_report(disk())

    folder.check_read_back(report, settings.asked(SMALL))
    with pytest.raises(settings.SetupError, match="kept compressor = lzo, asked for was zstd"):
        folder.check_read_back(report, settings.asked(settings.Settings("z", compressor="zstd")))


def test_calibration_rows__bytes_of_what_is_stored_and_of_the_pool():
    text = "row settings\nkernel 6.12.1\n"
    for zswapped, stored, zero in ((0, 0, 4096), (4096, 470 * 4096, 0)):
        text += f"row before\nvm_swpout_zero 7\nzs_pool_total_size 0\nrow after\nvm_swpout_zero {7 + zero}\n"
        text += f"cg_zswapped {zswapped * 4096}\ncg_zswap {stored}\nzs_pool_total_size {482 * zswapped}\n"

    zero, lzo = folder.calibration_rows(folder.read_report(disk(text=text)), "lzo", [0, 400])

    assert (zero["stored_bytes_per_page"], zero["zero_pages"]) == ("", "4096")
    assert (lzo["stored_bytes_per_page"], lzo["pool_bytes_per_page"], lzo["cls"]) == ("470.0", "482.0", "1")


def test_read_kill__figures_of_the_last_report():
    console = """[    9.1] anon 111
[    9.1] zswap 22
[    9.1] zswapped 333
[    9.2] Memory cgroup out of memory: Killed process 91 (workload) total-vm:1kB, anon-rss:88180kB, file-rss:0kB
MemTotal:         473200 kB
"""
    assert folder.read_kill(console) == {
        "anon_rss_kib_at_kill": 88180,
        "cg_zswap_bytes_at_kill": 22,
        "cg_zswapped_bytes_at_kill": 333,
        "cg_zswap_incomp_bytes_at_kill": 0,
        "totalram_pages": 118300,
    }
    assert folder.read_kill("Kernel panic - not syncing") is None


# ---- the folder ---------------------------------------------------------------------------------


def test_folder__what_is_saved_is_read_again(tmp_path):
    with folder.held(tmp_path / "new") as made:
        made.add_run(entry(), folder.read_report(disk()))
        made.save()

    found = folder.Folder(tmp_path / "new")

    assert found.document["runs"][0]["run"] == "small"
    assert found.packed["small"].tolist() == [192, 192]
    assert [(row["row"], row["code0"]) for row in found.epochs.rows] == [("start", ""), ("epoch", "3"), ("epoch", "6")]
    assert "vm_unheard_of" not in found.epochs.columns
    assert [row["count"] for row in found.times.rows] == ["6", "2"]
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == [
        "calibration.csv", "epochs.csv", "latency_hist.csv", "outcomes.npz", "runs.json",
    ]  # fmt: skip


def test_folder__keeps_what_others_put_there(tmp_path):
    (tmp_path / "runs.json").write_text('{"page_size": 4096, "note": "mine", "runs": [{"run": "x", "config": "x"}]}')
    (tmp_path / "epochs.csv").write_text("run,row,mine\r\nx,epoch,0.10\r\n")
    (tmp_path / "noise.csv").write_text(
        "config,counter,runs,mean,min,max,sd,sd_over_mean\nx,code0,2,1.0,1.0,1.0,0.0,\n"
    )
    np.savez_compressed(tmp_path / "outcomes.npz", x=np.array([7], np.uint8))

    made = folder.Folder(tmp_path)
    made.add_run(entry(), folder.read_report(disk()))
    made.save()

    found = folder.Folder(tmp_path)
    assert (found.document["note"], len(found.document["runs"])) == ("mine", 2)
    assert found.epochs.columns[:3] == ["run", "row", "mine"]
    assert (found.epochs.rows[0]["mine"], found.epochs.rows[1]["mine"]) == ("0.10", "")
    assert found.noise.rows[0]["config"] == "x"
    assert found.packed["x"].tolist() == [7]


def test_folder__repetitions_are_numbered_and_their_noise_is_measured(tmp_path):
    made = folder.Folder(tmp_path)
    for hits in (4, 6):
        made.add_run(entry(made.next_repetition("small", settings.asked(SMALL))), folder.read_report(disk(hits)))

    noise = {row["counter"]: row for row in made.noise.rows}
    assert [run["run"] for run in made.document["runs"]] == ["small", "small.r1"]
    assert (noise["code0"]["mean"], noise["code0"]["min"], noise["code0"]["max"]) == ("5.0", "4.0", "6.0")
    assert (noise["code0"]["sd"], noise["code0"]["sd_over_mean"]) == ("1.4", "0.28284")
    assert (noise["resident_mean"]["mean"], noise["stored_mean"]["mean"]) == ("5.0", "5.0")


def test_folder__noise_of_repetitions_that_are_elsewhere_is_kept(tmp_path):
    made = folder.Folder(tmp_path)
    made.noise.rows = [{"config": "small", "counter": "code0", "runs": "5"}]
    for rep in (0, 1):
        made.add_run(entry(rep), folder.read_report(disk()))

    assert [row["runs"] for row in made.noise.rows] == ["5"]


def test_folder__refuses_other_settings_under_a_known_name(tmp_path):
    made = folder.Folder(tmp_path)
    made.add_run(entry(), folder.read_report(disk()))
    other = settings.Settings("small", n_pages=10, n_acc=8, epoch=4, mix="50:0,50:400", max_pool_percent=5)

    with pytest.raises(settings.SetupError, match="configuration 'small' with another zswap_parameters"):
        made.next_repetition("small", settings.asked(other))
    with pytest.raises(settings.SetupError, match="has a run 'small'"):
        made.add_failed(entry())


def test_folder__a_killed_run_counts_as_a_repetition(tmp_path):
    made = folder.Folder(tmp_path)
    made.add_failed(entry() | {"anon_rss_kib_at_kill": 1})

    assert made.next_repetition("small", settings.asked(SMALL)) == 1


def test_folder__rows_of_a_save_that_was_cut_off_are_replaced(tmp_path):
    made = folder.Folder(tmp_path)
    made.add_run(entry(), folder.read_report(disk()))
    made.document["runs"].clear()
    made.add_run(entry(), folder.read_report(disk(hits=2)))

    assert [row.get("code0") for row in made.epochs.rows] == [None, "3", "2"]


def test_folder__calibration_is_added_once(tmp_path):
    made = folder.Folder(tmp_path)
    row = {"kernel": "6.12.1", "compressor": "lzo", "k_random_bytes": "400", "stored_bytes_per_page": "470.0"}
    made.add_calibration([row])
    made.add_calibration([row | {"stored_bytes_per_page": "471.0"}])

    assert [found["stored_bytes_per_page"] for found in made.calibration.rows] == ["470.0"]
    assert made.is_calibrated("6.12.1", "lzo", [400])
    assert not made.is_calibrated("6.12.1", "lzo", [400, 1200])


def test_folder__one_writer_at_a_time(tmp_path):
    wait = pytest.raises(settings.SetupError, match="another program is adding")

    with folder.held(tmp_path), wait, folder.held(tmp_path):
        pass


@pytest.mark.parametrize("name", ["runs.json", "outcomes.npz"])
def test_folder__a_damaged_one_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text("{")

    with pytest.raises(settings.SetupError, match="is not a whole truth folder"):
        folder.Folder(tmp_path)

    assert (tmp_path / name).read_text() == "{"


def test_folder__is_what_the_model_is_held_to(tmp_path):
    truth = pytest.importorskip("vswaplab.truth")
    shutil.copytree(OWN, tmp_path / "own")  # made by boot.py: its counts, outcomes and hashes are checked as it is read

    with folder.held(tmp_path / "own") as made:
        killed = made.document["runs"][0] | {"run": "killed", "config": "killed", "anon_rss_kib_at_kill": 1}
        made.add_failed(killed)
        made.save()

    before, after = truth.read_truth(OWN), truth.read_truth(tmp_path / "own")
    assert [run.name for run in after] == [*(run.name for run in before), "killed"]
    assert before[0].name == "uniform_mp30_zstd_m128"
    assert (after[0].code == before[0].code).all()
    assert after[0].epochs.equals(before[0].epochs)
    assert after[0].lengths == (64, 421, 1222, 2427, 4096)
