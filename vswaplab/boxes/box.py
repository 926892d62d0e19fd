"""The files that a box shows, live under ``/`` or copied into a folder; nothing of them is believed unchecked."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from vswaplab.base.errors import InputError
from vswaplab.base.paths import path_of

MOST_BYTES = 1 << 20
"""Of one file; /proc/zoneinfo of a large box has 200 KB."""

MOST_NUMBER = 1 << 60

_TWO_PARTS = ("enabled", "memory", "version", "compressor", "size")  # mean nothing without their folder's name


class Box:
    """Files of one box.

    Parameters
    ----------
    root : path
        ``/``, or a folder that files of a box were copied into: under their
        full names (``cp --parents``), or under the last parts of them.

    Raises
    ------
    InputError
        There is no such folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = path_of("folder", root)
        self.is_live = self.root.resolve() == Path("/")
        self.locked: list[str] = []
        """Files that are there and may not be read."""
        if not self.root.is_dir():
            raise InputError(f"{root} is no folder: give one with copies of /proc and /sys files, or none for this box")

    def text(self, name: str) -> str | None:
        """Read a file by its full name without the first slash; None: it is not there, or may not be read.

        Raises
        ------
        InputError
            It is too large, or a link that leads out of the folder.
        """
        for path in self._places(name):
            try:
                if path.is_file():
                    return self._read(path)
            except PermissionError:
                self.locked.append(f"/{name}")
                return None
            except OSError:  # such as a parameter that cannot be read back
                return None
        return None

    def number(self, name: str) -> int | None:
        """Read a file that holds one number; ``max`` and an absent file are None."""
        text = self.text(name)
        if text is None or text.strip() in ("max", ""):
            return None
        return whole(f"/{name}", text.strip())

    def table(self, name: str, wanted: Collection[str]) -> dict[str, int]:
        """Read some lines of a name and a number, as in /proc/vmstat, memory.stat and (in KiB) /proc/meminfo."""
        lines = (line.replace(":", " ").split() for line in (self.text(name) or "").split("\n"))
        return {
            words[0]: whole(f"/{name} {words[0]}", words[1])
            for words in lines
            if len(words) >= 2 and words[0] in wanted
        }

    def zram_devices(self) -> list[str]:
        """List zram devices by name, those without statistics left out."""
        folders = [self.root / name for name in ("sys/block", "block", ".")]
        names = {path.name for folder in folders for path in folder.glob("zram[0-9]*")}
        if not self.is_live and (self.root / "mm_stat").is_file():
            names.add("zram0")
        return sorted(name for name in names if self.text(f"sys/block/{name}/mm_stat"))

    def _places(self, name: str) -> Iterator[Path]:
        parts = PurePosixPath(name).parts
        if ".." in parts:
            raise InputError(f"{name} leads out of the folder: name a group below its root")
        yield self.root / name
        if not self.is_live:
            least = 2 if parts[-1] in _TWO_PARTS else 1
            yield from (self.root.joinpath(*parts[k:]) for k in range(1, len(parts) - least + 1))

    def _read(self, path: Path) -> str:
        if not self.is_live and not path.resolve().is_relative_to(self.root.resolve()):
            raise InputError(f"{path} is a link that leads out of {self.root}: copy the file itself")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise InputError(f"{path} is larger than {MOST_BYTES:,} bytes: no file of /proc or /sys is; copy it again")
        return data.decode("utf-8", "replace")


def whole(where: str, text: str) -> int:
    """Read a whole number of at least 0 that a kernel wrote.

    Raises
    ------
    InputError
        It is not one; the message says where it stands.
    """
    if not re.fullmatch(r"\d{1,20}", text) or int(text) > MOST_NUMBER:
        raise InputError(f"{where} is {text[:40]!r}: expected a whole number of at least 0; copy the file again")
    return int(text)


def chosen(text: str) -> str:
    """Find the chosen one of a list such as ``lzo [lz4] zstd``; a lone word is chosen.

    Examples
    --------
    >>> chosen("lzo [lz4] zstd"), chosen("zstd")
    ('lz4', 'zstd')
    """
    found = re.search(r"\[([\w.-]+)\]", text)
    return found[1] if found else (text.split() or [""])[0]
