"""Looks at the container that it runs in, and tries what a container might be able to do.

    python3 inspection.py '{"mnt": "mnt:[4026531840]", …}'

The argument has the machine's namespaces, as readlink(2) on /proc/self/ns shows them. The answer is a JSON object: the
name of a row → what the container has or may there, one text each, sorted. More texts mean more freedom, so that two
containers can be compared as sets (security_rows.py has the rows).

It runs inside containers of any engine, by whatever Python 3 there is: only the standard library, and nothing of
pycompose. x86_64 only, by its numbers of system calls.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable, Iterator

Attempt = Callable[[], object]

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
SCRATCH = "/tmp/inspection"
REFUSED = (errno.EPERM, errno.EACCES, errno.EROFS, errno.ENOSYS)
# Places that tell of the machine, or of its other users, and what Docker and runc mask of them.
TELLING = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
    "/sys/firmware", "/sys/devices/system/cpu/cpu0/thermal_throttle", "/proc/kmsg", "/proc/slabinfo",
    "/proc/vmallocinfo", "/proc/kpagecount", "/proc/kpageflags", "/proc/key-users", "/sys/kernel/debug",
    "/sys/kernel/tracing", "/sys/kernel/security", "/sys/fs/bpf", "/sys/fs/pstore", "/sys/kernel/config",
    "/dev/kmsg", "/dev/mem", "/proc/kallsyms", "/proc/iomem",
)  # fmt: skip
# Nodes that would lead out, were they let through: kind, major, minor.
NODES = {
    "mem": ("c", 1, 1), "port": ("c", 1, 4), "kmsg": ("c", 1, 11), "console": ("c", 5, 1), "tty0": ("c", 4, 0),
    "ttyS0": ("c", 4, 64), "ptmx": ("c", 5, 2), "hwrng": ("c", 10, 183), "nvram": ("c", 10, 144),
    "tun": ("c", 10, 200), "uinput": ("c", 10, 223), "fuse": ("c", 10, 229), "kvm": ("c", 10, 232),
    "loop-control": ("c", 10, 237), "vhost-net": ("c", 10, 238), "input": ("c", 13, 64), "dri": ("c", 226, 0),
    "loop0": ("b", 7, 0), "sda": ("b", 8, 0), "nvme": ("b", 259, 0), "vda": ("b", 254, 0),
    "vda of older kernels": ("b", 253, 0), "null": ("c", 1, 3), "zero": ("c", 1, 5), "urandom": ("c", 1, 9),
    "tty": ("c", 5, 0),
}  # fmt: skip
NAMESPACES = {
    "user": 0x10000000, "mnt": 0x20000, "net": 0x40000000, "pid": 0x20000000, "uts": 0x4000000, "ipc": 0x8000000,
    "cgroup": 0x2000000, "time": 0x80,
}  # fmt: skip
CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip


def inspect(machine: dict[str, str]) -> dict[str, list[str]]:
    """Return all rows; what is tried comes last, since it might succeed."""
    status = fields("/proc/self/status")
    found = {
        f"capabilities, {name}": capabilities(status[f"Cap{short}"])
        for name, short in (
            ("permitted", "Prm"), ("effective", "Eff"), ("bounding", "Bnd"), ("inheritable", "Inh"), ("ambient", "Amb"),
        )
    }  # fmt: skip
    found["capabilities of an ordinary user"] = as_user(
        lambda: capabilities(fields("/proc/self/status")["CapEff"])
    )
    found["process"] = list(process(status))
    found["limits"] = list(limits())
    found["environment"] = list(os.environ)
    found["namespaces of the machine"] = [
        kind for kind in NAMESPACES if os.readlink(f"/proc/self/ns/{kind}") == machine[kind]
    ]
    found["processes of others"] = list(processes())
    found["mounts"] = list(mounts())
    found["places of the machine that mounts name"] = list(named_places())
    found["telling files that are readable"] = [path for path in TELLING if tells(path)]
    found["writable below /proc and /sys"] = list(writable())
    found["control groups"] = list(groups())
    found["nodes in /dev"] = list(nodes())
    found["sockets"] = [path for path in walk("/") if is_socket(path)]
    found["abstract sockets"] = abstract_sockets()
    os.makedirs(SCRATCH, exist_ok=True)
    os.chmod(SCRATCH, 0o777)  # noqa: S103 - for the ordinary user below
    found["nodes that can be made and opened"] = list(openable())
    found["attempts by root"] = attempts()
    found["attempts by an ordinary user"] = as_user(attempts)
    return {row: sorted(set(texts)) for row, texts in found.items()}


def fields(path: str) -> dict[str, str]:
    """Return a file of `name: value` lines."""
    with open(path, encoding="utf-8") as file:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}


def capabilities(mask: str) -> list[str]:
    """Return the names in a mask of hexadecimal digits; those that are younger than this list have numbers."""
    bits = int(mask, 16)
    names = dict(enumerate(CAPABILITIES))
    return [names.get(number, str(number)) for number in range(64) if bits >> number & 1]


def process(status: dict[str, str]) -> Iterator[str]:
    """Yield what a process has that it was not born with on a fresh machine."""
    if status["NoNewPrivs"] == "0":
        yield "setuid programs work"
    if status["Seccomp"] != "2":
        yield "no filter of system calls"
    for name, value in status.items():
        if name.lower().startswith("speculation") and "vulnerable" in value.split(" ") and "not" not in value:
            yield f"{name}: {value}"
    for name, own in (("SigIgn", 1 << 12 | 1 << 24), ("SigBlk", 0)):  # Python ignores SIGPIPE and SIGXFSZ
        if int(status[name], 16) & ~own:
            yield f"{name} {status[name]}"
    mask = os.umask(0o077)
    if ~mask & 0o022:
        yield f"umask {mask:03o}"
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        if int(file.read()) < 0:
            yield "spared when memory runs out"
    if os.getpriority(os.PRIO_PROCESS, 0) < 0 or os.sched_getscheduler(0) != os.SCHED_OTHER:
        yield "goes before other processes"
    with open("/proc/self/personality", encoding="ascii") as file:
        if int(file.read(), 16):
            yield "personality"
    for number in range(3, 256):
        try:
            yield f"descriptor of {os.readlink(f'/proc/self/fd/{number}')}"
        except OSError:
            continue


def limits() -> Iterator[str]:
    """Yield the resource limits: name, soft, hard."""
    for name in dir(resource):
        if name.startswith("RLIMIT_") and name != "RLIMIT_OFILE":
            pair = [
                "unlimited" if n == resource.RLIM_INFINITY else str(n)
                for n in resource.getrlimit(getattr(resource, name))
            ]
            yield f"{name[7:].lower()} {' '.join(pair)}"


def processes() -> Iterator[str]:
    """Yield the names of processes in sight beside this one and the container's first."""
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in (1, os.getpid()):
            yield fields(f"/proc/{name}/status")["Name"]


