"""Folders that one command writes: whole or not there, and nothing of the user's in them is lost."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from vswaplab.base.documents import read_json
from vswaplab.base.errors import InputError
from vswaplab.base.interrupts import Interrupts
from vswaplab.base.paths import path_of
from vswaplab.base.whole import check_place, refused_in_one_line, unused_name


@dataclass(frozen=True)
class Kind:
    """A kind of folder that one command writes.

    Parameters
    ----------
    title
        What such a folder is to the user.
    marks
        Keys of its ``provenance.json`` that tell it from any other file of that name.
    names
        Of the files it may have; what else lies there is somebody else's.
    """

    title: str
    marks: frozenset[str]
    names: frozenset[str]


def check_folder(folder: str | Path, kind: Kind) -> None:
    """Make sure, before a long run, that a result can go to a folder.

    Raises
    ------
    InputError
        It is a file, holds something other than an earlier result of the kind,
        or what cannot be carried over into a new one (names it), cannot be
        replaced (the working folder, a mount point), or cannot be written.
    """
    target = path_of("folder", folder)
    place = _place(target)
    with refused_in_one_line(f"results to {target}", "choose another folder"):
        if place.exists():
            _check_old(target, place, kind)
        check_place(place.parent)  # the new folder is made there, and renamed


def _place(folder: str | Path) -> Path:
    # Where a folder is, by a name that can be renamed: not ".", no link.
    return Path(os.path.realpath(folder))


def _check_old(target: Path, place: Path, kind: Kind) -> None:
    if not place.is_dir():
        raise InputError(f"cannot write results to {target}: it is a file; choose a folder")
    if any(place.iterdir()) and not _is_of(place, kind):
        raise InputError(f"{target} holds files that are not {kind.title}: choose another folder")
    if not os.access(place, os.W_OK):
        raise InputError(f"cannot write results to {target}: permission denied; choose another folder")
    if place.is_mount() or Path.cwd().is_relative_to(place):
        reason = "it is a mount point" if place.is_mount() else "it is the working folder or holds it"
        raise InputError(
            f"cannot write results to {target}: {reason}, and cannot be replaced; "
            f"choose another folder, such as {target / 'result'}"
        )
    _others(place, kind.names)


def _is_of(place: Path, kind: Kind) -> bool:
    try:
        found = read_json(place / "provenance.json")
    except (OSError, ValueError):  # none, or not ours
        return False
    return isinstance(found, dict) and kind.marks <= found.keys()


def _others(place: Path, written: frozenset[str]) -> list[str]:
    # Names of what lies there and is not written again, all of which can be renamed into another folder.
    names = []
    for entry in sorted(place.iterdir()):
        is_folder = entry.is_dir() and not entry.is_symlink()
        if is_folder and (entry.name in written or entry.is_mount() or not os.access(entry, os.W_OK)):
            raise InputError(
                f"{place} has a folder {entry.name}, which cannot be carried over into a new result: "
                f"move it away, or choose another folder"
            )
        if entry.name not in written:
            names.append(entry.name)
    return names


def write_folder(target: Path, write: Callable[[Path], None], kind: Kind) -> Path:
    """Write a folder of results whole or not at all: beside its place first, then renamed.

    Parameters
    ----------
    target
        Must not exist, be empty, or hold an earlier result of the kind; not the working folder or a mount point.
        What the earlier result has besides the names of the kind and those that are written stays there.
    write : callable
        Called with the folder to write to; writes files only, ``provenance.json`` among them.
    kind

    Returns
    -------
    target

    Raises
    ------
    InputError
        The folder holds something else, cannot be written, or the disk is full.
    """
    check_folder(target, kind)
    place = _place(target)
    staging = unused_name(place.parent)
    with refused_in_one_line(f"results to {target}", "free some space or choose another folder"):
        try:
            staging.mkdir(parents=True)
            write(staging)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        _swap_in(staging, place, kind.names | {entry.name for entry in staging.iterdir()})
    return target


def _swap_in(staging: Path, place: Path, written: frozenset[str]) -> None:
    # What is removed are files by their names, never a folder with all that is in it.
    aside = unused_name(place.parent)
    try:
        with Interrupts() as interrupts:
            _exchange(staging, place, aside, written)
    except BaseException:
        _remove(staging, written)
        raise
    _remove(aside, written)
    if interrupts.noted:
        raise KeyboardInterrupt


def _exchange(staging: Path, place: Path, aside: Path, written: frozenset[str]) -> None:
    # rename(2) replaces an empty folder only, so an earlier result steps aside first; on failure all goes back.
    if not place.exists():
        staging.rename(place)
        return
    others = _others(place, written)
    with contextlib.ExitStack() as back:
        place.rename(aside)
        back.callback(aside.rename, place)
        staging.rename(place)
        back.callback(place.rename, staging)
        for name in others:
            (aside / name).rename(place / name)
            back.callback((place / name).rename, aside / name)
        back.pop_all()


def _remove(folder: Path, names: Iterable[str]) -> None:
    with contextlib.suppress(OSError):
        for name in names:
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()
