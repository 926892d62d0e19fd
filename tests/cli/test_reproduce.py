"""``vswaplab reproduce``: what it writes, what a check names, what it refuses, what Ctrl-C leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from vswaplab import cli
from vswaplab.reproduce.manifest import shipped_manifest

Captured = pytest.CaptureFixture[str]

SETUP = """\
import altair as alt
import polars as pl
from vswaplab.charts import setup_display
setup_display()"""
SHOW = "alt.Chart(pl.DataFrame({'x': [1, 2], 'y': [SEED / 2, 0.1]}), title='A line').mark_line().encode(x='x', y='y')"


def write_notebook(folder: Path, name: str, *cells: str) -> None:
    made = [nbformat.v4.new_code_cell(source) for source in (SETUP, "SEED = 7", *cells)]
    made[1].metadata["tags"] = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=made), folder / f"{name}.ipynb")


@pytest.fixture
def notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder of notebooks, in place of the package's."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setattr("vswaplab.cli.reproduce.notebooks_dir", lambda: folder)
    monkeypatch.chdir(tmp_path)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in folder.rglob("*") if path.suffix in (".svg", ".csv", ".tex", ".png")
    }


@pytest.mark.slow
def test_reproduce__twice_gives_the_same_bytes_and_a_check_names_a_changed_number(
    notebooks: Path, capsys: Captured
) -> None:
    write_notebook(notebooks, "01_small", SHOW, "pl.DataFrame({'n_pages': [1234], 'note': ['50 %']})", "{'reads': 5}")

    assert cli.main(["reproduce", "--only", "01", "--out", "one"]) == 0
    assert cli.main(["reproduce", "--only", "01", "--out", "two", "--manifest", "one/manifest.json"]) == 0

    out = capsys.readouterr().out
    assert "1 figures, 2 tables: two; two/manifest.json says what they are" in out
    assert out.endswith("Nothing differs from the manifest.\n")
    assert contents(Path("one")) == contents(Path("two"))
    assert {*contents(Path("one"))} >= {"01_figure_1.svg", "01_figure_1.png", "01_table_1.tex", "01_table_2.csv"}
    manifest = json.loads(Path("one/manifest.json").read_text())
    assert manifest["command"] == "vswaplab reproduce --out one --only 01"
    assert manifest["parts"]["01"]["settings"] == {"SEED": 7}
    write_notebook(
        notebooks, "01_small", SHOW.replace("0.1", "0.2"), "pl.DataFrame({'n_pages': [1234]})", "{'reads': 6}"
    )
    assert cli.main(["reproduce", "--only", "01", "--manifest", "one/manifest.json"]) == 1
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split(":")[0] for line in lines] == [
        "01_figure_1, data",
        "01_table_1, columns",
        "01_table_1, data",
        "01_table_2, data",
    ]


@pytest.mark.slow
def test_reproduce__a_notebook_that_fails_is_named_and_the_others_are_made(notebooks: Path, capsys: Captured) -> None:
    write_notebook(notebooks, "01_broken", "assert SEED == 8, 'the text says 8'")
    write_notebook(notebooks, "02_fine", SHOW)

    assert cli.main(["reproduce", "--only", "01,02", "--out", "made"]) == 1

    assert capsys.readouterr().out.splitlines()[-1] == "01_broken.ipynb stops with AssertionError: the text says 8"
    assert Path("made/figures/02_figure_1.pdf").is_file()
    assert [*json.loads(Path("made/manifest.json").read_text())["parts"]] == ["02"]


@pytest.mark.slow
def test_reproduce__ctrl_c_keeps_what_was_finished_and_ends_the_kernel(notebooks: Path) -> None:
    write_notebook(notebooks, "01_fine", SHOW)
    alone = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(300)"
    write_notebook(notebooks, "02_long", alone)
    code = (
        "import sys; from pathlib import Path; import vswaplab.cli.reproduce as r; from vswaplab import cli\n"
        f"r.notebooks_dir = lambda: Path({str(notebooks)!r})\n"
        "sys.exit(cli.main(['reproduce', '--only', '01,02', '--out', 'made']))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as process:
        pid = notebooks / "pid"
        for _ in range(1200):
            if pid.is_file() and pid.read_text():
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=60)[1]

    assert process.returncode == 130
    assert error.splitlines()[-1] == "vswaplab: interrupted; finished: 01"
    assert Path("made/figures/01_figure_1.svg").is_file()
    assert [*json.loads(Path("made/manifest.json").read_text())["parts"]] == ["01"]
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_reproduce__refuses_in_one_line_before_any_work(
    notebooks: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vswaplab.cli.reproduce._Run.add", lambda *_: pytest.fail("worked first"))
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("", encoding="utf-8")
    refusals = {
        ("--only", "07"): "no part '07': --only takes readme",
        ("--out", "mine"): "mine holds files that `vswaplab reproduce` did not make",
        ("--out", "mine/thesis.tex/made"): "cannot make the folder mine/thesis.tex/made",
        ("--manifest", "mine/none.json"): "cannot read the manifest mine/none.json",
        ("--manifest", "mine/thesis.tex"): "mine/thesis.tex is no manifest",
    }

    for words, complaint in refusals.items():
        assert cli.main(["reproduce", *words]) == 2
        error = capsys.readouterr().err
        assert complaint in error
        assert error.count("\n") == 1


def test_reproduce__says_that_the_notebooks_are_missing(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing() -> Path:
        raise FileNotFoundError("vswaplab's notebooks folder is missing: reinstall vswaplab")

    monkeypatch.setattr("vswaplab.cli.reproduce.notebooks_dir", missing)
    monkeypatch.chdir(tmp_path)

    assert cli.main(["reproduce"]) == 2

    assert capsys.readouterr().err == "vswaplab: vswaplab's notebooks folder is missing: reinstall vswaplab\n"
    assert not [*tmp_path.iterdir()]


def test_reproduce__check_passes_and_names_the_one_number_altered(
    capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["reproduce", "--only", "readme", "--check"]) == 0
    assert capsys.readouterr().out.endswith("Nothing differs from the manifest.\n")
    manifest = json.loads(shipped_manifest().read_text())
    digest = manifest["parts"]["readme"]["tables"]["readme_table_1"]["data"]
    manifest["parts"]["readme"]["tables"]["readme_table_1"]["data"] = f"0{digest[1:]}" if digest[0] != "0" else "1"
    Path("altered.json").write_text(json.dumps(manifest))

    assert cli.main(["reproduce", "--only", "readme", "--check", "--manifest", "altered.json"]) == 1

    lines = capsys.readouterr().out.splitlines()[1:]
    assert len(lines) == 1
    assert lines[0].startswith("readme_table_1, data: kept ")
    assert lines[0].endswith(f"found {digest!r}")
    assert [path.name for path in tmp_path.iterdir()] == ["altered.json"]
