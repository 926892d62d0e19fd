"""What a guest starts from: a kernel of a Debian package, and an initial file system made for one run."""

from __future__ import annotations

import lzma
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from settings import SetupError

HERE = Path(__file__).parent
DIRECTORIES = ("bin", "modules", "proc", "sys", "dev")
OLDEST = (6, 8)
"""First Linux that counts ``zswpwb`` and has ``memory.zswap.writeback``."""


@dataclass(frozen=True)
class Kernel:
    """A kernel and its modules; ``release`` is what ``uname -r`` says in the guest."""

    release: str
    image: Path
    modules: Path


def find_kernel(root: Path, release: str | None) -> Kernel:
    """Find the kernel of a package that was installed, or unpacked with ``dpkg -x``.

    Parameters
    ----------
    root
        ``/``, or the folder it was unpacked into.
    release
        As ``uname -r`` says it; needed if there are several.
    """
    images = {image.parent.name: image for image in sorted(root.glob("usr/lib/modules/*/vmlinuz"))}  # Linux 7.3 on
    images |= {image.name.removeprefix("vmlinuz-"): image for image in sorted(root.glob("boot/vmlinuz-*"))}
    if release is None and len(images) == 1:
        release = next(iter(images))
    if release not in images:
        have = f"there is {', '.join(images)}; say --release" if images else "there is none; unpack one with dpkg -x"
        raise SetupError(f"which kernel under {root}? {have}")
    places = [root / where / release for where in ("usr/lib/modules", "lib/modules")]
    modules = next((place for place in places if (place / "kernel").is_dir()), None)
    version = re.match(r"(\d+)\.(\d+)", release)
    if modules is None:
        raise SetupError(f"no folder {places[0]}/kernel: unpack the package with the kernel's modules too")
    if version is None or (int(version[1]), int(version[2])) < OLDEST:
        raise SetupError(f"kernel {release} is too old: its zswap does not count what is needed, take 6.8 or newer")
    return Kernel(release, images[release], modules)


def find_modules(kernel: Kernel, names: list[str]) -> dict[str, bytes]:
    """Read modules and what they depend on; those built into the kernel are left out.

    Returns
    -------
    modules : dict
        File name to contents, in the order to load them.
    """
    files = {_plain(file): file for file in sorted(kernel.modules.glob("kernel/**/*.ko*"))}
    found: dict[str, bytes] = {}

    def add(name: str) -> None:
        name = name.replace("-", "_")
        if name in files and f"{name}.ko" not in found:
            content = _unpacked(files[name])
            for other in depends(content):
                add(other)
            found[f"{name}.ko"] = content

    for name in names:
        add(name)
    return found


def depends(module: bytes) -> list[str]:
    """Name the modules that one needs."""
    found = re.search(rb"\0depends=([^\0]*)\0", module)
    return [name for name in found[1].decode().split(",") if name] if found else []


def build_workload(work: Path) -> Path:
    """Compile workload.c."""
    program = work / "workload"
    flags = ["-O2", "-std=gnu11", "-Wall", "-static"]
    made = subprocess.run(["gcc", *flags, "-o", program, HERE / "workload.c"], capture_output=True, text=True)
    if made.returncode:
        reason = (made.stderr.strip().splitlines() or ["no message"])[-1]
        raise SetupError(f"gcc cannot build workload.c, is libc6-dev installed? {reason}")
    return program


def build_initrd(workload: Path, modules: Mapping[str, bytes], settings: str, trace: bytes) -> bytes:
    """Put a guest's file system together.

    Parameters
    ----------
    workload
        The static program.
    modules
        File name to contents.
    settings
        What init reads.
    trace : bytes
        32-bit words, or nothing.
    """
    busybox = shutil.which("busybox")
    if busybox is None:
        raise SetupError("busybox is missing: apt-get install busybox-static")
    programs = {"bin/busybox": Path(busybox), "bin/workload": workload, "init": HERE / "init"}
    files = {name: (0o755, file.read_bytes()) for name, file in programs.items()}
    files |= {f"modules/{name}": (0o644, content) for name, content in modules.items()}
    files |= {"settings": (0o644, settings.encode()), "trace": (0o644, trace)}
    return archive(files)


def archive(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """Write a cpio archive, format newc, as the kernel unpacks it.

    Parameters
    ----------
    files
        Name to permissions and contents.
    """
    parts = [_member(name, 0o040755, b"") for name in DIRECTORIES]
    parts += [_member(name, 0o100000 | mode, content) for name, (mode, content) in files.items()]
    return b"".join([*parts, _member("TRAILER!!!", 0, b"")])


def _member(name: str, mode: int, content: bytes) -> bytes:
    numbers = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + "".join(f"{number:08X}" for number in numbers).encode() + name.encode() + b"\0"
    return _to_four(head) + _to_four(content)


def _to_four(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _plain(file: Path) -> str:
    return file.name.split(".ko")[0].replace("-", "_")


def _unpacked(file: Path) -> bytes:
    content = file.read_bytes()
    if file.suffix == ".xz":
        return lzma.decompress(content)
    if file.suffix == ".ko":
        return content
    raise SetupError(f"cannot unpack {file}: expected .ko or .ko.xz, as Debian has them")
