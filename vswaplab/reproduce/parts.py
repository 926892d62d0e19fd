"""What is printed: figures and tables, in parts, a part for each notebook and one for the README."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vswaplab.charts.digest import canonical, data_digest, short_digest
from vswaplab.charts.theme import spec_svg, title_text


@dataclass(frozen=True)
class Figure:
    """A figure: its name in print, altair's specification, the picture as SVG text."""

    name: str
    spec: Mapping[str, Any]
    svg: str

    @classmethod
    def drawn(cls, name: str, spec: dict[str, Any]) -> Figure:
        """Draw a specification."""
        return cls(name, spec, spec_svg(spec))

    @property
    def entry(self) -> dict[str, object]:
        """What a manifest says about it."""
        return {"title": title_text(dict(self.spec)), "data": data_digest(self.spec), "svg": short_digest(self.svg)}


@dataclass(frozen=True)
class Table:
    """A table: its name in print, its columns, those of numbers, and all rows as CSV."""

    name: str
    columns: list[str]
    numeric: list[str]
    csv: str

    @property
    def rows(self) -> list[list[str]]:
        """The cells as they stand in the CSV, without the heads; nothing stands for null."""
        return list(csv.reader(io.StringIO(self.csv)))[1:]

    @property
    def entry(self) -> dict[str, object]:
        """What a manifest says about it."""
        is_number = [column in self.numeric for column in self.columns]
        cells = [
            [float(cell) if number and cell else cell for cell, number in zip(row, is_number, strict=True)]
            for row in self.rows
        ]
        data = short_digest(json.dumps(canonical([self.columns, *cells])))
        return {"columns": ", ".join(self.columns), "data": data, "csv": short_digest(self.csv)}


@dataclass(frozen=True)
class Part:
    """Figures and tables that were made together.

    Parameters
    ----------
    name
        ``readme`` or the number of a notebook.
    source
        Where they come from.
    code
        Digest of what was executed.
    settings
        Seed and other parameters, by name.
    figures, tables
        In the order of the source.
    """

    name: str
    source: str
    code: str
    settings: Mapping[str, object]
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    @property
    def entry(self) -> dict[str, Any]:
        """What a manifest says about it."""
        shown = {
            "figures": {figure.name: figure.entry for figure in self.figures},
            "tables": {table.name: table.entry for table in self.tables},
        }
        digest = short_digest(json.dumps(shown, sort_keys=True))
        return {"source": self.source, "code": self.code, "digest": digest, "settings": dict(self.settings), **shown}
