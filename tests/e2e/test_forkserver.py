"""Commands that a process performs which has everything loaded already: nobody notices but by the clock."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.cgroups.hosts import detect
from pycompose.engine.linux.process import io_priority

from tests.support.scenario import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.scenario import Host

COMPOSE = """
services:
  web:
    image: busybox
    command: [sh, -c, "echo ${GREETING:-hello}; exec sleep 1000"]
    stop_signal: KILL
"""
OFF = {"PYCOMPOSE_FORKSERVER": "0"}
NAME = "pycompose.forkserver"
IDLE = 3  # IOPRIO_CLASS_IDLE, ioprio_set(2)


def commands(pid: int) -> list[int]:
    """Return the forks of the forkserver `pid` that perform something; the one in reserve has another name."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(word) for word in found if name_of(int(word)) == "pycompose"]


def name_of(pid: int) -> str:
    """Return the name that a process has given itself; nothing of one that has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def forkserver(host: Host) -> int:
    """Return the pid of the only forkserver, once it answers."""
    sockets = host.paths.projects_run
    eventually(lambda: host.inside(lambda: list(sockets.glob("*/commands.sock"))))
    return host.process(NAME)  # the fork in reserve is a child


@pytest.fixture
def warm(busy: Host) -> Host:
    """Return a machine with a project `demo` and a forkserver, started by the first command after `up`."""
    folder = busy.project({"compose.yaml": COMPOSE})
    busy.run("up", "-d", cwd=folder, env=OFF).ok()
    assert busy.processes(NAME) == []
    busy.run("ps", cwd=folder).ok()
    forkserver(busy)
    return busy


SAME = (
    ["ps", "-q"],
    ["ps", "nosuch"],
    ["nosuch"],
    ["--ansi", "always", "-p", "demo", "ps", "--format", "{{.Name}} {{.Image}}"],
    ["logs"],
    ["exec", "-T", "web", "sh", "-c", "cat; echo error >&2; exit 7"],
    ["exec", "-T", "web", "nosuch"],
    ["up", "-d"],
    ["config"],
    ["-f", "-", "config", "--services"],
    ["config", "--environment"],
    ["version", "--short"],
    ["up", "--help"],
    ["--project-directory", "..", "config", "--format", "json"],
)


def test_nothing_differs(warm: Host) -> None:
    """Exit code, both outputs, standard input, environment and directory are those of a process of one's own."""
    folder = warm.folder / "demo"

    def told(command: list[str], switch: str) -> tuple[int, list[str], list[str]]:
        given = {"LC_ALL": "C.UTF-8", "COMPOSE_ANSI": "never", "PYCOMPOSE_FORKSERVER": switch}
        if "config" in command:  # the others must not find that something is to be recreated
            given["GREETING"] = "welcome"
        stdin = COMPOSE if "-" in command else "typed\n"
        result = warm.run(*command, cwd=folder, env=given, stdin=stdin)
        out = [line for line in result.stdout.splitlines() if not line.startswith("PYCOMPOSE_FORKSERVER")]
        return result.code, out, result.stderr.splitlines()

    for command in SAME:
        assert told(command, "1") == told(command, "0"), command
    assert warm.processes(NAME)
    warm.run("down", cwd=folder).ok()


def test_the_forkserver_performs_it(warm: Host) -> None:
    """While a command runs, it is a child of the forkserver; umask and ignored signals are the caller's."""
    folder = warm.folder / "demo"
    pid = forkserver(warm)
    running = warm.spawn("exec", "-T", "web", "cat", cwd=folder)
    (child,) = eventually(lambda: commands(pid))
    assert running.process.stdin is not None
    running.process.stdin.write(b"through\n")
    running.process.stdin.close()
    assert running.wait() == 0
    assert running.output == "through\n"
    eventually(lambda: child not in commands(pid))  # it tells its end a moment before

    script = "umask 027; trap '' INT; exec pycompose config -o made.yaml"
    warm.command(["/bin/sh", "-c", script], cwd=folder).ok()
    assert (folder / "made.yaml").stat().st_mode & 0o777 == 0o640
    warm.run("down", cwd=folder).ok()


