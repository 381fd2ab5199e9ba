"""What a container can see and do: defaults, and one test per class of known escapes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pycompose.engine.config import (
    Device,
    Mount,
    MountKind,
    Namespaces,
    Rlimit,
    RootfsTree,
    Security,
    User,
)
from pycompose.engine.container.rootfs import MASKED, READ_ONLY
from pycompose.engine.errors import ChildError, EngineError, ExecError, MountError

from tests.support.lab import Lab, status_field
from tests.support.namespaces import MS_PRIVATE, MS_REC, mount, umount
from tests.support.rootfs import build_rootfs

EMPTY = "0" * 16
DEFAULT_CAPS = "00000000a80425fb"
PRIVATE = Namespaces(network="private")


def layer(lab: Lab) -> Path:
    """Make an empty directory for a layer above the busybox one."""
    path = lab.paths.root / "layer"
    path.mkdir()
    return path


@contextlib.contextmanager
def removed(path: Path) -> Iterator[Path]:
    """Remove a directory of the test at its end."""
    try:
        yield path
    finally:
        shutil.rmtree(path)


def run(lab: Lab, script: str, **fields: Any) -> str:
    """Run a script that must succeed, return what it printed."""
    code, text = lab.run(script, **fields)
    assert code == 0, text
    return text


def mounts_of(text: str) -> dict[str, tuple[str, set[str]]]:
    """Return target → (type, options) of the output of `cat /proc/mounts`."""
    return {f[1]: (f[2], set(f[3].split(","))) for f in (line.split() for line in text.splitlines())}


# Defaults


def test_default_mounts_have_their_types_and_flags(lab: Lab) -> None:
    """Docker's list, with Docker's flags."""
    found = mounts_of(run(lab, "cat /proc/mounts", namespaces=PRIVATE))

    quiet = {"nosuid", "nodev", "noexec"}
    for target, fstype, flags in (
        ("/", "overlay", {"rw"}),
        ("/proc", "proc", quiet | {"rw"}),
        ("/dev", "tmpfs", {"rw", "nosuid", "mode=755", "size=65536k"}),
        ("/dev/pts", "devpts", {"rw", "nosuid", "noexec", "gid=5", "mode=620", "ptmxmode=666"}),
        ("/dev/mqueue", "mqueue", quiet | {"rw"}),
        ("/dev/shm", "tmpfs", quiet | {"rw", "size=65536k"}),
        ("/sys", "sysfs", quiet | {"ro"}),
    ):
        assert found[target][0] == fstype, target
        assert found[target][1] >= flags, target
    groups = [target for target in found if target.startswith("/sys/fs/cgroup")]
    assert groups
    for target in groups:
        assert found[target][1] >= quiet | {"ro"}, target


def test_default_devices_are_exact(lab: Lab) -> None:
    """Six nodes, readable and writable by all, and the usual links."""
    text = run(lab, "cd /dev; stat -c '%n %F %t:%T %a' null zero full random urandom tty; ls")

    lines = text.splitlines()
    assert [line.split()[0] + " " + line.split()[-2] + " " + line.split()[-1] for line in lines[:6]] == [
        "null 1:3 666",
        "zero 1:5 666",
        "full 1:7 666",
        "random 1:8 666",
        "urandom 1:9 666",
        "tty 5:0 666",
    ]
    links = {"fd", "ptmx", "pts", "mqueue", "shm", "stdin", "stdout", "stderr"}
    assert set(lines[6:]) - {"core"} == {"null", "zero", "full", "random", "urandom", "tty"} | links


def test_capabilities_of_pid_one(lab: Lab) -> None:
    """The default 14 are permitted, effective and bounding; inheritable and ambient empty (CVE-2022-24769)."""
    root = run(lab, "cat /proc/1/status")
    user = run(lab, "cat /proc/1/status", process={"user": User(spec="app")})

    assert [status_field(root, name) for name in ("CapPrm", "CapEff", "CapBnd")] == [DEFAULT_CAPS] * 3
    assert [status_field(user, name) for name in ("CapPrm", "CapEff")] == [EMPTY] * 2
    assert status_field(user, "CapBnd") == DEFAULT_CAPS
    for text in (root, user):
        assert status_field(text, "CapInh") == status_field(text, "CapAmb") == EMPTY


def test_unknown_capability_is_an_error(lab: Lab) -> None:
    """A typing mistake doesn't silently give less, or more."""
    with pytest.raises(EngineError, match="capability SYS_ADMINN"):
        lab.keeper.start_container(lab.make("true", process={"capabilities": ("SYS_ADMINN",)}))


