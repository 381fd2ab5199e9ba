"""The image `host`: the machine's own operating system, without its secrets and its state.

/usr and /opt (and on systems without merged /usr also /bin, /sbin, /lib*) are lower layers of their own: one
overlay over "/" would contain its own upper, which the kernel refuses (ELOOP). What else a system needs is
in the skeleton, a small directory in the store: a filtered copy of /etc and empty mount points. It is
copied, not shared, so that a secret that appears later in /etc stays outside. Two nets catch secrets: a list
of names, and whatever not everybody may read; the second one also lies over /usr and /opt (host_mask.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path

from pycompose.engine.config import RootfsTree
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import ImageError
from pycompose.engine.images.fingerprints import fingerprint
from pycompose.engine.images.host_mask import known_masks, make_masks
from pycompose.engine.images.layout import ImageLayout, replace_file
from pycompose.engine.images.private_files import ENTERED
from pycompose.engine.images.spec import Image, ImageConfig, machine
from pycompose.engine.linux import userns

VERSION = 3
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
SHARED = ("usr", "opt")

# Relative to /etc. Secrets first, then what belongs to the machine and not to the system on it.
DENIED = frozenset({
    ".pwd.lock", "shadow", "shadow-", "gshadow", "gshadow-", "passwd-", "group-", "subuid", "subgid",
    "subuid-", "subgid-", "security/opasswd", "sudoers", "sudoers.d", "doas.conf", "ssl/private",
    "pki/tls/private", "pki/private", "pki/nssdb", "krb5.keytab", "krb5.conf.d", "ipsec.secrets",
    "ipsec.d", "swanctl", "strongswan.d", "wireguard", "openvpn", "ppp", "wpa_supplicant",
    "NetworkManager", "netplan", "letsencrypt", "credstore", "credstore.encrypted", "cryptsetup-keys.d",
    "crypttab", "exim4/passwd.client", "postfix/sasl_passwd", "postfix/sasl_passwd.db", "msmtprc",
    "samba", "cups", "libvirt", "iscsi", "rancher", "kubernetes", "docker", "containers", "cni", "cloud",
    "puppet", "puppetlabs", "salt", "chef", "ansible", "vault.d", "consul.d", "nomad.d", "tinc",
    "zerotier-one", "tailscale", "davfs2", "fetchmailrc", "mysql/debian.cnf", "dropbear", "cron.d",
    "cron.hourly", "cron.daily", "cron.weekly", "cron.monthly", "crontab", "anacrontab", "at.allow",
    "at.deny", "machine-id", "hostname", "hosts", "resolv.conf", "resolvconf", "mtab", "fstab",
    "exports",
})  # fmt: skip
# Not secret, but nothing a container uses, and each file costs 0.1 ms to make.
USELESS = frozenset({
    "init.d", "rc0.d", "rc1.d", "rc2.d", "rc3.d", "rc4.d", "rc5.d", "rc6.d", "rcS.d", "systemd", "udev",
    "apparmor.d", "grub.d", "initramfs-tools", "kernel", "modprobe.d", "modules-load.d", "logrotate.d",
    "PackageKit", "polkit-1", "dhcp", "gdb", "acpi", "alsa", "pulse", "bluetooth", "sane.d", "sensors.d",
    "X11", "gtk-2.0", "gtk-3.0",
})  # fmt: skip
DENIED_SSH_KEYS = "ssh_host_"
_TRIES = 3

_DIRECTORIES = (
    ("tmp", 0o1777), ("var", 0o755), ("var/tmp", 0o1777), ("run", 0o755), ("run/lock", 0o1777), ("root", 0o700),
    ("home", 0o755), ("proc", 0o555), ("sys", 0o555), ("dev", 0o755), ("mnt", 0o755), ("media", 0o755),
    ("srv", 0o755), ("var/lib", 0o755), ("var/log", 0o755), ("var/cache", 0o755), ("var/spool", 0o755),
    ("var/mail", 0o2775), ("var/opt", 0o755), ("var/local", 0o755), ("var/backups", 0o755),
    ("var/www", 0o755), ("etc", 0o755),
)  # fmt: skip
_LINKS = (("var/run", "/run"), ("var/lock", "/run/lock"), ("etc/mtab", "/proc/self/mounts"))
_EMPTY_FILES = ("etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/machine-id", "etc/fstab")


@dataclass(frozen=True, slots=True)
class HostMachine:
    """The machine to take the system from; tests give a root of their own."""

    root: Path = Path("/")


def host_image(layout: ImageLayout, host: HostMachine | None = None) -> Image:
    """Return the image `host`; its skeleton is built when /etc has changed, its masks when packages have.

    Raises ImageError.
    """
    root = (host or HostMachine()).root
    names = _shared(root, layout.root)
    over = known_masks(layout, root, names)
    if over is None:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - at the first use only

        with ThreadPoolExecutor(1) as beside:  # other processes do the work, and the skeleton takes as long
            making = beside.submit(make_masks, layout, root, names)
            skeleton = _skeleton(layout, root)
            over = making.result()
    else:
        skeleton = _skeleton(layout, root)
    trees = [RootfsTree(target="/", lowers=(str(skeleton),))]
    trees += [
        RootfsTree(target=f"/{name}", lowers=(*([str(over[name])] if name in over else []), str(root / name)))
        for name in names
    ]
    return Image(
        reference="host",
        id=_identity(root),
        trees=tuple(trees),
        config=ImageConfig(env=(f"PATH={PATH}",)),
        platform=str(machine()),
    )


def _identity(root: Path) -> str:
    """Return an id that stays the same until the system is another one (os-release(5)).

    A changed file in /etc is no reason to recreate containers.
    """
    try:
        release = (root / "usr/lib/os-release").read_bytes()
    except OSError:
        release = b""
    return "sha256:" + hashlib.sha256(b"host 2\0" + str(machine()).encode() + b"\0" + release).hexdigest()


def _shared(root: Path, store: Path) -> list[str]:
    """Return the directories of the machine that become trees of their own."""
    names = [name for name in SHARED if _is_shown(root / name)]
    names += [name for name in SYSTEM if (root / name).is_dir() and not (root / name).is_symlink()]
    inside = [name for name in names if store.is_relative_to(root / name)]
    if "opt" in inside:
        names.remove("opt")
        inside.remove("opt")
    if inside:
        raise ImageError(
            f"image host: the state directory {store.parent} lies inside /{inside[0]}, a part of the image",
            hint="set PYCOMPOSE_ROOT to a directory outside /usr",
        )
    return names


def _is_shown(directory: Path) -> bool:
    """Tell whether there is anything in `directory` that everybody may see."""
    try:
        if directory.stat().st_mode & ENTERED != ENTERED:
            return False
        with os.scandir(directory) as entries:
            return next(entries, None) is not None
    except OSError:
        return False


def _skeleton(layout: ImageLayout, root: Path) -> Path:
    """Return the directory of the skeleton that fits the machine now."""
    current = layout.root / "host" / "current.json"
    try:
        known = json.loads(current.read_bytes())
        ours = (known["root"], known["version"]) == (str(root), VERSION)
        if ours and fingerprint(known["paths"]) == known["fingerprint"]:
            path: Path = layout.root / "host" / known["key"] / "root"
            if path.is_dir():
                return path
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none yet, damaged, or a file has gone: all the same, it is built
    return _build(layout, root, current)


def _build(layout: ImageLayout, root: Path, current: Path) -> Path:
    """Build the skeleton; a file that vanishes meanwhile (a package is being installed) starts it over."""
    layout.prepare()
    for attempt in range(_TRIES):
        try:
            return _build_once(layout, root, current)
        except FileNotFoundError as exc:
            if attempt == _TRIES - 1:
                raise ImageError(f"image host: {exc.filename}: appears and disappears") from exc
        except OSError as exc:
            raise ImageError(
                f"image host: cannot build its skeleton: {exc.filename}: {exc.strerror}"
            ) from exc
    raise AssertionError("the loop returns or raises")


def _build_once(layout: ImageLayout, root: Path, current: Path) -> Path:
    with layout.adding(), layout.scratch("host") as scratch:
        target = scratch / "host" / "root"
        target.mkdir(parents=True, mode=0o755)
        paths = [str(root / name) for name in (*SYSTEM, "etc") if os.path.lexists(root / name)]
        _fill(target, root)
        paths += _copy_etc(root / "etc", target / "etc")
        mark = fingerprint(paths)
        key = hashlib.sha256(f"{VERSION}\0{root}\0{mark}".encode()).hexdigest()
        final = layout.root / "host" / key
        try:
            os.rename(scratch / "host", final)
        except OSError:
            if not final.is_dir():
                raise
        value = {"root": str(root), "version": VERSION, "key": key, "fingerprint": mark, "paths": paths}
        replace_file(current, json.dumps(value).encode(), durable=False)
        return final / "root"


def _fill(target: Path, root: Path) -> None:
    """Make everything but /etc."""
    for name, mode in _DIRECTORIES:
        path = target / name
        path.mkdir(parents=True)
        path.chmod(mode)
    for name, to in _LINKS:
        (target / name).symlink_to(to)
    for name in SYSTEM:
        source = root / name
        if source.is_symlink():
            (target / name).symlink_to(os.readlink(source))
        elif source.is_dir():
            (target / name).mkdir()
    for name in SHARED:
        (target / name).mkdir()


def _copy_etc(source: Path, target: Path) -> list[str]:
    """Copy what may be seen, return the paths whose change makes the copy stale."""
    seen: list[str] = []
    pending = [(str(source), str(target), "")]
    while pending:
        directory, copy, prefix = pending.pop()
        with os.scandir(directory) as entries:
            for entry in entries:
                name = prefix + entry.name
                if name in DENIED or name in USELESS or entry.name.startswith(DENIED_SSH_KEYS):
                    continue
                if prefix == "alternatives/" and entry.name.endswith(".gz"):
                    continue  # manual pages, three quarters of that directory
                destination = f"{copy}/{entry.name}"
                if entry.is_symlink():
                    os.symlink(os.readlink(entry.path), destination)
                    continue
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode) and status.st_mode & 0o005 == 0o005:
                    os.mkdir(destination)
                    os.chown(destination, *userns.as_root_for_nobody(status))
                    os.chmod(destination, stat.S_IMODE(status.st_mode))
                    pending.append((entry.path, destination, f"{name}/"))
                    seen.append(entry.path)
                elif stat.S_ISREG(status.st_mode) and status.st_mode & 0o004:
                    _copy_file(entry.path, destination)
                    seen.append(entry.path)
    _write_shadow(source, target)
    for name in _EMPTY_FILES:
        os.close(os.open(target.parent / name, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    return seen


def _write_shadow(source: Path, target: Path) -> None:
    """Make an /etc/shadow without anything of the real one: every user is there, without a password that fits.

    PAM's account check wants an entry (pam_unix(8)), for root's `su USER -c …` too; shadow(5).
    """
    try:
        # Bytes: people's names in it may be in any encoding.
        users = [line.partition(b":")[0] for line in (target / "passwd").read_bytes().splitlines()]
        _, group = userns.as_root_for_nobody(os.stat(source / "shadow"))
    except OSError:
        return  # a machine without either has no PAM that asks
    fd = os.open(target / "shadow", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, b"".join(user + b":*:::::::\n" for user in users if user))
        os.fchown(fd, 0, group)
        os.fchmod(fd, 0o640)
    finally:
        os.close(fd)


def _copy_file(source: str, target: str) -> None:
    """Copy one small file; what counts is the mode of the file that was opened.

    Not of the name seen before.
    """
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or not status.st_mode & 0o004:
            return
        out = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            while os.sendfile(out, fd, None, 1 << 24):
                pass
            os.fchown(out, *userns.as_root_for_nobody(status))
            os.fchmod(out, stat.S_IMODE(status.st_mode))
            os.utime(out, ns=(status.st_mtime_ns, status.st_mtime_ns))
        finally:
            os.close(out)
    finally:
        os.close(fd)
