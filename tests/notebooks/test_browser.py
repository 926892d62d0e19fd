"""Notebook 02 in a real JupyterLab: everything draws, nothing leaves the machine, a slider moves a chart."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium")
ROOT = Path(__file__).resolve().parents[2]
EXPLORER = "02_a_real_program_meets_four_tiers.ipynb"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# The execution indicator can say idle before a kernel is there; its connection cannot.
IDLE = """() => {
  const kernel = window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel;
  return !!kernel && kernel.connectionStatus === 'connected' && kernel.status === 'idle' }"""
RUN_ALL = "async () => await window.jupyterapp.commands.execute('notebook:run-all-cells')"
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # far cells stay in the page
}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)"),
]


def _folders(home: Path) -> dict[str, str]:
    for name, body in SETTINGS.items():
        folder, _, file = name.partition("/")
        target = home / "settings" / "@jupyterlab" / folder
        target.mkdir(parents=True)
        (target / f"{file}.jupyterlab-settings").write_text(json.dumps(body), encoding="utf-8")
    names = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    }
    return {name: str(home / folder) for name, folder in names.items()}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, OSError):
            if server.poll() is not None:
                break
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"JupyterLab did not start:\n{log.read_text(encoding='utf-8')}")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    home = tmp_path_factory.mktemp("lab")
    work, log, token, port = home / "notebooks", home / "log", secrets.token_hex(8), _free_port()
    shutil.copytree(ROOT / "notebooks", work)  # JupyterLab saves on its own
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"]
    command += [f"--ServerApp.root_dir={work}", "--expose-app-in-browser"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    with log.open("wb") as out:
        server = subprocess.Popen(command, env=os.environ | _folders(home), stdout=out, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_it_answers(f"{url}/api/status?token={token}", server, log)
            yield url, token
        finally:
            server.terminate()
            server.wait(20)


def test_explorer__moves_its_charts_in_jupyterlab_without_a_network(lab: tuple[str, str], tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e '.[browser]'")
    url, token = lab
    outside: list[str] = []

    def note(request: object) -> None:
        address = str(request.url)  # type: ignore[attr-defined]
        if not address.startswith((url, url.replace("http", "ws", 1), "data:", "blob:")):
            outside.append(address)

    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch_persistent_context(
            str(tmp_path / "profile"), executable_path=CHROMIUM, headless=True, args=FLAGS
        )
        page = browser.pages[0]
        page.set_viewport_size({"width": 1280, "height": 1600})
        page.set_default_timeout(120_000)
        page.on("request", note)
        page.goto(f"{url}/doc/tree/{EXPLORER}?token={token}")
        page.wait_for_function(IDLE)
        page.evaluate(RUN_ALL)
        chart = page.locator(".jupyter-widgets .vega-embed svg").first
        chart.wait_for(state="attached")
        page.wait_for_function(IDLE)
        handle = page.locator(".widget-slider .noUi-handle").first
        box = page.get_by_label("DRAM (pages)")
        before, pages = chart.inner_html(), int(box.input_value())

        handle.focus()
        page.keyboard.press("ArrowRight")
        sentence = page.locator("p[role=status]").filter(has_text="DRAM from")
        sentence.wait_for()
        page.wait_for_function(
            "([old]) => document.querySelector('.jupyter-widgets .vega-embed svg').innerHTML !== old", arg=[before]
        )

        assert int(box.input_value()) > pages
        assert f"DRAM from {pages:,} pages" in sentence.inner_text()
        assert "waits" in sentence.inner_text()
        chart.scroll_into_view_if_needed()
        _screenshot(page, tmp_path)
        failures = page.locator(
            '[data-mime-type="application/vnd.jupyter.stderr"], [data-mime-type="application/vnd.jupyter.error"]'
        )
        assert failures.all_inner_texts() == []
        assert outside == []
        browser.close()


def _screenshot(page: object, folder: Path) -> None:
    # VSWAPLAB_SCREENSHOTS=FOLDER keeps it, for someone to look at
    target = Path(os.environ.get("VSWAPLAB_SCREENSHOTS", str(folder)))
    page.screenshot(path=str(target / "explorer.png"))  # type: ignore[attr-defined]
    assert (target / "explorer.png").stat().st_size > 20_000