def test_groups_are_exactly_those_of_the_user(lab: Lab) -> None:
    """The keeper's own groups are gone; the primary group is in the list (CVE-2022-36109)."""
    user = User(spec="app", additional_groups=("5",))

    assert run(lab, "id", process={"user": user}).strip() == (
        "uid=1000(app) gid=1000(app) groups=5(tty),1000(app),1001(www)"
    )


def test_huge_user_ids_are_refused(lab: Lab) -> None:
    """An id that would wrap around to root is an error (CVE-2024-40635)."""
    with pytest.raises(EngineError, match="4294967296"):
        lab.keeper.start_container(lab.make("true", process={"user": User(spec="4294967296")}))


def test_signals_session_and_umask_are_clean(lab: Lab) -> None:
    """No signal is ignored or blocked, pid 1 leads its session, new files are 0644."""
    text = lab.run(["cat", "/proc/self/status"])[1]

    assert status_field(text, "SigIgn") == status_field(text, "SigBlk") == EMPTY
    assert run(lab, "umask; cut -d' ' -f5,6 /proc/1/stat").splitlines() == ["0022", "1 1"]


def test_no_descriptor_leaks(lab: Lab) -> None:
    """Pid 1 has its three streams, whatever the keeper holds (CVE-2016-9962, CVE-2024-21626)."""
    ours, theirs = socket.socketpair()
    lab.keeper.hold("one", [ours.fileno(), theirs.fileno()])

    assert run(lab, "exec ls /proc/self/fd").split() == ["0", "1", "2", "3"]
    ours.close()
    theirs.close()


def test_environment_has_the_defaults_and_the_last_word(lab: Lab) -> None:
    """PATH, HOSTNAME, HOME of the passwd file; the user's own value of a name wins, the last of two."""
    text = run(lab, "env", hostname="box", process={"env": ("A=1", "A=2", "HOME="), "user": User(spec="app")})

    variables = dict(line.split("=", 1) for line in text.splitlines())
    assert variables["PATH"] == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert (variables["HOSTNAME"], variables["HOME"], variables["A"]) == ("box", "/home/app", "2")
    assert "TERM" not in variables
    with pytest.raises(EngineError, match="NAME=value"):
        lab.keeper.start_container(lab.make("true", process={"env": ("NOVALUE",)}))


def test_path_of_the_container_finds_the_program(lab: Lab) -> None:
    """The lookup happens inside, with the user's PATH."""
    code, _text = lab.run(["tool"], process={"env": ("PATH=/srv:/bin",)}, rootfs=with_tool(lab))

    assert code == 42


def with_tool(lab: Lab) -> tuple[RootfsTree, ...]:
    """Return a rootfs with an executable /srv/tool."""
    top = layer(lab)
    (top / "srv").mkdir()
    (top / "srv/tool").write_text("#!/bin/sh\nexit 42\n")
    (top / "srv/tool").chmod(0o755)
    return (RootfsTree(lowers=(str(top), str(lab.rootfs))),)


def test_names_are_the_containers_own(lab: Lab) -> None:
    """Hostname and domain are set, the machine's stay."""
    before = socket.gethostname()

    text = run(lab, "hostname; cat /proc/sys/kernel/domainname", hostname="box", domainname="lab.test")

    assert text.split() == ["box", "lab.test"]
    assert socket.gethostname() == before
    with pytest.raises(ChildError, match="hostname"):
        lab.keeper.start_container(lab.make("true", hostname="x" * 65))


def test_namespaces_are_new(lab: Lab) -> None:
    """Every namespace of a default container differs from the machine's, but the user and time ones."""
    kinds = ("mnt", "pid", "net", "ipc", "uts", "cgroup")
    text = run(
        lab, "for n in mnt pid net ipc uts cgroup; do readlink /proc/self/ns/$n; done", namespaces=PRIVATE
    )

    for kind, line in zip(kinds, text.split(), strict=True):
        assert line != os.readlink(f"/proc/self/ns/{kind}")


