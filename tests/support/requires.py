"""`@requires("root", "overlay", "redis-server")`: skip with the reason where the machine lacks something.

With PYCOMPOSE_TEST_STRICT=1 (CI) a lack is a failure: a test that never runs proves nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest
from pycompose.engine.linux import idmap, mounts
from pycompose.engine.linux.libc import AT_FDCWD

# Where each thing that a test may ask for comes from on Debian; "" is the kernel, or part of every Debian.
DEBIAN = {
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "root": "",
    "overlay": "",
    "overlay-on-overlay": "",
    "tmpfs": "",
    "cgroup1": "",
    "cgroup2": "",
    "host-python": "python3",
    "idmap": "",
    "loop": "",
    "user-xattrs": "",
    "x86_64": "",
    "ia32": "",
    "static-busybox": "busybox-static",
    "chromium": "chromium",
    "dig": "bind9-dnsutils",
    "dnsmasq": "dnsmasq-base",
    "docker": "docker.io",
    "docker-registry": "docker-registry",
    "dropbear": "dropbear-bin",
    "git": "git",
    "groff": "groff-base",
    "ip": "iproute2",
    "iperf3": "iperf3",
    "iptables-legacy": "iptables",
    "mkfs.xfs": "xfsprogs",
    "mosquitto": "mosquitto",
    "mosquitto_pub": "mosquitto-clients",
    "newuidmap": "uidmap",
    "nft": "nftables",
    "nginx": "nginx",
    "pasta": "passt",
    "postgres": "postgresql",
    "qemu-aarch64-static": "qemu-user-static",
    "redis-server": "redis-server",
    "skopeo": "skopeo",
    "slirp4netns": "slirp4netns",
    "ssh-agent": "openssh-client",
    "systemctl": "systemd",
    "x86_64-linux-gnu-gcc": "gcc",
}
SEARCH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


def requires(*names: str) -> pytest.MarkDecorator:
    """Mark a test (or, as `pytestmark`, a module) with what it needs.

    The names are those of DEBIAN: host-python is a Python that containers of `image: host` see (below /usr);
    what is no kernel feature is a program.
    """
    return pytest.mark.requires(*names)


def check(item: pytest.Item) -> None:
    """Skip or fail `item` when the machine lacks what its marks ask for."""
    names = [name for mark in item.iter_markers("requires") for name in mark.args]
    lacks = [reason for name in names if (reason := lack(name))]
    if not lacks:
        return
    text = "needs " + ", ".join(dict.fromkeys(lacks))
    if os.environ.get("PYCOMPOSE_TEST_STRICT") == "1":
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


@cache
def lack(name: str) -> str:
    """Return what to tell the user when `name` is missing, "" when it is there."""
    probe = _PROBES.get(name)
    if probe is not None:
        return probe()
    return "" if shutil.which(name, path=SEARCH) else f"the program {name} (Debian: {DEBIAN[name]})"


def _root() -> str:
    if os.geteuid() != 0:
        return "root"
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "true"], capture_output=True, check=False
    )
    return "" if done.returncode == 0 else "root that may create namespaces"


def _filesystem(name: str) -> str:
    known = Path("/proc/filesystems").read_text(encoding="ascii").split()
    return "" if name in known else f"the {name} filesystem"


def _cgroup(kind: str) -> str:
    mounted = {
        line.split(" - ")[1].split(" ")[0] for line in Path("/proc/self/mountinfo").read_text().splitlines()
    }
    return "" if kind in mounted else f"a mounted {kind}"


def _static_busybox() -> str:
    busybox = Path("/bin/busybox")
    if not busybox.exists():
        return "/bin/busybox (Debian: busybox-static)"
    dynamic = b"ld-linux" in busybox.read_bytes()[:4096]
    return "a static /bin/busybox (Debian: busybox-static)" if dynamic else ""


def _ia32() -> str:
    probe = Path(__file__).with_name("syscall_probe.py")
    done = subprocess.run(
        [sys.executable, probe, '[["x86", 20, 20]]'], capture_output=True, text=True, check=False
    )
    return "" if done.stdout.strip() == "[[0]]" else "32-bit system calls (CONFIG_IA32_EMULATION)"


def _host_python() -> str:
    found = shutil.which("python3", path="/usr/local/bin:/usr/bin")
    return "" if found else "a python3 below /usr (Debian: python3)"


def _user_xattrs() -> str:
    with tempfile.TemporaryDirectory() as place:
        try:
            os.setxattr(place, "user.probe", b"")
        except OSError:
            return "a file system for temporary files with attributes user.* (tmpfs: Linux 6.6)"
    return ""


def _idmap() -> str:
    with tempfile.TemporaryDirectory() as place:
        namespace = idmap.user_namespace(((0, 1, 1),), ())
        try:
            tree = mounts.clone_tree(AT_FDCWD, place)
            mounts.map_ids(tree, namespace)
            os.close(tree)
        except OSError:
            return "a file system for temporary files whose mounts can map ids (tmpfs: Linux 6.3)"
        finally:
            os.close(namespace)
    return ""


def _overlay_on_overlay() -> str:
    version = tuple(int(part) for part in os.uname().release.split(".")[:2])
    return "" if version >= (6, 8) else "overlays that can be layers of others (Linux 6.8)"


_PROBES = {
    "idmap": _idmap,
    "loop": lambda: "" if os.path.exists("/dev/loop-control") else "loop devices",
    "user-xattrs": _user_xattrs,
    "root": _root,
    "ia32": _ia32,
    "x86_64": lambda: "" if os.uname().machine == "x86_64" else "an x86_64 machine",
    "overlay": lambda: _filesystem("overlay"),
    "overlay-on-overlay": _overlay_on_overlay,
    "tmpfs": lambda: _filesystem("tmpfs"),
    "cgroup1": lambda: _cgroup("cgroup"),
    "cgroup2": lambda: _cgroup("cgroup2"),
    "static-busybox": _static_busybox,
    "host-python": _host_python,
}
