"""Corpora of images; needs the extra ``record``."""

from __future__ import annotations

import json
import os
import signal
import zlib

import polars as pl
import pytest

import vswaplab as vl
from tests.images.conftest import NOISE, PAGE, TEXT, WRITABLE, ZERO, core_bytes
from vswaplab.cli import main
from vswaplab.contents import sizes
from vswaplab.images.measure import MOST_ROWS

pytest.importorskip("lz4")
pytest.importorskip("zstandard")
pytestmark = pytest.mark.filterwarnings("ignore:the column lzo_4k is left out")  # where liblzo2 is missing


def raw_deflate(page: bytes) -> int:
    stream = zlib.compressobj(1, zlib.DEFLATED, -13)
    return len(stream.compress(page) + stream.flush())


def die(pages: object) -> None:
    os._exit(9)  # as the kernel's out-of-memory killer would


def test_measure__has_the_columns_of_a_shipped_corpus(write):
    table = vl.measure(write(TEXT + ZERO + NOISE), processes=1).table
    shipped = vl.load_contents("redis").table.schema

    here = {name: dtype for name, dtype in shipped.items() if name in table.columns}
    assert set(shipped) - set(here) <= {"lzo_4k"}  # without liblzo2
    assert dict(table.schema) == here


def test_measure__sizes_are_those_of_the_libraries(write):
    table = vl.measure(write(TEXT + ZERO + NOISE), processes=1).table

    assert table["is_zero"].to_list() == [False, True, False]
    assert table["deflate1_4k"].to_list() == [raw_deflate(TEXT), raw_deflate(ZERO), 4096]
    assert table["lz4_4k"][2] == table["lz4_1k"][2] == 4096
    assert table["page"].to_list() == [0, 1, 2]


@pytest.mark.slow
def test_measure__in_processes_gives_the_same_table(write, monkeypatch):
    monkeypatch.setattr("vswaplab.images.measure._FEW_PAGES", 0)
    monkeypatch.setattr("vswaplab.images.measure._CHUNK_PAGES", 3)
    path = write((TEXT + ZERO + NOISE) * 4)

    assert vl.measure(path, processes=2).table.equals(vl.measure(path, processes=1).table)


def test_measure__a_process_that_is_killed_is_one_line(write, monkeypatch):
    monkeypatch.setattr("vswaplab.images.measure._FEW_PAGES", 0)
    monkeypatch.setattr("vswaplab.images.measure._measure_elsewhere", die)

    with pytest.raises(vl.InputError, match=r"one of 2 processes that measure died .*: start again with fewer"):
        vl.measure(write(TEXT * 4), processes=2)


def test_measure__samples_and_says_so(write):
    contents = vl.measure(write(TEXT * 256), most_pages=128, processes=1)

    assert contents.about["pages_seen"] == 256
    assert contents.about["pages_measured"] == 128
    assert contents.table["page"].to_list() == [*range(64), *range(128, 192)]


def test_measure__keeps_what_was_finished_at_ctrl_c(write, monkeypatch):
    monkeypatch.setattr("vswaplab.images.measure._CHUNK_PAGES", 4)
    path = write(TEXT * 16)

    with pytest.warns(UserWarning, match="interrupted: 4 of 16 pages are measured"):
        contents = vl.measure(path, processes=1, progress=lambda *_: signal.raise_signal(signal.SIGINT))
    assert contents.table["page"].to_list() == [0, 1, 2, 3]
    assert contents.about["partial"]


def test_measure__without_liblzo2_leaves_the_column_out_and_says_how_to_get_it(write, monkeypatch):
    monkeypatch.setattr(sizes, "lzo_library", lambda: None)

    with pytest.warns(UserWarning, match=r"lzo_4k is left out: .*apt-get install liblzo2-2"):
        contents = vl.measure(write(TEXT), processes=1)
    assert "lzo_4k" not in contents.table.columns


