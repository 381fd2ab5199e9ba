"""An image of some of this machine's programs, for engines that know no `image: host`: shell, Python, databases."""

from __future__ import annotations

import re
import subprocess
import tarfile
from pathlib import Path

PYTHON = Path("/usr/bin/python3")
PROGRAMS = (PYTHON, Path("/usr/bin/redis-server"), Path("/usr/bin/redis-cli"), Path("/bin/busybox"))
FOLDERS = (
    "/usr/lib/postgresql",
    "/usr/share/postgresql",
    "/usr/share/zoneinfo/Etc",
    "/usr/lib/locale/C.utf8",
)
APPLETS = ("sh", "ls", "tail", "cat", "chown", "nc", "sleep", "id", "env")
_LEFT_OUT = {"test", "dist-packages", "__pycache__", "bitcode", "llvmjit.so"}


def write(target: Path) -> None:
    """Write a root file system to the tar archive `target`: PROGRAMS and FOLDERS with their libraries, users, /tmp."""
    programs = [path for path in PROGRAMS if path.exists()]
    (library,) = Path("/usr/lib").glob("python3.*")
    trees = [library, *(Path(folder) for folder in FOLDERS if Path(folder).exists())]
    files = [
        path
        for tree in trees
        for path in sorted(tree.rglob("*"))
        if path.is_file() and not _LEFT_OUT & set(path.parts)
    ]
    binaries = [path for path in files if path.suffix == ".so" or path.parent.name == "bin"]
    with tarfile.open(target, "w", dereference=True) as archive:
        for path in (*programs, *files, *_libraries([*programs, *binaries])):
            archive.add(path, str(path))
        for name in ("passwd", "group", "nsswitch.conf"):
            archive.add(f"/etc/{name}")
        for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"))[-1:]:
            archive.add(path, "/usr/bin/psql")
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "/bin/busybox"
            archive.addfile(link)
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(folder)


def _libraries(binaries: list[Path]) -> list[Path]:
    """Return what the dynamic linker loads for programs and libraries, itself included."""
    said = subprocess.run(["ldd", *binaries], capture_output=True, text=True, check=False).stdout
    return sorted({Path(path) for path in re.findall(r"(/\S+\.so\S*) \(0x", said)})
