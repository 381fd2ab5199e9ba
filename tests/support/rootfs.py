"""A root filesystem of one megabyte, made of Debian's static busybox."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
PASSWD = """\
root:x:0:0:root:/root:/bin/sh
app:x:1000:1000:app:/home/app:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
"""
GROUP = "root:x:0:\ntty:x:5:\napp:x:1000:\nwww:x:1001:app\nnogroup:x:65534:\n"


def build_rootfs(target: Path) -> Path:
    """Fill `target` (made if missing) with busybox, its applets, users and an empty /tmp; return it."""
    for name in (
        "bin",
        "etc",
        "root",
        "home/app",
        "tmp",
        "var",
        "run",
        "dev",
        "proc",
        "sys",
        "usr/bin",
        "srv",
    ):
        (target / name).mkdir(parents=True, exist_ok=True)
    shutil.copy2(BUSYBOX, target / "bin/busybox")
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        link = target / "bin" / applet
        if not link.exists():
            link.symlink_to("busybox")
    env = target / "usr/bin/env"
    if not env.is_symlink():
        env.symlink_to("/bin/busybox")
    (target / "etc/passwd").write_text(PASSWD, encoding="ascii")
    (target / "etc/group").write_text(GROUP, encoding="ascii")
    (target / "tmp").chmod(0o1777)
    (target / "root").chmod(0o700)
    if os.geteuid() == 0:
        os.chown(target / "home/app", 1000, 1000)
    return target


def build_tar(target: Path, scratch: Path) -> Path:
    """Write the same tree as an uncompressed tar to `target`; `scratch` is an empty directory for it."""
    tree = build_rootfs(scratch)
    with tarfile.open(target, "w") as archive:
        for entry in sorted(tree.iterdir()):
            archive.add(entry, arcname=entry.name)
    return target