@pytest.mark.parametrize(
    ("number", "code"),
    ((signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP)),
)
def test_signals_reach_the_command(warm: Host, number: signal.Signals, code: int) -> None:
    """Ctrl+C and kill do to `logs -f` what they do to a process of one's own."""
    folder = warm.folder / "demo"
    pid = forkserver(warm)
    for env in ({}, OFF):
        running = warm.spawn("logs", "-f", cwd=folder, env=env)
        running.expect("hello")
        assert bool(commands(pid)) == (env == {})
        running.process.send_signal(number)
        assert running.wait() == code
        eventually(lambda: not commands(pid))
    warm.run("down", cwd=folder).ok()


def test_a_command_that_ends_at_once_is_performed_once(warm: Host) -> None:
    """Its end comes before the forkserver gets to tell of its beginning: on one processor, behind everybody else."""
    folder = warm.folder / "demo"
    pid = forkserver(warm)
    processor = min(os.sched_getaffinity(0))
    for _ in range(10):
        eventually(lambda: len(warm.processes(NAME)) == 2)
        for each in warm.processes(NAME):
            os.sched_setaffinity(each, {processor})
            os.sched_setscheduler(each, os.SCHED_IDLE if each == pid else os.SCHED_OTHER, os.sched_param(0))

        result = warm.command(
            ["taskset", "-c", str(processor), "pycompose", "version", "--short"], cwd=folder
        )

        assert len(result.ok().stdout.splitlines()) == 1
    assert forkserver(warm) == pid
    warm.run("down", cwd=folder).ok()


def test_ctrl_z_stops_both(warm: Host) -> None:
    """A command that is stopped writes nothing; one that goes on goes on."""
    folder = warm.folder / "demo"
    pid = forkserver(warm)
    running = warm.spawn("exec", "-T", "web", "cat", cwd=folder)
    (child,) = eventually(lambda: commands(pid))

    def states() -> list[str]:
        return [
            Path(f"/proc/{p}/stat").read_text().rpartition(") ")[2][0] for p in (running.process.pid, child)
        ]

    running.process.send_signal(signal.SIGTSTP)
    eventually(lambda: states() == ["T", "T"])
    running.process.send_signal(signal.SIGCONT)
    eventually(lambda: "T" not in states())
    assert running.process.stdin is not None
    running.process.stdin.close()
    assert running.wait() == 0
    warm.run("down", cwd=folder).ok()


def test_a_killed_caller_takes_its_command_along(warm: Host) -> None:
    """`kill -9` ends what the caller had begun, as if it had done it itself."""
    folder = warm.folder / "demo"
    pid = forkserver(warm)
    running = warm.spawn("logs", "-f", cwd=folder)
    running.expect("hello")
    assert commands(pid)
    running.kill()
    eventually(lambda: not commands(pid))
    warm.run("ps", cwd=folder).ok()
    warm.run("down", cwd=folder).ok()


def test_a_killed_forkserver_is_told_and_replaced(warm: Host) -> None:
    """Whose command was under way hears that it was killed; the next command does without, later ones have another."""
    folder = warm.folder / "demo"
    pid = forkserver(warm)
    running = warm.spawn("logs", "-f", cwd=folder)
    running.expect("hello")
    (child,) = commands(pid)
    os.kill(pid, signal.SIGKILL)
    assert running.wait() == 128 + signal.SIGKILL
    assert "hint: run the command again" in running.errors
    eventually(lambda: not Path(f"/proc/{child}").exists())
    warm.run("ps", cwd=folder).ok()
    eventually(lambda: "the forkserver ended with code -9" in warm.logs())
    warm.run("down", cwd=folder).ok()


