"""The columns of the shipped files and the tables of data/README.md that come from the files.

`python data/recorder/describe.py` rewrites the tables between the markers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

TRACE_COLUMNS = ("page", "op", "repeat_reads", "repeat_writes", "mapper")
"""The last one only where a program forked."""
CORPUS_COLUMNS = (
    "page", "moment", "region", "is_zero", "same_filled",
    "lz4_4k", "lzo_4k", "zstd1_4k", "zstd3_4k", "deflate1_4k", "deflate_fixed_4k",
    "lz4_1k", "deflate1_1k", "bdi_64", "fpc_64", "w842_4k",
)  # fmt: skip
BEGIN, END = "<!-- files: made by recorder/describe.py -->", "<!-- end of files -->"


def facts(path: Path) -> dict[str, Any]:
    """Read the JSON object a shipped file carries."""
    found: dict[str, Any] = json.loads(pl.read_parquet_metadata(path)["vswaplab"])
    return found


def trace_row(path: Path) -> str:
    """One line of the table of traces."""
    f = facts(path)
    return (
        f"| `traces/{path.name}` | {f['title']} | {f['n_pages']:,} | {f['n_pages_live_peak']:,} "
        f"| {f['n_records']:,} | {f['n_accesses']:,} | {f['k']} | {f['redraw_probability']} "
        f"| {f.get('n_processes', 1)} |"
    )


def corpus_row(path: Path) -> str:
    """One line of the table of corpora."""
    f = facts(path)
    frame = pl.read_parquet(path)
    n_zero = int(frame["is_zero"].sum())
    ratios = (
        4096 * len(frame) / max(1, int(frame[name].sum()))
        for name in ("lz4_4k", "lzo_4k", "zstd3_4k", "deflate1_4k", "w842_4k", "bdi_64", "fpc_64")
    )
    cells = " | ".join(f"{ratio:.2f}" for ratio in ratios)
    return (
        f"| `corpus/{path.name}` | {f['n_rows']:,} | {f['n_regions']:,} | {len(f['moments'])} "
        f"| {100 * n_zero / len(frame):.1f} | {cells} |"
    )


def making_row(path: Path) -> str:
    """One line of the table of programs."""
    f = facts(path)
    versions = ", ".join(f"{name} {version}" for name, version in f["versions"].items())
    machine = f["machine"]
    return (
        f"| {f['name']} | {f['program']} | {versions} | `{f['command']}` "
        f"| {machine['cpu']}, {machine['kernel']}, qemu {machine['qemu']}, {f['recorded']} | {f['licence']} |"
    )


def codec_lines(corpora: list[Path]) -> list[str]:
    """Name the codec libraries, once for all files that were made with the same ones."""
    names: dict[str, list[str]] = {}
    for path in corpora:
        versions = ", ".join(f"{name} {version}" for name, version in facts(path)["versions"].items())
        names.setdefault(versions, []).append(path.stem)
    return [f"Codec libraries of {', '.join(stems)}: {versions}." for versions, stems in names.items()]


def tables(data: Path) -> str:
    """Write the three tables, in Markdown."""
    traces = sorted((data / "traces").glob("*.parquet"))
    corpora = sorted((data / "corpus").glob("*.parquet"))
    lines = [
        "| file | what | pages | live at most | records | accesses before | k | redraw | processes |",
        "|---|---|---|---|---|---|---|---|---|",
        *map(trace_row, traces),
        "",
        "| file | rows | regions | moments | zero % | lz4 | lzo | zstd 3 | deflate 1 | 842 | BDI | FPC |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
        *map(corpus_row, corpora),
        "",
        *codec_lines(corpora),
        "",
        "| name | program | versions | command | machine | licence |",
        "|---|---|---|---|---|---|",
        *map(making_row, traces),
    ]
    return "\n".join(lines)


def update_readme(data: Path) -> None:
    """Rewrite what stands between the markers of data/README.md, if there is one."""
    readme = data / "README.md"
    if not readme.exists():
        return
    head, _, rest = readme.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    readme.write_text(f"{head}{BEGIN}\n{tables(data)}\n{END}{tail}")


if __name__ == "__main__":
    update_readme(Path(__file__).parent.parent)
