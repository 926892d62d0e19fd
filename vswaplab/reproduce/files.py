"""Write figures and tables as the files that a paper takes in."""

from __future__ import annotations

from pathlib import Path

import vl_convert

from vswaplab.charts.theme import writable_spec
from vswaplab.reproduce.latex import latex_table
from vswaplab.reproduce.parts import Figure, Part, Table

PNG_PPI = 300


def write_part(part: Part, folder: Path) -> None:
    """Write a part: ``figures/NAME.svg``, ``.pdf`` and ``.png``, ``tables/NAME.csv`` and ``.tex``."""
    for sub in ("figures", "tables"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
        for stale in (folder / sub).glob(f"{part.name}_*"):  # of an earlier run, which had more of them
            stale.unlink()
    for figure in part.figures:
        _write_figure(figure, folder / "figures" / figure.name)
    for table in part.tables:
        _write_table(table, folder / "tables" / table.name)


def _write_figure(figure: Figure, stem: Path) -> None:
    spec = writable_spec(dict(figure.spec))
    stem.with_suffix(".svg").write_text(figure.svg, encoding="utf-8")
    stem.with_suffix(".pdf").write_bytes(vl_convert.vegalite_to_pdf(spec))
    stem.with_suffix(".png").write_bytes(vl_convert.vegalite_to_png(spec, ppi=PNG_PPI))


def _write_table(table: Table, stem: Path) -> None:
    stem.with_suffix(".csv").write_text(table.csv, encoding="utf-8")
    stem.with_suffix(".tex").write_text(latex_table(table), encoding="utf-8")
