"""Servers on loopback and a Chromium that must not ask anybody else for anything."""

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # far cells stay in the page
}
LARGE = """import vswaplab as vl
from vswaplab.machine.presets import with_settings
trace = vl.zipf(n_pages=1 << 18, n_accesses=1_000_000, seed=1)
machine = with_settings(vl.preset("four-tiers", trace.n_pages), ["dram.capacity_pages=45056"])
vl.widgets.Explorer(trace, machine)"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(
                pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt install chromium)")
            )


def folders(home: Path) -> dict[str, str]:
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


@contextmanager
def served(home: Path, path: str, command: list[str]) -> Iterator[tuple[str, str]]:
    """Run a server on a free port until ``path`` answers; give its address and its token."""
    token, log = secrets.token_hex(8), home / "log"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    env = os.environ | folders(home) | {"JUPYTER_TOKEN": token}
    command = [sys.executable, "-m", *command, "--no-browser", f"--port={port}"]
    with log.open("wb") as out:
        server = subprocess.Popen(command, env=env, cwd=home, stdout=out, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_it_answers(f"{url}{path}?token={token}", server, log)
            yield url, token
        finally:
            server.terminate()
            server.wait(20)


def _wait_until_it_answers(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, OSError):
            if server.poll() is not None:
                break
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"the server did not start:\n{log.read_text(encoding='utf-8')}")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """JupyterLab on a copy of the notebooks, and on one that opens the explorer on a large trace."""
    home = tmp_path_factory.mktemp("lab")
    work = home / "notebooks"
    shutil.copytree(ROOT / "notebooks", work)  # JupyterLab saves on its own
    cell = {"cell_type": "code", "execution_count": None, "id": "a", "metadata": {}, "outputs": [], "source": LARGE}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    large = {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    (work / "large.ipynb").write_text(json.dumps(large), encoding="utf-8")
    options = [
        "--ip=127.0.0.1",
        "--allow-root",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={work}",
        "--expose-app-in-browser",
    ]
    options += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    with served(home, "/api/status", ["jupyterlab", *options]) as found:
        yield found


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """What ``vswaplab lab --app`` serves."""
    pytest.importorskip("voila", reason="needs Voila: pip install -e '.[demo]'")
    with served(tmp_path_factory.mktemp("app"), "/login", ["vswaplab.cli", "lab", "--app"]) as found:
        yield found


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e '.[browser]'")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Open a page of a server; at the end nothing may have been asked of anybody else."""
    contexts, outside = [], []

    def opened(url: str, height: int = 800) -> Any:
        server = "/".join(url.split("/")[:3])
        own = (server, server.replace("http", "ws", 1), "data:", "blob:")
        context = chromium.new_context(viewport={"width": 1280, "height": height})
        contexts.append(context)
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("request", lambda request: None if request.url.startswith(own) else outside.append(request.url))
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert outside == []


@pytest.fixture
def keep_screenshot(tmp_path: Path) -> Callable[[Any, str], None]:
    """Keep a picture of a page for somebody to look at: VSWAPLAB_SCREENSHOTS=FOLDER."""
    target = Path(os.environ.get("VSWAPLAB_SCREENSHOTS", str(tmp_path)))

    def keep(page: Any, name: str) -> None:
        target.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(target / f"{name}.png"))
        assert (target / f"{name}.png").stat().st_size > 20_000

    return keep


SETTLED = """(version) => {
  const root = document.querySelector('.vl-explorer');
  return !!root && Number(root.dataset.shown ?? 0) > version && root.dataset.state === 'shown' }"""


def plain(shown: str) -> str:
    """Undo what keeps a number and its unit on one line."""
    return shown.replace("\u00a0", " ")


class Screen:
    """The explorer on a page, as a person uses it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.root = page.locator(".vl-explorer")
        self.settle(0)

    @property
    def version(self) -> int:
        return int(self.root.get_attribute("data-shown"))

    @property
    def sentence(self) -> str:
        return plain(self.page.locator(".vl-sentence").inner_text())

    @property
    def titles(self) -> list[str]:
        return [plain(title) for title in self.page.locator(".vl-panel h3").all_inner_texts()]

    @property
    def drawings(self) -> str:
        return str(self.page.locator(".vl-panels").inner_html())

    def settle(self, version: int) -> None:
        """Wait until something newer than a version is drawn."""
        self.page.wait_for_function(SETTLED, arg=version)

    def act(self, what: Callable[[], object]) -> None:
        """Do something and wait for its answer."""
        version = self.version
        what()
        self.settle(version)

    def press(self, label: str, key: str) -> None:
        """Press a key on a control."""
        self.page.get_by_label(label, exact=True).focus()
        self.act(lambda: self.page.keyboard.press(key))


@pytest.fixture(scope="module")
def screen() -> type[Screen]:
    return Screen


@pytest.fixture
def violations() -> Callable[..., list[str]]:
    """Give what axe-core finds against the accessibility of a part of a page: the explorer, if no other is named."""
    pytest.importorskip("axe_playwright_python", reason="needs axe: pip install -e '.[browser]'")
    from axe_playwright_python.sync_playwright import Axe

    rules = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}

    def found(page: Any, part: str = ".vl-explorer") -> list[str]:
        response = Axe().run(page, context=part, options=rules).response
        assert len(response["passes"]) > 10
        return [
            f"{violation['id']} ({violation['help']}): {node['html'][:160]}"
            for violation in response["violations"]
            for node in violation["nodes"]
        ]

    return found


SMALL_TEXT = """() => {
  const small = [];
  const walk = document.createTreeWalker(document.querySelector('.vl-explorer'), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const holder = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || !holder.checkVisibility()) continue;
    const size = parseFloat(getComputedStyle(holder).fontSize);
    if (size < 12) small.push(`${size} px: ${walk.currentNode.textContent.trim()}`);
  }
  return small }"""


@pytest.fixture
def small_text() -> Callable[[Any], list[str]]:
    """List what is written smaller than 12 px."""
    return lambda page: list(page.evaluate(SMALL_TEXT))
