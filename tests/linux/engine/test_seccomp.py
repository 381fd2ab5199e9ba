"""The filter of system calls in real containers: what a process inside gets for each call, and how it can't get out."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from pycompose.engine.api import EngineGone
from pycompose.engine.config import Mount, MountKind, RootfsTree, Security, User
from pycompose.engine.errors import SeccompError
from pycompose.engine.linux.caps import CAPABILITIES, permitted
from pycompose.engine.linux.libc import libc
from pycompose.engine.linux.process import join_new_keyring

from tests.support.lab import Lab, status_field
from tests.support.requires import requires
from tests.support.seccomp_record import (
    ABIS,
    PROBE,
    STRICTER,
    answers,
    capability_sets,
    docker_rows,
    questions,
)

pytestmark = requires("root", "overlay", "static-busybox")
python = requires("host-python", "x86_64", "ia32")

EPERM, EACCES, ENOSYS, ENOKEY = 1, 13, 38, 126
ADD_KEY, KEYCTL, KEYCTL_SEARCH, SESSION_KEYRING = 248, 250, 10, -3
PYTHON = "/usr/bin/python3"
# Makes calls in a process each, as they are written, and prints what they gave: 0, or the errno.
CALLER = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
for line in sys.argv[1:]:
    reader, writer = os.pipe()
    if os.fork() == 0:
        values = [eval(word, {"buffer": ctypes.create_string_buffer(4096)}) for word in line.split()]
        result = libc.syscall(*[ctypes.c_ulong(v) if isinstance(v, int) else v for v in values])
        os.write(writer, b"%d" % (ctypes.get_errno() if result == -1 else 0))
        os._exit(0)
    os.close(writer)
    print(int(os.read(reader, 9) or -1))
    os.wait()
"""


def with_python(lab: Lab) -> dict[str, Any]:
    """Return the fields of a container that has this machine's /usr, and the probe."""
    top = lab.paths.root / "links"
    if not top.exists():
        top.mkdir()
        for name in ("lib", "lib64"):
            (top / name).symlink_to(f"usr/{name}")
        (top / "probe.py").write_bytes(PROBE.read_bytes())
    usr = Mount(kind=MountKind.BIND, source="/usr", target="/usr", read_only=True)
    return {"rootfs": (RootfsTree(lowers=(str(top), str(lab.rootfs))),), "mounts": (usr,)}


def probe(lab: Lab, asked: list[Any], **fields: Any) -> list[list[Any]]:
    """Return what syscall_probe.py says inside a container."""
    code, text = lab.run([PYTHON, "-S", "-E", "/probe.py", json.dumps(asked)], **with_python(lab), **fields)
    assert code == 0, text
    said: list[list[Any]] = json.loads(text)
    return said


def call(lab: Lab, *lines: str, **fields: Any) -> list[int]:
    """Return what real calls give inside a container: number and arguments, one call a line."""
    code, text = lab.run([PYTHON, "-S", "-E", "-c", CALLER, *lines], **with_python(lab), **fields)
    assert code == 0, text
    return [int(line) for line in text.split()]


def profile(*allowed: str, default: str = "SCMP_ACT_ERRNO", **fields: Any) -> Security:
    """Return the security of a container with a profile that allows some calls."""
    rules = [{"names": list(allowed), "action": "SCMP_ACT_ALLOW"}]
    return Security(seccomp=json.dumps({"defaultAction": default, "syscalls": rules, **fields}))


def names_of(mask: int) -> tuple[str, ...]:
    """Return the capabilities in a mask."""
    return tuple(name for number, name in enumerate(CAPABILITIES) if mask >> number & 1)


@python
@pytest.mark.parametrize("name", ("none", "default", "SYS_ADMIN", "SYS_PTRACE"))
def test_every_call_is_decided_as_docker_decides_it(lab: Lab, name: str) -> None:
    """Every number of the three ways into an x86_64 kernel, and the arguments that count, asked from inside."""
    mask = capability_sets()[name]
    said = answers(
        probe(lab, [question for _name, question in questions()], process={"capabilities": names_of(mask)})
    )
    expected = docker_rows(name) | dict.fromkeys(STRICTER, EPERM)

    assert {
        where: (answer, expected[where]) for where, answer in said.items() if answer != expected[where]
    } == {}


