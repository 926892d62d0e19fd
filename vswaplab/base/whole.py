"""Files that are whole under their name or not there: each is written under another name beside it first."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import polars as pl

from vswaplab.base.errors import InputError

TEMPORARY = ".writing-"
"""How the name of what is not whole yet begins."""


def unused_name(folder: Path) -> Path:
    """Give a name in a folder that nobody else has or gets."""
    return folder / f"{TEMPORARY}{secrets.token_hex(8)}"


@contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its name once all of it is on the disk; if anything fails, Ctrl-C too, it is gone.

    Writers of one name do not meet: each has a file of its own, and that of
    the last stays.

    Parameters
    ----------
    target
        In a folder that is there; replaced at the end. A link stays, and what
        it leads to is replaced.

    Yields
    ------
    file
        To write to; may be read and mapped too.

    Raises
    ------
    OSError
        The disk is full, the folder is gone, the target is no plain file.
    """
    target = Path(os.path.realpath(target))
    if target.exists() and not target.is_file() and not target.is_dir():  # /dev/null, say, which root may replace
        raise OSError(errno.EINVAL, "it is there, and no plain file")
    staged = unused_name(target.parent)
    try:
        with staged.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        staged.replace(target)
    finally:
        staged.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # the new name too should outlive a power cut; some file systems cannot say so
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_whole(data: bytes, target: Path) -> None:
    """Write a file so that it is whole and on the disk, or not there under its name.

    Raises
    ------
    OSError
        The disk is full, the folder is gone.
    """
    with whole_file(target) as file:
        file.write(data)


def check_place(folder: Path) -> None:
    """Make sure, before long work, that a file can be made in a folder; one that is not there yet, in that above it.

    What may be written is not always what the permissions say, root's least
    of all: so it tries, and leaves nothing.

    Raises
    ------
    OSError
        The system refuses.
    """
    attempt = unused_name(next(place for place in (folder, *folder.parents) if place.exists()))
    attempt.touch(exist_ok=False)
    attempt.unlink()


def check_old(target: Path, is_ours: Callable[[Path], bool], otherwise: str, remedy: str) -> None:
    """Make sure that a file which is there, and not empty, is one that may be replaced.

    Parameters
    ----------
    target
    is_ours : callable
        Says of a file whether the package wrote it.
    otherwise
        What a file is that it did not: follows "is there, and".
    remedy
        Stands at the end.

    Raises
    ------
    InputError
        It is somebody else's, or cannot be read.
    """
    with refused_in_one_line(target, remedy):
        is_other = target.is_file() and target.stat().st_size > 0 and not is_ours(target)
    if is_other:
        raise InputError(f"{target} is there, and {otherwise}: {remedy}")


@contextmanager
def refused_in_one_line(what: str | Path, remedy: str) -> Iterator[None]:
    """Turn what goes wrong while something is written into an InputError of one line.

    Parameters
    ----------
    what
        Follows "cannot write".
    remedy
        Stands at the end.
    """
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:  # polars has its own error for a full disk
        reason = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"cannot write {what}: {reason}; {remedy}") from None
