"""Sliders over a figure: no browser, a move draws anew."""

from __future__ import annotations

import altair as alt
import polars as pl
import pytest

import vswaplab as vl
from vswaplab.widgets import Dial, Dials

COLD = Dial("Cold pages (%)", 0, 60, 1, 32)


def bar(cold: float) -> alt.Chart:
    table = pl.DataFrame({"share": [cold]})
    return alt.Chart(table, title=f"{cold:g} % are cold").mark_bar().encode(alt.X("share:Q", title="Share"))


def test_dials__a_move_draws_the_figure_anew() -> None:
    dials = Dials(bar, {"cold": COLD})
    before = dials.view.svg

    dials.set("cold", 40)

    assert "<title>32 % are cold</title>" in before
    assert "<title>40 % are cold</title>" in dials.view.svg
    assert repr(dials) == "Dials(Cold pages (%) 40; run the notebook to move them)"
    assert dials._repr_mimebundle_()["text/plain"] == repr(dials)


def test_dials__refuse_what_is_out_of_range() -> None:
    dials = Dials(bar, {"cold": COLD})

    with pytest.raises(vl.InputError, match="99 is not between 0 and 60"):
        dials.set("cold", 99)
    with pytest.raises(vl.InputError, match="there is no dial 'hot': take one of cold"):
        dials.set("hot", 1)
    with pytest.raises(vl.InputError, match="70 is not between 0 and 60"):
        Dials(bar, {"cold": COLD._replace(value=70)})