def mount_table() -> Iterator[tuple[str, str, list[str], list[str], str, list[str]]]:
    """Yield root, target, flags, propagation, type and options of all mounts (proc_pid_mountinfo(5))."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            left, right = line.rstrip("\n").split(" - ")
            _id, _parent, _device, root, target, flags, *propagation = left.split(" ")
            fstype, _source, options = right.split(" ")
            yield root, target, flags.split(","), propagation, fstype, options.split(",")


def mounts() -> Iterator[str]:
    """Yield mounts, what they let through, and where more can come from; not those that only hide something."""
    for root, target, flags, propagation, fstype, options in mount_table():
        if hides(target, fstype, flags):
            continue
        if target.startswith("/sys/fs/cgroup"):  # how many there are is the machine's business
            place, kind = "/sys/fs/cgroup", "control groups"
        else:
            place, kind = target, "" if root != "/" and fstype not in ("proc", "sysfs") else fstype
        writable = "ro" not in flags and "ro" not in options
        size = [option for option in options if option.startswith("size=") and writable]
        yield " ".join(part for part in (place, kind, *size) if part)
        words = (("nosuid", "setuid"), ("nodev", "devices"), ("noexec", "execute"))
        for word in [*(["write"] if writable else []), *(word for flag, word in words if flag not in flags)]:
            yield f"{place} {word}"
        for peers in propagation:
            yield f"{place} {peers.partition(':')[0]}"


def hides(target: str, fstype: str, flags: list[str]) -> bool:
    """Tell whether a mount is an empty directory, or the null device over a file."""
    info = os.stat(target)
    if stat.S_ISCHR(info.st_mode):
        return info.st_rdev == os.makedev(1, 3)
    return fstype == "tmpfs" and "ro" in flags and stat.S_ISDIR(info.st_mode) and not os.listdir(target)


def named_places() -> Iterator[str]:
    """Yield the targets of mounts whose entries name directories of the machine."""
    for root, target, flags, _propagation, fstype, options in mount_table():
        if hides(target, fstype, flags):
            continue
        if root != "/" and fstype not in ("proc", "sysfs", "cgroup", "cgroup2"):
            yield target
        if any(
            option.startswith(("lowerdir=", "upperdir=", "workdir=")) and "/" in option for option in options
        ):
            yield f"{target} (layers)"


def tells(path: str) -> bool:
    """Tell whether there is something to read."""
    try:
        if os.path.isdir(path):
            return bool(os.listdir(path))
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:
            data = file.read(4096) or b""
    except OSError:
        return False
    # Without CAP_SYSLOG and CAP_SYS_ADMIN addresses are zero: nothing is told.
    return bool(data.strip(b"0- \n")) and not data.startswith((b"0000000000000000 ", b"00000000-00000000 "))


def walk(top: str) -> Iterator[str]:
    """Yield every path below `top` that is no directory, without the kernel's file systems (unless asked for)."""
    for directory, names, files in os.walk(top):
        if top == "/" and directory == "/":
            names[:] = [name for name in names if name not in ("proc", "sys")]
        if top == "/proc" and directory == "/proc":
            names[:] = [name for name in names if not name.isdigit()]
        yield from (f"{directory}/{name}" for name in files)


