"""Control groups on the real kernel: limits that hold, and groups that go away.

Everything runs on the hierarchies of this machine and, where that is a hybrid, once more without its cgroup2.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pycompose.engine.cgroups.base import create, detect, open_existing
from pycompose.engine.cgroups.group import Cgroup
from pycompose.engine.cgroups.hosts import Kind, forget
from pycompose.engine.cgroups.stats import StatsReader, cpu_percent
from pycompose.engine.config import Device, DeviceRate, Limits
from pycompose.engine.errors import CgroupError
from pycompose.engine.linux.process import clone3
from pycompose.engine.paths import StatePaths

from tests.support.lab import put_into
from tests.support.namespaces import MS_BIND, mount, umount

MS_RDONLY = 1
MS_REMOUNT = 32
MIB = 1024 * 1024
ID = "c" * 64
Start = Callable[..., subprocess.Popen[bytes]]

STUBBORN = """\
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(49):
    if os.fork() == 0:
        break
else:
    os.write(1, b"ready")
time.sleep(600)
"""
REMOVER = """\
import contextlib, os, sys, time
print(flush=True)
while True:
    time.sleep(0.0002)  # a maker that is never let finish proves nothing
    for path in sys.argv[1:]:
        with contextlib.suppress(OSError):
            os.rmdir(path)
"""
NESTED = """\
from pathlib import Path
from pycompose.engine.cgroups.base import create
from pycompose.engine.config import Limits
from pycompose.engine.paths import StatePaths
group = create(StatePaths(cgroup_parent="inner"), "c", Limits(pids=7), privileged=True)
print((group.unified / "pids.max").read_text().strip())
group.remove()
print(sorted(entry.name for entry in Path("/sys/fs/cgroup").iterdir() if entry.is_dir()))
"""
DEVICES = """\
import os, sys
nodes = (("null", os.O_RDWR), ("zero", os.O_RDONLY), ("urandom", os.O_RDONLY), ("kmsg", os.O_RDONLY))
for name, flags in (*nodes, ("kmsg", os.O_WRONLY)):
    try:
        os.close(os.open(f"/dev/{name}", flags | os.O_NONBLOCK))
        print(name, flags & 3, "yes")
    except OSError as exc:
        print(name, flags & 3, exc.strerror)
node = sys.argv[1]
os.mknod(node, 0o060600, os.makedev(1, 0))
try:
    os.open(node, os.O_RDONLY)
except OSError as exc:
    print("disk", exc.strerror)
"""


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a command that waits until it is in its group; everything started is gone at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def run(group: Cgroup, *command: str) -> subprocess.Popen[bytes]:
        shell = ["/bin/sh", "-c", 'read _ && exec "$@"', "sh", *command]
        process = subprocess.Popen(
            shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        started.append(process)
        put_into(group, process.pid)
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.close()
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def ready(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process has written `ready`."""
    assert process.stdout
    assert os.read(process.stdout.fileno(), 5) == b"ready"