def test_measure__without_the_libraries_says_what_to_install(write, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lz4.block", None)

    with pytest.raises(vl.InputError, match=r"pip install 'vswaplab\[record\]'"):
        vl.measure(write(TEXT), processes=1)


@pytest.mark.parametrize("given", [{}, {"file": "a", "core": "b"}, {"core": "b", "pid": 1}])
def test_measure__takes_one_image(given):
    with pytest.raises(vl.InputError, match="measure one thing"):
        vl.measure(**given)


def test_contents__come_back_from_a_file_and_feed_a_trace(write, tmp_path):
    saved = vl.measure(write(TEXT * 3 + NOISE), processes=1)
    contents = vl.load_contents(saved.save(tmp_path / "mine.parquet"))
    trace = vl.zipf(n_pages=64, n_accesses=1000, corpus=contents.corpus)
    machine = vl.Machine(vl.Dram(16), zswap=vl.Zswap(max_pool_percent=100), swapfiles=[vl.Swapfile(64)])
    lengths = set(vl.simulate(trace, machine).state().filter(pl.col("backing") == "ZSWAP")["stored_bytes"])

    assert contents.table.equals(saved.table)
    assert lengths <= set(saved.table["lz4_4k"])


def test_contents__replace_nothing_but_a_corpus(write, tmp_path):
    contents = vl.measure(write(TEXT), processes=1)
    (tmp_path / "notes.txt").write_text("mine")
    trace = vl.save_trace(vl.Trace([0]), tmp_path / "trace.parquet")
    for mine in (tmp_path / "notes.txt", trace):
        before = mine.read_bytes()
        with pytest.raises(vl.InputError, match=f"{mine.name} is there, and no corpus that vswaplab wrote"):
            contents.save(mine)
        assert mine.read_bytes() == before
    assert contents.save(contents.save(tmp_path / "own.parquet"))


def test_with_contents__changes_contents_and_no_access(write):
    contents = vl.measure(write(TEXT * 3 + NOISE), processes=1)
    trace = vl.load_trace("sort").head(2000)
    other = vl.with_contents(trace, contents.corpus)

    assert (other.page == trace.page).all()
    assert set(other.content) <= set(range(4))
    with pytest.raises(vl.InputError, match="drifts or collapses already"):
        vl.with_contents(vl.collapse(trace, at=5), contents.corpus)


def test_with_contents__names_what_is_no_corpus():
    expected = r"^corpus must be a vl.Corpus .* got 'redis': vl.load_contents\(...\).corpus reads one from a file$"
    with pytest.raises(vl.InputError, match=expected):
        vl.with_contents(vl.Trace([0]), "redis")


@pytest.mark.slow
def test_cli__run_takes_what_measure_wrote(write, tmp_path, capsys):
    path = vl.measure(write(NOISE * 8), processes=1).save(tmp_path / "noise.parquet")
    words = ["run", "sort", "--head", "60000", "--machine", "zswap-only", "--no-report", "--out", str(tmp_path / "out")]

    assert main([*words, "--contents", str(path)]) == 0
    result = vl.load_result(tmp_path / "out")
    assert result.totals["zswpout_bytes"] == 4096 * result.totals["zswpout"] > 0  # nothing compresses
    assert f"--contents {path}" in result.provenance["command"]


@pytest.mark.parametrize("words", [[], ["--out", "here"]])
def test_cli__a_place_that_cannot_be_written_is_refused_before_the_work(words, write, monkeypatch, capsys):
    image = write(TEXT)
    monkeypatch.chdir("/proc")
    monkeypatch.setattr("vswaplab.cli.measure.measure", lambda *_, **__: pytest.fail("worked first"))

    assert main(["measure", str(image), *words]) == 2
    assert "cannot write results to " in capsys.readouterr().err


def test_measure__no_process_is_not_the_default(write):
    with pytest.raises(vl.InputError, match="processes must be a whole number from 1 to 4096, got 0"):
        vl.measure(write(TEXT), processes=0)


def test_load_contents__refuses_what_is_no_corpus(write, tmp_path, monkeypatch):
    with pytest.raises(vl.InputError, match="cannot read the corpus"):
        vl.load_contents(write(b"PAR1 and nothing else"))
    for place, reason in ((tmp_path, "Is a directory"), (tmp_path / "nosuch", "No such file or directory")):
        with pytest.raises(vl.InputError, match=rf"^cannot read the corpus {place}: {reason}; give a file"):
            vl.load_contents(place)
    monkeypatch.setattr("vswaplab.images.measure.MOST_ROWS", 10)
    with pytest.raises(vl.InputError, match="a corpus has at most 10"):
        vl.load_contents("redis")
    assert MOST_ROWS > 10


@pytest.mark.parametrize(
    ("table", "about", "reason"),
    [
        (
            {"page": [0], "op": [0]},
            None,
            "it has no column of sizes, such as lz4_4k; give a file that vswaplab measure",
        ),
        ({"page": [0], "op": [0]}, {"kind": "trace"}, "it is a trace; give a file that vswaplab measure wrote"),
        ({"lz4_4k": [0]}, {"kind": "corpus"}, "sizes are whole bytes, 1 to 4096"),
        ({"lz4_4k": [64]}, [5], r"its vswaplab metadata is \[5\]"),
    ],
)
def test_load_contents__names_a_parquet_that_is_no_corpus(table, about, reason, tmp_path):
    path, metadata = tmp_path / "a.parquet", None if about is None else {"vswaplab": json.dumps(about)}
    pl.DataFrame(table).write_parquet(path, metadata=metadata)
    with pytest.raises(vl.InputError, match=rf"a\.parquet.*{reason}"):
        vl.load_contents(path)


def test_load_contents__takes_a_table_of_one_s_own(tmp_path):
    pl.DataFrame({"own_halves": [2048, 64]}).write_parquet(tmp_path / "own.parquet")

    assert len(vl.load_contents(tmp_path / "own.parquet").corpus) == 2


def test_load_contents__a_file_that_the_disk_refuses_is_named_once():
    with pytest.raises(vl.InputError, match="cannot read the corpus /proc/self/mem: No such device; give a file"):
        vl.load_contents("/proc/self/mem")


@pytest.mark.slow
def test_cli__writes_corpus_and_figure_and_tells_both_kinds_of_ratio(write, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    core = write(core_bytes([(PAGE, WRITABLE, (TEXT + NOISE) * 4)]), "core.17")

    assert main(["measure", "--core", str(core)]) == 0
    told = capsys.readouterr().out
    folder = tmp_path / "vswaplab-results" / "measure-core.17"
    assert "Measured the core dump core.17: 8 pages (32.0 KiB), all of it" in told
    assert "Total" in told
    assert "Page p50" in told
    assert vl.load_contents(folder / "corpus.parquet").table.height == 8
    assert "What the pages of the core dump core.17 hold" in (folder / "contents.svg").read_text()


def test_cli__measures_a_file_whose_name_is_not_utf_8(write, tmp_path, capsys):
    name = os.fsdecode(b"n\xff.bin")
    image = write(TEXT + NOISE).rename(tmp_path / name)
    assert main(["measure", str(image), "--json", "--out", str(tmp_path / "out")]) == 0

    assert json.loads(capsys.readouterr().out)["about"]["name"] == name
    assert json.loads((tmp_path / "out" / "provenance.json").read_text())["about"]["name"] == name
    assert vl.load_contents(tmp_path / "out" / "corpus.parquet").about["name"] == name
    assert r"the file n\udcff.bin hold" in (tmp_path / "out" / "contents.svg").read_text(encoding="utf-8")


def test_cli__measuring_again_replaces_its_own_files_only(write, tmp_path, capsys):
    words = ["measure", str(write(TEXT + NOISE)), "--out", str(tmp_path / "mm")]
    assert main(words) == 0
    (tmp_path / "mm" / "notes.txt").write_text("mine")

    assert main(words) == 0
    assert sorted(p.name for p in (tmp_path / "mm").iterdir()) == [
        "contents.svg", "corpus.parquet", "notes.txt", "provenance.json",
    ]  # fmt: skip
    assert main(["run", "sort", "--head", "2000", "--no-report", "--out", str(tmp_path / "mm")]) == 2
    assert "mm holds files that are not a vswaplab result" in capsys.readouterr().err


@pytest.mark.slow
def test_cli__json_holds_the_same_numbers(write, tmp_path, capsys):
    assert main(["measure", str(write(TEXT + NOISE)), "--json", "--out", str(tmp_path / "out")]) == 0
    document = json.loads(capsys.readouterr().out)

    lz4 = next(row for row in document["codecs"] if row["column"] == "lz4_4k")
    size = vl.load_contents(tmp_path / "out" / "corpus.parquet").table["lz4_4k"].sum()
    assert lz4["total_ratio"] == pytest.approx(8192 / size)
    assert document["about"]["pages_measured"] == 2


def test_cli__refuses_in_one_line(capsys):
    assert main(["measure", "--core", "/bin/true"]) == 2
    assert main(["measure", "--pid", "none"]) == 2
    assert main(["measure"]) == 2
    assert main(["measure", "/proc/self/mem"]) == 2
    assert main(["measure", "--core", "/proc/self/mem"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 5
    assert "no core dump" in said[0]
    assert "--pid must be a whole number" in said[1]
    assert "/proc/self/mem does not say how long it is (Invalid argument): copy" in said[3]
    assert said[4] == said[3]
