"""Take the README's pictures of what a browser shows.

    python tests/browser/pictures.py

The explorer in the light and in the dark, and the page for a class, go to
``notebooks/figures``. Needs Debian's chromium and the extras ``browser`` and ``demo``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.browser.conftest import CHROMIUM, FLAGS, Screen, served  # noqa: E402
from vswaplab import cli  # noqa: E402

TARGET = ROOT / "notebooks" / "figures"
WIDE, HIGH, PAGE_HIGH = 1280, 1120, 730


def smaller_media(explorer: Screen) -> None:
    """A third of the CRAM media."""
    set_media(explorer, "4.89")


def two_machines(explorer: Screen) -> None:
    """B with less CRAM media than A."""
    explorer.act(lambda: explorer.page.get_by_label("Compare two machines, A and B").check())
    set_media(explorer, "9.89")


def set_media(explorer: Screen, mib: str) -> None:
    """Type how much media there is, and leave the focus on its slider."""
    box = explorer.page.get_by_label("CRAM media (MiB), typed")
    box.fill(mib)
    explorer.act(lambda: box.press("Enter"))
    explorer.page.get_by_label("CRAM media (MiB)", exact=True).focus()


def explorer_pictures(browser: Any, folder: Path) -> None:
    """Serve the app, do something in it, take it."""
    scenes: list[tuple[str, Callable[[Screen], None]]] = [("light", smaller_media), ("dark", two_machines)]
    with served(folder, "/login", ["vswaplab.cli", "lab", "--app"]) as (url, token):
        for theme, act in scenes:
            page = browser.new_page(viewport={"width": WIDE, "height": HIGH})
            page.goto(f"{url}/?token={token}&theme={theme}")
            act(Screen(page))
            page.evaluate("document.querySelectorAll('*').forEach((node) => { node.scrollTop = 0 })")
            page.wait_for_timeout(500)
            page.screenshot(path=TARGET / f"explorer-{theme}.png")
            page.close()


def classroom_picture(browser: Any, folder: Path) -> None:
    """Make the page, give its machine more DRAM, take it from the sliders on."""
    assert cli.main(["classroom", "--out", str(folder / "page.html")]) == 0
    page = browser.new_page(viewport={"width": WIDE, "height": PAGE_HIGH})
    page.goto((folder / "page.html").as_uri())
    page.locator("#sizes-chart svg").wait_for()
    slider = page.get_by_label("DRAM (% of the program)")
    slider.focus()
    slider.press("ArrowRight")
    page.evaluate("document.querySelector('fieldset').scrollIntoView()")
    page.wait_for_timeout(500)
    page.screenshot(path=TARGET / "classroom.png")
    page.close()


def main() -> None:
    """Take all three."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver, TemporaryDirectory() as folder:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        explorer_pictures(browser, Path(folder))
        classroom_picture(browser, Path(folder))
        browser.close()


if __name__ == "__main__":
    main()
