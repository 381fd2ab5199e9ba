"""What the tests of known attacks share: something precious on the machine, and containers that have its Python."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from pycompose.engine.config import Mount, MountKind

from tests.support.layers import snapshot

PYTHON = ("/usr/bin/python3", "-S", "-E", "-c")
# What a container needs to run PYTHON.
TOOLS = tuple(
    Mount(kind=MountKind.BIND, source=os.path.realpath(path), target=path, read_only=True)
    for path in ("/usr", "/lib", "/lib64")
    if os.path.exists(path)
)
SECRET = "TOP-SECRET"
# Leads to the machine's root from anywhere, if it is followed outside.
OUT = "/".join([".."] * 12)
# Swaps two names of the shared directory as fast as it can (renameat2(2), RENAME_EXCHANGE), until it is killed.
SWAP = """
import ctypes, sys
swap = ctypes.CDLL(None).renameat2
one, other = (path.encode() for path in sys.argv[1:])
print("swapping", flush=True)
while swap(-100, one, -100, other, 2) == 0:
    pass
print("over", flush=True)
"""


@contextlib.contextmanager
def precious(place: Path) -> Iterator[Path]:
    """Make a directory of the machine's at `place`, and check in the end that nothing in it has changed."""
    (place / "etc/deep").mkdir(parents=True)
    (place / "dev").mkdir()
    (place / "b/empty").mkdir(parents=True)
    (place / "b/nothing").touch()
    texts = {"etc/passwd": f"app:x:0:0:{SECRET}:/:/bin/sh", "etc/group": f"www:x:0:{SECRET}"}
    for name in ("secret", "etc/deep/secret", *texts):
        (place / name).write_text(f"{texts.get(name, SECRET)}\n", encoding="ascii")
        (place / name).chmod(0o600)
    before = snapshot(place)
    try:
        yield place
        assert snapshot(place) == before
    finally:
        for top, directories, files in os.walk(place, topdown=False):
            for name in files:
                os.unlink(f"{top}/{name}")
            for name in directories:
                path = f"{top}/{name}"
                os.unlink(path) if os.path.islink(path) else os.rmdir(path)
        place.rmdir()
