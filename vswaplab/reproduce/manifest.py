"""What was made, from what, with which versions; and in what it differs from what is kept."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import vl_convert

from vswaplab.base.documents import read_json
from vswaplab.base.errors import InputError
from vswaplab.base.paths import data_dir
from vswaplab.charts.digest import short_digest

LIBRARIES = ("vswaplab", "numpy", "polars", "altair", "vl-convert-python")
_DRAWN_BY = LIBRARIES[1:]
_INPUTS = ("prices.toml", "profiles.toml", "traces/*.parquet", "corpus/*.parquet", "truth/*/*")
_PROBE = {"data": {"values": [{"x": "MiB"}]}, "mark": "text", "encoding": {"text": {"field": "x"}, "y": {"field": "x"}}}


def shipped_manifest() -> Path:
    """Find the manifest that is kept with the package.

    Raises
    ------
    InputError
        There is none.
    """
    path = data_dir() / "reproduce.json"
    if not path.is_file():
        raise InputError(f"{path} is missing: make it with `vswaplab reproduce --out DIR`, it is DIR/manifest.json")
    return path


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest.

    Raises
    ------
    InputError
        It cannot be read, or is none.
    """
    try:
        found: dict[str, Any] = read_json(path)
        parts: Mapping[str, Any] = found["parts"]
        is_one = {"versions", "drawing", "inputs"} <= found.keys() and all("figures" in part for part in parts.values())
    except OSError as error:
        raise InputError(f"cannot read the manifest {path}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        is_one = False
    if not is_one:
        raise InputError(f"{path} is no manifest: give the manifest.json that `vswaplab reproduce` writes")
    return found


def manifest_of(entries: Mapping[str, Any], command: str) -> dict[str, Any]:
    """Write down what some parts are (``Part.entry`` by name), and what they depend on."""
    return {
        "command": command,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "drawing": drawing_digest(),
        "inputs": input_digests(),
        "parts": dict(sorted(entries.items())),
    }


def manifest_text(manifest: Mapping[str, Any]) -> str:
    """Write a manifest as text, the same for the same content."""
    return json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"


def drawing_digest() -> str:
    """Digest a small picture: where it differs, the fonts of two machines do, and so do their pictures."""
    return short_digest(vl_convert.vegalite_to_svg(_PROBE))


def input_digests() -> dict[str, str]:
    """Digest every shipped file that the results depend on, by its path inside ``data/``."""
    root = data_dir()
    files = sorted(path for pattern in _INPUTS for path in root.glob(pattern) if path.is_file())
    return {path.relative_to(root).as_posix(): _file_digest(path) for path in files}


def goes_with(earlier: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Say whether parts of an earlier manifest may stand beside new ones: made of the same with the same."""
    return all(earlier[key] == found[key] for key in ("versions", "drawing", "inputs"))


def draws_alike(kept: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Say whether pictures and files can be compared byte by byte: the same libraries, the same fonts."""
    same = all(kept["versions"].get(name) == found["versions"].get(name) for name in _DRAWN_BY)
    return same and kept["drawing"] == found["drawing"]


def differences(kept: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Say in what the parts that were made differ from what is kept of them, a line each.

    The data are always compared, to nine digits; the bytes of SVG and CSV only
    if both were made by the same libraries and fonts. Parts that were not
    made are not looked at.
    """
    lines = list(_input_differences(kept["inputs"], found["inputs"]))
    for name, part in found["parts"].items():
        if name in kept["parts"]:
            lines += part_differences(kept["parts"][name], part, by_byte=draws_alike(kept, found))
        else:
            lines.append(f"{name}: not in the manifest")
    return lines


def part_differences(kept: Mapping[str, Any], found: Mapping[str, Any], *, by_byte: bool) -> list[str]:
    """Say in what one part differs from what is kept of it."""
    return [*_setting_differences(kept, found), *_shown_differences(kept, found, by_byte)]


def _input_differences(kept: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(kept.keys() & found.keys()):  # an installed package lacks some
        if kept[name] != found[name]:
            yield f"input data/{name}: kept {kept[name]}, found {found[name]}"


def _setting_differences(kept: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    old, new = (json.loads(json.dumps(part["settings"])) for part in (kept, found))
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield f"{found['source']}, setting {name}: kept {old.get(name)!r}, found {new.get(name)!r}"


def _shown_differences(kept: Mapping[str, Any], found: Mapping[str, Any], by_byte: bool) -> Iterator[str]:
    for kind, file in (("figures", "svg"), ("tables", "csv")):
        old, new = kept[kind], found[kind]
        for name in sorted({*old, *new}):
            if name not in new or name not in old:
                yield f"{name}: {'kept, not made' if name in old else 'made, not kept'}"
                continue
            keys = [key for key in new[name] if key != file and old[name].get(key) != new[name][key]]
            for key in keys:
                yield f"{name}, {key}: kept {old[name].get(key)!r}, found {new[name][key]!r}"
            if not keys and by_byte and old[name].get(file) != new[name][file]:
                yield f"{name}.{file}: other bytes for the same data"


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