def test_one_that_does_not_answer_holds_nobody_up(warm: Host) -> None:
    """Without an answer within a moment the caller does the work itself."""
    folder = warm.folder / "demo"
    pid = forkserver(warm)
    os.kill(pid, signal.SIGSTOP)
    assert "demo-web-1" in warm.run("ps", cwd=folder).ok().stdout
    os.kill(pid, signal.SIGCONT)
    warm.run("down", cwd=folder).ok()


def test_what_is_printed_depends_on_the_callers_locale_only(warm: Host) -> None:
    """Bytes and sorting are those of a command that nobody performs for its caller."""
    folder = warm.folder / "demo"
    forkserver(warm)
    words = ("ps", "-a", "--format", "\u00fc {{.Name}}")
    for given in (
        {"LC_ALL": "C", "PYTHONUTF8": "0"},
        {"LC_ALL": "POSIX"},
        {"LC_ALL": "C.UTF-8"},
        {"LANG": "xx"},
    ):
        said = [
            warm.run(*words, cwd=folder, env={**given, "PYCOMPOSE_FORKSERVER": switch}) for switch in "01"
        ]
        assert (said[0].code, said[0].stdout, said[0].stderr) == (
            said[1].code,
            said[1].stdout,
            said[1].stderr,
        ), given
    warm.run("down", cwd=folder).ok()


DIFFERENT = (
    "exec nice -n 5 pycompose logs -f",
    "ulimit -n 512; exec pycompose logs -f",
    "PYTHONOPTIMIZE=1 exec pycompose logs -f",
    "exec unshare --uts pycompose logs -f",
    "exec pycompose logs -f <&-",
    "exec taskset 1 pycompose logs -f",
)


def test_whoever_is_different_does_it_himself(warm: Host) -> None:
    """Priority, limits, interpreter flags, namespaces: what a fork of the forkserver would not have."""
    folder = warm.folder / "demo"
    pid = forkserver(warm)
    for script in DIFFERENT:
        with warm.inside(
            lambda script=script: subprocess.Popen(  # type: ignore[misc]
                ["/bin/sh", "-c", script], cwd=folder, env=warm.environment, stdout=subprocess.PIPE, text=True
            )
        ) as process:
            assert process.stdout is not None
            assert "hello" in process.stdout.readline()
            assert commands(pid) == [], script
            process.terminate()
    warm.run("down", cwd=folder).ok()


IN_A_GROUP = "echo $$ > {group}/cgroup.procs; exec pycompose logs -f"


def test_whoever_is_bounded_otherwise_does_it_himself(warm: Host) -> None:
    """A limit of the caller's control group holds for what he calls; a group without any is no reason."""
    folder = warm.folder / "demo"
    pid = forkserver(warm)
    with memory_group() as (group, limit):
        for text, performed in (("", True), (str(1 << 30), False)):
            if text:
                limit.write_text(text)
            running = warm.spawn("-c", IN_A_GROUP.format(group=group), cwd=folder, program="/bin/sh")
            running.expect("hello")
            assert bool(commands(pid)) == performed, text
            running.process.send_signal(signal.SIGTERM)
            running.wait()
            eventually(lambda: not commands(pid))
    warm.run("down", cwd=folder).ok()