def test_joined_namespaces_are_the_others(lab: Lab) -> None:
    """container:ID joins network, pid, ipc with its shared memory, and uts."""
    first = lab.make(
        "echo shared > /dev/shm/note; sleep 1000",
        namespaces=Namespaces(network="private", ipc="shareable"),
        hostname="first",
    )
    pid = lab.keeper.start_container(first).pid
    assert lab.exec(first, "until [ -s /dev/shm/note ]; do :; done")[0] == 0
    other = f"container:{first}"

    text = run(
        lab,
        "for n in net pid ipc uts; do readlink /proc/self/ns/$n; done; cat /dev/shm/note; hostname; cat /proc/1/comm",
        namespaces=Namespaces(network=other, pid=other, ipc=other, uts=other),
    )

    lines = text.splitlines()
    assert lines[:4] == [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("net", "pid", "ipc", "uts")]
    assert lines[4:] == ["shared", "first", "sleep"]


def test_ipc_none_has_no_shared_memory(lab: Lab) -> None:
    """Without IPC there is no /dev/shm mount either."""
    assert "/dev/shm" not in mounts_of(
        run(lab, "cat /proc/mounts", namespaces=Namespaces(network="host", ipc="none"))
    )


def test_shm_size_is_a_limit(lab: Lab) -> None:
    """The size is what was asked, and writing more fails."""
    text = run(
        lab,
        "dd if=/dev/zero of=/dev/shm/x bs=64k count=32 2>/dev/null; wc -c < /dev/shm/x",
        shm_bytes=1 << 20,
    )

    assert int(text) == 1 << 20


def test_rlimits_are_explicit(lab: Lab) -> None:
    """Defaults don't depend on the caller's shell; what the user says wins."""
    assert run(lab, "ulimit -Sn; ulimit -c").split() == ["1024", "unlimited"]
    limits = (Rlimit(name="nofile", soft=100, hard=200), Rlimit(name="core", soft=0, hard=0))
    assert run(lab, "ulimit -Sn; ulimit -Hn; ulimit -c", process={"rlimits": limits}).split() == [
        "100",
        "200",
        "0",
    ]
    with pytest.raises(EngineError, match="ulimit nofiles: cannot set: unknown"):
        lab.keeper.start_container(
            lab.make("true", process={"rlimits": (Rlimit(name="nofiles", soft=1, hard=1),)})
        )


def test_rlimits_may_be_smaller_than_what_the_engine_needs(lab: Lab) -> None:
    """They are for the container's program."""
    limits = (Rlimit(name="nofile", soft=6, hard=6), Rlimit(name="as", soft=8 << 20, hard=8 << 20))

    assert run(lab, "ulimit -n", process={"rlimits": limits}).strip() == "6"


def test_oom_score_is_the_containers(lab: Lab) -> None:
    """0 unless asked, whatever the keeper has; exec has its own."""
    assert run(lab, "cat /proc/1/oom_score_adj").strip() == "0"
    assert run(lab, "cat /proc/1/oom_score_adj", process={"oom_score_adj": 500}).strip() == "500"


def test_no_new_privileges(lab: Lab) -> None:
    """Off by default, on when asked."""
    assert status_field(run(lab, "cat /proc/1/status"), "NoNewPrivs") == "0"
    text = run(lab, "cat /proc/1/status", process={"no_new_privs": True})
    assert status_field(text, "NoNewPrivs") == "1"


def test_sysctls_are_set_inside_only(lab: Lab) -> None:
    """net.* of its own namespace is written, the machine's value stays; what isn't its own is refused."""
    before = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    wanted = {"net.ipv4.ip_forward": "1" if before.strip() == "0" else "0", "kernel.shmmni": "99"}

    text = run(
        lab,
        "cd /proc/sys; cat net/ipv4/ip_forward kernel/shmmni net/ipv4/ip_unprivileged_port_start",
        namespaces=PRIVATE,
        sysctls=wanted,
    )

    assert text.split() == [wanted["net.ipv4.ip_forward"], "99", "0"]
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == before
    for key, namespaces in (("kernel.panic", PRIVATE), ("net.ipv4.ip_forward", Namespaces(network="host"))):
        with pytest.raises(EngineError, match=f"sysctl {key}"):
            lab.keeper.start_container(lab.make("true", sysctls={key: "1"}, namespaces=namespaces))


# What is masked and read-only


def test_masked_paths_are_empty_and_read_only(lab: Lab) -> None:
    """Directories are empty and unwritable, files read as nothing (CVE-2025-31133: verified /dev/null)."""
    paths = " ".join(MASKED)
    text = run(
        lab,
        f"for p in {paths}; do [ -e $p ] || continue; if [ -d $p ]; then ls -A $p; touch $p/x 2>/dev/null && echo BAD;"
        " else cat $p; fi; done; echo done",
        namespaces=PRIVATE,
    )

    assert text == "done\n"


