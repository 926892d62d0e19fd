"""The catalogue: its figures carry their evidence, and bad input is refused in one line."""

from __future__ import annotations

import re
import textwrap
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from vswaplab.base.codecs import RAW
from vswaplab.base.errors import InputError
from vswaplab.base.paths import data_dir
from vswaplab.machine.profiles import (
    SIZE_COLUMNS,
    TAGS,
    Profile,
    find_profile,
    load_profiles,
    profiles,
)
from vswaplab.trace import load_trace, shipped_traces, synthetic_corpus

BUILT_IN = list(load_profiles().values())
IDS = [profile.name for profile in BUILT_IN]

MINE = """
[[profile]]
name = "mine"
kind = "cram"
title = "A device of mine"
algorithm = "lz4"
granule_bytes = 4096
size_column = "lz4_4k"
rounding_bytes = 256
metadata_bytes = 8
read_ns = 300
read_loaded_ns = 900
write_ns = 400
store_ns = 500
load_ns = 600
advertised_ratio = 2
ratio = 1.5
ratio_kind = "total/total"
tag = "M"
source = "my bench"
date = "2026-11-23"
"""


@pytest.fixture
def write(tmp_path: Path):
    def write_file(text: str) -> Path:
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


@pytest.mark.parametrize("profile", BUILT_IN, ids=IDS)
def test_built_in__carries_its_evidence(profile: Profile) -> None:
    assert profile.source.strip()
    assert profile.date == "2026-11-23"
    assert {tag.strip() for tag in profile.tag.split(",")} <= set(TAGS)


@pytest.mark.parametrize("profile", BUILT_IN, ids=IDS)
def test_built_in__words_of_guesses_match_the_tag(profile: Profile) -> None:
    assert ("guess" in profile.tag) == bool(re.search(r"guess", profile.guesses, re.IGNORECASE))


def test_built_in__every_guess_of_the_file_shows_with_the_profile() -> None:
    text = (data_dir() / "profiles.toml").read_text(encoding="utf-8")
    for block in text.split("[[profile]]")[1:]:
        name = re.search(r'name = "([^"]+)"', block)
        assert name is not None
        shown = find_built_in(name[1]).guesses
        for field in re.findall(r"^(\w+) = .*# \[guess\]", block, re.MULTILINE):
            is_latency = field.endswith("_ns") and "every latency" in shown
            assert field in shown or is_latency, f"{name[1]}: {field} is a guess that guesses does not name"


def test_built_in__the_profiles_of_the_dossier_are_there() -> None:
    devices = {p.name for p in BUILT_IN if p.kind == "cram"}
    compressors = {p.name for p in BUILT_IN if p.kind == "compressor"}

    assert devices >= {"ocp-spec", "lz4-inline", "cacheline", "asic-deflate", "rst", "mxt-2001", "none"}
    assert compressors >= {"lzo-rle", "lz4", "zstd", "deflate-iaa", "deflate-iaa-dynamic", "iaa-zswap"}


def test_built_in__ocp_figures_are_the_published_ones() -> None:
    device = find_profile("ocp-spec", "cram")

    assert (device.read_ns, device.read_loaded_ns, device.granule_bytes) == (250, 1000, 4096)


def test_built_in__derived_times_come_from_their_bandwidths() -> None:
    link = 4096 / 17.8  # bytes over GB/s is ns
    rst_engine, rst_decompressor = 4096 / 4.13, 4096 / 13.3

    assert find_profile("none", "cram").store_ns == pytest.approx(link, abs=1)
    assert find_profile("ocp-spec", "cram").load_ns == pytest.approx(250 + link, abs=1)
    assert find_profile("rst", "cram").store_ns == pytest.approx(rst_engine, abs=1)
    assert find_profile("rst", "cram").load_ns == pytest.approx(110 + rst_decompressor, abs=1)
    assert find_profile("asic-deflate", "cram").load_ns == 260 + 277 - 140


def test_built_in__a_compressor_rounds_and_adds_nothing() -> None:
    length = np.array([1, 63, 1000, 4096], dtype=np.int32)

    for profile in BUILT_IN:
        if profile.kind == "compressor":
            assert profile.stored_bytes(length).tolist() == length.tolist()


