"""Notebook widgets: state and callbacks only; the model and the figures are elsewhere."""

from vswaplab.widgets.explorer import Explorer

__all__ = ["Explorer"]