def test_masked_directories_share_one_filesystem(lab: Lab) -> None:
    """One superblock for all of them."""
    text = run(lab, "cat /proc/self/mountinfo", namespaces=PRIVATE)

    devices = {
        line.split()[2] for line in text.splitlines() if "nr_inodes=2" in line and line.split()[4] in MASKED
    }
    assert len(devices) == 1


def test_read_only_paths_refuse_writes(lab: Lab) -> None:
    """EROFS for every one that exists; sysrq-trigger above all."""
    paths = " ".join(READ_ONLY)
    attacked = ("/proc/sysrq-trigger", "/proc/dynamic_debug/control", "/proc/sys/kernel/panic")
    text = run(
        lab,
        f"for p in {' '.join(attacked)}; do [ -e $p ] && echo b >$p; done; "
        f'for p in {paths}; do grep -q " $p [a-z]* ro," /proc/mounts || echo $p; done',
        namespaces=PRIVATE,
    )

    assert text.count("Read-only file system") == sum(Path(path).exists() for path in attacked)
    assert set(text.split()) & set(READ_ONLY) <= {path for path in READ_ONLY if not Path(path).exists()}


def test_masks_hold_with_a_read_only_rootfs(lab: Lab) -> None:
    """read_only: true changes nothing about them."""
    security = Security(read_only_rootfs=True)

    assert run(lab, "cat /proc/keys; ls -A /sys/firmware", namespaces=PRIVATE, security=security) == ""


def test_read_only_rootfs_leaves_what_must_be_writable(lab: Lab) -> None:
    """Writes fail but in /dev/shm, volumes and tmpfs; generated files are read-only too."""
    with removed(lab.paths.root / "volume") as volume:
        volume.mkdir()
        container = lab.make(
            "for p in / /etc /dev/shm /data /scratch; do touch $p/x 2>/dev/null && echo $p; done; echo x >> /etc/hosts",
            security=Security(read_only_rootfs=True),
            files={"/etc/hosts": "hosts"},
            mounts=(
                Mount(kind=MountKind.BIND, source=str(volume), target="/data"),
                Mount(kind=MountKind.TMPFS, target="/scratch"),
            ),
        )
        lab.generate(container, "hosts", "127.0.0.1 localhost\n")
        lab.keeper.start_container(container)

        assert lab.exit_code(container) == 1
        assert lab.output(container, "stdout").split() == ["/dev/shm", "/data", "/scratch"]
        assert "Read-only file system" in lab.output(container, "stderr")


def test_privileged_has_everything(lab: Lab) -> None:
    """All our capabilities, the host's devices, nothing masked, /sys writable."""
    ours = status_field(Path("/proc/self/status").read_text(), "CapPrm")
    text = run(
        lab,
        "cat /proc/1/status; cat /proc/mounts; ls /dev",
        security=Security(privileged=True),
        namespaces=PRIVATE,
    )

    assert status_field(text, "CapEff") == ours
    found = mounts_of("\n".join(line for line in text.splitlines() if len(line.split()) == 6))
    assert "rw" in found["/sys"][1]
    assert not set(MASKED) & set(found)
    assert "kmsg" in text.split()


# Hostile images


@pytest.mark.parametrize("name", ("proc", "sys", "dev"))
@pytest.mark.parametrize("target", ("/host-like", "../../../../host-like", "etc"))
def test_an_image_with_a_symlink_for_a_system_directory_is_refused(lab: Lab, name: str, target: str) -> None:
    """Nothing is mounted where it points, inside or outside (CVE-2019-16884, CVE-2023-27561, CVE-2026-41579)."""
    with removed(lab.paths.root / "image") as image:
        build_rootfs(image)
        (image / name).rmdir()
        (image / name).symlink_to(target)
        container = lab.make("true", rootfs=(RootfsTree(lowers=(str(image),)),))

        with pytest.raises(MountError, match=f"cannot mount /{name}: ") as caught:
            lab.keeper.start_container(container)

    assert "symbolic link" in str(caught.value.hint)
    assert not Path("/host-like").exists()