def test_size_columns__are_in_every_corpus_made_up_or_recorded() -> None:
    corpora = [synthetic_corpus(), *(load_trace(name).corpus for name in shipped_traces()["name"])]

    for corpus in corpora:
        assert set(SIZE_COLUMNS) - {RAW} <= set(corpus.table.columns)


def test_stored_bytes__rounds_up_then_adds_the_metadata() -> None:
    device = replace(find_built_in("ocp-spec"), rounding_bytes=512, metadata_bytes=8)
    length = np.array([1, 512, 513, 3584, 3585, 4096], dtype=np.int32)

    stored = device.stored_bytes(length)

    assert stored.tolist() == [520, 520, 1032, 3592, 4104, 4104]
    assert stored.dtype == np.int32


def test_stored_bytes__is_capped_at_a_page_when_the_rounding_overshoots() -> None:
    device = replace(find_built_in("ocp-spec"), rounding_bytes=3000, metadata_bytes=0)

    assert device.stored_bytes(np.array([3000, 3001], dtype=np.int32)).tolist() == [3000, 4096]


def test_stored_bytes__swapping_a_profile_changes_no_size_of_another() -> None:
    length = np.arange(1, 4097, dtype=np.int32)
    length.setflags(write=False)
    before = [profile.stored_bytes(length) for profile in BUILT_IN]

    after = [profile.stored_bytes(length) for profile in reversed(BUILT_IN)]

    for one, other in zip(before, reversed(after), strict=True):
        assert one.tolist() == other.tolist()


def test_profiles__has_a_row_and_a_column_for_everything() -> None:
    table = profiles()

    assert table["name"].to_list() == IDS
    assert table.columns == list(asdict(BUILT_IN[0]))
    assert table.row(0, named=True) == asdict(BUILT_IN[0])


def test_profiles__adds_those_of_a_file(write) -> None:
    mine = write(MINE)

    assert profiles(mine)["name"].to_list() == [*IDS, "mine"]
    assert find_profile("mine", "cram", mine).advertised_ratio == 2.0
    assert list(load_profiles(mine)) == ["mine"]


def test_contributing__its_worked_example_loads(write) -> None:
    page = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    example = textwrap.dedent(page.partition("```toml\n")[2].partition("   ```\n")[0])

    assert find_profile("my-device", "cram", write(example)).tag == "A, guess"


def test_load_profiles__leaves_out_what_is_not_known(write) -> None:
    mine = load_profiles(write(MINE.replace("ratio = 1.5\n", "")))["mine"]

    assert (mine.ratio, mine.bandwidth_bytes_per_s, mine.guesses) == (None, 0, "")


