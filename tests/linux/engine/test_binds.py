"""Options and sources of bind mounts, and where what is mounted later is seen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pycompose.engine.config import Mount, MountKind, Security
from pycompose.engine.errors import EngineError, MountError

from tests.support.lab import Lab
from tests.support.namespaces import MS_PRIVATE, MS_REC, mount, umount
from tests.support.requires import requires

MS_SHARED = 1 << 20


@pytest.fixture
def source(lab: Lab) -> Iterator[Path]:
    """Make a directory of the machine's."""
    place = lab.paths.root / "source"
    (place / "sub").mkdir(parents=True)
    (place / "file").write_text("text\n", encoding="ascii")
    yield place
    lab.remove(place)


def bind(source: Path, **fields: Any) -> Mount:
    """Return a bind at /d."""
    return Mount(kind=MountKind.BIND, source=str(source), target="/d", **fields)


@pytest.mark.parametrize(
    ("options", "shown"),
    (
        ((), {"rw", "relatime"}),
        (("noatime",), {"rw", "noatime"}),
        (("strictatime",), {"rw"}),
        (("strictatime", "relatime"), {"rw", "relatime"}),
        (("nosuid", "nodev", "noexec"), {"rw", "nosuid", "nodev", "noexec", "relatime"}),
        (("nosuid", "suid", "ro"), {"ro", "relatime"}),
    ),
)
def test_options_take_effect(lab: Lab, source: Path, options: tuple[str, ...], shown: set[str]) -> None:
    """As the kernel shows them."""
    mount("top", source, "tmpfs")
    try:
        _code, text = lab.run("grep ' /d ' /proc/self/mountinfo", mounts=(bind(source, options=options),))
    finally:
        umount(source)

    assert set(text.split()[5].split(",")) == shown


def test_the_time_of_reading(lab: Lab, source: Path) -> None:
    """`noatime` leaves it alone, `strictatime` sets it each time."""
    for options, moves in ((("noatime",), False), (("strictatime",), True)):
        os.utime(source / "file", (1, 1))
        lab.run("cat /d/file", mounts=(bind(source, options=options),))

        assert ((source / "file").stat().st_atime > 1) is moves


def test_an_unknown_option_is_refused(lab: Lab, source: Path) -> None:
    """`sync` belongs to a file system, not to a bind."""
    with pytest.raises(MountError, match="unknown option sync"):
        lab.keeper.start_container(lab.make("true", mounts=(bind(source, options=("sync",)),)))


def test_sources_that_are_links(lab: Lab, source: Path) -> None:
    """The user's own links are followed on the machine; one that leads nowhere is an error with its name."""
    (source / "way").symlink_to("sub")
    (source / "to-file").symlink_to(source / "file")
    (source / "nowhere").symlink_to("missing/deeper")
    (source / "sub/mark").touch()

    assert lab.run("ls /d", mounts=(bind(source / "way"),)) == (0, "mark\n")
    assert lab.run("cat /d", mounts=(bind(source / "to-file"),)) == (0, "text\n")
    assert lab.run("ls /d", mounts=(bind(source / "way/../sub"),)) == (0, "mark\n")
    for name in ("nowhere", "nowhere/deeper", "file/x"):
        with pytest.raises(EngineError, match=f"{source}/{name}"):
            lab.keeper.start_container(lab.make("true", mounts=(bind(source / name),)))


def test_what_a_container_mounts_is_shared_only_when_asked(lab: Lab, source: Path) -> None:
    """`rshared` shows the machine what a container mounts there; without it nothing comes out."""
    mount("top", source, "tmpfs")
    mount("", source, flags=MS_SHARED)
    (source / "sub").mkdir()
    script = "mount -t tmpfs none /d/sub && touch /d/sub/mark; echo done; exec sleep 1000"
    try:
        for propagation, seen in (("rprivate", []), ("rslave", []), ("rshared", ["mark"])):
            container = lab.make(
                script,
                mounts=(bind(source, propagation=propagation),),
                security=Security(seccomp="unconfined"),
                process={"capabilities": ("SYS_ADMIN", "DAC_OVERRIDE")},
            )
            lab.keeper.start_container(container)
            lab.wait_for_output(container, "done")

            assert os.listdir(source / "sub") == seen, propagation
            lab.keeper.kill(container)
            lab.exit_code(container)
    finally:
        if os.path.ismount(source / "sub"):
            umount(source / "sub")
        mount("", source, flags=MS_PRIVATE | MS_REC)
        umount(source)


def owned(path: Path, uid: int, gid: int) -> Path:
    """Make a file of somebody's."""
    path.write_text("text\n", encoding="ascii")
    os.chown(path, uid, gid)
    return path


@requires("idmap")
def test_ids_of_the_machine_and_of_the_container(lab: Lab, source: Path) -> None:
    """A user of the machine is another one inside, both ways; who would be mistaken for somebody else is nobody."""
    os.chmod(source, 0o777)  # noqa: S103 - other users write to it
    for name, uid, gid in (("mapped", 1000, 100), ("displaced", 33, 33), ("root", 0, 0), ("other", 7, 8)):
        owned(source / name, uid, gid)
    look = "stat -c '%n %u:%g' mapped displaced root other"
    make = "touch made; chown 33:33 made; touch roots; touch x; chown 1000:1000 x 2>&1 | grep -c 'too large'"
    mounted = bind(source, uid_map=((1000, 33, 1),), gid_map=((100, 33, 1),))
    code, text = lab.run(f"cd /d; {look}; {make}; stat -c '%n %u:%g' made roots", mounts=(mounted,))

    assert code == 0
    assert text.splitlines() == [
        "mapped 33:33",
        "displaced 65534:65534",
        "root 0:0",
        "other 7:8",
        "1",
        "made 33:33",
        "roots 0:0",
    ]
    on_disk = {name: (source / name).stat() for name in ("mapped", "displaced", "made", "roots")}
    assert {name: (info.st_uid, info.st_gid) for name, info in on_disk.items()} == {
        "mapped": (1000, 100),
        "displaced": (33, 33),
        "made": (1000, 100),
        "roots": (0, 0),
    }


@requires("idmap")
def test_the_containers_root_can_be_a_user(lab: Lab, source: Path) -> None:
    """What it makes is that user's; what is the machine's root's is nobody's, and stays as it is."""
    os.chown(source, 1000, 1000)
    owned(source / "roots", 0, 0).chmod(0o666)
    mounted = bind(source, uid_map=((1000, 0, 1),), gid_map=((1000, 0, 1),))
    _code, text = lab.run(
        "cd /d; touch made; mkdir dir; stat -c %u:%g made roots; cat roots; echo x 2>/dev/null >>roots || echo no",
        mounts=(mounted,),
    )

    assert text.splitlines() == ["0:0", "65534:65534", "text", "no"]
    made = (source / "made").stat()
    assert (made.st_uid, made.st_gid) == (1000, 1000)


def test_ids_where_the_file_system_cannot(lab: Lab) -> None:
    """The message names what is mounted, and what could be."""
    with pytest.raises(MountError, match=r"cannot map the ids of /sys/kernel: .*Invalid argument") as caught:
        lab.run("true", mounts=(bind(Path("/sys/kernel"), uid_map=((1000, 33, 1),)),))

    assert caught.value.hint is not None
    assert "ext4, xfs, btrfs" in caught.value.hint
