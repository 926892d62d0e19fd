"""One number that a person sets: a slider beside a labelled number box.

A slider of ipywidgets has no accessible name, a number box has: so every
slider is paired with a box that carries the label, and either one sets both.
"""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets

Moved = Callable[["Control", int, int], None]
"""Called with the control, its old and its new value."""


class Control:
    """A whole number within bounds, shown as a labelled box and a slider.

    Parameters
    ----------
    label : str
        With the unit; the box's accessible name.
    noun, unit : str
        For sentences: "DRAM", "pages".
    value, least, most, step : int
    """

    def __init__(self, label: str, noun: str, unit: str, value: int, least: int, most: int, step: int) -> None:
        self.noun, self.unit, self._start = noun, unit, value
        wide = {"description_width": "170px"}
        self.box = widgets.BoundedIntText(
            value, min=least, max=most, step=step, description=label, style=wide, layout={"width": "300px"}
        )
        self.slider = widgets.IntSlider(
            value,
            min=least,
            max=most,
            step=step,
            continuous_update=False,
            readout=False,
            layout={"width": "360px"},
        )
        widgets.link((self.box, "value"), (self.slider, "value"))
        self.view = widgets.HBox([self.box, self.slider])
        self._muted = False

    @property
    def value(self) -> int:
        """The number."""
        return int(self.box.value)

    @value.setter
    def value(self, value: int) -> None:
        self.box.value = value

    @property
    def is_moved(self) -> bool:
        """Whether the number differs from where it started."""
        return self.value != self._start

    def on_move(self, call: Moved) -> None:
        """Call back whenever a person changes the number."""

        def changed(change: dict[str, int]) -> None:
            if not self._muted:
                call(self, change["old"], change["new"])

        self.box.observe(changed, "value")

    def put_back(self, value: int) -> None:
        """Set the number without calling back."""
        self._muted = True
        try:
            self.value = value
        finally:
            self._muted = False

    def say(self, value: int) -> str:
        """Say a number with its unit."""
        return f"{value:,} {self.unit}"