BAD_FIELDS = {
    "ratio = 1.5": {
        "ratio = nan": "ratio is nan; expected a number of at least 1 .*leave it out if it is not known",
        "ratio = inf": "ratio is inf; expected a number of at least 1",
        "ratio = 0.9": "ratio is 0.9; expected a number of at least 1",
        "ratio = true": "ratio is True; expected a number of at least 1",
        'ratio = "2"': "ratio is '2'; expected a number of at least 1",
        "ratoi = 1.5": "unknown field 'ratoi'; nearest: ratio.*; rename or remove it",
        "ratio = 1.5\ncolour = 3": "unknown field 'colour'; nearest: .*; rename or remove it",
    },
    "advertised_ratio = 2": {
        "advertised_ratio = 0.5": "advertised_ratio is 0.5; expected a number of at least 1",
        "advertised_ratio = nan": "advertised_ratio is nan; expected a number of at least 1",
        "": "advertised_ratio is missing; expected name, kind, .*, date; add it",
    },
    "read_ns = 300": {
        "read_ns = -1": "read_ns is -1; expected a whole number from 0 to",
        "read_ns = 1.5": "read_ns is 1.5; expected a whole number from 0 to",
        "read_ns = true": "read_ns is True; expected a whole number from 0 to",
        "read_ns = 901": r"read_loaded_ns is 900; expected at least read_ns \(901\); swap the two",
        "": "read_ns is missing",
    },
    "granule_bytes = 4096": {
        "granule_bytes = 128": "granule_bytes is 128; expected one of 64, 1024, 4096",
        "granule_bytes = [64]": r"granule_bytes is \[64\]; expected one of 64, 1024, 4096",
    },
    'size_column = "lz4_4k"': {
        'size_column = "lz5_4k"': "size_column is 'lz5_4k'; expected one of raw, lz4_4k, lzo_4k",
    },
    "rounding_bytes = 256": {
        "rounding_bytes = 0": "rounding_bytes is 0; expected a whole number from 1 to 4096",
        "rounding_bytes = 8192": "rounding_bytes is 8192; expected a whole number from 1 to 4096",
    },
    "metadata_bytes = 8": {"metadata_bytes = -8": "metadata_bytes is -8; expected a whole number from 0"},
    'kind = "cram"': {'kind = "dram"': "kind is 'dram'; expected one of cram, compressor"},
    'title = "A device of mine"': {
        'title = " "': "title is ' '; expected text in quotes; fill it in",
        "title = 3": "title is 3; expected text in quotes; fill it in",
    },
    'tag = "M"': {
        'tag = "Z"': "tag is 'Z'; expected letters out of P, A, S, R, D, M, guess, joined by commas",
        'tag = "guess"': "guesses is ''; expected words saying which fields are guesses",
    },
    'date = "2026-11-23"': {
        'date = "last week"': "date is 'last week'; expected YYYY-MM-DD",
        "date = 2026-11-23": r"date is datetime.date\(2026, 11, 23\); expected text in quotes",
    },
}


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [(good, bad, message) for good, cases in BAD_FIELDS.items() for bad, message in cases.items()],
)
def test_load_profiles__refuses_a_bad_field_in_one_line(write, good: str, bad: str, message: str) -> None:
    assert MINE.count(f"\n{good}\n") == 1

    with pytest.raises(InputError, match=rf"mine\.toml: profile 'mine': {message}") as caught:
        load_profiles(write(MINE.replace(f"\n{good}\n", f"\n{bad}\n")))

    assert "\n" not in str(caught.value)


BAD_FILES = {
    "read_ns = ": "not TOML .*: mend the file",
    "": r"found nothing at the top; expected \[\[profile\]\] tables and nothing else",
    "x = 1\n" + MINE: r"found x, profile at the top; expected \[\[profile\]\] tables",
    "profile = 3": r"found profile at the top; expected \[\[profile\]\] tables",
    "profile = [3]": r"found profile at the top; expected \[\[profile\]\] tables",
    "[profile]\nname = 3": r"found profile at the top; expected \[\[profile\]\] tables",
    MINE + MINE: "profile 'mine' is there twice; rename one",
    MINE.replace('name = "mine"\n', ""): "a profile without a name: name is missing; .*; add it",
    MINE.replace('name = "mine"', 'name = "My One"'): "name is 'My One'; expected lower-case letters",
}


@pytest.mark.parametrize(("text", "message"), BAD_FILES.items())
def test_load_profiles__refuses_a_bad_file_in_one_line(write, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_profiles(write(text))

    assert "\n" not in str(caught.value)


def test_load_profiles__names_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*gone\.toml: No such file or directory; give"):
        load_profiles(tmp_path / "gone.toml")


def test_load_profiles__refuses_what_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(InputError, match=r"bytes\.toml is not TOML .*: mend the file"):
        load_profiles(tmp_path / "bytes.toml")


def test_profiles__refuses_a_built_in_name(write) -> None:
    mine = write(MINE.replace('name = "mine"', 'name = "ocp-spec"'))

    with pytest.raises(InputError, match="profile 'ocp-spec' has the name of a built-in one; rename it"):
        profiles(mine)


def test_find_profile__lists_the_nearest_names() -> None:
    with pytest.raises(InputError, match=r"no cram profile 'ocp'; nearest: ocp-spec; see `vswaplab profiles`"):
        find_profile("ocp", "cram")


def test_find_profile__lists_all_names_when_none_is_near() -> None:
    with pytest.raises(InputError, match="no compressor profile 'qqqq'; nearest: lzo-rle, lzo, lz4, zstd"):
        find_profile("qqqq", "compressor")


def test_find_profile__says_that_the_kind_is_wrong() -> None:
    with pytest.raises(InputError, match="'zstd' is a compressor, not a cram profile; nearest: "):
        find_profile("zstd", "cram")


def find_built_in(name: str) -> Profile:
    return load_profiles()[name]
