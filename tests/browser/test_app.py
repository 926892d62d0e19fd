"""``vswaplab lab --app`` in a real browser: every control, two machines, keyboard only, light and dark."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Open = Callable[..., Any]
Keep = Callable[[Any, str], None]

# The controls that are shown, in the order of the screen: name, id, kind.
CONTROLS = """() => [...document.querySelectorAll('.vl-control')].filter((node) => node.checkVisibility())
  .map((node) => [node.dataset.control, node.querySelector('input[id], select').id,
    node.querySelector('input[type=range]') ? 'range' : node.querySelector('select') ? 'select' : 'checkbox'])"""
# A click, and drags, before an answer is there: each a list of steps from where the slider is.
AT_ONCE = """([box, slider, drags]) => {
  const least = Number(slider.value), step = Number(slider.step);
  box?.click();
  for (const drag of drags) {
    for (const steps of drag) {
      slider.value = least + steps * step;
      slider.dispatchEvent(new Event('input', { bubbles: true }));
    }
    slider.dispatchEvent(new Event('change', { bubbles: true }));
  } }"""
# How often the screen said that it computes, and how long the last answer took, ms.
NOTE_BUSY = """() => {
  const root = document.querySelector('.vl-explorer');
  window.noted = 0;
  new MutationObserver(() => { window.noted += root.classList.contains('vl-busy') }).observe(root,
    { attributes: true, attributeFilter: ['class'] }) }"""
NOTED = "() => [window.noted, performance.getEntriesByName('vswaplab-move').at(-1).duration]"
# What lies over what, before anything is scrolled.
OVERLAPS = """() => {
  const parts = '.vl-bar, .vl-says, .vl-controls fieldset, .vl-panel, .vl-more';
  const shown = [...document.querySelectorAll(parts)].filter((node) => node.checkVisibility());
  const boxes = shown.map((node) => [node.dataset.panel ?? node.className, node.getBoundingClientRect()]);
  const overlap = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  return boxes.flatMap(([one, a], i) =>
    boxes.slice(i + 1).filter(([, b]) => overlap(a, b)).map(([two]) => [one, two])) }"""
TO_THE_TOP = "() => document.querySelectorAll('*').forEach((node) => { node.scrollTop = 0 })"
WIDER = "() => { const root = document.querySelector('.vl-explorer'); return root.scrollWidth - root.clientWidth }"
FOCUSED = "() => document.activeElement.id || document.activeElement.className"


@pytest.fixture(scope="module")
def light(app: tuple[str, str], open_page: Open, screen: Any) -> Any:
    """One visit for all tests: every visitor has a kernel of their own, which takes a while to start."""
    url, token = app
    return screen(open_page(f"{url}/?token={token}&theme=light"))


@pytest.fixture
def explorer(light: Any) -> Any:
    if light.page.get_by_role("button", name="Undo").is_enabled():
        light.act(lambda: light.page.get_by_role("button", name="Reset").click())
    return light


def test_app__is_for_who_has_the_token(app: tuple[str, str]) -> None:
    url, _ = app

    for path in ("/", "/api/kernels"):
        with urllib.request.urlopen(f"{url}{path}", timeout=60) as answer:
            assert answer.url.startswith(f"{url}/login")


def test_app__moves_every_control(explorer: Any) -> None:
    page, unchanged = explorer.page, []

    for name, id_, kind in page.evaluate(CONTROLS):
        if name in ("trace", "preset", "compare"):
            continue
        control, before = page.locator(f"[id='{id_}']"), explorer.drawings
        explorer.act(lambda control=control, kind=kind: _move(page, control, kind))
        if explorer.drawings == before:
            unchanged.append(name)
        assert page.locator(f"[data-control='{name}'] .vl-error").inner_text() == "", name
        explorer.act(lambda: page.get_by_role("button", name="Undo").click())

    # A trace without redraws has no use for a seed, a gate that never closes none for where it would open again; one
    # tick box only says what the next move does.
    assert set(unchanged) <= {"seed", "follows", "cram.open_at"}


def _move(page: Any, control: Any, kind: str) -> None:
    if kind == "checkbox":
        control.click()
    elif kind == "select":
        value = control.input_value()
        options = control.locator("option").evaluate_all("(nodes) => nodes.map((node) => node.value)")
        control.select_option(next(option for option in options if option != value))
    else:
        control.focus()
        value, least = (float(control.get_attribute(name) or control.input_value()) for name in ("value", "min"))
        value = float(control.input_value())
        page.keyboard.press("ArrowLeft" if value > least else "ArrowRight")


def test_app__sets_two_machines_side_by_side(
    explorer: Any, violations: Any, small_text: Any, keep_screenshot: Keep
) -> None:
    page = explorer.page
    explorer.act(lambda: page.get_by_label("Compare two machines, A and B").check())
    explorer.press("CRAM media (MiB)", "ArrowLeft")

    assert explorer.sentence.startswith("CRAM media of B ")
    assert " MiB (advertised in proportion). B against A: " in explorer.sentence
    labels = page.locator('[data-panel="residency"] .vl-label').all_inner_texts()
    assert labels == ["A", "B", "B \u2212 A"]
    areas = page.locator('[data-panel="residency"] .vl-view').nth
    outlines = [areas(i).locator(".mark-area path").first.get_attribute("d") for i in (0, 1)]
    assert outlines[0] != outlines[1]
    assert violations(page) == []
    assert small_text(page) == []
    keep_screenshot(page, "app-a-b")

    explorer.act(lambda: page.get_by_label("Controls change").select_option("A and B"))
    explorer.press("DRAM (pages of 4 KiB)", "ArrowRight")
    pages = page.get_by_label("DRAM (pages of 4 KiB)", exact=True).input_value()
    assert page.locator(".vl-more pre").inner_text().count(f"capacity_pages={pages}") == 2


def test_app__refuses_at_the_control_with_the_reason(explorer: Any) -> None:
    page = explorer.page
    box = page.get_by_label("Writeback mark (%), typed")

    box.fill("50")
    explorer.act(lambda: page.keyboard.press("Tab"))

    error = page.locator('[data-control="cram.writeback_high"] .vl-error')
    reason = "Writeback target 85 % of media is above Writeback mark 50 % of media: put them in order"
    assert error.inner_text() == reason
    assert box.input_value() == "90"
    assert box.get_attribute("aria-invalid") == "true"
    assert box.get_attribute("aria-describedby") == error.get_attribute("id")


@pytest.mark.parametrize(("clicks", "drags"), [(True, [[1, 2]]), (False, [[1], [2, 3]]), (False, [[1, 2], [3, 4]])])
def test_app__a_drag_begun_before_an_answer_is_a_change_of_its_own(
    clicks: bool, drags: list[list[int]], explorer: Any
) -> None:
    page = explorer.page
    slider = page.get_by_label("DRAM (pages of 4 KiB)", exact=True)
    box = page.get_by_role("checkbox", name="zswap", exact=True)
    start, step = int(slider.input_value()), int(slider.get_attribute("step"))
    before, after = start + (0 if clicks else step), start + drags[-1][-1] * step

    page.evaluate(AT_ONCE, [box.element_handle() if clicks else None, slider.element_handle(), drags])
    page.get_by_text(f"to {after:,} pages (").wait_for()
    explorer.settle(0)

    assert explorer.sentence.startswith(f"DRAM {before:,} to {after:,} pages (")
    explorer.act(lambda: page.get_by_role("button", name="Undo").click())
    assert int(slider.input_value()) == before
    assert box.is_checked() != clicks


def test_app__a_drag_whose_first_step_is_refused_begins_with_the_next(explorer: Any) -> None:
    page = explorer.page
    explorer.act(lambda: page.get_by_label("Layer", exact=True).select_option("none"))
    place = page.get_by_label("Writeback mark (%)", exact=True)
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    y = box["y"] + box["height"] / 2

    page.mouse.move(box["x"] + box["width"] / 2, y)
    explorer.act(page.mouse.down)
    explorer.act(lambda: page.mouse.move(box["x"] + 0.94 * box["width"], y))
    page.mouse.up()

    assert explorer.sentence.startswith("Writeback mark 90 to 9")
    explorer.act(lambda: page.get_by_role("button", name="Undo").click())
    assert page.get_by_label("Layer", exact=True).input_value() == "none"


def test_app__says_that_it_computes_if_an_answer_takes_long(explorer: Any, keep_screenshot: Keep) -> None:
    page = explorer.page
    panels = page.locator(".vl-panels")
    page.evaluate(NOTE_BUSY)
    explorer.press("DRAM (pages of 4 KiB)", "ArrowRight")
    noted, took = page.evaluate(NOTED)
    assert noted == 0 or took > 400

    version = explorer.version
    page.get_by_label("DRAM (pages of 4 KiB), typed", exact=True).fill("64")  # seconds, whatever the computer
    page.keyboard.press("Tab")
    page.locator(".vl-busy").wait_for()
    assert explorer.sentence == "Computing\u2026"
    assert panels.get_attribute("aria-busy") == "true"
    page.wait_for_timeout(300)
    keep_screenshot(page, "app-busy")

    page.wait_for_function("(version) => document.querySelector('.vl-explorer').dataset.shown > version", arg=version)
    assert panels.get_attribute("aria-busy") == "false"
    assert explorer.sentence.startswith("DRAM ")


@pytest.fixture
def sized(explorer: Any) -> Iterator[Callable[[int, int], Any]]:
    """Give the window another size for a test."""
    page, size = explorer.page, explorer.page.viewport_size

    def sized(width: int, height: int) -> Any:
        page.evaluate("() => document.activeElement.blur()")
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(500)  # drawings take their new width
        page.evaluate(TO_THE_TOP)
        return page

    yield sized
    page.set_viewport_size(size)


@pytest.mark.parametrize("width", [400, 1024, 1920])
def test_app__overlaps_nowhere(width: int, sized: Callable[[int, int], Any], keep_screenshot: Keep) -> None:
    page = sized(width, 1080)

    assert page.evaluate(OVERLAPS) == []
    assert page.evaluate(WIDER) <= 0
    keep_screenshot(page, f"app-{width}")


def test_app__shows_a_slider_beside_the_figure_that_it_moves(
    explorer: Any, sized: Callable[[int, int], Any], keep_screenshot: Keep
) -> None:
    page = sized(1024, 768)
    page.locator('[data-panel="risk"]').scroll_into_view_if_needed()

    explorer.press("Report lag (accesses)", "ArrowRight")

    for shown in ('[data-panel="risk"]', '[data-control="cram.report_lag"]', ".vl-says", ".vl-bar"):
        box = page.locator(shown).bounding_box()
        assert box["y"] >= 0, shown
        assert box["y"] + box["height"] <= 768, shown
    keep_screenshot(page, "app-1024-scrolled")


def test_app__narrow_keeps_the_sentence_above_the_control_in_hand(
    explorer: Any, sized: Callable[[int, int], Any], keep_screenshot: Keep
) -> None:
    page = sized(400, 800)

    for label in ("Report lag (accesses)", "DRAM (pages of 4 KiB)"):  # one further down, one further up
        explorer.press(label, "ArrowRight")
        says, control = (
            page.locator(".vl-says").bounding_box(),
            page.get_by_label(label, exact=True).bounding_box(),
        )
        assert says["y"] >= 0
        assert says["y"] + says["height"] <= control["y"]
        assert control["y"] + control["height"] <= 800
    keep_screenshot(page, "app-400-scrolled")


def test_app__needs_no_mouse(explorer: Any) -> None:
    page = explorer.page
    page.evaluate("() => document.activeElement.blur()")
    wanted = {id_ for _, id_, _ in page.evaluate(CONTROLS)}
    reached: list[str] = []
    for _ in range(3 * len(wanted)):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(FOCUSED))
        if wanted <= set(reached):
            break
    assert wanted <= set(reached)

    explorer.press("Layer", "ArrowUp")  # a list
    assert explorer.sentence.startswith("Layer vswap to none: ")
    page.get_by_role("checkbox", name="zswap", exact=True).focus()
    explorer.act(lambda: page.keyboard.press("Space"))
    assert explorer.sentence.startswith("Now without zswap: ")
    page.get_by_role("button", name="Undo").focus()
    explorer.act(lambda: page.keyboard.press("Enter"))
    assert explorer.sentence.startswith("Undone: ")
    assert page.get_by_role("checkbox", name="zswap", exact=True).is_checked()


def test_app__is_accessible(explorer: Any, violations: Any, small_text: Any, keep_screenshot: Keep) -> None:
    _is_accessible(explorer, "light", violations, small_text)
    keep_screenshot(explorer.page, "app-light")


def test_app__is_accessible_in_the_dark(
    app: tuple[str, str], open_page: Open, screen: Any, violations: Any, small_text: Any, keep_screenshot: Keep
) -> None:
    url, token = app
    dark = screen(open_page(f"{url}/?token={token}&theme=dark"))
    _is_accessible(dark, "dark", violations, small_text)
    keep_screenshot(dark.page, "app-dark")


def _is_accessible(explorer: Any, theme: str, violations: Any, small_text: Any) -> None:
    assert explorer.root.get_attribute("data-theme") == theme
    assert violations(explorer.page) == []
    assert small_text(explorer.page) == []
    for drawing in explorer.page.locator(".vl-drawing").all():
        assert len(drawing.get_attribute("aria-label")) > 60
