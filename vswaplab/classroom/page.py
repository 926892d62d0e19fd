"""The page itself: what ``page.html`` says, with the numbers, sliders, charts and questions put in."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from html import escape
from importlib.metadata import version
from importlib.resources import files
from string import Template

import polars as pl
import vl_convert

from vswaplab.base.units import PAGE_SIZE, drawn_ns, format_bytes
from vswaplab.charts.theme import TIER_COLOURS
from vswaplab.classroom.dials import Dial
from vswaplab.classroom.figures import device_chart, on_page, size_charts
from vswaplab.classroom.grid import SEED, Lesson
from vswaplab.classroom.questions import Question, questions


def classroom_html(progress: Callable[[int, int], None] | None = None) -> str:
    """Make the page for a class.

    Parameters
    ----------
    progress
        Called with the runs of the engine that are done, and how many there are.

    Returns
    -------
    html
        Below 2 MB; the same text each time with the same versions of the libraries.
    """
    lesson = Lesson()
    by_tier, by_window = lesson.tables(progress)
    asked = questions(by_tier, by_window, lesson.n_runs, lesson.wait_ns)
    return page_html(lesson, by_tier, by_window, asked)


def page_html(lesson: Lesson, by_tier: pl.DataFrame, by_window: pl.DataFrame, asked: Iterable[Question]) -> str:
    """Put the page together from what the engine said."""
    specs = {
        "sizes": size_charts(by_tier, lesson.sizes).to_dict(),
        "risks": device_chart(by_window, lesson.risks).to_dict(),
    }
    data = [_data("lesson", _lesson_data(lesson)), *(_data(f"{name}-spec", on_page(s)) for name, s in specs.items())]
    scripts = [vl_convert.javascript_bundle(None), _resource("page.js")]  # type: ignore[arg-type] # None: the ready bundle
    return Template(_resource("page.html")).substitute(
        _facts(lesson),
        policy=_policy(scripts),
        style=_resource("page.css"),
        **{
            name: "".join(_slider(dial, n_pages) for dial in dials) for name, (dials, n_pages) in _parts(lesson).items()
        },
        questions="".join(map(_question, asked)),
        data="".join(data),
        scripts="".join(f"<script>{script}</script>" for script in scripts),
    )


def _policy(scripts: Iterable[str]) -> str:
    # These two scripts and no other, and nothing compiled from text: the charts' expressions are interpreted.
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'"


def _resource(name: str) -> str:
    return files("vswaplab.classroom").joinpath(name).read_text(encoding="utf-8")


def _data(name: str, content: object) -> str:
    text = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")  # nothing inside ends the element
    return f'<script type="application/json" id="{name}">{text}</script>'


def _parts(lesson: Lesson) -> dict[str, tuple[tuple[Dial, ...], int]]:
    # The two experiments: sliders, and pages of the program.
    return {"sizes": (lesson.sizes, lesson.program.n_pages), "risks": (lesson.risks, lesson.collapsing[0].n_pages)}


def _lesson_data(lesson: Lesson) -> dict[str, object]:
    parts = {
        name: {"name": name, "dials": [_dial_data(dial, n_pages) for dial in dials]}
        for name, (dials, n_pages) in _parts(lesson).items()
    }
    return {**parts, "runs": lesson.n_runs, "colours": TIER_COLOURS}


def _dial_data(dial: Dial, n_pages: int) -> dict[str, object]:
    words = [dial.words(value, n_pages) for value in dial.values]
    return {"name": dial.name, "values": dial.values, "start": dial.start, "words": words}


def _slider(dial: Dial, n_pages: int) -> str:
    return (
        f'<p class="dial"><label for="{dial.name}">{escape(dial.label)}</label>'
        f'<input type="range" id="{dial.name}" min="0" max="{len(dial.values) - 1}" step="1" '
        f'value="{dial.values.index(dial.start)}">'
        f'<output for="{dial.name}" id="{dial.name}-said">{escape(dial.words(dial.start, n_pages))}</output></p>'
    )


def _question(question: Question) -> str:
    answer = f"<details><summary>Answer</summary><p>{escape(question.answer)}</p></details>"
    return f"<li><p>{escape(question.asks)}</p>{answer}</li>"


def _facts(lesson: Lesson) -> dict[str, object]:
    trace, machine, device = lesson.program, lesson.machine, lesson.device_machine.cram
    cram, zswap = machine.cram, machine.zswap
    assert cram is not None
    assert zswap is not None
    assert device is not None
    guessed = [profile.name for profile in (cram.device, zswap.profile) if profile.guesses]
    swatches = {
        tier.lower(): f'<span class="swatch" style="background:{c}"></span>' for tier, c in TIER_COLOURS.items()
    }
    return swatches | {
        "dram_time": f"{machine.costs.dram_ns} ns",
        "cram_time": f"{cram.device.read_ns} ns",
        "zswap_time": _time(zswap.profile.load_ns),
        "swapfile_time": _time(machine.swapfiles[0].read_ns),
        "shown": format_bytes(cram.device_pages * PAGE_SIZE),
        "media": format_bytes(cram.media_bytes),
        "accesses": f"{len(trace):,}",
        "pages": f"{trace.n_pages:,}",
        "program": format_bytes(trace.n_pages * PAGE_SIZE),
        "device_pages": f"{device.device_pages:,}",
        "device_shown": format_bytes(device.device_pages * PAGE_SIZE),
        "device_media": format_bytes(device.media_bytes),
        "runs": lesson.n_runs,
        "simulations": lesson.n_simulations,
        "version": version("vswaplab"),
        "seed": SEED,
        "device": escape(cram.device.name),
        "compressor": escape(zswap.profile.name),
        "guessed": f" (figures partly guessed: {escape(', '.join(guessed))})" if guessed else "",
        "digest": trace.digest[:16],
    }


def _time(ns: float) -> str:
    return drawn_ns(ns).replace(".00", "")
