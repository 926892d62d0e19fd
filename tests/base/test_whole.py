"""A file is whole under its name or not there, whoever else writes it and whatever ends the writing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vswaplab.base.errors import InputError
from vswaplab.base.whole import check_old, check_place, refused_in_one_line, whole_file, write_whole


def test_whole_file__two_writers_do_not_meet_and_the_last_stays(tmp_path: Path) -> None:
    target = tmp_path / "a"
    with whole_file(target) as first:
        first.write(b"first")
        with whole_file(target) as second:
            second.write(b"2")
        assert target.read_bytes() == b"2"

    assert target.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, ZeroDivisionError])
def test_whole_file__leaves_what_was_there_if_the_writing_ends_early(
    tmp_path: Path, error: type[BaseException]
) -> None:
    def write() -> None:
        with whole_file(tmp_path / "a") as file:
            file.write(b"half")
            raise error

    (tmp_path / "a").write_bytes(b"before")
    with pytest.raises(error):
        write()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_write_whole__gives_the_permissions_of_any_new_file(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write_whole(b"1", tmp_path / "a")
    finally:
        os.umask(before)

    assert (tmp_path / "a").stat().st_mode & 0o777 == mode


def test_write_whole__follows_a_link_and_replaces_no_pipe(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_whole(b"1", tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no plain file"):
        write_whole(b"1", tmp_path / "pipe")

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"1"
    assert (tmp_path / "pipe").is_fifo()


def test_refused_in_one_line__names_the_place_the_reason_and_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    words = r"^cannot write it: Is a directory; try another$"
    with pytest.raises(InputError, match=words), refused_in_one_line("it", "try another"):
        write_whole(b"1", tmp_path / "folder")

    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_check_old__names_a_file_of_somebody_else_s(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    with pytest.raises(InputError, match=r"^\S+mine is there, and no table of ours: name another$"):
        check_old(mine, lambda path: path != mine, "no table of ours", "name another")
    mine.write_text("")

    for place in (mine, tmp_path, tmp_path / "new"):  # empty, a folder, not there
        check_old(place, lambda _: False, "no table of ours", "name another")


def test_check_place__tries_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    for place in (tmp_path, tmp_path / "new" / "newer"):
        check_place(place)
    for place in (Path("/proc"), Path("/proc/new"), tmp_path / "file"):
        with pytest.raises(OSError, match=r"No such file|Not a directory"):
            check_place(place)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
