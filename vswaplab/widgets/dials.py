"""A figure with a slider for each number it depends on, drawn anew at every move.

Controls are native inputs with labels, as in ``board``: a slider of ipywidgets has no accessible name. A reader
without a running kernel sees what stands beside it: show the same figure still, before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import anywidget
import traitlets

from vswaplab.base.errors import InputError
from vswaplab.charts.theme import Chart, chart_svg


class Dial(NamedTuple):
    """One number: its label with the unit, from where to where in which steps, and where it starts."""

    label: str
    low: float
    high: float
    step: float
    value: float


class _Panel(anywidget.AnyWidget):
    _esm = Path(__file__).parent / "dials.js"
    dials: traitlets.List[Any] = traitlets.List().tag(sync=True)
    values = traitlets.Dict().tag(sync=True)
    svg = traitlets.Unicode().tag(sync=True)


class Dials:
    """Sliders and the figure that follows them.

    Parameters
    ----------
    draw
        Takes one number for each dial, by name, and returns a chart.
    dials
        Name to its dial.

    Raises
    ------
    InputError
        A dial that starts outside its range.
    """

    def __init__(self, draw: Callable[..., Chart], dials: Mapping[str, Dial]) -> None:
        self._draw, self._dials = draw, dict(dials)
        for dial in self._dials.values():
            _check(dial, dial.value)
        values = {name: dial.value for name, dial in self._dials.items()}
        told = [{"name": name, **dial._asdict()} for name, dial in self._dials.items()]
        self.view = _Panel(dials=told, values=values, svg=chart_svg(draw(**values)))
        self.view.observe(self._moved, "values")

    def set(self, name: str, value: float) -> None:
        """Move a dial, as a hand would."""
        if name not in self._dials:
            raise InputError(f"there is no dial {name!r}: take one of {', '.join(self._dials)}")
        _check(self._dials[name], value)
        self.view.values = self.view.values | {name: value}

    def _moved(self, change: Mapping[str, Any]) -> None:
        self.view.svg = chart_svg(self._draw(**change["new"]))

    def __repr__(self) -> str:
        told = (f"{dial.label} {self.view.values[name]:g}" for name, dial in self._dials.items())
        return f"Dials({', '.join(told)}; run the notebook to move them)"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, object]:  # noqa: ANN401
        # the widget's own gives a pair: data and metadata
        found = self.view._repr_mimebundle_(**options)
        bundle = found[0] if isinstance(found, tuple) else found
        return dict(bundle or {}) | {"text/plain": repr(self)}


def _check(dial: Dial, value: float) -> None:
    if not (math.isfinite(value) and dial.low <= value <= dial.high):
        raise InputError(f"{dial.label}: {value!r} is not between {dial.low:g} and {dial.high:g}")
