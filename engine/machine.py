"""What the machine is, whatever the calling process takes it for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# A shell of `setarch i686` or `linux32` is told of another machine than it runs on (personality(2), PER_LINUX32).
_WITH_64_BITS = {"i386": "x86_64", "i686": "x86_64", "armv7l": "aarch64", "armv8l": "aarch64"}


def machine_name() -> str:
    """Return the machine's name as the kernel has it (uname(2)), such as x86_64."""
    name = os.uname().machine
    return _WITH_64_BITS.get(name, name) if sys.maxsize > 1 << 32 else name


def has_apparmor() -> bool:
    """Tell whether the kernel confines programs by AppArmor (Documentation/admin-guide/LSM/apparmor.rst)."""
    try:
        return Path("/sys/module/apparmor/parameters/enabled").read_text("ascii").strip() == "Y"
    except OSError:
        return False


def has_selinux() -> bool:
    """Tell whether the kernel has a policy of SELinux loaded."""
    return os.path.exists("/sys/fs/selinux/enforce")
