"""Notebook widgets: state and callbacks only; the model and the figures are elsewhere."""

from vswaplab.widgets.dials import Dial, Dials
from vswaplab.widgets.explorer import Explorer

__all__ = ["Dial", "Dials", "Explorer"]
