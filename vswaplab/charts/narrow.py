"""A chart laid out anew for a column of a paper: narrower views under each other, small type that can still be read."""

from __future__ import annotations

from typing import Any

from vswaplab.base.checks import number
from vswaplab.base.errors import InputError
from vswaplab.charts.layout import TEXT_EM, Spec, broken, drawn_px, fitted, lines_of

PX_PER_MM = 96 / 25.4

TEXT_PX = 9.5
"""7.1 pt: the smallest type."""

_TITLE_PX = 12
_HEIGHT_SHARE = 0.7  # of views' heights, as that of the type
_LEAST_PLOT_PX = 50
_TRIES = 8
_JOINED = ("hconcat", "vconcat", "concat")
_LOOKS = ("color", "fill", "stroke", "shape", "strokeDash")
_UNDER = {"top": {"direction": "vertical"}}  # of several legends
_PIECES = {"symbolSize": 500, "rowPadding": -7}  # of dashed lines in a legend
_BEYOND = 1.25  # a title may be longer than its axis
_FAR_PX = 200  # no mark stands so far to the right but at the edge
_PADDING = {"left": 3, "top": 3, "right": 6, "bottom": 3}


def narrowed(spec: Spec, width_mm: float) -> Spec:
    """Lay a chart out for a width on paper.

    Parameters
    ----------
    spec
        A chart's specification (``chart.to_dict()``); it stays as it is.
    width_mm : mm
        Of the whole drawing, where 96 px are an inch.

    Returns
    -------
    spec
        At most so wide, with no type below 7 pt: its titles are broken already.

    Raises
    ------
    InputError
        Names and numbers leave no room for the plot.
    """
    most = number("width_mm", width_mm, 1, 10_000, expected="a number from 1 to 10000") * PX_PER_MM
    small = _restyled(spec, most) | {"config": _small(spec.get("config", {}))}
    width, best, slope, last = 0.6 * most, None, 1.0, None
    for _ in range(_TRIES):
        tried = fitted(_resized(small, width))
        drawn = drawn_px(tried)
        if drawn <= most:
            best = tried
        if most - 3 < drawn <= most:
            break
        if last is not None and width != last[0]:
            slope = max(1.0, (drawn - last[1]) / (width - last[0]))  # of several plots side by side
        last = width, drawn
        width += (most - 1 - drawn) / slope
        if width < _LEAST_PLOT_PX:
            break
    if best is None:
        raise InputError(f"the figure cannot be laid out in {width_mm:g} mm: give it more width, or shorter names")
    return best


def _small(config: Spec) -> Spec:
    type_: Spec = {"labelFontSize": TEXT_PX, "titleFontSize": TEXT_PX}
    title = {"fontSize": _TITLE_PX, "subtitleFontSize": TEXT_PX, "offset": 6, "subtitlePadding": 3}
    changed = {
        "title": title,
        "axis": type_ | {"labelSeparation": 5},
        "legend": type_ | {"symbolSize": 70, "layout": _UNDER},
        "header": type_,
    }
    merged = {name: {**config.get(name, {}), **look} for name, look in changed.items()}
    return config | merged | {"text": {"fontSize": TEXT_PX}, "padding": _PADDING}


def _restyled(part: Spec, most: float) -> Spec:
    # One under the other, legends above, no type of its own size.
    new = {name: value for name, value in part.items() if name not in _JOINED}
    views = [_restyled(view, most) for name in _JOINED for view in part.get(name, [])]
    if views:
        new |= {"vconcat": views, "spacing": 14}
    if "layer" in part:
        new["layer"] = [_restyled(layer, most) for layer in part["layer"]]
    if "facet" in part:
        new |= _in_one_column(part["facet"]) | {"spec": _restyled(part["spec"], most)}
    if isinstance(part.get("mark"), dict):
        new["mark"] = {name: value for name, value in part["mark"].items() if name != "fontSize"}
    if "encoding" in part:
        new["encoding"] = {name: _channel(name, item, most) for name, item in part["encoding"].items()}
    if "height" in part:
        new["height"] = _lower(part["height"])
    return new


def _in_one_column(facet: Spec) -> Spec:
    if "row" in facet:
        return {"facet": facet}  # a column too: it stays
    return {"facet": facet.get("column", facet), "columns": 1, "spacing": 10}


def _lower(height: Any) -> Any:  # noqa: ANN401 - a number of px, or a step
    if isinstance(height, dict):
        return {name: _HEIGHT_SHARE * px if name == "step" else px for name, px in height.items()}
    return _HEIGHT_SHARE * height if isinstance(height, int | float) else height


def _channel(name: str, item: Any, most: float) -> Any:  # noqa: ANN401 - a channel's definition
    if not isinstance(item, dict) or "field" not in item:
        return item
    if name in ("x", "y") and isinstance(item.get("axis"), dict):
        return item | {"axis": _axis(name, item["axis"])}
    if name in _LOOKS and item.get("legend", {}) is not None:
        own = {key: value for key, value in item.get("legend", {}).items() if "FontSize" not in key}
        pieces = _PIECES if own.get("symbolType") == "stroke" else {}
        return item | {"legend": own | pieces | {"orient": "top", "columns": _columns(item, most)}}
    return item


def _axis(name: str, axis: Spec) -> Spec:
    if name == "y":  # a panel that stood beside the one with the names
        return {key: value for key, value in axis.items() if key not in ("labels", "ticks")}
    is_crowded = axis.get("labelAngle") == 0 and not axis.get("labelOverlap")
    return axis | {"labelAngle": -90, "labelAlign": "right", "labelBaseline": "middle"} if is_crowded else axis


def _columns(item: Spec, most: float) -> int:
    names = (item.get("scale") or {}).get("domain", [])
    longest = max((len(str(name)) for name in names), default=20)
    return max(1, min(len(names) or 1, int(0.8 * most / (TEXT_EM * TEXT_PX * longest + 34))))


def _resized(part: Spec, width: float, height: float = 200) -> Spec:
    new = dict(part)
    height = part["height"] if isinstance(part.get("height"), int | float) else height
    if isinstance(part.get("width"), int | float):
        new["width"] = width
    for name in ("layer", "vconcat"):
        if name in part:
            new[name] = [_resized(inner, width, height) for inner in part[name]]
    if "spec" in part:
        new["spec"] = _resized(part["spec"], width, height)
    if "encoding" in part:
        new["encoding"] = {name: _broken_axis(name, item, width, height) for name, item in part["encoding"].items()}
    return new


def _broken_axis(name: str, item: Any, width: float, height: float) -> Any:  # noqa: ANN401 - a channel's definition
    if name not in ("x", "y") or not isinstance(item, dict):
        return item
    if name == "x" and item.get("value", 0) not in (0, "width") and item["value"] > _FAR_PX:
        return item | {"value": "width"}  # the plot's right edge
    most = int(_BEYOND * (width if name == "x" else height) / (TEXT_EM * TEXT_PX))
    if item.get("title"):
        item = item | {"title": _lines(item["title"], most)}
    if isinstance(item.get("axis"), dict) and item["axis"].get("title"):
        item = item | {"axis": item["axis"] | {"title": _lines(item["axis"]["title"], most)}}
    return item


def _lines(title: object, most: int) -> str | list[str]:
    lines = [line for whole in lines_of(title) for line in broken(whole, max(16, most))]
    return lines[0] if len(lines) == 1 else lines
