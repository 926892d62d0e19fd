"""The page for a class: it opens from disk, works by keyboard, and asks nobody for anything."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vswaplab import cli


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, made once."""
    found = tmp_path_factory.mktemp("page") / "page.html"
    assert cli.main(["classroom", "--out", str(found)]) == 0
    return found


def opened(chromium: Any, target: Path, width: int) -> Any:
    tab = chromium.new_context(viewport={"width": width, "height": 800}).new_page()
    tab.goto(target.as_uri())
    for chart in ("#sizes-chart", "#risks-chart"):
        tab.locator(f"{chart} svg").wait_for()
    return tab


SMALLEST = """() => Math.min(...[...document.querySelectorAll('figure svg')].map(svg => {
  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  return scale * Math.min(...[...svg.querySelectorAll('text')].map(t => parseFloat(getComputedStyle(t).fontSize)));
}))"""


def test_page__charts_stay_legible_in_a_narrow_window_and_scroll_alone(
    chromium: Any, violations: Callable[..., list[str]], target: Path
) -> None:
    tab = opened(chromium, target, 400)

    assert tab.evaluate(SMALLEST) >= 12
    assert tab.evaluate("document.documentElement.scrollWidth") <= 400
    assert violations(tab, "body") == []
    tab.close()


def test_page__tiers_name_stands_beside_its_swatch(chromium: Any, target: Path) -> None:
    tab = opened(chromium, target, 1024)

    heights = tab.eval_on_selector_all("#tiers tbody th", "all => all.map(th => th.getBoundingClientRect().height)")
    assert max(heights) == min(heights) < 50
    tab.close()


def test_page__prints_swatches_whole_parts_and_answers(chromium: Any, target: Path) -> None:
    tab = opened(chromium, target, 1024)
    tab.emulate_media(media="print")
    style = "([of, name]) => getComputedStyle(document.querySelector(of))[name]"

    assert tab.evaluate(style, [".swatch", "printColorAdjust"]) == "exact"
    for part in ("fieldset", "figure", ".scroll"):
        assert tab.evaluate(style, [part, "breakInside"]) == "avoid"
    opens = "[...document.querySelectorAll('li details')].map(answer => answer.open)"
    tab.locator("li summary").first.click()
    tab.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert tab.evaluate(opens) == [True, True, True]
    tab.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert tab.evaluate(opens) == [True, False, False]
    tab.close()


def test_command__page_opens_from_disk_and_its_sliders_move_the_charts(
    chromium: Any, violations: Callable[..., list[str]], target: Path
) -> None:
    asked: list[str] = []
    complaints: list[str] = []

    for scheme in ("light", "dark"):
        tab = chromium.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 800}).new_page()
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(target.as_uri())
        for chart, slider, said in (
            ("#sizes-chart", "DRAM", "#sizes-said"),
            ("#risks-chart", "Writ", "#risks-said"),
        ):
            picture = tab.locator(f"{chart} svg")
            picture.wait_for()
            tab.wait_for_function("id => document.querySelector(id).textContent", arg=said)
            drawn, sentence = picture.inner_html(), tab.locator(said).inner_text()
            control = tab.get_by_role("slider", name=re.compile(slider)).first
            before = control.get_attribute("aria-valuetext")
            control.focus()
            tab.keyboard.press("ArrowLeft")
            tab.wait_for_function(
                "([id, old]) => document.querySelector(id).innerHTML !== old", arg=[f"{chart} svg", drawn]
            )
            assert tab.locator(said).inner_text() != sentence
            assert control.get_attribute("aria-valuetext") != before
            sizes = tab.eval_on_selector_all(
                f"{chart} svg text", "all => all.map(t => t.getBoundingClientRect().height)"
            )
            assert min(height for height in sizes if height) >= 14
        assert {tab.locator("input").nth(i).evaluate("e => e.labels.length") for i in range(6)} == {1}
        ink = tab.evaluate("getComputedStyle(document.querySelector('#sizes-chart svg text')).fill")
        assert ink == {"light": "rgb(26, 26, 26)", "dark": "rgb(238, 238, 238)"}[scheme]
        tab.get_by_role("button", name="Back to the start").first.press("Enter")
        tab.wait_for_function("document.querySelector('#sizes-said').textContent.includes('as at the start')")
        assert violations(tab, "body") == []
        tab.close()

    assert {url for url in asked if not url.startswith("data:")} == {target.as_uri()}
    assert complaints == []
