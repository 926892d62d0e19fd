"""The shipped folders are found in a checkout and in an installed wheel, or missed in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from vswaplab.base import paths
from vswaplab.base.errors import InputError


def test_data_dir__holds_the_catalogue() -> None:
    assert (paths.data_dir() / "profiles.toml").is_file()


def test_shipped__takes_the_checkout_before_a_copy(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "vswaplab" / "_data").mkdir(parents=True)

    assert paths._shipped("data", package=tmp_path / "vswaplab") == tmp_path / "data"


def test_shipped__does_not_trust_a_stray_folder_beside_an_installed_package(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "vswaplab" / "_data").mkdir(parents=True)

    assert paths._shipped("data", package=tmp_path / "vswaplab") == tmp_path / "vswaplab" / "_data"


def test_shipped__says_what_is_missing_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"notebooks folder is missing: .*; reinstall vswaplab") as caught:
        paths._shipped("notebooks", package=tmp_path / "vswaplab")

    assert "\n" not in str(caught.value)


class _Bytes:
    def __fspath__(self) -> bytes:
        return b"redis"


@pytest.mark.parametrize("value", [None, 5, b"redis", _Bytes(), ["a"], "a\0b"])
def test_path_of__refuses_what_is_no_path(value: object) -> None:
    assert paths.path_of("folder", "a/b") == paths.path_of("folder", Path("a/b")) == Path("a/b")
    with pytest.raises(InputError, match=r"folder must be a path, a text or a pathlib.Path, got "):
        paths.path_of("folder", value)
