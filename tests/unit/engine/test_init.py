"""The init program, run as it is, for each machine: the other one's by qemu."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from pycompose.engine.errors import EngineError
from pycompose.engine.init import program

from tests.support.requires import requires

COMPILERS = ("x86_64-linux-gnu-gcc", "aarch64-linux-gnu-gcc")
EM_NUMBERS = {"x86_64": 62, "aarch64": 183}  # elf.h
PT_LOAD, PT_GNU_STACK = 1, 0x6474E551
EXECUTABLE, WRITABLE = 1, 2
SHOW = """import json, os, signal, sys
status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
print(json.dumps({"group": os.getpgrp(), "pid": os.getpid(), "parent": os.getppid(), "args": sys.argv[1:],
                  "blocked": status["SigBlk"], "ignored": status["SigIgn"]}))"""
ECHO = """import ctypes, os, signal
ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG: no other signal ends it, and it isn't to outlive the init
wanted = set(range(1, 65)) - {9, 19, 17}
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
print("ready", flush=True)
while True:
    print(signal.sigwait(wanted), flush=True)"""


@pytest.fixture(
    params=[
        # Its package has all the others, too.
        pytest.param(machine, marks=() if machine == os.uname().machine else requires("qemu-aarch64-static"))
        for machine in program.MACHINES
    ]
)
def init(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """Return the command that runs a machine's init program up to its `--`."""
    copy = tmp_path / "docker-init"
    copy.write_bytes(program.packaged(request.param).read_bytes())
    copy.chmod(0o700)
    if request.param == os.uname().machine:
        return [str(copy), "--"]
    emulator = shutil.which(f"qemu-{request.param}-static")
    assert emulator
    return [emulator, str(copy), "--"]


