"""Attacks of a container's processes on what starts them: the engine's binary, its descriptors, its privileges."""

from __future__ import annotations

import os
import shutil
import struct
import sys
from pathlib import Path

import pytest
from pycompose.engine.cgroups.hosts import detect
from pycompose.engine.config import Limits, RootfsTree, Security, User
from pycompose.engine.errors import EngineError

from tests.support.attack import OUT, PYTHON, SECRET, TOOLS, precious
from tests.support.lab import Lab, status_field
from tests.support.requires import requires
from tests.support.rootfs import build_rootfs

# Looks at every process that appears, until there is a file /stop: program, descriptors, memory; and opens what it can.
HUNT = """
import os, sys
own, seen, found = str(os.getpid()), set(), set()
print("hunting", flush=True)
while not os.path.exists("/stop"):
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or pid in ("1", own):
            continue
        seen.add(pid)
        for name in ("exe", "cwd", "root"):
            try:
                found.add(name + " " + os.readlink(f"/proc/{pid}/{name}"))
                if name == "exe":
                    handle = os.open(f"/proc/{pid}/exe", os.O_PATH)
                    try:
                        os.close(os.open(f"/proc/self/fd/{handle}", os.O_WRONLY))
                        found.add("writes " + os.readlink(f"/proc/self/fd/{handle}"))
                    finally:
                        os.close(handle)
            except OSError:
                pass
        try:
            for number in os.listdir(f"/proc/{pid}/fd"):
                found.add("descriptor " + os.readlink(f"/proc/{pid}/fd/{number}").partition(":")[0])
        except OSError:
            pass
for line in sorted(found):
    print(line)
print(len(seen), "seen", flush=True)
"""
# Runs as the interpreter of a script: what is it, and can it be written to?
OVERWRITE = """\
#!/proc/self/exe
import os
print(os.readlink("/proc/self/exe"))
for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
    try:
        os.open("/proc/self/exe", flags)
        print("opened")
    except OSError as exc:
        print(exc.strerror)
"""


def in_top_layer(lab: Lab, name: str) -> tuple[Path, tuple[RootfsTree, ...]]:
    """Make a layer above busybox; return it and the root that has it."""
    top = lab.paths.root / name
    top.mkdir()
    return top, (RootfsTree(lowers=(str(top), str(lab.rootfs))),)


@requires("host-python")
def test_cve_2019_5736_cve_2016_9962_hunting_for_what_enters(lab: Lab) -> None:
    """A process of the container opens all that appears beside it while 40 commands are executed there.

    It never gets hold of our program, nor of a directory, file or socket of the machine's: of the command itself only.
    """
    hunter = lab.make([*PYTHON, HUNT], mounts=TOOLS)
    lab.keeper.start_container(hunter)
    lab.wait_for_output(hunter, "hunting")

    for _ in range(40):
        assert lab.exec(hunter, ["/bin/true"])[0] == 0
    lab.exec(hunter, ["/bin/touch", "/stop"])
    assert lab.exit_code(hunter) == 0

    *found, seen = lab.output(hunter).splitlines()[1:]
    assert int(seen.split()[0]) >= 20
    its_own = {
        "exe /bin/busybox",
        "writes /bin/busybox",
        "cwd /",
        "root /",
        "descriptor pipe",
        "descriptor /dev/null",
    }
    assert set(found) <= its_own


def test_cve_2019_5736_the_engines_program_as_an_interpreter(lab: Lab) -> None:
    """An image's script names /proc/self/exe as its interpreter: that is our sealed copy, which nobody can write to."""
    top, rootfs = in_top_layer(lab, "evil")
    # All that Python needs to come up, so that the attack isn't stopped by a missing library.
    for place in {Path(sys.base_prefix), Path("/usr"), Path("/lib"), Path("/lib64")}:
        (top / str(place).lstrip("/")).mkdir(parents=True, exist_ok=True)
    (top / "attack").write_text(OVERWRITE, encoding="ascii")
    (top / "attack").chmod(0o755)
    prefix = sys.base_prefix
    python = {mount.target: mount for mount in TOOLS}
    mounts = [*python.values()]
    if not prefix.startswith("/usr"):
        mounts.append(type(mounts[0])(kind=mounts[0].kind, source=prefix, target=prefix, read_only=True))
    container = lab.make(["sleep", "1000"], rootfs=rootfs, mounts=tuple(mounts))
    lab.keeper.start_container(container)
    env = (f"LD_LIBRARY_PATH={prefix}/lib", f"PYTHONHOME={prefix}")

    code, said = lab.exec(container, ["/attack"], env=env)

    assert code == 0, said
    program, *answers = said.splitlines()
    assert program.startswith("/memfd:")
    assert len(answers) == 3
    assert "opened" not in answers
    lab.remove(top)