def test_an_image_with_its_own_dev_null_is_not_trusted(lab: Lab) -> None:
    """The /dev of a container is ours; what the image has there is covered."""
    top = layer(lab)
    (top / "dev").mkdir()
    (top / "dev/null").write_text("trap")

    text = run(
        lab,
        "stat -c %F /dev/null; ls -l /proc/self/fd/0",
        rootfs=(RootfsTree(lowers=(str(top), str(lab.rootfs))),),
    )

    assert text.startswith("character special file")


def test_a_user_dev_without_null_is_refused(lab: Lab) -> None:
    """Masks need the real null device, verified through the descriptor that gets bound (CVE-2025-31133)."""
    with removed(lab.paths.root / "dev") as fake:
        fake.mkdir()
        (fake / "null").write_text("secret")
        with pytest.raises(ChildError, match="/dev/null: not the null device"):
            lab.keeper.start_container(
                lab.make("true", mounts=(Mount(kind=MountKind.BIND, source=str(fake), target="/dev"),))
            )


@pytest.mark.parametrize(
    "target", ("/", "//", "/x/..", "/proc", "/proc/self", "/proc/sys/kernel", "/a/../proc/1")
)
def test_mounts_on_root_and_below_proc_are_refused(lab: Lab, target: str) -> None:
    """Programs trust /proc; only the single files that lxcfs provides may be covered (CVE-2019-19921)."""
    wanted = Mount(kind=MountKind.TMPFS, target=target)
    with pytest.raises(MountError, match="cannot mount"):
        lab.keeper.start_container(lab.make("true", mounts=(wanted,)))


def test_a_mount_through_an_image_symlink_stays_inside(lab: Lab) -> None:
    """A target that the image links to /etc of the host ends in the image's own /etc (CVE-2021-30465)."""
    with removed(lab.paths.root / "volume") as volume:
        volume.mkdir()
        (volume / "mark").write_text("volume\n")
        top = layer(lab)
        (top / "data").symlink_to("../../../../srv/deep/inside")
        before = sorted(os.listdir("/srv"))

        text = run(
            lab,
            "cat /srv/deep/inside/mark /data/mark",
            rootfs=(RootfsTree(lowers=(str(top), str(lab.rootfs))),),
            mounts=(Mount(kind=MountKind.BIND, source=str(volume), target="/data"),),
        )

        assert text == "volume\nvolume\n"
        assert sorted(os.listdir("/srv")) == before


def test_a_subpath_may_not_leave_its_volume(lab: Lab) -> None:
    """A link in the volume to the host's /etc leads to the volume's own etc, which isn't there."""
    with removed(lab.paths.root / "volume") as volume:
        volume.mkdir()
        (volume / "escape").symlink_to("/etc")
        wanted = Mount(kind=MountKind.BIND, source=str(volume), subpath="escape", target="/data")
        with pytest.raises(MountError, match=r"cannot mount the subpath escape: .*No such file"):
            lab.keeper.start_container(lab.make("true", mounts=(wanted,)))


def exchange(one: Path, other: Path) -> None:
    """Swap two names at once, renameat2(2) with RENAME_EXCHANGE."""
    assert ctypes.CDLL(None).renameat2(-100, bytes(one), -100, bytes(other), 2) == 0


def test_racing_renames_in_a_shared_volume_lead_nowhere(lab: Lab) -> None:
    """While a target is swapped between a directory and a link to /, mounts stay in the root (CVE-2021-30465)."""
    with removed(lab.paths.root / "shared") as shared:
        shared.mkdir()
        (shared / "a").mkdir()
        (shared / "b").symlink_to("/../../../../../../../..")
        stop = threading.Event()

        def swap() -> None:
            while not stop.is_set():
                exchange(shared / "a", shared / "b")

        racer = threading.Thread(target=swap)
        racer.start()
        before = sorted(os.listdir("/"))
        try:
            for _ in range(15):
                container = lab.make(
                    "true",
                    mounts=(
                        Mount(kind=MountKind.BIND, source=str(shared), target="/shared"),
                        Mount(kind=MountKind.TMPFS, target="/shared/a/inner"),
                    ),
                )
                with contextlib.suppress(EngineError):
                    lab.keeper.start_container(container)
                    lab.exit_code(container)
        finally:
            stop.set()
            racer.join()
        assert sorted(os.listdir("/")) == before
        assert "inner" not in os.listdir("/")