def script(path: Path, text: str, mode: int = 0o755) -> Path:
    """Write a script."""
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("command", "code"), (("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143))
)
def test_it_ends_as_the_command_does(init: list[str], command: str, code: int) -> None:
    """Its own code, or 128+n when signal n ended it."""
    assert subprocess.run([*init, "sh", "-c", command], check=False).returncode == code


def test_the_command_begins_as_if_there_were_no_init(init: list[str]) -> None:
    """No signal is blocked or ignored, arguments and environment are whole, and its group is its own."""
    # Whoever runs the tests may ignore signals (nohup).
    wanted = ["env", "--default-signal", *init, sys.executable, "-c", SHOW, "-x", "--", ""]
    with subprocess.Popen(wanted, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        seen = json.loads(process.stdout.read())

    assert seen["args"] == ["-x", "--", ""]
    assert (seen["group"], seen["parent"]) == (seen["pid"], process.pid)
    ignored = int(seen["ignored"], 16) & ~(1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)  # Python's own
    assert (int(seen["blocked"], 16), ignored) == (0, 0)


def test_it_hands_signals_on(init: list[str]) -> None:
    """Every one, but those by which it would tell of its own faults, of its child's end, and of its terminal."""
    kept = {"ILL", "TRAP", "ABRT", "BUS", "FPE", "SEGV", "SYS", "CHLD", "KILL", "STOP", "TTIN", "TTOU"}
    # libc keeps 32 and 33 for itself, and qemu two more.
    handed_on = [n.value for n in signal.Signals if n.name.removeprefix("SIG") not in kept and n.value < 62]
    with subprocess.Popen(
        [*init, sys.executable, "-c", ECHO], stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        received = []
        for number in handed_on:
            process.send_signal(number)
            received.append(int(process.stdout.readline()))
        for name in ("TTIN", "TTOU"):
            process.send_signal(getattr(signal, f"SIG{name}"))
        process.send_signal(signal.SIGHUP)
        received.append(int(process.stdout.readline()))
        process.kill()

    assert received == [*handed_on, signal.SIGHUP]


def test_a_command_is_found_along_the_path(init: list[str], tmp_path: Path) -> None:
    """As execvp(3): the first that can be executed; an empty entry is the working directory."""
    for name in ("a", "b", "here"):
        (tmp_path / name).mkdir()
    script(tmp_path / "a/tool", "", mode=0o644)
    script(tmp_path / "b/tool", "#!/bin/sh\necho b $1\n")
    script(tmp_path / "here/local", "#!/bin/sh\necho local\n")
    env = {"PATH": f"/nowhere:{tmp_path}/a:{tmp_path}/a/tool:{'/x' * 2500}:{tmp_path}/b:"}
    for command, printed in ((("tool", "1"), "b 1\n"), (("local",), "local\n"), (("./local",), "local\n")):
        done = subprocess.run(
            [*init, *command], env=env, cwd=tmp_path / "here", capture_output=True, text=True, check=False
        )
        assert (done.stdout, done.stderr, done.returncode) == (printed, "", 0)


def test_a_script_without_an_interpreter_is_the_shells(init: list[str], tmp_path: Path) -> None:
    """As execvp(3) has it, and docker-init with it."""
    path = script(tmp_path / "text", 'echo "$0" "$@"; exit 3\n')
    done = subprocess.run([*init, path, "a b", "c"], capture_output=True, text=True, check=False)

    assert (done.stdout, done.returncode) == (f"{path} a b c\n", 3)


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    (
        ("nothing", 127, "no such file or directory"),
        ("", 127, "no such file or directory"),
        ("/nowhere/x", 127, "no such file or directory"),
        ("plain", 126, "permission denied"),
        ("/tmp", 126, "permission denied"),
    ),
)
def test_what_cannot_be_executed_is_named(
    init: list[str], tmp_path: Path, name: str, code: int, reason: str
) -> None:
    """The shells' codes."""
    script(tmp_path / "plain", "", mode=0o644)
    done = subprocess.run(
        [*init, name], env={"PATH": f"{tmp_path}:/bin"}, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (code, f"docker-init: cannot execute {name}: {reason}\n")


def test_no_command_is_an_error(init: list[str]) -> None:
    """It doesn't read behind its arguments."""
    done = subprocess.run(init, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (
        1,
        "docker-init: usage: docker-init -- COMMAND [ARGUMENT...]\n",
    )


def test_the_command_has_the_terminal(init: list[str]) -> None:
    """Its group is the foreground one, so Ctrl+C is for it."""
    pid, terminal = pty.fork()
    if pid == 0:
        command = "[ $(ps -o tpgid= -p $$) = $$ ] && trap 'exit 5' INT && echo ready && read line"
        os.execvp(init[0], [*init, "sh", "-c", command])  # noqa: S606
    text = b""
    while b"ready" not in text:
        assert select.select([terminal], [], [], 20)[0], text
        text += os.read(terminal, 4096)
    os.write(terminal, b"\x03")
    status = os.waitpid(pid, 0)[1]
    os.close(terminal)

    assert os.waitstatus_to_exitcode(status) == 5


@pytest.mark.parametrize("machine", program.MACHINES)
def test_the_binary_is_static_small_and_has_nothing_to_write_to(machine: str) -> None:
    """One segment of code, no interpreter, a stack that can't be executed; a page at most."""
    data = program.packaged(machine).read_bytes()
    assert data[:7] == b"\x7fELF\x02\x01\x01"
    kind, number = struct.unpack_from("<HH", data, 16)
    (offset,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    segments = [struct.unpack_from("<II", data, offset + i * size) for i in range(count)]

    assert (kind, number) == (2, EM_NUMBERS[machine])
    assert [kind for kind, _flags in segments] == [PT_LOAD, PT_GNU_STACK]
    assert segments[0][1] & (EXECUTABLE | WRITABLE) == EXECUTABLE
    assert not segments[1][1] & EXECUTABLE
    assert len(data) < 4096


@requires("x86_64-linux-gnu-gcc", "aarch64-linux-gnu-gcc")
def test_the_binaries_are_what_the_source_makes(tmp_path: Path) -> None:
    """Byte for byte, by the compilers that build.sh names."""
    for compiler in COMPILERS:
        version = subprocess.run([compiler, "-dumpfullversion"], capture_output=True, text=True, check=True)
        if version.stdout != "12.2.0\n":
            pytest.skip(f"needs Debian 12's {compiler}, not {version.stdout.strip()}")
    builder = program.packaged("x86_64").with_name("build.sh")
    subprocess.run([builder, tmp_path], check=True)

    for machine in program.MACHINES:
        assert (tmp_path / f"docker-init.{machine}").read_bytes() == program.packaged(machine).read_bytes()


def test_the_program_is_installed_once_and_mended(tmp_path: Path) -> None:
    """Executable for all; another one at its place is replaced, not written to."""
    target = tmp_path / "docker-init"
    assert program.install(target) == str(target)
    first = target.stat()
    assert first.st_mode & 0o777 == 0o555
    program.install(target)
    assert target.stat().st_ino == first.st_ino

    other = tmp_path / "other"
    target.replace(other)
    os.link(other, target)
    target.chmod(0o755)
    target.write_bytes(b"of another version")
    program.install(target)

    assert other.read_bytes() == b"of another version"
    assert target.read_bytes() == program.packaged(os.uname().machine).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["docker-init", "other"]


def test_a_machine_without_a_program_says_so() -> None:
    """By name, with what there is."""
    with pytest.raises(
        EngineError, match=r"init: cannot use: there is no init program for riscv64"
    ) as caught:
        program.packaged("riscv64")
    assert "aarch64 and x86_64" in str(caught.value.hint)