# Number on x86_64 and arguments → what a default container gets.
REFUSED = {
    "unshare of a user namespace": ("272 0x10000000", EPERM),
    "unshare of a mount namespace": ("272 0x20000", EPERM),
    "unshare of a network namespace": ("272 0x40000000", EPERM),
    "clone of a user namespace": ("56 0x10000011 0 0 0 0", EPERM),
    "clone3": ("435 buffer 88", ENOSYS),
    "setns": ("308 0 0", EPERM),
    "keyctl": ("250 0 -4 0", EPERM),
    "add_key": ("248 b'user' b'name' b'x' 1 -4", EPERM),
    "request_key": ("249 b'user' b'name' None -4", EPERM),
    "mount": ("165 b'none' b'/tmp' b'tmpfs' 0 None", EPERM),
    "umount2": ("166 b'/tmp' 0", EPERM),
    "pivot_root": ("155 b'/' b'/tmp'", EPERM),
    "open_tree": ("428 -100 b'/' 1", EPERM),
    "move_mount": ("429 0 b'' 0 b'' 0", EPERM),
    "fsopen": ("430 b'tmpfs' 0", EPERM),
    "mount_setattr": ("442 -100 b'/' 0 buffer 32", EPERM),
    "socket AF_VSOCK": ("41 40 1 0", EPERM),
    "socket AF_VSOCK with upper bits": ("41 0x100000028 1 0", EPERM),
    "socket AF_ALG": ("41 38 5 0", EPERM),
    "io_uring_setup": ("425 8 buffer", EPERM),
    "bpf": ("321 0 buffer 64", EPERM),
    "perf_event_open": ("298 buffer 0 -1 -1 0", EPERM),
    "userfaultfd": ("323 1", EPERM),
    "fanotify_init": ("300 0x200 0", EPERM),
    "open_by_handle_at": ("304 -100 buffer 0", EPERM),
    "kcmp": ("312 1 1 0 0 0", EPERM),
    "personality ADDR_NO_RANDOMIZE": ("135 0x40000", EPERM),
    "personality READ_IMPLIES_EXEC": ("135 0x400000", EPERM),
    "kexec_load": ("246 0 0 buffer 0", EPERM),
    "init_module": ("175 buffer 0 b''", EPERM),
    "swapon": ("167 b'/x' 0", EPERM),
    "syslog": ("103 3 buffer 10", EPERM),
    "a number that no kernel has": ("1000", ENOSYS),
    "a number of a kernel to come": ("500", ENOSYS),
    "mseal, which is younger than the policy": ("462 0 0 0", ENOSYS),
}
ALLOWED = {
    "personality of Linux": "135 0",
    "personality, asked for": "135 0xffffffff",
    "socket AF_UNIX": "41 1 1 0",
    "memfd_create": "319 b'name' 0",
    "getrandom": "318 buffer 16 0",
    "an own filter's question": "317 2 0 buffer",
}


@python
def test_what_a_default_container_is_refused(lab: Lab) -> None:
    """By calls that are really made, not only asked about; as root inside."""
    given = call(lab, *(line for line, _errno in REFUSED.values()))

    assert dict(zip(REFUSED, given, strict=True)) == {name: errno for name, (_line, errno) in REFUSED.items()}


@python
def test_what_a_default_container_needs_works(lab: Lab) -> None:
    """The calls next to those that are refused."""
    assert dict(zip(ALLOWED, call(lab, *ALLOWED.values()), strict=True)) == dict.fromkeys(ALLOWED, 0)


@python
def test_a_capability_brings_its_calls(lab: Lab) -> None:
    """SYS_ADMIN: mounts, namespaces and clone3; what the kernel then says is the kernel's business."""
    lines = ("165 b'none' b'/tmp' b'tmpfs' 0 None", "272 0x20000", "435 buffer 0")
    mounted, unshared, cloned = call(
        lab, *lines, process={"capabilities": (*names_of(capability_sets()["default"]), "SYS_ADMIN")}
    )

    assert (mounted, unshared) == (0, 0)
    assert cloned not in (EPERM, ENOSYS)