@pytest.mark.parametrize("cwd", ("/proc/self/fd/3", "/proc/self/fd/7/../../.."))
def test_a_working_directory_out_of_descriptors_is_refused(lab: Lab, cwd: str) -> None:
    """Magic links don't work as working directory (CVE-2024-21626)."""
    with pytest.raises(ChildError, match="working directory"):
        lab.keeper.start_container(lab.make("pwd", process={"cwd": cwd}))


def test_working_directory_is_made_and_normal(lab: Lab) -> None:
    """A missing one is made for root inside; an unclean path works; a user's own is entered as the user."""
    assert run(lab, "pwd; stat -c '%a %u' .", process={"cwd": "/new/deep/../dir/"}).split() == [
        "/new/dir",
        "755",
        "0",
    ]
    assert run(lab, "pwd", process={"cwd": "/home/app", "user": User(spec="app")}).strip() == "/home/app"


def test_the_old_root_is_gone(lab: Lab) -> None:
    """Only our mounts are left, and .. of / is /."""
    text = run(lab, "cat /proc/self/mountinfo; ls -di / /..", namespaces=PRIVATE)

    lines = [line for line in text.splitlines() if " - " in line]
    roots = {line.split()[4] for line in lines}
    assert all(root == "/" or root.split("/")[1] in ("proc", "sys", "dev") for root in roots)
    assert len({line.split()[0] for line in text.splitlines()[-2:]}) == 1


def test_proc_self_exe_of_an_exec_is_not_the_hosts_python(lab: Lab) -> None:
    """An entrypoint that is a link to /proc/self/exe gets our sealed copy, or nothing (CVE-2019-5736)."""
    top = layer(lab)
    (top / "evil").symlink_to("/proc/self/exe")
    container = lab.make(["sleep", "1000"], rootfs=(RootfsTree(lowers=(str(top), str(lab.rootfs))),))
    lab.keeper.start_container(container)

    text = ""
    # Busybox has no loader for it; an image that has one gets a program that nobody can write to.
    with contextlib.suppress(ExecError):
        text = lab.exec(container, ["/evil", "-c", "print(open('/proc/self/exe', 'wb'))"])[1]

    assert "BufferedWriter" not in text


# Mounts of the user


def test_bind_mounts_of_all_kinds(lab: Lab) -> None:
    """Directory, file, FIFO and socket; read-only means the whole tree, noexec is noexec."""
    with removed(lab.paths.root / "source") as source:
        (source / "tree/sub").mkdir(parents=True)
        (source / "tree/sub/file").write_text("deep\n")
        (source / "file").write_text("single\n")
        (source / "script").write_text("#!/bin/sh\necho ran\n")
        (source / "script").chmod(0o755)
        os.mkfifo(source / "fifo")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(source / "sock"))

        def bind(name: str, target: str, **more: Any) -> Mount:
            return Mount(kind=MountKind.BIND, source=str(source / name), target=target, **more)

        text = run(
            lab,
            "cat /t/sub/file /f; touch /t/sub/x 2>&1 | grep -c Read-only; [ -p /p ] && [ -S /s ] && echo kinds;"
            " /bin2/script 2>&1 | grep -c denied; echo w > /w/new",
            mounts=(
                bind("tree", "/t", read_only=True),
                bind("file", "/f"),
                bind("fifo", "/p"),
                bind("sock", "/s"),
                bind("", "/bin2", options=("noexec", "nosuid", "nodev")),
                bind("", "/w"),
            ),
        )

        assert text.split() == ["deep", "single", "1", "kinds", "1"]
        assert (source / "new").read_text() == "w\n"


def test_read_only_reaches_submounts(lab: Lab) -> None:
    """A writable mount inside the source isn't writable through a read-only bind; unless recursive is off."""
    with removed(lab.paths.root / "source") as source:
        (source / "sub").mkdir(parents=True)
        mount("sub", source / "sub", "tmpfs")
        try:
            script = "touch /d/x 2>/dev/null && echo top; touch /d/sub/x 2>/dev/null && echo sub; true"
            ro = Mount(kind=MountKind.BIND, source=str(source), target="/d", read_only=True)
            top_only = Mount(
                kind=MountKind.BIND, source=str(source), target="/d", read_only=True, recursive=False
            )
            assert run(lab, script, mounts=(ro,)) == ""
            assert run(lab, script, mounts=(top_only,)) == "sub\n"
        finally:
            umount(source / "sub")