def writable() -> Iterator[str]:
    """Yield what is to be written and can be opened so, of the kernel's own files; nothing is written.

    Those of processes are left out.
    """
    for top in ("/proc", "/sys"):
        for path in walk(top):
            try:
                if not stat.S_ISREG(os.lstat(path).st_mode) or not os.lstat(path).st_mode & 0o222:
                    continue
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                continue
            yield path


def groups() -> Iterator[str]:
    """Yield what is known of control groups, and may be done to them."""
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        for line in file:
            path = line.rstrip("\n").split(":", 2)[2]
            if path != "/" and not path.startswith("/exec-"):
                yield "names of the machine's groups"
    for directory, _names, files in os.walk("/sys/fs/cgroup"):
        for name in files:
            if name == "release_agent":
                yield "release_agent is in sight"
            try:
                os.close(os.open(f"{directory}/{name}", os.O_WRONLY))
            except OSError:
                continue
            yield f"writes {name}"
        if may(lambda directory=directory: os.mkdir(f"{directory}/inspection")):
            yield "makes groups"


def nodes() -> Iterator[str]:
    """Yield devices below /dev: name, kind, numbers, mode."""
    for path in walk("/dev"):
        info = os.lstat(path)
        if stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
            kind = "c" if stat.S_ISCHR(info.st_mode) else "b"
            numbers = f"{os.major(info.st_rdev)}:{os.minor(info.st_rdev)}"
            yield f"{path} {kind} {numbers} {stat.S_IMODE(info.st_mode):o}"