def directories(paths: StatePaths) -> list[str]:
    """Return every group below our name; others' come and go meanwhile, which find calls a failure."""
    found = subprocess.run(
        ["find", "/sys/fs/cgroup", "-type", "d", "-path", f"*/{paths.cgroup_parent}*"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return found.stdout.splitlines()


def end(group: Cgroup, *processes: subprocess.Popen[bytes]) -> None:
    """Kill the group, reap the processes, remove the group."""
    group.kill()
    for process in processes:
        process.wait()
    group.remove()


def clone_sleeper(group: Cgroup) -> int:
    """Return the pid of a child that was born in `group` and waits for a signal."""
    pid, pidfd = clone3(0, cgroup_fd=group.leaf_fd())
    if pid == 0:
        signal.pause()
        os._exit(1)
    os.close(pidfd)
    return pid


def test_limits_are_written(host_paths: StatePaths, kind: Kind) -> None:
    """Each limit is in the file that this machine has for it, and the group is gone afterwards."""
    limits = Limits(
        memory_bytes=64 * MIB,
        memory_reservation_bytes=32 * MIB,
        cpus=0.5,
        cpu_shares=512,
        cpuset="0",
        cpuset_mems="0",
        pids=20,
    )
    group = create(host_paths, ID, limits, parent="web")
    base = Path("/sys/fs/cgroup")
    below = Path(host_paths.cgroup_parent, "web", ID)
    wanted = (
        {"memory.max": "67108864", "memory.low": "33554432", "cpu.max": "50000 100000", "cpu.weight": "59",
         "cpuset.cpus": "0", "cpuset.mems": "0",
         "pids.max": "20"}
        if kind is Kind.V2
        else {"memory.limit_in_bytes": "67108864", "memory.soft_limit_in_bytes": "33554432",
              "cpu.cfs_quota_us": "50000", "cpu.shares": "512", "cpuset.cpus": "0", "cpuset.mems": "0",
         "pids.max": "20"}
    )  # fmt: skip
    for name, text in wanted.items():
        place = base if kind is Kind.V2 else base / name.partition(".")[0]
        assert (place / below / name).read_text().strip() == text, name
    assert group.warnings == ()
    group.remove()
    assert directories(host_paths) == []


def test_the_memory_limit_kills_and_is_counted(host_paths: StatePaths, kind: Kind, start: Start) -> None:
    """A process that wants more is killed, and the counter says why it died."""
    group = create(host_paths, ID, Limits(memory_bytes=32 * MIB, memory_swap_bytes=32 * MIB))
    assert group.oom_kills() == 0
    process = start(group, sys.executable, "-S", "-c", f"bytearray({200 * MIB})")

    assert process.wait() == -signal.SIGKILL
    assert group.oom_kills() == 1
    group.remove()


def test_the_pids_limit_holds(host_paths: StatePaths, kind: Kind, start: Start) -> None:
    """The fork above the limit fails, in the container only."""
    code = (
        "import os\nn=0\ntry:\n  while os.fork(): n+=1\nexcept OSError as e: print(n, e.errno, flush=True)\n"
    )
    group = create(host_paths, ID, Limits(pids=5))
    process = start(group, sys.executable, "-S", "-c", code + "import time; time.sleep(600)")
    assert process.stdout

    assert process.stdout.readline() == b"4 11\n"
    end(group, process)


def test_the_cpu_limit_throttles(host_paths: StatePaths, kind: Kind, start: Start) -> None:
    """A busy process gets a fifth of a processor, and the statistics show it."""
    group = create(host_paths, ID, Limits(cpus=0.2, memory_bytes=64 * MIB))
    process = start(group, "/bin/sh", "-c", "while :; do :; done")
    reader = StatsReader(group, process.pid)
    before = after = reader.sample()
    deadline = time.monotonic() + 20
    while after.throttled_periods < before.throttled_periods + 5 and time.monotonic() < deadline:
        select.select([], [], [], 0.05)
        after = reader.sample()

    assert after.throttled_periods >= before.throttled_periods + 5
    assert 0 < cpu_percent(before, after) < 60
    assert (after.pids, after.memory_limit_bytes) == (1, 64 * MIB)
    end(group, process)
    with pytest.raises(CgroupError, match="the container is gone"):
        reader.sample()
    reader.close()


def test_frozen_processes_do_nothing(host_paths: StatePaths, kind: Kind, start: Start) -> None:
    """After `freeze` has returned nobody runs; `thaw` lets them go on where they were."""
    group = create(host_paths, ID, Limits())
    process = start(group, "/bin/sh", "-c", "while :; do echo x; done")
    assert process.stdout
    pipe = process.stdout.fileno()
    assert select.select([pipe], [], [], 10)[0]
    assert group.freeze()
    os.set_blocking(pipe, False)
    try:
        while os.read(pipe, 1 << 16):
            pass
    except BlockingIOError:
        pass

    assert not select.select([pipe], [], [], 0.2)[0]
    assert group.thaw()
    assert select.select([pipe], [], [], 10)[0]
    end(group, process)


def test_kill_reaches_everybody(host_paths: StatePaths, kind: Kind, start: Start) -> None:
    """50 processes that ignore SIGTERM, in no process group that we know."""
    group = create(host_paths, ID, Limits())
    process = start(group, sys.executable, "-S", "-c", STUBBORN)
    ready(process)
    assert len(group.procs()) == 50
    assert group.populated()
    assert group.kill()

    assert process.wait() == -signal.SIGKILL
    assert group.wait_empty(10)
    assert not group.populated()
    group.remove()


def test_kill_reaches_the_frozen(host_paths: StatePaths, kind: Kind, start: Start) -> None:
    """A paused container can be killed; on v1 it is thawed for that."""
    group = create(host_paths, ID, Limits())
    process = start(group, "sleep", "600")
    group.freeze()
    group.kill()

    assert process.wait() == -signal.SIGKILL
    group.remove()


def test_an_exec_is_killed_alone(host_paths: StatePaths, kind: Kind, start: Start) -> None:
    """Its processes are the container's too, limits included; killing it leaves the others."""
    group = create(host_paths, ID, Limits(pids=10))
    main = start(group, "sleep", "600")
    leaf = group.exec_leaf("probe1")
    probe = start(leaf, "sleep", "600")
    assert sorted(group.procs()) == sorted([main.pid, probe.pid])
    assert leaf.procs() == [probe.pid]
    directory = (group.unified if kind is Kind.V2 else group.leaves["pids"]) or Path()
    assert (directory / "pids.current").read_text().strip() == "2"
    leaf.kill()

    assert probe.wait() == -signal.SIGKILL
    leaf.remove()
    assert main.poll() is None
    assert group.procs() == [main.pid]
    end(group, main)


def test_an_exec_of_a_frozen_group_is_removed_at_once(
    host_paths: StatePaths, kind: Kind, start: Start
) -> None:
    """Its parent stays frozen, and nobody waits for a thaw that won't come."""
    group = create(host_paths, ID, Limits())
    process = start(group, "sleep", "600")
    leaf = group.exec_leaf("1")
    group.freeze()
    began = time.monotonic()
    leaf.remove(timeout_s=0)

    assert time.monotonic() - began < 2
    assert process.poll() is None
    end(group, process)


def test_the_group_and_an_exec_can_be_cloned_into(host_paths: StatePaths, kind: Kind) -> None:
    """CLONE_INTO_CGROUP with the descriptor, where there is a cgroup2.

    Both before the kill: from Linux 6.14 on a child cloned into a group that was killed once is killed too,
    unless the group of its parent was killed as often.
    """
    group = create(host_paths, ID, Limits(memory_bytes=32 * MIB))
    leaves = [group, group.exec_leaf("1")]
    if kind is Kind.V1:
        assert [leaf.leaf_fd() for leaf in leaves] == [None, None]
        group.remove()
        return
    children = [clone_sleeper(leaf) for leaf in leaves]

    assert leaves[1].procs() == children[1:]
    assert sorted(group.procs()) == sorted(children)
    group.kill()
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [-signal.SIGKILL] * 2
    leaves[1].close()
    group.remove()


@pytest.mark.parametrize(
    ("privileged", "devices", "lines"),
    (
        (False, (), ["kmsg 0 Operation not permitted", "kmsg 1 Operation not permitted"]),
        (
            False,
            (Device(source="/dev/kmsg", target="/dev/kmsg", permissions="r"),),
            ["kmsg 0 yes", "kmsg 1 Operation not permitted"],
        ),
        (True, (), ["kmsg 0 yes", "kmsg 1 yes"]),
    ),
)
def test_devices_are_filtered(
    host_paths: StatePaths,
    kind: Kind,
    start: Start,
    *,
    privileged: bool,
    devices: tuple[Device, ...],
    lines: list[str],
) -> None:
    """The harmless nodes open, others only when asked for; a disk's node can be made and not opened."""
    group = create(host_paths, ID, Limits(), devices=devices, privileged=privileged)
    node = host_paths.run / "disk"
    process = start(group, sys.executable, "-S", "-c", DEVICES, str(node))
    assert process.stdout
    got = process.stdout.read().decode().splitlines()
    process.wait()

    assert got[:5] == ["null 2 yes", "zero 0 yes", "urandom 0 yes", *lines]
    if not privileged:
        assert got[5:] == ["disk Operation not permitted"]
    group.remove()
    node.unlink()


def test_remove_takes_what_the_container_made(host_paths: StatePaths, kind: Kind) -> None:
    """Such as an init system inside makes groups of its own."""
    group = create(host_paths, ID, Limits())
    for own in group.own:
        (own / "init.scope/deeper").mkdir(parents=True)
    group.remove()

    assert directories(host_paths) == []
    group.remove()


def test_an_exec_works_beside_an_init_system(host_paths: StatePaths, kind: Kind, start: Start) -> None:
    """A container that enables controllers for groups of its own leaves room for our execs."""
    group = create(host_paths, ID, Limits(pids=10))
    if kind is not Kind.V2:
        group.remove()
        pytest.skip("needs a machine with cgroup v2 alone")
    assert group.unified
    (group.unified / "init.scope").mkdir()
    (group.unified / "cgroup.subtree_control").write_text("+pids +memory")
    leaf = group.exec_leaf("1")
    process = start(leaf, "sleep", "600")

    assert leaf.procs() == group.procs() == [process.pid]
    leaf.kill()
    process.wait()
    group.remove()


def test_groups_can_be_made_inside_a_container(host_paths: StatePaths, kind: Kind, start: Start) -> None:
    """There the root holds processes, which must move before its children get controllers."""
    group = create(host_paths, ID, Limits(pids=30), privileged=True)
    if kind is not Kind.V2:
        group.remove()
        pytest.skip("needs a machine with cgroup v2 alone")
    inside = (
        f"umount -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; exec {sys.executable} -c '{NESTED}'"
    )
    process = start(group, "unshare", "--cgroup", "--mount", "/bin/sh", "-c", inside)
    assert process.stdout

    assert process.stdout.read().decode().split() == ["7", "['init']"]
    assert process.wait() == 0
    group.remove()


def test_remove_names_who_is_left(host_paths: StatePaths, kind: Kind, start: Start) -> None:
    """A group in use stays, thawed, and the error says by whom."""
    group = create(host_paths, ID, Limits())
    process = start(group, "sleep", "600")
    group.freeze()
    with pytest.raises(CgroupError, match=rf"cannot remove: processes left: {process.pid}"):
        group.remove(timeout_s=0.05)
    process.terminate()

    assert process.wait() == -signal.SIGTERM
    group.remove()


def test_the_parents_live_as_long_as_their_last_container(host_paths: StatePaths, kind: Kind) -> None:
    first = create(host_paths, ID, Limits(), parent="web")
    second = create(host_paths, "d" * 64, Limits(), parent="web")
    first.remove()
    assert directories(host_paths)
    second.remove()

    assert directories(host_paths) == []


def test_a_parent_can_be_removed_while_a_group_is_made_in_it(host_paths: StatePaths, kind: Kind) -> None:
    """As by other projects, whose last container goes: what is found gone at any step is made again."""
    assert kind is detect().kind
    host = detect()
    mounts_ = [*([host.unified] if host.unified else []), *host.v1_mounts()]
    parents = [str(mount / host_paths.cgroup_parent) for mount in mounts_]
    with subprocess.Popen([sys.executable, "-c", REMOVER, *parents], stdout=subprocess.PIPE) as remover:
        assert remover.stdout is not None
        remover.stdout.readline()
        try:
            for _ in range(100):
                create(host_paths, ID, Limits()).remove()
        finally:
            remover.kill()


@pytest.mark.parametrize("there", (False, True))
def test_an_absolute_parent(host_paths: StatePaths, kind: Kind, *, there: bool) -> None:
    """It is where it says, as in Docker; what of it we made goes with its last container, somebody else's stays."""
    name = f"elsewhere-{os.getpid()}"
    mounts = [*([detect().unified] if detect().unified else []), *detect().v1_mounts()]
    tops = [mount / name for mount in mounts if mount]
    for top in tops if there else ():
        top.mkdir()
    first = create(host_paths, ID, Limits(pids=7), parent=f"/{name}/web")
    second = create(host_paths, "d" * 64, Limits(), parent=f"/{name}/web")
    found = [top / "web" / ID for top in tops if (top / "web" / ID).is_dir()]
    first.remove()
    kept = [top for top in tops if top.is_dir()]
    second.remove()
    open_existing(host_paths, ID, parent=f"/{name}/web").remove()

    assert len(found) == len(kept) == len(tops)
    assert [top.is_dir() for top in tops] == [there] * len(tops)
    assert directories(host_paths) == []
    for top in tops if there else ():
        assert [entry for entry in top.iterdir() if entry.is_dir()] == []
        top.rmdir()


def test_what_an_earlier_run_left_is_replaced(host_paths: StatePaths, kind: Kind, start: Start) -> None:
    """An empty group is made anew, counters at zero; one in use is refused."""
    create(host_paths, ID, Limits(pids=3))
    group = create(host_paths, ID, Limits(pids=4))
    process = start(group, "sleep", "600")
    with pytest.raises(CgroupError, match=r"cannot create: it exists and"):
        create(host_paths, ID, Limits())
    assert process.poll() is None
    assert group.procs() == [process.pid]

    end(group, process)


def test_a_parent_that_nobody_has_filled_is_filled(host_paths: StatePaths, kind: Kind, start: Start) -> None:
    """Who makes the parent has not come to filling it, or was killed before: its processors are none."""
    if "cpuset" not in detect().v1:
        pytest.skip("cgroup2 groups need no filling")
    level = detect().v1["cpuset"] / host_paths.cgroup_parent
    (level / "web").mkdir(parents=True)
    group = create(host_paths, ID, Limits(), parent="web")
    end(group, start(group, "sleep", "600"))
    assert directories(host_paths) == []


def test_a_group_is_found_again(host_paths: StatePaths, kind: Kind, start: Start) -> None:
    """Another process (here: another object) kills and removes by the paths alone."""
    group = create(host_paths, ID, Limits(memory_bytes=32 * MIB), parent="a/b")
    process = start(group, "sleep", "600")
    found = open_existing(host_paths, ID, parent="a/b")
    assert found.procs() == [process.pid]
    end(found, process)

    assert directories(host_paths) == []
    gone = open_existing(host_paths, ID, parent="a/b")
    assert (gone.procs(), gone.populated(), gone.oom_kills()) == ([], False, 0)
    gone.remove()


def test_update_in_any_order(host_paths: StatePaths, kind: Kind) -> None:
    """Up, down, swap or not: whichever file the kernel wants first."""
    group = create(host_paths, ID, Limits(memory_bytes=64 * MIB))
    for limits in (
        Limits(memory_bytes=256 * MIB),
        Limits(memory_bytes=32 * MIB, memory_swap_bytes=32 * MIB),
        Limits(memory_bytes=64 * MIB, memory_swap_bytes=-1),
        Limits(memory_bytes=16 * MIB, memory_swap_bytes=16 * MIB),
        Limits(cpus=0.1),
        Limits(cpu_period_us=20_000, cpu_quota_us=10_000),
        Limits(cpu_period_us=1_000_000, cpu_quota_us=500_000),
    ):
        group.update(limits)
    place = group.unified if kind is Kind.V2 else group.leaves["memory"]
    assert place
    name = "memory.max" if kind is Kind.V2 else "memory.limit_in_bytes"
    assert (place / name).read_text().strip() == str(16 * MIB)
    group.remove()


def test_update_does_not_kill(host_paths: StatePaths, kind: Kind, start: Start) -> None:
    """A memory limit below what is in use is refused."""
    group = create(host_paths, ID, Limits(memory_bytes=64 * MIB))
    code = f"import os, time; x = bytearray({20 * MIB}); os.write(1, b'ready'); time.sleep(600)"
    process = start(group, sys.executable, "-S", "-c", code)
    ready(process)
    with pytest.raises(CgroupError, match=r"mem_limit: cannot set 8388608: \d+ bytes are in use"):
        group.update(Limits(memory_bytes=8 * MIB))

    assert process.poll() is None
    end(group, process)


def test_a_refused_limit_leaves_nothing(host_paths: StatePaths, kind: Kind) -> None:
    """What this machine can't do is an error that names the key, and no directory stays."""
    with pytest.raises(CgroupError, match=r"cpuset: cannot set 4095: no processor 4095 here"):
        create(host_paths, ID, Limits(cpuset="4095"))

    assert directories(host_paths) == []


def test_block_weight(host_paths: StatePaths, kind: Kind) -> None:
    """Written where the kernel has the file; where it hasn't, the error names the key and says so."""
    limits = Limits(blkio_weight=300)
    probe = create(host_paths, "e" * 64, Limits())
    v1 = probe.leaves.get("blkio")
    place, prefix, weight = (v1, "blkio", "300") if v1 else (probe.unified, "io", "2930")
    assert place
    bfq = (place / f"{prefix}.bfq.weight").exists()
    name, weight = (f"{prefix}.bfq.weight", "300") if bfq else (f"{prefix}.weight", weight)
    there = (place / name).exists()
    probe.remove()
    if not there:
        with pytest.raises(CgroupError, match=rf"blkio_config: cannot set {name} to .* no such file"):
            create(host_paths, ID, limits)
        assert directories(host_paths) == []
        return
    group = create(host_paths, ID, limits)
    assert (place.parent / ID / name).read_text().split()[-1] == weight
    group.remove()


def test_block_rates(host_paths: StatePaths, kind: Kind) -> None:
    """Two limits of one device are two writes; both are in force."""
    disks = [disk.name for disk in Path("/sys/block").iterdir() if (disk / "size").read_text().strip() != "0"]
    disk = next((f"/dev/{name}" for name in disks if Path("/dev", name).is_block_device()), None)
    if disk is None:
        pytest.skip("needs a disk")
    number = Path("/sys/block", Path(disk).name, "dev").read_text().strip()
    rates = (DeviceRate(path=disk, rate=1 << 20),)
    group = create(host_paths, ID, Limits(device_read_bps=rates, device_write_iops=rates))
    if "blkio" in group.leaves:
        for name in ("blkio.throttle.read_bps_device", "blkio.throttle.write_iops_device"):
            assert (group.leaves["blkio"] / name).read_text().split() == [number, "1048576"]
    else:
        assert group.unified
        line = (group.unified / "io.max").read_text().split()
        assert line == [number, "rbps=1048576", "wbps=max", "riops=max", "wiops=1048576"]
    group.remove()


def test_real_time_budgets(host_paths: StatePaths, kind: Kind) -> None:
    """V1 grants them, parents first, where the kernel has them; v2 has none and says so."""
    limits = Limits(cpu_rt_period_us=100_000, cpu_rt_runtime_us=5000)
    if kind is Kind.V2 or not Path("/sys/fs/cgroup/cpu/cpu.rt_runtime_us").exists():
        with pytest.raises(CgroupError, match=r"cpu_rt_"):
            create(host_paths, ID, limits)
        return
    group = create(host_paths, ID, limits, parent="a")

    assert (group.leaves["cpu"] / "cpu.rt_runtime_us").read_text().strip() == "5000"
    group.remove()


@pytest.mark.parametrize("how", ("absent", "read-only"))
def test_a_machine_without_cgroups(host_paths: StatePaths, how: str) -> None:
    """Containers run without limits and with a warning; asking for a limit is an error."""
    machine = detect()
    places = [*([machine.unified] if machine.unified else []), *machine.v1_mounts()]
    if how == "absent":
        places = [Path("/sys/fs/cgroup")]
        mount("none", places[0], "tmpfs")
    else:
        for place in places:
            mount(str(place), place, flags=MS_BIND)
            mount("none", place, flags=MS_REMOUNT | MS_BIND | MS_RDONLY)
    forget()
    try:
        assert detect().kind is Kind.NONE
        group = create(host_paths, ID, Limits())
        assert (group.leaf_fd(), group.kill(), group.freeze()) == (None, False, False)
        assert group.warnings == ("devices are not restricted: no control groups here that we may write",)
        with pytest.raises(
            CgroupError, match=r"pids_limit: cannot set pids.max to 5: no pids controller here"
        ):
            create(host_paths, ID, Limits(pids=5))
    finally:
        for place in places:
            umount(place)
        forget()