def test_a_bind_without_its_submounts(lab: Lab) -> None:
    """`bind.recursive: disabled`: what lies below the mount inside the source is seen, which the host doesn't."""
    with removed(lab.paths.root / "source") as source:
        (source / "sub/below").mkdir(parents=True)
        mount("sub", source / "sub", "tmpfs")
        try:
            bind = Mount(kind=MountKind.BIND, source=str(source), target="/d", submounts=False)
            text = run(lab, "ls /d/sub; touch /d/sub/x; cat /proc/mounts", mounts=(bind,))
        finally:
            umount(source / "sub")

    assert text.splitlines()[0] == "below"
    assert [
        target for target in mounts_of("\n".join(text.splitlines()[1:])) if target.startswith("/d/")
    ] == []


def test_mounts_are_ordered_parents_first(lab: Lab) -> None:
    """The order in the file doesn't matter: a mount inside another is made after it."""
    text = run(
        lab,
        "cat /proc/mounts | grep ' /a' | cut -d' ' -f2; touch /a/b/c/x",
        mounts=tuple(Mount(kind=MountKind.TMPFS, target=target) for target in ("/a/b/c", "/a", "/a/b")),
    )

    assert text.split() == ["/a", "/a/b", "/a/b/c"]


def test_tmpfs_options(lab: Lab) -> None:
    """1777 by default, the image's mode where it has the directory, what the user says before all."""
    text = run(
        lab,
        "stat -c %a /fresh /root /own; grep -E ' /(fresh|own) ' /proc/mounts",
        mounts=(
            Mount(kind=MountKind.TMPFS, target="/fresh", options=("exec",)),
            Mount(kind=MountKind.TMPFS, target="/root"),
            Mount(kind=MountKind.TMPFS, target="/own", options=("mode=0750", "size=1m"), read_only=True),
        ),
    )

    assert text.split()[:3] == ["1777", "700", "750"]
    found = mounts_of("\n".join(text.splitlines()[3:]))
    assert "noexec" not in found["/fresh"][1]
    assert {"nosuid", "nodev"} <= found["/fresh"][1]
    assert {"ro", "size=1024k", "noexec"} <= found["/own"][1]


@pytest.mark.parametrize(
    ("option", "shown"), (("rprivate", ""), ("private", ""), ("slave", ""), ("shared", "shared:"))
)
def test_a_tmpfs_with_a_propagation(lab: Lab, option: str, shown: str) -> None:
    """Docker takes the word; a new mount is private, and has no master."""
    wanted = Mount(kind=MountKind.TMPFS, target="/x", options=(option, "size=1m"))
    text = run(lab, "grep ' /x ' /proc/self/mountinfo", mounts=(wanted,))

    assert ("shared:" in text, "master:" in text) == (bool(shown), False)


def test_a_bad_tmpfs_option_is_told_by_the_kernel(lab: Lab) -> None:
    """The message says which option."""
    wanted = Mount(kind=MountKind.TMPFS, target="/x", options=("bananas=1",))
    with pytest.raises(MountError, match="bananas"):
        lab.keeper.start_container(lab.make("true", mounts=(wanted,)))


def test_a_missing_source_is_made_when_asked(lab: Lab) -> None:
    """create_source makes the directory on the host, as root's, 0755."""
    with removed(lab.paths.root / "fresh") as fresh:
        wanted = Mount(kind=MountKind.BIND, source=str(fresh / "deep"), target="/d", create_source=True)

        run(lab, "touch /d/file", mounts=(wanted,))

        assert (fresh / "deep/file").exists()
        assert stat.S_IMODE((fresh / "deep").stat().st_mode) == 0o755


def test_mounts_of_the_container_stay_inside(lab: Lab) -> None:
    """Nothing of it shows on the machine, and rslave lets the machine's later mounts in."""
    with removed(lab.paths.root / "source") as source:
        (source / "sub").mkdir(parents=True)
        mount("top", source, "tmpfs")
        (source / "sub").mkdir()
        mount("", source, flags=1 << 20)  # MS_SHARED
        container = lab.make(
            ["sleep", "1000"],
            mounts=(
                Mount(kind=MountKind.BIND, source=str(source), target="/slave", propagation="rslave"),
                Mount(kind=MountKind.BIND, source=str(source), target="/private"),
            ),
        )
        try:
            lab.keeper.start_container(container)
            assert str(lab.paths.container_run(container) / "rootfs") not in Path("/proc/mounts").read_text()
            mount("late", source / "sub", "tmpfs")
            (source / "sub/seen").touch()

            assert lab.exec(container, "ls /slave/sub; ls /private/sub") == (0, "seen\n")
        finally:
            lab.keeper.kill(container)
            lab.exit_code(container)
            mount("", source, flags=MS_PRIVATE | MS_REC)
            umount(source / "sub")
            umount(source)


