"""Alternative text for a chart that brings none: what it draws against what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_MARKS = {"line": "lines", "bar": "bars", "point": "points", "rect": "boxes", "area": "areas", "rule": "rules"}
_LOOKS = ("color", "shape", "strokeDash")
_PARTS = ("layer", "hconcat", "vconcat")


def alt_text(spec: Mapping[str, Any]) -> str:
    """Say what a chart draws.

    Parameters
    ----------
    spec
        The chart's specification (``chart.to_dict()``).

    Returns
    -------
    text : str
        Its own description if it has one. Else the kinds of marks, the titles
        of the axes, what tells marks apart, and what each panel is for.
    """
    if spec.get("description"):
        return str(spec["description"])
    units = list(_units(spec))
    marks = _unique(_MARKS.get(kind, "") for unit in units for kind in [_kind(unit)])
    text = f"{(', '.join(marks) or 'text').capitalize()}: {_titles(units, 'y')} against {_titles(units, 'x')}"
    looks = ", ".join(_unique(name for channel in _LOOKS for name in _names(units, channel)))
    panels = ", ".join(_unique(_panels(spec)))
    return (
        text + (f", told apart by {looks}" if looks else "") + (f"; a panel for each {panels}" if panels else "") + "."
    )


def _units(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    parts = [part for name in _PARTS for part in spec.get(name, [])] + ([spec["spec"]] if "spec" in spec else [])
    if not parts:
        yield spec
    shared = spec.get("encoding", {})
    for part in parts:
        yield from _units({**part, "encoding": {**shared, **part.get("encoding", {})}})


def _kind(unit: Mapping[str, Any]) -> str:
    mark = unit.get("mark", "")
    return str(mark["type"] if isinstance(mark, Mapping) else mark)


def _names(units: list[Mapping[str, Any]], channel: str) -> list[str]:
    found = [unit.get("encoding", {}).get(channel) for unit in units]
    return _unique(_name(item) for item in found if isinstance(item, Mapping))


def _name(encoding: Mapping[str, Any]) -> str:
    title = encoding.get("title")
    return " ".join(title) if isinstance(title, list) else str(title or encoding.get("field") or "")


def _titles(units: list[Mapping[str, Any]], channel: str) -> str:
    return ", ".join(_names(units, channel)) or "nothing"


def _panels(spec: Mapping[str, Any]) -> Iterator[str]:
    facet = spec.get("facet") or {name: spec.get("encoding", {}).get(name) for name in ("facet", "row", "column")}
    single = [facet] if "field" in facet else [facet.get(name) for name in ("facet", "row", "column")]
    yield from (_name(item) for item in single if isinstance(item, Mapping))


def _unique(words: Iterator[str] | list[str]) -> list[str]:
    return [word for word in dict.fromkeys(words) if word]