@pytest.mark.parametrize("init", (False, True), ids=("plain", "init"))
@pytest.mark.parametrize("no_new_privs", (False, True), ids=("setuid", "no-new-privileges"))
@pytest.mark.parametrize("user", ("", "app"), ids=("root", "app"))
def test_the_filter_is_in_and_what_it_took_is_gone(
    lab: Lab,
    user: str,
    no_new_privs: bool,  # noqa: FBT001 - a column of the table
    init: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """Process 1 and an exec: filtered, and no trace of the capability that installing it takes."""
    process = {"user": User(spec=user), "no_new_privs": no_new_privs}
    container = lab.make("cat /proc/self/status; exec sleep 1000", process={**process, "init": init})
    lab.keeper.start_container(container)
    lab.wait_for_output(container, "Seccomp_filters")

    for text in (lab.output(container), lab.exec(container, "cat /proc/self/status", **process)[1]):
        assert status_field(text, "Seccomp") == "2"
        assert status_field(text, "Seccomp_filters") == "1"
        assert status_field(text, "NoNewPrivs") == str(int(no_new_privs))
        bounding = f"{capability_sets()['default'] & permitted():016x}"
        held = "0" * 16 if user else bounding
        assert [status_field(text, f"Cap{name}") for name in ("Eff", "Prm", "Bnd")] == [held, held, bounding]
        assert {status_field(text, f"Cap{name}") for name in ("Inh", "Amb")} == {"0" * 16}


@pytest.fixture
def known_key(private_host: Path) -> str:
    """Have a key in the session keyring that is passed on to whatever this process starts, return its description."""
    join_new_keyring()
    assert libc.syscall(ADD_KEY, b"user", b"canary", b"secret", 6, SESSION_KEYRING, 0) > 0
    return "canary"


@python
def test_no_key_of_the_callers_is_inherited(known_key: str, lab: Lab) -> None:
    """Without a filter that refuses keyctl(2): process 1 and an exec have session keyrings of their own."""
    search = f"{KEYCTL} {KEYCTL_SEARCH} {SESSION_KEYRING} b'user' b'{known_key}' 0"
    unconfined = Security(seccomp="unconfined")
    caller = [PYTHON, "-S", "-E", "-c", CALLER, search]
    container = lab.make("sleep 1000", **with_python(lab), security=unconfined)
    lab.keeper.start_container(container)

    assert call(lab, search, security=unconfined) == [ENOKEY]
    assert lab.exec(container, caller) == (0, f"{ENOKEY}\n")


@pytest.mark.parametrize("security", (Security(seccomp="unconfined"), Security(privileged=True)))
def test_without_a_filter(lab: Lab, security: Security) -> None:
    """When it is switched off, and for privileged containers; their execs have none either."""
    container = lab.make("sleep 1000", security=security)
    pid = lab.keeper.start_container(container).pid

    assert status_field(Path(f"/proc/{pid}/status").read_text(encoding="ascii"), "Seccomp") == "0"
    assert status_field(lab.exec(container, "cat /proc/self/status")[1], "Seccomp") == "0"


def test_an_exec_with_all_capabilities_keeps_the_containers_filter(lab: Lab) -> None:
    """`exec --privileged`, as Docker has it."""
    container = lab.make("sleep 1000")
    lab.keeper.start_container(container)

    code, text = lab.exec(container, "cat /proc/self/status; mount -t tmpfs none /tmp", capabilities=("ALL",))
    assert status_field(text, "Seccomp") == "2"
    assert (code, text.splitlines()[-1]) == (1, "mount: permission denied (are you root?)")


def test_what_the_next_keeper_executes_is_filtered(lab: Lab) -> None:
    """It has adopted the container, and knows no policies."""
    container = lab.make("exec sleep 1000")
    lab.keeper.start_container(container)
    os.kill(lab.keeper.pid, signal.SIGKILL)
    lab.wait(EngineGone)
    lab.keeper.close()
    lab.events.clear()
    lab.start()

    assert status_field(lab.exec(container, "cat /proc/self/status")[1], "Seccomp") == "2"


def test_a_profile_of_the_users(lab: Lab) -> None:
    """An errno of its own, in process 1 and in an exec; other calls go on."""
    rules = [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": EACCES}]
    security = Security(seccomp=json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}))
    container = lab.make("mkdir /x; touch /y; echo made; exec sleep 1000", security=security)
    lab.keeper.start_container(container)
    lab.wait_for_output(container, "made")

    code, text = lab.exec(container, "mkdir /z; ls /y")
    assert (code, text) == (0, "mkdir: can't create directory '/z': Permission denied\n/y\n")
    assert lab.output(container) == "mkdir: can't create directory '/x': Permission denied\nmade\n"