def test_cve_2024_21626_cve_2016_9962_a_working_directory_of_the_engines(lab: Lab) -> None:
    """WORKDIR of an image, its links, `exec -w`: no descriptor that the engine had open leads to the machine."""
    with precious(lab.paths.root / "precious") as prey:
        # What the keeper would have left open.
        descriptor = os.open(prey, os.O_RDONLY | os.O_DIRECTORY)
        lab.keeper.hold("prey", [descriptor])
        top, rootfs = in_top_layer(lab, "evil")
        for number in range(3, 40):
            (top / f"leak{number}").symlink_to(f"/proc/self/fd/{number}")
        running = lab.make(["sleep", "1000"], rootfs=rootfs)
        lab.keeper.start_container(running)
        look = "ls; cat secret ../secret 2>/dev/null; true"

        said = []
        for number in range(3, 40):
            for cwd in (f"/proc/self/fd/{number}", f"/leak{number}", f"/proc/self/fd/{number}/../.."):
                try:
                    said.append(lab.exec(running, look, cwd=cwd)[1])
                except EngineError:
                    said.append("refused")
            try:
                said.append(lab.run(look, rootfs=rootfs, process={"cwd": f"/leak{number}"})[1])
            except EngineError:
                said.append("refused")
        os.close(descriptor)
        lab.keeper.kill(running)
        lab.exit_code(running)
        lab.remove(top)

    assert "refused" in said
    assert not [text for text in said if SECRET in text]


def test_cve_2022_0492_a_release_agent(lab: Lab) -> None:
    """Neither a container that mounts what it may, nor one without a filter in namespaces of its own, can set one."""
    v1 = sorted({",".join(names) for names in detect().v1_mounts().values()})
    script = "".join(
        f"mkdir /tmp/{n}; mount -t cgroup -o {'none,' if names.startswith('name=') else ''}{names} none /tmp/{n} &&"
        f" {{ echo in; echo /evil >/tmp/{n}/release_agent && echo written; }};"
        for n, names in enumerate(v1)
    )
    script += "find /sys/fs/cgroup -name release_agent;"
    script += "for f in /sys/fs/cgroup/*/; do echo /evil >$f/release_agent && echo written; done; true"
    plain = lab.run(f"({script}) 2>/dev/null")[1]
    enter = "unshare --user --map-root-user --mount --cgroup /bin/sh -c"
    unfiltered = lab.run(
        f"/usr/bin/{enter} '{script}' 2>/dev/null", mounts=TOOLS, security=Security(seccomp="unconfined")
    )[1]

    assert plain == ""
    assert unfiltered.split() == ["in"] * len(v1)


def test_cve_2022_24769_cve_2022_27650_cve_2022_29162_inheritable_files(lab: Lab) -> None:
    """A file that makes inheritable capabilities effective gives an ordinary user none: there are none."""
    top, rootfs = in_top_layer(lab, "evil")
    tool = top / "cat"
    shutil.copy(lab.rootfs / "bin/busybox", tool)
    tool.chmod(0o755)
    everything = 0xFFFFFFFF
    os.setxattr(tool, "security.capability", struct.pack("<IIIII", 0x02000001, 0, everything, 0, 0x1FF))
    user = User(spec="app")
    container = lab.make("/cat /proc/self/status; sleep 1000", rootfs=rootfs, process={"user": user})
    lab.keeper.start_container(container)
    lab.wait_for_output(container, "nonvoluntary")

    for said in (
        lab.output(container),
        lab.exec(container, ["/cat", "/proc/self/status"], user=user)[1],
        lab.exec(container, ["/cat", "/proc/self/status"], user=user, capabilities=("NET_RAW", "SYS_ADMIN"))[
            1
        ],
    ):
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status_field(said, name), 16) == 0, said
    lab.keeper.kill(container)
    lab.exit_code(container)
    lab.remove(top)


def test_cve_2022_36109_cve_2022_2989_cve_2022_2990_cve_2023_25173_a_group_that_is_denied(lab: Lab) -> None:
    """A file that a group may not read stays shut to its members, whatever group a setgid program changes them to."""
    top, rootfs = in_top_layer(lab, "evil")
    shutil.copy(lab.rootfs / "bin/busybox", top / "cat")
    os.chown(top / "cat", 0, 4242)
    (top / "cat").chmod(0o2755)
    for group, name in ((1000, "primary"), (1001, "supplementary"), (777, "added")):
        (top / name).write_text(f"{SECRET}\n", encoding="ascii")
        os.chown(top / name, 0, group)
        (top / name).chmod(0o604)
    (top / "open").write_text("open\n", encoding="ascii")
    user = User(spec="app", additional_groups=("777",))
    script = "/cat /primary /supplementary /added /open 2>/dev/null; true"
    container = lab.make(f"{script}; echo done; sleep 1000", rootfs=rootfs, process={"user": user})
    lab.keeper.start_container(container)
    lab.wait_for_output(container, "done")

    assert lab.output(container) == "open\ndone\n"
    assert lab.exec(container, script, user=user)[1] == "open\n"
    lab.keeper.kill(container)
    lab.exit_code(container)
    lab.remove(top)