def is_socket(path: str) -> bool:
    """Tell whether there is a socket of somebody's."""
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def abstract_sockets() -> list[str]:
    """Return the names of abstract sockets, which belong to the network namespace."""
    with open("/proc/net/unix", encoding="utf-8") as file:
        return [line.split()[7] for line in file if len(line.split()) > 7 and line.split()[7].startswith("@")]


def openable() -> Iterator[str]:
    """Yield what can be done with device nodes that the container makes itself."""
    for name, (kind, major, minor) in NODES.items():
        path = f"{SCRATCH}/{name}"
        try:
            os.mknod(path, (stat.S_IFCHR if kind == "c" else stat.S_IFBLK) | 0o600, os.makedev(major, minor))
        except OSError:
            continue
        yield f"{name}: make"
        for word, flag in (("read", os.O_RDONLY), ("write", os.O_WRONLY)):
            try:
                os.close(os.open(path, flag | os.O_NONBLOCK | os.O_NOCTTY))
            except OSError as exc:
                if exc.errno in REFUSED:  # else there just is no such device, or terminal
                    continue
            yield f"{name}: {word}"


# -- what may be tried


def may(attempt: Attempt) -> bool:
    """Tell whether an attempt succeeds, or fails for want of something else than permission.

    It is made by a process of its own.
    """
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            attempt()
            code = 0
        except OSError as exc:
            code = int(exc.errno in REFUSED)
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code > 1:
        raise RuntimeError(f"{attempt} is wrong")
    return code == 0


def as_user(ask: Callable[[], list[str]]) -> list[str]:
    """Return what `ask` returns to uid 1000."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            os.setgroups([])
            os.setgid(1000)
            os.setuid(1000)
            libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: whoever changes his user is none
            with os.fdopen(writer, "w") as file:
                json.dump(ask(), file)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        texts: list[str] = json.load(file)
    os.waitpid(pid, 0)
    return texts


def call(number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make a system call of x86_64; raises OSError."""
    values = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result: int = libc.syscall(ctypes.c_long(number), *values)
    if result == -1:
        raise OSError(ctypes.get_errno(), f"system call {number}")
    return result


def buffer(data: bytes = b"", size: int = 4096) -> ctypes.Array[ctypes.c_char]:
    """Return memory for a call."""
    return ctypes.create_string_buffer(data, size)


def with_child(attempt: Callable[[int], object]) -> Attempt:
    """Return an attempt upon a child of one's own."""

    def body() -> object:
        pid = os.fork()
        if pid == 0:
            signal.pause()
        try:
            return attempt(pid)
        finally:
            os.kill(pid, signal.SIGKILL)

    return body


def join_own(kind: str) -> None:
    """Enter the namespace in which one is."""
    call(308, os.open(f"/proc/self/ns/{kind}", os.O_RDONLY), 0)


def clone3(flags: int) -> None:
    """Make a child in new namespaces."""
    pid = call(435, buffer(struct.pack("=QQQQQQQQ", flags, 0, 0, 0, signal.SIGCHLD, 0, 0, 0), 64), 64)
    if pid == 0:
        os._exit(0)


def clone(flags: int) -> None:
    """Make a child in new namespaces, the older way."""
    pid = call(56, flags | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)


def write(path: str, data: bytes) -> None:
    """Write to a file of the kernel's."""
    descriptor = os.open(path, os.O_WRONLY)
    os.write(descriptor, data)


def netlink(family: int, kind: int, body: bytes) -> None:
    """Send one request and raise what it is answered (netlink(7))."""
    with socket.socket(16, socket.SOCK_RAW, family) as link:
        link.send(struct.pack("=IHHII", 16 + len(body), kind, 5 | 0x600, 1, 0) + body)
        (number,) = struct.unpack("=i", link.recv(4096)[16:20])
    if number:
        raise OSError(-number, "netlink")


