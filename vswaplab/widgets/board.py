"""The explorer's screen in a browser: one widget that shows a dictionary and says what was asked.

``board.js`` is bundled with Vega by vl-convert, so that nothing is fetched
from anywhere; it takes some seconds, once a session. Controls are native
inputs with labels: a slider of ipywidgets has no accessible name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from vswaplab.charts.panels import Panel
from vswaplab.charts.theme import screen_config

_HERE = Path(__file__).parent


@cache
def _script() -> str:
    import vl_convert  # 84 MB: only when something is shown

    bundled: str = vl_convert.javascript_bundle((_HERE / "board.js").read_text(encoding="utf-8"))
    return bundled


class Board(anywidget.AnyWidget):
    """What is on the screen.

    Parameters
    ----------
    asked : callable
        Called with what a person did: ``name``, ``value``, ``more`` (of the
        same drag), ``serial`` (which the next screen must carry).
    """

    _css = (_HERE / "board.css").read_text(encoding="utf-8")
    _esm = traitlets.Unicode().tag(sync=True)
    configs = traitlets.Dict().tag(sync=True)
    specs = traitlets.Dict().tag(sync=True)
    """Drawing by its key; it changes with the tiers of a machine only."""
    screen = traitlets.Dict().tag(sync=True)
    """Controls, sentence, panels, code."""

    def __init__(self, asked: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(configs={"light": screen_config(dark=False), "dark": screen_config(dark=True)})
        self.on_msg(lambda _, content, __: asked(content))

    @traitlets.default("_esm")
    def _bundle(self) -> str:
        return _script()

    def show(self, panels: Sequence[Panel], rest: dict[str, Any]) -> None:
        """Show panels and the rest of the screen, in one message."""
        specs: dict[str, Any] = {}
        shown = [_panel(panel, specs) for panel in panels]
        with self.hold_sync():
            if not specs.keys() <= self.specs.keys():
                self.specs = self.specs | specs
            self.screen = rest | {"panels": shown}


def _panel(panel: Panel, specs: dict[str, Any]) -> dict[str, Any]:
    views = []
    for view in panel.views:
        key = _key(panel.name, view.spec)
        specs[key] = view.spec
        views.append({"label": view.label, "spec": key, "data": view.data, "signals": view.signals})
    words = {name: getattr(panel, name) for name in ("name", "title", "note", "description")}
    return words | {"views": views, "legend": [entry._asdict() for entry in panel.legend]}


_keys: dict[int, tuple[dict[str, Any], str]] = {}


def _key(name: str, spec: dict[str, Any]) -> str:
    # Drawings are made once and kept (charts.panels), so that the object stands for its text.
    if id(spec) not in _keys:
        _keys[id(spec)] = (spec, f"{name} {len(_keys)} {len(json.dumps(spec))}")
    return _keys[id(spec)][1]
