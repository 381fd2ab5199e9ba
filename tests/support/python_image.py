"""An image of this machine's Python: what looks at containers of several engines from inside is the same for all."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

PYTHON = "/usr/bin/python3"


def write(target: Path, *scripts: Path) -> None:
    """Write a root file system with PYTHON, its standard library and `scripts` (in /) to the tar archive `target`."""
    ldd = subprocess.run(["ldd", PYTHON], capture_output=True, text=True, check=True).stdout
    with tarfile.open(target, "w", dereference=True) as archive:
        for script in scripts:
            archive.add(script, script.name)
        for path in (Path(PYTHON), *(Path(word) for word in ldd.split() if word.startswith("/"))):
            archive.add(path, str(path))
        (library,) = Path("/usr/lib").glob("python3.*")
        for entry in library.rglob("*"):
            if entry.suffix in (".py", ".so") and not {"test", "dist-packages"} & set(entry.parts):
                archive.add(entry, str(entry))
        for needed in Path("/usr/lib/x86_64-linux-gnu").glob("lib[fc]*"):
            if needed.name.startswith(("libffi.so", "libc.so")):
                archive.add(needed, str(needed))