@pytest.mark.parametrize(
    "spec",
    ("4294967296", "4294967295", "2147483648", "1000:4294967296", "18446744073709551616", "-1", "app:-1"),
)
def test_cve_2024_40635_an_id_that_wraps_around(lab: Lab, spec: str) -> None:
    """2³² isn't root: what doesn't fit is refused, at the start and for an exec."""
    with pytest.raises(EngineError, match=r"user|group"):
        lab.keeper.start_container(lab.make("id -u", process={"user": User(spec=spec)}))
    running = lab.make(["sleep", "1000"])
    lab.keeper.start_container(running)
    with pytest.raises(EngineError, match=r"user|group"):
        lab.exec(running, "id -u", user=User(spec=spec))
    lab.keeper.kill(running)
    lab.exit_code(running)


@pytest.mark.parametrize("name", ("passwd", "group"))
@pytest.mark.parametrize("kind", ("sparse", "endless", "fifo", "way out"))
def test_cve_2026_47262_a_huge_or_endless_file_of_users(lab: Lab, name: str, kind: str) -> None:
    """Ended by a clear error, at once: nothing of it is kept in memory, nobody waits."""
    with precious(lab.paths.root / "precious") as prey:
        top, rootfs = in_top_layer(lab, "evil")
        file = top / "etc" / name
        file.parent.mkdir()
        if kind == "sparse":
            with file.open("wb") as out:
                out.truncate(1 << 40)
        elif kind == "endless":
            file.symlink_to("/dev/zero")
        elif kind == "fifo":
            os.mkfifo(file)
        else:
            file.symlink_to(f"{OUT}{prey}/etc/{name}")
        limits = Limits(memory_bytes=64 << 20)
        container = lab.make("id -u", rootfs=rootfs, process={"user": User(spec="app:www")}, limits=limits)

        with pytest.raises(EngineError, match=r"user|group"):
            lab.keeper.start_container(container)
        lab.remove(top)


@pytest.mark.parametrize(
    "spec", ("app ", " 0", "+0", "0x0", "00", "-0", "root ", "app\n", "1000\0", "\u0660", "1_000")
)
def test_cve_2026_30892_a_user_that_is_read_wrongly(lab: Lab, spec: str) -> None:
    """What is no number and no name of the image's is nobody: it never becomes root by a lenient parser."""
    running = lab.make(["sleep", "1000"])
    lab.keeper.start_container(running)
    try:
        said = lab.exec(running, "id -u", user=User(spec=spec))[1]
    except (EngineError, ValueError):
        said = "refused"
    lab.keeper.kill(running)
    lab.exit_code(running)

    assert said == ("0\n" if spec == "00" else "refused")


def test_cve_2019_14271_libraries_and_tools_of_the_image(lab: Lab) -> None:
    """A start and an exec load no library and run no program of the image before the command."""
    image = build_rootfs(lab.paths.root / "image")
    trap = "#!/bin/sh\necho trapped >>/trap\n"
    for name in ("bin/getent", "bin/id", "usr/bin/newuidmap", "sbin/init", "usr/sbin/nologin"):
        (image / name).parent.mkdir(parents=True, exist_ok=True)
        (image / name).unlink(missing_ok=True)
        (image / name).write_text(trap, encoding="ascii")
        (image / name).chmod(0o755)
    for name in ("libnss_files.so.2", "libc.so.6", "ld-linux-x86-64.so.2"):
        for folder in ("lib", "lib64", "usr/lib/x86_64-linux-gnu"):
            (image / folder).mkdir(parents=True, exist_ok=True)
            (image / folder / name).write_bytes(b"\x7fELF no library")
    container = lab.make(
        "echo started; [ ! -e /trap ]; echo $?; sleep 1000",
        rootfs=(RootfsTree(lowers=(str(image),)),),
        process={"user": User(spec="app:www"), "env": ("LD_PRELOAD=/lib/libc.so.6",)},
    )
    lab.keeper.start_container(container)
    lab.wait_for_output(container, "started\n0\n")

    assert lab.exec(container, "[ ! -e /trap ]; echo $?", user=User(spec="root"))[1] == "0\n"
    lab.keeper.kill(container)
    lab.exit_code(container)
    lab.remove(image)
