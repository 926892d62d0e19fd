"""Write the API reference of the guide from the docstrings of the public names.

    python tests/guide/api_reference.py

``notebooks/guide/api.md`` is what it writes; a test says when that is out of step.
"""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import fill

import griffe
from griffe2md import ConfigDict, render_object_docs

import vswaplab as vl

TARGET = Path(__file__).resolve().parents[2] / "notebooks" / "guide" / "api.md"

PACKAGES = {
    "trace": "Traces",
    "machine": "Machines",
    "engine": "Runs",
    "results": "Results",
    "sweeps": "Many runs",
    "recorder": "Your own data",
    "images": "Your own data",
    "boxes": "Your own data",
    "truth": "Real kernels",
    "base": "Small things",
}
"""Package of a public name, and the chapter it stands in."""

_HEAD = """# API reference

Made from the docstrings by `python tests/guide/api_reference.py`; `import vswaplab as vl` first. Sizes are in the
unit that stands where a type would: pages of 4,096 bytes, accesses, bytes, ns.
"""


def reference() -> str:
    """Render every name of ``vl.__all__``, chapter by chapter."""
    package = griffe.load("vswaplab", docstring_parser="numpy", resolve_aliases=True)
    found = {name: package[f"api.{name}"] for name in vl.__all__ if not name.startswith("_")}
    targets = {name: one.final_target if one.is_alias else one for name, one in found.items()}
    public = {target.path: name for name, target in targets.items()}
    chapters: dict[str, list[str]] = {title: [] for title in PACKAGES.values()}
    for name in sorted(targets, key=str.lower):
        chapters[PACKAGES[targets[name].path.split(".")[1]]].append(_entry(name, targets[name], public))
    parts = [_HEAD, _contents(targets)]
    parts += [f"## {title}\n\n" + "\n".join(entries) for title, entries in chapters.items() if entries]
    return "\n".join(parts).rstrip() + "\n"


def _contents(targets: dict[str, griffe.Object]) -> str:
    by_chapter: dict[str, list[str]] = {}
    for name in sorted(targets, key=str.lower):
        title = PACKAGES[targets[name].path.split(".")[1]]
        by_chapter.setdefault(title, []).append(f"[{name}](#{_anchor(name)})")
    ordered = [title for title in dict.fromkeys(PACKAGES.values()) if title in by_chapter]
    return "".join(f"- **{title}**: {', '.join(by_chapter[title])}\n" for title in ordered)


def _entry(name: str, target: griffe.Object, public: dict[str, str]) -> str:
    methods = [one for one, member in target.members.items() if _is_told(member)] if target.is_class else []
    config = ConfigDict(
        docstring_style="numpy", heading_level=3, members=methods, summary=False, show_root_full_path=True,
        show_bases=False,
    )  # fmt: skip
    text = render_object_docs(target, config).replace(f"`{target.path}", f"`vl.{name}")
    text = re.sub(r"(?<=^```python\n).+$", _folded, text, flags=re.MULTILINE)
    text = re.sub(" \u2013 *$", "", text, flags=re.MULTILINE)  # of an argument whose name and unit say it all
    return re.sub(r"\[([^\[\]]*)\]\(#([^()]*)\)", lambda link: _link(link, public), text).strip() + "\n"


def _folded(signature: re.Match[str]) -> str:
    # A page shows some 100 characters of a line of code.
    return fill(signature[0], 100, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def _is_told(member: griffe.Object | griffe.Alias) -> bool:
    return not member.is_alias and member.is_public and member.is_function and member.docstring is not None


def _link(link: re.Match[str], public: dict[str, str]) -> str:
    # Only names that are explained here can be followed.
    said, path = link.groups()
    return f"[{said}](#{_anchor(public[path])})" if path in public else said


def _anchor(name: str) -> str:
    return f"vl{name.lower()}"  # as GitHub and Jupyter make one of "vl.name"


if __name__ == "__main__":
    TARGET.write_text(reference())
    print(f"{TARGET.name}: {len(TARGET.read_text()):,} characters")
