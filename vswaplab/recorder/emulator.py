"""The emulator, and the plugin that is compiled for it when something is recorded."""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from vswaplab.base.errors import InputError
from vswaplab.base.paths import data_dir

EMULATOR = "qemu-x86_64"
COMPILER = "gcc"
_PACKAGES = {EMULATOR: "qemu-user", COMPILER: "gcc libc6-dev"}
_FLAGS = ("-O2", "-std=gnu11", "-fPIC", "-shared")
_ELF_X86_64 = (b"\x7fELF\x02\x01", 62)
_MAX_INTERPRETERS = 4

HOW = (
    "qemu-user with a TCG plugin; touches of anonymous memory by 4 KiB page; kept per block of at most "
    "k distinct pages: first touch, first write, last touch of each page (exact for LRU memories that "
    "keep at least k pages)"
)
HOW_A_FAMILY = "; every process of a family that forks, from the first fork on, in one order of touches"


def check_tools() -> None:
    """Make sure that programs can be recorded here.

    Raises
    ------
    InputError
        Not Linux on x86-64, or no emulator or compiler; says how to install what is missing.
    """
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise InputError(
            f"recording needs Linux on x86-64, this is {platform.system()} on {platform.machine()}: "
            f"record there, and bring the trace"
        )
    missing = [tool for tool in _PACKAGES if not shutil.which(tool)]
    if missing:
        packages = " ".join(_PACKAGES[tool] for tool in missing)
        raise InputError(f"recording needs {' and '.join(missing)}: apt-get install {packages} (Debian, Ubuntu)")


def build_plugin(work: Path) -> Path:
    """Compile the plugin into a folder.

    Raises
    ------
    InputError
        The compiler refuses, as it does without the C library's headers.
    """
    plugin = work / "plugin.so"
    source = data_dir() / "recorder" / "plugin.c"
    done = subprocess.run([COMPILER, *_FLAGS, "-o", plugin, source], capture_output=True, text=True)
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if "error" in line), "no message")
        raise InputError(f"{COMPILER} cannot compile the recorder ({reason}): apt-get install {_PACKAGES[COMPILER]}")
    return plugin


def guest_command(command: list[str]) -> list[str]:
    """Turn a command into one that the emulator can load: the program's path, through the interpreter of a script.

    Raises
    ------
    InputError
        No such program, or not one for Linux on x86-64.
    """
    name, *rest = command
    found = shutil.which(name)
    if found is None:
        raise InputError(f"no program {name!r}: give one that is in the PATH, or its path")
    words = [found, *rest]
    for _ in range(_MAX_INTERPRETERS):
        head = _head(Path(words[0]))
        if not head.startswith(b"#!"):
            break
        words = [*os.fsdecode(head[2:].partition(b"\n")[0]).strip().split(maxsplit=1), *words]
        if Path(words[0]).name == "env":
            words = _found_by_env(words[1:])
    magic, machine = _ELF_X86_64
    if not (head.startswith(magic) and int.from_bytes(head[18:20], "little") == machine):
        raise InputError(f"{words[0]} is no program for Linux on x86-64: only those can be recorded")
    return words


def _found_by_env(words: list[str]) -> list[str]:
    # What /usr/bin/env would start: a name in the PATH; -S cuts the one argument that the kernel makes into words.
    option = re.match(r"-S|--split-string[= ]", words[0])
    if option is not None:
        try:
            words = [*shlex.split(words[0][option.end() :]), *words[1:]]
        except ValueError as error:
            raise InputError(f"env {words[0]} in a script's first line: {error}; mend that line") from None
    name, *rest = words
    if name.startswith("-") or "=" in name:
        raise InputError(f"env {name} in a script's first line: expected a program; record with its interpreter named")
    return [shutil.which(name) or name, *rest]


def _head(program: Path) -> bytes:
    try:
        with program.open("rb") as file:
            return file.read(256)
    except OSError as error:
        raise InputError(f"cannot read {program}: {error.strerror}; choose another program") from None


def machine() -> dict[str, str]:
    """Say what a recording depends on, without names of hosts."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    qemu = subprocess.run([EMULATOR, "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "cpu": next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown"),
        "emulated_cpu": "max",
        "kernel": f"Linux {'.'.join(platform.release().split('.')[:2])}",
        "qemu": qemu.split()[2],
    }
