"""Titles broken to the drawing under them, before it is drawn.

vl-convert measures text with the face that it carries. A screen without that
face may show a wider one, and what reaches beyond a still figure's edge is cut
off: so a title gets as many lines as the widest usual face needs.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from math import ceil
from typing import Any

Spec = dict[str, Any]

TITLE_EM, TEXT_EM = 0.62, 0.57
"""Width of a character in the widest usual face (DejaVu Sans), bold and not, for its size."""

PADDING = {"left": 20, "top": 5, "right": 34, "bottom": 5}
"""Round a drawing, px: by so much labels of an axis and a legend may be wider than measured."""

_JOINED = ("vconcat", "hconcat", "concat")


def fitted(spec: Spec) -> Spec:
    """Break titles and the lines under them that are wider than their drawing.

    Parameters
    ----------
    spec
        A chart's specification (``chart.to_dict()``); it stays as it is.

    Returns
    -------
    spec
    """
    shared: Spec = {name: spec[name] for name in ("config", "datasets") if name in spec}
    return _fitted(spec, shared)


def broken(text: str, most: int) -> list[str]:
    """Break a line into as few as hold it, of like length, and no number from its unit.

    Examples
    --------
    >>> broken("a line of five words", 12)
    ['a line of', 'five words']
    >>> broken("zswap holds 96 % of it", 14)
    ['zswap holds', '96 % of it']
    """
    text = re.sub(r"(\d) (?=%|[KMGT]iB\b|B\b|[mµn]?s\b)", "\\1\u00a0", text)
    n_lines = len(textwrap.wrap(text, most, break_long_words=False))
    widths = range(ceil(len(text) / max(1, n_lines)), most + 1)
    tries = (textwrap.wrap(text, width, break_long_words=False) for width in widths)
    lines = next((lines for lines in tries if len(lines) <= n_lines), [text])
    return [line.replace("\u00a0", " ") for line in lines]


def lines_of(text: object) -> list[str]:
    """Give a title's lines: one, several or none."""
    if isinstance(text, list):
        return [str(line) for line in text]
    return [str(text)] if text else []


def _fitted(part: Spec, shared: Spec) -> Spec:
    inner = {name: [_fitted(view, shared) for view in part[name]] for name in _JOINED if name in part}
    part = part | inner
    if "title" not in part or _longest(part["title"], shared) <= _plot_px(part):
        return part
    padding = shared.get("config", {}).get("padding", PADDING)
    most = drawn_px(shared | _untitled(part)) - padding["left"] - padding["right"]
    return part | {"title": _broken_title(part["title"], most, shared)}


def _untitled(part: Spec) -> Spec:
    # Layers too: a view has one title, its own or else that of a layer.
    bare = {name: value for name, value in part.items() if name != "title"}
    return bare | {"layer": [_untitled(layer) for layer in part["layer"]]} if "layer" in part else bare


def _broken_title(title: object, most_px: float, shared: Spec) -> Spec:
    own: Spec = dict(title) if isinstance(title, Mapping) else {"text": title}
    for name, px in _sizes(shared):
        if own.get(name):
            lines = [line for whole in lines_of(own[name]) for line in broken(whole, max(12, int(most_px / px)))]
            own[name] = lines[0] if len(lines) == 1 else lines
    return own


def _sizes(shared: Spec) -> tuple[tuple[str, float], ...]:
    # Of the title's two parts, px a character.
    look = shared.get("config", {}).get("title", {})
    return ("text", TITLE_EM * look.get("fontSize", 13)), ("subtitle", TEXT_EM * look.get("subtitleFontSize", 12))


def _longest(title: object, shared: Spec) -> float:
    own = title if isinstance(title, Mapping) else {"text": title}
    return max((px * len(line) for name, px in _sizes(shared) for line in lines_of(own.get(name))), default=0.0)


def _plot_px(part: Spec) -> float:
    # At least this wide: the plots themselves, if their width is known.
    if "hconcat" in part:
        return sum(map(_plot_px, part["hconcat"]))
    if "vconcat" in part:
        return max(map(_plot_px, part["vconcat"]))
    width = part.get("width", 0)
    return float(width) if isinstance(width, int | float) else 0.0


def drawn_px(spec: Spec) -> float:
    """Draw a chart, and say how wide it is."""
    import vl_convert  # 84 MB: only when something is drawn

    head = re.search(r'<svg[^>]* width="([\d.]+)"', vl_convert.vegalite_to_svg(spec))
    return float(head[1]) if head else 0.0
