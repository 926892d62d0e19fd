"""One page for a class: sliders over a grid of the engine's results, opened from disk, no network and no Python."""

from vswaplab.classroom.page import classroom_html

__all__ = ["classroom_html"]