@contextlib.contextmanager
def memory_group() -> Iterator[tuple[Path, Path]]:
    """Make a control group; yield it and its file for a limit of memory."""
    mounted = detect()
    v1 = mounted.v1.get("memory")
    top = v1 or mounted.unified
    assert top is not None
    if v1 is None:
        (top / "cgroup.subtree_control").write_text("+memory")
    group = top / f"pycompose-callers-{os.getpid()}"
    group.mkdir()
    try:
        yield group, group / ("memory.limit_in_bytes" if v1 else "memory.max")
    finally:
        eventually(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def test_priorities_are_the_callers(warm: Host) -> None:
    """Scheduling class, I/O class and OOM score: `chrt`, `ionice` and `choom` are for the work, not for who waits."""
    folder = warm.folder / "demo"
    pid = forkserver(warm)
    script = "echo 500 > /proc/self/oom_score_adj; exec chrt --batch 0 ionice -c 3 pycompose logs -f"
    running = warm.spawn("-c", script, cwd=folder, program="/bin/sh")
    running.expect("hello")
    (child,) = commands(pid)

    assert os.sched_getscheduler(child) == os.SCHED_BATCH
    assert io_priority(child) >> 13 == IDLE
    assert Path(f"/proc/{child}/oom_score_adj").read_text() == "500\n"
    running.process.send_signal(signal.SIGTERM)
    running.wait()
    warm.run("down", cwd=folder).ok()


def test_a_job_in_the_background_reads_no_terminal(warm: Host) -> None:
    """A question that nobody can answer stops it, as every other program: it takes no typed line from the shell."""
    folder = warm.folder / "demo"
    forkserver(warm)
    warm.run("stop", cwd=folder).ok()
    running = warm.spawn(
        "-c", "set -m; pycompose rm & read line; echo got $line", cwd=folder, tty=True, program="bash"
    )
    (asking,) = eventually(lambda: [p for p in warm.processes("pycompose rm") if stopped(p)])

    os.write(running.terminal, b"yes\n")
    running.expect("got yes")
    with contextlib.suppress(ProcessLookupError):  # its shell's end may end it: an orphaned group, setpgid(2)
        os.kill(asking, signal.SIGKILL)
    running.wait()
    assert "demo-web-1" in warm.run("ps", "-a", cwd=folder).stdout
    warm.run("down", cwd=folder).ok()


def stopped(pid: int) -> bool:
    """Tell whether a process has been stopped by a signal (proc_pid_stat(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "T"


def test_descriptors_of_the_caller_are_the_commands_own(warm: Host) -> None:
    """What the shell has opened for a command is read by it, by whatever name."""
    folder = warm.folder / "demo"
    for command in (
        "pycompose -f <(cat compose.yaml) config --services",
        "exec 7<compose.yaml; pycompose -f /proc/self/fd/7 config --services",
        "exec 7<compose.yaml; COMPOSE_FILE=/dev/fd/7 pycompose config --services",
        "pycompose --env-file <(echo GREETING=web) config --environment | sed -n 's/^GREETING=//p'",
    ):
        assert warm.command(["/bin/bash", "-c", command], cwd=folder).ok().stdout == "web\n", command
    assert warm.command(["/bin/bash", "-c", "pycompose -p demo -f <(cat compose.yaml) down"], cwd=folder).ok()


def test_it_goes_on_without_its_supervisor_until_the_command_is_over(warm: Host) -> None:
    """A supervisor that is killed leaves the command to go on, and no forkserver after that."""
    folder = warm.folder / "demo"
    pid = forkserver(warm)
    running = warm.spawn("-f", "-", "config", "--services", cwd=folder)
    eventually(lambda: commands(pid))
    os.kill(warm.process("pycompose.supervisor"), signal.SIGKILL)
    warm.run("restart", "web", cwd=folder).ok()
    assert running.process.stdin is not None
    running.process.stdin.write(COMPOSE.encode())
    running.process.stdin.close()
    assert running.wait() == 0
    assert running.output == "web\n"
    eventually(lambda: not Path(f"/proc/{pid}").exists())
    warm.run("down", cwd=folder).ok()


def test_other_code_on_the_disk_ends_it(warm: Host) -> None:
    """After an upgrade nobody gets the old version."""
    folder = warm.folder / "demo"
    pid = forkserver(warm)
    import pycompose.cli.commands.ps  # noqa: PLC0415 - only for its file

    file = Path(pycompose.cli.commands.ps.__file__)
    before = file.stat()
    os.utime(file)
    try:
        warm.run("ps", cwd=folder).ok()
        eventually(lambda: not Path(f"/proc/{pid}").exists())
    finally:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    warm.run("down", cwd=folder).ok()


def test_what_a_killed_one_leaves_is_passed_over(warm: Host) -> None:
    """The socket of a forkserver that was killed together with its project is no obstacle for others."""
    forkserver(warm)
    names = ("pycompose.supervisor", "pycompose.engine.keeper", NAME)
    for number in (
        signal.SIGSTOP,
        signal.SIGKILL,
    ):  # stopped first, none of them can clean up after another one
        warm.kill(*names, number=number)
    stale = warm.paths.project_run("demo") / "commands.sock"
    assert warm.inside(stale.exists)
    other = warm.project({"compose.yaml": COMPOSE}, name="other")
    warm.run("up", "-d", cwd=other, env=OFF).ok()
    warm.run("ps", cwd=other).ok()
    theirs = warm.paths.project_run("other") / "commands.sock"
    eventually(lambda: warm.inside(theirs.exists))
    running = warm.spawn("logs", "-f", cwd=other)
    running.expect("hello")
    assert commands(forkserver(warm))
    running.interrupt()
    assert running.wait() == 130
    warm.run("down", cwd=other).ok()
    warm.run("down", cwd=warm.folder / "demo").ok()


def test_the_reserve_goes_when_nobody_comes(warm: Host) -> None:
    """An idle forkserver gives back what the fork in reserve has copied; the next command has another one made."""
    pid = forkserver(warm)
    folder = warm.folder / "demo"
    reserve = eventually(lambda: set(warm.processes(NAME)) - {pid})
    assert memory_kb(pid, *reserve) > memory_kb(pid)
    eventually(lambda: warm.processes(NAME) == [pid], 30)
    warm.run("ps", cwd=folder).ok()
    assert eventually(lambda: set(warm.processes(NAME)) - {pid}).isdisjoint(reserve)
    warm.run("down", cwd=folder).ok()


def memory_kb(*pids: int, kind: str = "Pss") -> int:
    """Return the memory of processes, each page that they share counted once (proc_pid_smaps(5))."""
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))


def heap_kb(pid: int) -> int:
    """Return what a process has of its own, whoever else runs the same program."""
    return memory_kb(pid, kind="Pss_Anon")


def test_many_at_once(warm: Host) -> None:
    """Commands that run at the same time don't hear of each other."""
    folder = warm.folder / "demo"
    script = 'for i in $(seq 30); do pycompose exec -T web sh -c "sleep 0.1; echo $i; exit $i" & pids="$pids $!"; done;'
    script += " for pid in $pids; do wait $pid; echo code $?; done"
    lines = warm.command(["/bin/sh", "-c", script], cwd=folder).ok().stdout.split("\n")
    assert sorted(lines) == sorted(
        ["", *(f"{n}" for n in range(1, 31)), *(f"code {n}" for n in range(1, 31))]
    )
    warm.run("down", cwd=folder).ok()
    assert warm.processes(NAME) == []


LOADED = """
import importlib, os, sys
from pycompose import forkserver
for name in (*forkserver.MODULES, *(forkserver.BUILDING if "build" in sys.argv else ())):
    importlib.import_module(name)
before = set(sys.modules)
from pycompose.cli.main import main
sys.argv = ["pycompose", *sys.argv[1:]]
stdout = os.dup(1)
os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
main()
sys.stdout.flush()
os.write(stdout, " ".join(sorted(name for name in set(sys.modules) - before if "pycompose" in name)).encode())
"""


def test_it_has_loaded_what_commands_need(busy: Host) -> None:
    """Nothing of ours is left to import when a command comes that people give often."""
    folder = busy.project({"compose.yaml": COMPOSE})
    busy.run("up", "-d", cwd=folder).ok()
    for words in (
        ["ps"], ["ps", "--format", "json"], ["up", "-d"], ["logs"], ["exec", "-T", "web", "true"], ["restart"],
        ["stop", "-t", "0"], ["start"], ["kill", "web"], ["rm", "-f"], ["images"], ["ls"], ["top"], ["volumes"],
        ["version"], ["config"], ["events", "--since", "1m", "--until", "0s"], ["stats", "--no-stream"],
        ["port", "web", "80"], ["graph"], ["network", "create", "mine"], ["network", "ls"], ["network", "rm", "mine"],
        ["down"],
    ):  # fmt: skip
        result = busy.command([sys.executable, "-I", "-c", LOADED, *words], cwd=folder).ok()
        assert result.stdout == "", words


def test_who_builds_once_builds_again(warm: Host) -> None:
    """What only builds need is loaded when somebody has built: nothing of it is left to import for the next one."""
    pid = forkserver(warm)
    folder = warm.folder / "demo"
    (folder / "Dockerfile").write_text("FROM busybox\nCOPY compose.yaml /\nRUN true\n", encoding="ascii")
    build = ["-f", "built.yaml", "build", "--no-cache"]
    (folder / "built.yaml").write_text("name: demo\nservices: {it: {build: .}}\n", encoding="ascii")
    eventually(lambda: warm.processes(NAME) == [pid], 30)  # without a fork, all its memory is its own
    before = heap_kb(pid)
    warm.run(*build, cwd=folder).ok()
    eventually(lambda: warm.processes(NAME) == [pid] and heap_kb(pid) > before + 200, 30)
    result = warm.command([sys.executable, "-I", "-c", LOADED, *build], cwd=folder).ok()
    assert result.stdout == ""
    warm.run("down", cwd=folder).ok()


BUILT = """
services:
  web: {image: busybox, command: [sleep, "1000"], stop_signal: KILL}
  made:
    image: made
    scale: 0
    build: {context: ., dockerfile_inline: "FROM busybox\\nARG A\\nRUN exec sleep $${A:-0.1}"}
"""
KEEPER = "pycompose.engine.keeper"


def test_a_keeper_waits_for_the_next_build(busy: Host) -> None:
    """After a build there is one; a build that finds all done leaves it, one with a step has it, `down` ends it."""
    folder = busy.project({"compose.yaml": BUILT})
    busy.run("up", "-d", "web", cwd=folder, env=OFF).ok()
    busy.run("ps", cwd=folder).ok()
    pid = forkserver(busy)
    own = set(busy.processes(KEEPER))

    def waiting() -> list[int]:
        found = set(busy.processes(KEEPER)) - own
        return [one for one in found if name_of(one) == "pycompose-keep"]

    busy.run("build", cwd=folder).ok()
    (first,) = eventually(waiting)
    busy.run("build", cwd=folder).ok()
    assert waiting() == [first]

    running = busy.spawn("build", "--build-arg", "A=3.25", cwd=folder)
    (step,) = eventually(lambda: busy.processes("sleep 3.25"))
    assert _parent(step) == first
    assert running.wait() == 0
    (second,) = eventually(lambda: [one for one in waiting() if one != first])

    # Killed while it waits: the next build starts one itself.
    os.kill(second, signal.SIGKILL)
    busy.run("build", "--build-arg", "A=0.2", cwd=folder).ok()
    assert forkserver(busy) == pid
    busy.run("down", cwd=folder).ok()
    eventually(lambda: not busy.processes(KEEPER))


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])


def test_two_builds_and_one_keeper(busy: Host) -> None:
    """At the same time each has a keeper, whoever of them gets the one that waits; a killed one takes nothing along."""
    folder = busy.project({"compose.yaml": BUILT})
    busy.run("up", "-d", "web", cwd=folder, env=OFF).ok()
    busy.run("ps", cwd=folder).ok()
    forkserver(busy)
    for number in range(3):
        busy.run("build", "--build-arg", f"A=0.{number}1", cwd=folder).ok()
        killed = busy.spawn("build", "--build-arg", f"A=0.{number}2", cwd=folder)
        others = [busy.spawn("build", "--build-arg", f"A=0.{number}3{n}", cwd=folder) for n in range(2)]
        killed.process.kill()
        assert [one.wait() for one in others] == [0, 0], [one.transcript() for one in others]
        killed.close()
    busy.run("down", cwd=folder).ok()
    assert busy.watch.wait() == []
