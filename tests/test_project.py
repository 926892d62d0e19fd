"""The boring files agree with each other, and `import vswaplab` stays light."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import vswaplab

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

RUN = "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/vswaplab run"
TEST = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest"
HEAVY = {"altair", "ipywidgets", "anywidget", "vl_convert", "IPython", "jupyterlab"}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def first(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    assert found is not None, f"nothing matches {pattern}"
    return found[1]


def test_version__is_the_same_everywhere() -> None:
    assert first(r"^version: (\S+)$", read("CITATION.cff")) == PROJECT["version"]
    assert first(r"^## (\d\S*)", read("CHANGELOG.md")) == PROJECT["version"]
    assert vswaplab.__version__ == version("vswaplab") == PROJECT["version"]


def test_environment__names_no_version_of_its_own() -> None:
    lines = read("environment.yml").partition("dependencies:\n")[2].splitlines()

    assert [line.strip() for line in lines] == ["- python", "- pip", "- pip:", "- -e ."]


def test_dependencies__say_from_which_version_on_as_the_ci_reads_them() -> None:
    bounds = [re.fullmatch(r"([a-z-]+)>=(\d+(?:\.\d+)+)", each) for each in PROJECT["dependencies"]]

    assert all(bounds), "each is written NAME>=MAJOR.MINOR: .ci/run installs that very version too"
    for bound in filter(None, bounds):
        wanted, found = ([int(n) for n in re.findall(r"\d+", text)] for text in (bound[2], version(bound[1])))
        assert found >= wanted, f"{bound[0]} is not what is installed"


def test_readme__names_only_extras_that_exist() -> None:
    named = re.findall(r"(?:\.|vswaplab)\[([a-z, ]+)\]", read("README.md"))
    extras = {extra.strip() for group in named for extra in group.split(",")}

    assert "test" in extras
    assert extras <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("command", [RUN, TEST])
def test_readme__has_the_two_commands_on_lines_of_their_own(command: str) -> None:
    assert command in [line.strip() for line in read("README.md").splitlines()]


def test_ci__runs_the_readme_s_test_command() -> None:
    assert any(line.startswith(TEST) for line in read(".ci/run").splitlines())


def test_ci__hides_no_failure() -> None:
    commands = [line for line in read(".ci/run").splitlines() if not line.startswith("#")]

    assert "set -euo pipefail" in commands
    assert not [line for line in commands if re.search(r"\|\| *(true|:)", line)]


def test_import__loads_no_plot_widget_or_notebook_library() -> None:
    code = "import json, sys, vswaplab; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}

    assert "vswaplab" in loaded
    assert not loaded & HEAVY


def test_public_names__are_sorted_and_exist() -> None:
    names = list(vswaplab.__all__)

    assert names == sorted(set(names))
    assert not [name for name in names if not hasattr(vswaplab, name)]


def test_package__ships_its_types() -> None:
    assert (Path(vswaplab.__file__).parent / "py.typed").is_file()


def test_licences__of_code_and_data_are_in_the_tree() -> None:
    assert PROJECT["license"] == "BSD-3-Clause AND CC0-1.0"
    assert ["BSD 3-Clause" in read("LICENSE"), "CC0 1.0 Universal" in read("data/LICENSE")] == [True, True]
    assert PROJECT["license-files"] == ["LICENSE", "data/LICENSE"]