@pytest.mark.parametrize("no_new_privs", (False, True))
@pytest.mark.parametrize("user", ("", "app"))
def test_a_profile_needs_hardly_a_call_for_our_sake(
    lab: Lab,
    user: str,
    no_new_privs: bool,  # noqa: FBT001 - columns of the table
) -> None:
    """What the program needs itself, execve and capset: nothing of how we change user or talk to the keeper."""
    needs = (
        "arch_prctl",
        "brk",
        "capset",
        "execve",
        "exit_group",
        "getuid",
        "prlimit64",
        "mprotect",
        "rseq",
        "write",
    )
    linked = (
        "readlink",
        "set_robust_list",
        "set_tid_address",
        "getrandom",
        "mmap",
        "munmap",
        "fstat",
        "newfstatat",
    )
    wanted = {"user": User(spec=user), "no_new_privs": no_new_privs, "rlimits": ()}

    assert lab.run(["echo", "hello"], security=profile(*needs, *linked), process=wanted) == (0, "hello\n")


def test_a_profile_that_kills(lab: Lab) -> None:
    """128 + SIGSYS, as for any process that a signal ends."""
    rules = [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}]
    security = Security(seccomp=json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}))

    assert lab.run(["mkdir", "/x"], security=security)[0] == 128 + 31


@python
def test_other_ways_in_are_closed_where_a_profile_doesnt_name_them(lab: Lab) -> None:
    """32-bit instructions and x32 numbers would pass by every rule."""
    security = Security(seccomp='{"defaultAction": "SCMP_ACT_ALLOW"}')
    asked = [[way, 20, 20] for way in ABIS]

    assert probe(lab, asked, security=security) == [[0], ["killed"], ["killed"]]
    assert probe(lab, asked, security=Security(seccomp="unconfined")) == [[0], [0], [0]]


def test_a_profile_that_cant_be_used_starts_nothing(lab: Lab) -> None:
    """The error says what is wrong with it; the container can be started when it is right."""
    container = lab.make("true", security=Security(seccomp='{"defaultAction": "SCMP_ACT_X"}'))

    with pytest.raises(SeccompError, match="defaultAction: unknown: 'SCMP_ACT_X'"):
        lab.keeper.start_container(container)
    assert lab.state(container).status.value == "created"


@python
def test_a_tracer_cant_swap_a_call_behind_the_filter(lab: Lab) -> None:
    """Ptrace changes the number after the kernel has entered: the filter sees what is made of it (Linux 4.8)."""
    script = """
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
TRACEME, CONT, POKEUSER, SYSCALL, ORIG_RAX, RDI, UNSHARE = 0, 7, 6, 24, 15 * 8, 14 * 8, 272
pid = os.fork()
if pid == 0:
    libc.ptrace(TRACEME, 0, None, None)
    os.kill(os.getpid(), signal.SIGSTOP)
    result = libc.syscall(39, 0)
    os._exit(ctypes.get_errno() if result == -1 else 99)
os.waitpid(pid, 0)
swapped = False
while True:
    libc.ptrace(SYSCALL, pid, None, None)
    _pid, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status):
        break
    libc.ptrace.restype = ctypes.c_long
    number = libc.ptrace(3, pid, ORIG_RAX, None)
    if number == 39 and not swapped:
        swapped = True
        libc.ptrace(POKEUSER, pid, ORIG_RAX, UNSHARE)
        libc.ptrace(POKEUSER, pid, RDI, 0x10000000)
print(swapped, os.WEXITSTATUS(status))
"""
    code, text = lab.run([PYTHON, "-S", "-E", "-c", script], **with_python(lab))

    assert (code, text) == (0, f"True {EPERM}\n")
