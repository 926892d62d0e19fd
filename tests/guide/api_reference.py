"""Write the API reference of the guide from the docstrings of the public names.

    python tests/guide/api_reference.py

``notebooks/guide/api.md`` is what it writes; a test says when that is out of step.
"""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import fill
from types import FunctionType

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
"""Package of a public name, and the chapter it stands in; what a public function returns stands with it."""

_HEAD = """# API reference

Made from the docstrings by `python tests/guide/api_reference.py`; `import vswaplab as vl` first. Sizes are in the
unit that stands where a type would: pages of 4,096 bytes, accesses, bytes, ns.
"""


def reference() -> str:
    """Render every name of ``vl.__all__``, and every class of what they return, chapter by chapter."""
    package = griffe.load("vswaplab", docstring_parser="numpy", resolve_aliases=True)
    targets = {f"vl.{name}": _found(package, getattr(vl, name)) for name in vl.__all__ if not name.startswith("_")}
    known = {target.path for target in targets.values()}
    targets |= {
        one.path: one for target in list(targets.values()) for one in _returned(target) if one.path not in known
    }
    told = {target.path: name for name, target in targets.items()}
    chapters: dict[str, list[str]] = {title: [] for title in PACKAGES.values()}
    links: dict[str, list[str]] = {title: [] for title in PACKAGES.values()}
    for name in sorted(targets, key=lambda name: name.rpartition(".")[2].lower()):
        title = PACKAGES[targets[name].path.split(".")[1]]
        chapters[title].append(_entry(name, targets[name], told))
        links[title].append(f"[{name.rpartition('.')[2]}](#{_anchor(name)})")
    contents = "".join(f"- **{title}**: {', '.join(names)}\n" for title, names in links.items() if names)
    parts = [_HEAD, contents]
    parts += [f"## {title}\n\n" + "\n".join(entries) for title, entries in chapters.items() if entries]
    return "\n".join(parts).rstrip() + "\n"


def _found(package: griffe.Module, thing: type | FunctionType) -> griffe.Object:
    # By where it is defined: vl.sample is a function of vswaplab.trace.sample, and that a module of vswaplab.trace.
    return package[f"{thing.__module__}.{thing.__qualname__}".partition(".")[2]]


def _returned(target: griffe.Object) -> list[griffe.Class]:
    # Classes of this package that a function, or a method that is told of, returns.
    functions = [target] if target.is_function else [one for one in target.members.values() if _is_told(one)]
    names = [name for one in functions if isinstance(one.returns, griffe.Expr) for name in one.returns.iterate()]
    paths = [name.canonical_path for name in names if isinstance(name, griffe.ExprName)]
    package = target.package
    inside = [package[path.partition(".")[2]] for path in paths if path.startswith(f"{package.name}.")]
    return [one.final_target if one.is_alias else one for one in inside if one.is_class]


def _typed(target: griffe.Object) -> None:
    # Of "name, other :" without a type, each name has its own annotation; griffe gives all of them the first one's.
    if target.docstring is None or not hasattr(target, "parameters"):
        return
    annotations = {one.name: one.annotation for one in target.parameters}
    for section in target.docstring.parsed:
        if section.kind is griffe.DocstringSectionKind.parameters:
            for one in section.value:
                if any(one.annotation is annotation for annotation in annotations.values()):
                    one.annotation = annotations[one.name]


def _entry(name: str, target: griffe.Object, told: dict[str, str]) -> str:
    methods = [one for one, member in target.members.items() if _is_told(member)] if target.is_class else []
    for one in (target, *(target.members[method] for method in methods)):
        _typed(one)
    config = ConfigDict(
        docstring_style="numpy", heading_level=3, members=methods, summary=False, show_root_full_path=True,
        show_bases=False,
    )  # fmt: skip
    text = re.sub(rf"`{re.escape(target.path)}\b", f"`{name}", render_object_docs(target, config))
    text = re.sub(r"(?<=^```python\n).+$", _folded, text, flags=re.MULTILINE)
    text = re.sub(" \u2013 *$", "", text, flags=re.MULTILINE)  # of an argument whose name and unit say it all
    return re.sub(r"\[([^\[\]]*)\]\(#([^()]*)\)", lambda link: _link(link, told), text).strip() + "\n"


def _folded(signature: re.Match[str]) -> str:
    # A page shows some 100 characters of a line of code.
    return fill(signature[0], 100, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def _is_told(member: griffe.Object | griffe.Alias) -> bool:
    return not member.is_alias and member.is_public and member.is_function and member.docstring is not None


def _link(link: re.Match[str], told: dict[str, str]) -> str:
    # Only names that are explained here can be followed.
    said, path = link.groups()
    return f"[{said}](#{_anchor(told[path])})" if path in told else said


def _anchor(name: str) -> str:
    return name.replace(".", "").lower()  # as GitHub and Jupyter make one of "vl.name"


if __name__ == "__main__":
    TARGET.write_text(reference())
    print(f"{TARGET.name}: {len(TARGET.read_text()):,} characters")
