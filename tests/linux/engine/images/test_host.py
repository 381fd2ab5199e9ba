"""The image `host`: what of the machine shows in a container, and what doesn't."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.errors import ImageError
from pycompose.engine.images.host import HostMachine, host_image
from pycompose.engine.images.layout import ImageLayout

from tests.support.requires import requires

if TYPE_CHECKING:
    from pycompose.engine.images.store import ImageStore
    from pycompose.engine.paths import StatePaths

pytestmark = requires("root")

SECRETS = (
    "etc/shadow", "etc/gshadow", "etc/shadow-", "etc/ssh/ssh_host_rsa_key", "etc/ssl/private/key.pem", "etc/sudoers",
    "etc/sudoers.d/x", "etc/krb5.keytab", "etc/cron.d/job", "etc/NetworkManager/system-connections/wifi",
    "etc/wireguard/wg0.conf", "etc/letsencrypt/live/key.pem", "etc/docker/key.json", "etc/mysql/debian.cnf",
)  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> HostMachine:
    """Return a small machine with secrets, some of them readable by mistake."""
    for name in ("usr/bin", "usr/lib", "opt", "etc/app", "etc/private"):
        (tmp_path / name).mkdir(parents=True)
    for name in SECRETS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("secret")
        (tmp_path / name).chmod(0o644)
    (tmp_path / "bin").symlink_to("usr/bin")
    for name, mode in (("passwd", 0o644), ("app/conf", 0o644), ("app/token", 0o640), ("private/x", 0o644)):
        (tmp_path / "etc" / name).write_text(name)
        (tmp_path / "etc" / name).chmod(mode)
    (tmp_path / "etc/private").chmod(0o750)
    (tmp_path / "etc/machine-id").write_text("0123")
    (tmp_path / "etc/localtime").symlink_to("/usr/share/zoneinfo/UTC")
    return HostMachine(tmp_path)


def skeleton(paths: StatePaths, machine: HostMachine) -> Path:
    """Return the skeleton of the machine."""
    return Path(host_image(ImageLayout(paths.images), machine).trees[0].lowers[0])


def test_secrets_stay_outside(host_paths: StatePaths, machine: HostMachine) -> None:
    """By name, and whatever not everybody may read."""
    root = skeleton(host_paths, machine)

    copied = {
        str(path.relative_to(root))
        for path in (root / "etc").rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    assert copied == {
        "etc/passwd", "etc/app/conf", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/machine-id", "etc/fstab",
        "etc/shadow",
    }  # fmt: skip
    # One of its own, in which nobody has a password: `su` wants an entry.
    shadow = (root / "etc/shadow").read_text().splitlines()
    assert [line.split(":")[1:] for line in shadow] == [["*", *[""] * 7]] * len(shadow)
    assert not any("secret" in (root / name).read_text() for name in copied)
    assert (root / "etc/machine-id").read_text() == ""
    assert os.readlink(root / "etc/localtime") == "/usr/share/zoneinfo/UTC"


def test_the_skeleton_has_what_a_system_needs(host_paths: StatePaths, machine: HostMachine) -> None:
    """Links of merged /usr, mount points, and the modes that programs rely on."""
    root = skeleton(host_paths, machine)
    modes = {
        name: (root / name).stat().st_mode & 0o7777 for name in ("tmp", "var/tmp", "root", "proc", "home")
    }

    assert modes == {"tmp": 0o1777, "var/tmp": 0o1777, "root": 0o700, "proc": 0o555, "home": 0o755}
    assert (os.readlink(root / "bin"), os.readlink(root / "var/run")) == ("usr/bin", "/run")
    assert os.listdir(root / "home") == os.listdir(root / "root") == []


def test_usr_is_a_tree_of_its_own_and_opt_when_it_has_something(
    host_paths: StatePaths, machine: HostMachine
) -> None:
    """Two overlays, because one over "/" would contain its own upper."""
    layout = ImageLayout(host_paths.images)
    without = host_image(layout, machine)
    (machine.root / "usr/share").mkdir()
    (machine.root / "opt/tool").mkdir()
    image = host_image(layout, machine)

    assert [tree.target for tree in without.trees] == ["/", "/usr"]
    assert [tree.target for tree in image.trees] == ["/", "/usr", "/opt"]
    assert image.trees[1].lowers == (str(machine.root / "usr"),)


def test_an_unmerged_system_has_more_trees(host_paths: StatePaths, machine: HostMachine) -> None:
    """Real /bin and /lib are shared as they are."""
    (machine.root / "bin").unlink()
    (machine.root / "bin").mkdir()

    assert [tree.target for tree in host_image(ImageLayout(host_paths.images), machine).trees] == [
        "/",
        "/usr",
        "/bin",
    ]


@pytest.mark.parametrize("change", ("edit", "add", "remove", "chmod"))
def test_a_change_in_etc_makes_a_new_skeleton(
    host_paths: StatePaths, machine: HostMachine, change: str
) -> None:
    """Edited in place, added, removed, made private; the image's id stays."""
    layout = ImageLayout(host_paths.images)
    before = host_image(layout, machine)
    assert host_image(layout, machine) == before
    conf = machine.root / "etc/app/conf"
    if change == "edit":
        conf.write_text("new")
    elif change == "add":
        (conf.parent / "more").write_text("more")
    elif change == "remove":
        conf.unlink()
    else:
        conf.chmod(0o600)

    after = host_image(layout, machine)

    assert after.id == before.id
    assert after.trees[0] != before.trees[0]
    etc = Path(after.trees[0].lowers[0]) / "etc/app"
    expected = {"edit": ["conf"], "add": ["conf", "more"], "remove": [], "chmod": []}
    assert sorted(os.listdir(etc)) == expected[change]
    assert change != "edit" or (etc / "conf").read_text() == "new"


def test_a_state_directory_below_usr_is_refused(machine: HostMachine) -> None:
    """The upper layer would lie in its own lower one."""
    with pytest.raises(ImageError, match=r"lies inside /usr"):
        host_image(ImageLayout(machine.root / "usr/state/images"), machine)


def test_the_real_machine_is_quick_the_second_time(store: ImageStore) -> None:
    """What takes long happens once: looking again takes a fraction of it."""
    begin = time.perf_counter()
    image = store.resolve("host")
    first = time.perf_counter() - begin
    times = []
    for _ in range(10):
        begin = time.perf_counter()
        assert store.resolve("host") == image
        times.append(time.perf_counter() - begin)

    assert min(times) < first / 5
    etc = Path(image.trees[0].lowers[0]) / "etc"
    assert all(path.lstat().st_mode & 0o004 for path in etc.rglob("*") if path.name != "shadow")
