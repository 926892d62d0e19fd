"""What a notebook's cell hands over: the picture always, the data behind it when it is run for print."""

from __future__ import annotations

import altair as alt
import polars as pl
import pytest

from vswaplab.charts.digest import data_digest
from vswaplab.charts.display import COLLECT, FIGURE, TABLE, dict_bundle, svg_bundle, table_bundle

CHART = alt.Chart(pl.DataFrame({"x": [1, 2]}), title="Two").mark_point().encode(x="x:Q")


def test_svg_bundle__hands_the_specification_over_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(COLLECT, raising=False)
    plain = svg_bundle(CHART.to_dict())
    monkeypatch.setenv(COLLECT, "1")
    more = svg_bundle(CHART.to_dict())

    assert set(plain) == {"image/svg+xml", "text/plain"}
    assert set(more) - set(plain) == {FIGURE}
    assert more["image/svg+xml"] == plain["image/svg+xml"]
    assert data_digest(more[FIGURE]) == data_digest(CHART.to_dict())


def test_table_bundle__has_every_row_and_digit() -> None:
    table = pl.DataFrame({"tier": ["CRAM"] * 40, "ns": [1 / 3] * 40, "pair": [[1, 2]] * 40})

    found = table_bundle(table)[TABLE]

    assert found["columns"] == ["tier", "ns", "pair"]
    assert found["numeric"] == ["ns"]
    assert found["csv"] == "tier,ns,pair\n" + "CRAM,0.3333333333333333,1 2\n" * 40


def test_dict_bundle__takes_named_numbers_and_nothing_deeper() -> None:
    found = dict_bundle({"idle, ms": 1 / 3, "reads": 7})[TABLE]

    assert found["csv"] == 'name,value\n"idle, ms",0.3333333333333333\nreads,7\n'
    assert found["numeric"] == ["value"]
    assert dict_bundle({"a": "12 ms"})[TABLE]["numeric"] == []
    assert dict_bundle({}) == dict_bundle({"a": [1]}) == {}
