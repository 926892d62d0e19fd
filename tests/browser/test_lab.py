"""Explorer and dials in a real JupyterLab: they draw, nothing leaves the machine, a move is answered at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from statistics import quantiles
from typing import Any

import pytest

import vswaplab as vl
from vswaplab.charts.panels import panels

# The execution indicator can say idle before a kernel is there; its connection cannot.
IDLE = """() => {
  const kernel = window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel;
  return !!kernel && kernel.connectionStatus === 'connected' && kernel.status === 'idle' }"""
RUN_ALL = "async () => await window.jupyterapp.commands.execute('notebook:run-all-cells')"
FAILURES = '[data-mime-type="application/vnd.jupyter.stderr"], [data-mime-type="application/vnd.jupyter.error"]'
MOVES = 24  # from a sixth of the pages in DRAM to where all of them fit
AT_MOST_MS = 250
IDLE_RUN_MS = 150  # the slowest of these runs, and its tables, on a machine with nothing else to do

# From the key to a chart whose outline is another, painted: what a person waits for.
WATCH = """(selector) => {
  window.waits = []; window.began = null;
  document.addEventListener('keydown', () => { window.began = performance.now() }, true);
  const seen = () => requestAnimationFrame(() => setTimeout(() => {
    if (window.began != null) { window.waits.push(performance.now() - window.began); window.began = null }
  }));
  new MutationObserver(seen).observe(document.querySelector(selector),
    { subtree: true, attributes: true, attributeFilter: ['d'] }) }"""

Open = Callable[..., Any]
Keep = Callable[[Any, str], None]


@pytest.fixture(scope="module")
def large(lab: tuple[str, str], open_page: Open, screen: Any) -> Any:
    """One visit for several tests, as a kernel takes a while to start."""
    url, token = lab
    page = open_page(f"{url}/doc/tree/large.ipynb?token={token}", height=1600)
    run_all(page)
    return screen(page)


def run_all(page: Any) -> None:
    page.wait_for_function(IDLE)
    page.evaluate(RUN_ALL)
    page.locator(".vl-explorer[data-shown]").wait_for(state="attached")
    page.wait_for_function(IDLE)


def test_notebook_02__runs_and_its_explorer_answers(
    lab: tuple[str, str], open_page: Open, screen: Any, keep_screenshot: Keep
) -> None:
    url, token = lab
    page = open_page(f"{url}/doc/tree/02_a_real_program_meets_four_tiers.ipynb?token={token}", height=1600)
    run_all(page)
    explorer = screen(page)
    before, pages = explorer.drawings, int(page.get_by_label("DRAM (pages of 4 KiB)", exact=True).input_value())

    explorer.press("DRAM (pages of 4 KiB)", "ArrowRight")

    assert int(page.get_by_label("DRAM (pages of 4 KiB)", exact=True).input_value()) > pages
    assert explorer.sentence.startswith(f"DRAM {pages:,} to ")
    assert "the program waits" in explorer.sentence
    assert explorer.drawings != before
    page.locator(".vl-explorer").scroll_into_view_if_needed()
    keep_screenshot(page, "notebook-02-explorer")
    assert page.locator(FAILURES).all_inner_texts() == []


def test_move__is_answered_at_once_on_a_million_touches(large: Any, capsys: Any, keep_screenshot: Keep) -> None:
    explorer, page = large, large.page
    page.evaluate(WATCH, ".vl-panels")
    one, kernel = _waits(explorer, MOVES, capsys, "slider to changed chart, 1 M touches on 256 Ki pages")
    keep_screenshot(page, "explorer-lab")
    compare = page.get_by_label("Compare two machines, A and B")
    explorer.act(compare.check)
    _waits(explorer, MOVES // 2, capsys, "the same with two machines side by side, of which the slider moves one")
    explorer.act(compare.uncheck)

    busy = max(1.0, quantiles(kernel, n=20)[-1] / IDLE_RUN_MS)  # a busy machine answers later, and says so above
    assert quantiles(one, n=20)[-1] < AT_MOST_MS * busy


def _waits(explorer: Any, moves: int, capsys: Any, what: str) -> tuple[list[float], list[float]]:
    # Milliseconds from a key to the first changed chart, and of a move in Python.
    page = explorer.page
    for key in ["ArrowRight", "ArrowLeft"] * 2:  # the first moves warm up
        explorer.press("DRAM (pages of 4 KiB)", key)
    page.evaluate("() => { window.waits = []; window.began = null; performance.clearMeasures() }")  # a late one is none
    for _ in range(moves):  # new machines all, so that none is remembered
        explorer.press("DRAM (pages of 4 KiB)", "ArrowRight")
        page.wait_for_function("() => window.began == null")  # the change was seen: that takes one more frame
    waits = page.evaluate("() => window.waits")
    own = page.evaluate("() => performance.getEntriesByName('vswaplab-move').map((e) => [e.duration, e.detail])")
    kernel = [took for _, took in own]
    with capsys.disabled():
        print(f"\n{what}, ms:")
        print(f"  to the first changed chart: {_spread(waits)}")
        print(f"  to the last of six: {_spread([wait for wait, _ in own])}; of it in Python {_spread(kernel)}")
    assert len(waits) == moves
    return waits, kernel


def test_dials__a_move_draws_the_figure_anew(
    lab: tuple[str, str], open_page: Open, violations: Any, keep_screenshot: Keep
) -> None:
    url, token = lab
    page = open_page(f"{url}/doc/tree/14_tierscapes_front.ipynb?token={token}", height=1600)
    page.wait_for_function(IDLE)
    page.evaluate(RUN_ALL)
    title = page.locator(".vl-dials svg > title")
    title.wait_for(state="attached")
    page.wait_for_function(IDLE)
    assert title.text_content() == "One more tier, CRAM: 1.8 points less cost"
    page.get_by_label("Compression ratio", exact=True).focus()

    for _ in range(10):
        page.keyboard.press("ArrowLeft")

    page.wait_for_function(
        "() => document.querySelector('.vl-dials svg > title').textContent.endsWith(': no less cost')"
    )
    assert page.get_by_label("Compression ratio", exact=True).input_value() == "1"
    assert violations(page, ".vl-dials") == []
    page.locator(".vl-dials").scroll_into_view_if_needed()
    keep_screenshot(page, "notebook-14-dials")
    assert page.locator(FAILURES).all_inner_texts() == []


def _spread(times: list[float]) -> str:
    cuts = quantiles(times, n=20)
    return f"median {cuts[9]:.0f}, p95 {cuts[18]:.0f}, {min(times):.0f} to {max(times):.0f}"


def test_theme__follows_jupyterlab_while_it_is_open(
    large: Any, violations: Any, small_text: Any, keep_screenshot: Keep
) -> None:
    explorer, page = large, large.page
    assert explorer.root.get_attribute("data-theme") == "light"

    page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    page.locator('.vl-explorer[data-theme="dark"]').wait_for()
    explorer.press("DRAM (pages of 4 KiB)", "ArrowLeft")

    assert violations(page) == []
    assert small_text(page) == []
    keep_screenshot(page, "explorer-lab-dark")
    page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})")


def test_code__that_is_copied_computes_the_screen(large: Any) -> None:
    explorer, page = large, large.page
    explorer.press("CRAM media (MiB)", "PageDown")
    explorer.press("Report lag (accesses)", "ArrowRight")
    page.get_by_role("button", name="Copy as code").click()
    page.get_by_text("Copied").wait_for()
    pasted: dict[str, Any] = {"trace": vl.zipf(n_pages=1 << 18, n_accesses=1_000_000, seed=1)}

    exec(page.evaluate("() => navigator.clipboard.readText()"), pasted)

    found = [panel.title for panel in panels({"": pasted["result"]})]
    assert found == explorer.titles
    assert json.loads(json.dumps(pasted["machine"].to_dict()))["cram"]["report_lag"] == 100