def set_capability() -> None:
    """Take CAP_SYS_ADMIN."""
    header, bits = struct.pack("=Ii", 0x20080522, 0), 1 << 21
    call(126, buffer(header), buffer(struct.pack("=IIIIII", bits, bits, 0, 0, 0, 0)))


def file_capability() -> None:
    """Give a file CAP_NET_RAW."""
    path = f"{SCRATCH}/capable-{os.getpid()}"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    os.setxattr(path, "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0))


def bind(port: int) -> None:
    """Listen on a port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))


def owned() -> str:
    """Return a new file of one's own."""
    path = f"{SCRATCH}/file-{os.getpid()}"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    return path


def attempts() -> list[str]:
    """Return the names of what succeeds."""
    return [name for name, attempt in tries().items() if may(attempt)]


def tries() -> dict[str, Attempt]:
    """Return everything that is tried."""
    interface = struct.pack("=BBHiII", 0, 0, 0, 0, 0, 0) + struct.pack("=HH8s", 12, 3, b"probe0\0\0")
    interface += struct.pack("=HH", 16, 18) + struct.pack("=HH7sx", 11, 1, b"bridge\0")
    fds = buffer(size=8)
    return {
        **{f"unshare {kind}": (lambda flag=flag: call(272, flag)) for kind, flag in NAMESPACES.items()},
        **{f"clone {kind}": (lambda flag=flag: clone(flag)) for kind, flag in NAMESPACES.items() if kind != "time"},
        **{f"clone3 {kind}": (lambda flag=flag: clone3(flag)) for kind, flag in NAMESPACES.items()},
        **{f"setns {kind}": (lambda kind=kind: join_own(kind)) for kind in NAMESPACES},
        "mount tmpfs": lambda: call(165, b"none", SCRATCH.encode(), b"tmpfs", 0, None),
        "mount proc": lambda: call(165, b"none", SCRATCH.encode(), b"proc", 0, None),
        "mount cgroup": lambda: call(165, b"none", SCRATCH.encode(), b"cgroup", 0, b"memory"),
        "mount cgroup2": lambda: call(165, b"none", SCRATCH.encode(), b"cgroup2", 0, None),
        "bind mount": lambda: call(165, b"/etc", SCRATCH.encode(), None, 0x1000, None),
        "remount /sys writable": lambda: call(165, b"none", b"/sys", None, 0x20 | 0x1000, None),
        "remount /proc/sys writable": lambda: call(165, b"none", b"/proc/sys", None, 0x20 | 0x1000, None),
        "unmount a mask": lambda: call(166, b"/proc/keys", 2),
        "open_tree": lambda: call(428, -100, b"/", 1),
        "fsopen": lambda: call(430, b"tmpfs", 0),
        "mount_setattr": lambda: call(442, -100, b"/sys", 0, buffer(struct.pack("=QQQQ", 0, 1, 0, 0)), 32),
        "pivot_root": lambda: call(155, b"/", SCRATCH.encode()),
        "chroot": lambda: os.chroot("/"),
        "read a child's memory": with_child(lambda pid: open(f"/proc/{pid}/mem", "rb")),
        "trace a child": with_child(lambda pid: call(101, 16, pid, 0, 0)),
        "process_vm_readv": with_child(lambda pid: call(310, pid, None, 0, None, 0, 0)),
        "kcmp": with_child(lambda pid: call(312, os.getpid(), pid, 1, 0, 0)),
        "pidfd_getfd": with_child(lambda pid: call(438, os.pidfd_open(pid), 0, 0)),
        "bpf map": lambda: call(321, 0, buffer(struct.pack("=IIII", 1, 4, 4, 1)), 72),
        "perf_event_open": lambda: call(298, buffer(struct.pack("=IIQ", 1, 112, 0)), 0, -1, -1, 0),
        "userfaultfd": lambda: call(323, 1),
        "io_uring_setup": lambda: call(425, 4, buffer()),
        "fanotify_init": lambda: call(300, 0x200, 0),
        "name_to_handle_at": lambda: call(303, -100, b"/dev", buffer(struct.pack("=I", 128)), fds, 0),
        "open_by_handle_at": open_by_handle,
        "keyctl": lambda: call(250, 0, -3, 0),
        "the user's keyring": lambda: call(250, 0, -4, 0),
        "add_key": lambda: call(248, b"user", b"inspection", b"x", 1, -2),
        "request_key": lambda: call(249, b"user", b"inspection", None, 0),
        "init_module": lambda: call(175, buffer(), 0, b""),
        "kexec_load": lambda: call(246, 0, 0, None, 0),
        "swapon": lambda: call(167, owned().encode(), 0),
        "acct": lambda: call(163, None),
        "set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
        "iopl": lambda: call(172, 3),
        "ioperm": lambda: call(173, 0x80, 1, 1),
        "read the kernel's log": lambda: call(103, 3, buffer(), 4096),
        "sethostname": lambda: socket.sethostname("inspection"),
        "setdomainname": lambda: call(171, b"inspection", 10),
        "switch address randomisation off": lambda: call(135, 0x40000),
        "raise one's priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, -5),
        "real-time scheduling": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
        "raise a limit": raise_limit,
        "be spared when memory runs out": lambda: write("/proc/self/oom_score_adj", b"-500"),
        "quotactl": lambda: call(179, 0x80000400, None, 0, None),
        "vhangup": lambda: call(153),
        "take CAP_SYS_ADMIN": set_capability,
        "make a character device": lambda: os.mknod(f"{SCRATCH}/n{os.getpid()}", stat.S_IFCHR, os.makedev(1, 3)),
        "make a block device": lambda: os.mknod(f"{SCRATCH}/n{os.getpid()}", stat.S_IFBLK, os.makedev(254, 0)),
        "change an owner": lambda: os.chown(owned(), 12, 34),
        "make a setuid file": lambda: os.chmod(owned(), 0o4755),  # noqa: S103 - tried
        "give a file capabilities": file_capability,
        "become another user": lambda: os.setuid(12),
        "join another group": lambda: os.setgroups([12]),
        "raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
        "packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3),
        "ping socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1),
        "vsock": lambda: socket.socket(40, socket.SOCK_STREAM),
        "the kernel's cryptography": lambda: socket.socket(38, socket.SOCK_SEQPACKET),
        "listen on port 80": lambda: bind(80),
        "make an interface": lambda: netlink(0, 16, interface),
        "see the packet filter": lambda: netlink(12, 0xA01, struct.pack("=BBH", 2, 0, 0)),
        "set a parameter of its own network": lambda: write("/proc/sys/net/ipv4/ip_forward", b"1"),
    }  # fmt: skip


def open_by_handle() -> None:
    """Open a file by a handle (CAP_DAC_READ_SEARCH), as shocker.c did."""
    handle, place = buffer(struct.pack("=I", 128)), buffer(size=8)
    call(303, -100, b"/dev", handle, place, 0)  # a tmpfs has handles, an overlay hasn't
    call(304, os.open("/dev", os.O_RDONLY), handle, 0)


def raise_limit() -> None:
    """Have more of something than the hard limit allows."""
    for name in (resource.RLIMIT_NOFILE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_MSGQUEUE):
        soft, hard = resource.getrlimit(name)
        if hard != resource.RLIM_INFINITY:
            libc.setrlimit.argtypes = (ctypes.c_int, ctypes.c_void_p)
            if libc.setrlimit(name, buffer(struct.pack("=QQ", soft, hard + 1))):
                raise OSError(ctypes.get_errno(), "setrlimit")
            return
    raise OSError(errno.EPERM, "nothing to raise")


if __name__ == "__main__":
    print(json.dumps(inspect(json.loads(sys.argv[1]))))