def test_generated_files_are_the_same_inode(lab: Lab) -> None:
    """A rewrite in place on the host is seen inside; a dangling /etc/resolv.conf of the image is followed."""
    top = layer(lab)
    (top / "etc").mkdir()
    (top / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    container = lab.make(
        ["sleep", "1000"],
        rootfs=(RootfsTree(lowers=(str(top), str(lab.rootfs))),),
        files={"/etc/resolv.conf": "resolv.conf"},
    )
    source = lab.generate(container, "resolv.conf", "nameserver 127.0.0.11\n")
    lab.keeper.start_container(container)

    assert lab.exec(container, "cat /etc/resolv.conf") == (0, "nameserver 127.0.0.11\n")
    with source.open("r+") as file:
        file.write("nameserver 127.0.0.99\n")
    assert lab.exec(container, "cat /etc/resolv.conf") == (0, "nameserver 127.0.0.99\n")


def test_more_than_one_tree_makes_the_rootfs(lab: Lab) -> None:
    """Directories of the machine as lower layers of their own overlays: written to, and unchanged."""
    with removed(lab.paths.root / "opt") as opt:
        (opt / "sub").mkdir(parents=True)
        (opt / "sub/file").write_text("lower\n")
        trees = (RootfsTree(lowers=(str(lab.rootfs),)), RootfsTree(target="/opt", lowers=(str(opt),)))

        text = run(lab, "cat /opt/sub/file; echo changed > /opt/sub/file; cat /opt/sub/file", rootfs=trees)

        assert text == "lower\nchanged\n"
        assert (opt / "sub/file").read_text() == "lower\n"


def test_a_device_is_passed_and_others_are_not(lab: Lab) -> None:
    """The node has the host's numbers; a node that wasn't asked for can't be opened even if made."""
    text = run(
        lab,
        "stat -c '%t:%T' /dev/kmsg2; mknod /k c 1 11; mknod /d b 254 0; cat /k /d 2>&1 | grep -c 'not permitted'",
        devices=(Device(source="/dev/kmsg", target="/dev/kmsg2", permissions="m"),),
    )

    assert text.split() == ["1:b", "2"]


def test_a_device_outside_dev_is_there_in_every_run(lab: Lab) -> None:
    """Its node lies in the writable layer; the next start finds it and is content, unless it was replaced."""
    container = lab.make("stat -c %t:%T /x/mem", devices=(Device(source="/dev/full", target="/x/../x/mem/"),))
    for _ in range(2):
        lab.events.clear()
        lab.keeper.start_container(container)
        assert lab.exit_code(container) == 0
    assert lab.output(container) == "1:7\n1:7\n"
    node = lab.paths.container(container) / "rw/0/upper/x/mem"
    node.unlink()
    node.symlink_to("/etc/passwd")

    with pytest.raises(ChildError, match="make device /x/mem: something else"):
        lab.keeper.start_container(container)


def test_a_device_that_is_none_is_an_error(lab: Lab) -> None:
    """Files and missing paths are named."""
    for source, reason in (("/etc/passwd", "not a device"), ("/dev/nothing", "No such file")):
        with pytest.raises(EngineError, match=reason):
            lab.keeper.start_container(lab.make("true", devices=(Device(source=source, target="/dev/x"),)))


def test_stdout_can_be_opened_again_by_an_ordinary_user(lab: Lab) -> None:
    """/dev/stdout belongs to the container's user; /dev/null stays root's."""
    text = run(lab, "echo again > /dev/stdout; stat -c %u /dev/null", process={"user": User(spec="app")})

    assert text.split() == ["again", "0"]


def test_cgroup_view_is_rooted_in_the_container(lab: Lab) -> None:
    """Its own groups are /, others are not to be seen, release_agent is out of reach (CVE-2022-0492)."""
    _code, text = lab.run(
        "grep -E ':(memory|pids|):' /proc/self/cgroup | cut -d: -f2,3; find /sys/fs/cgroup -name release_agent;"
        " mkdir /sys/fs/cgroup/x 2>&1"
    )

    assert text
    for line in text.splitlines():
        assert line in ("memory:/", "pids:/", ":/") or "Read-only file system" in line, line
