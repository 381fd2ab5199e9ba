"""The Container Device Interface: specifications, names, requests, and what they make of a container."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pycompose.cdi.apply import apply
from pycompose.cdi.registry import Registry, read_registry
from pycompose.cdi.requests import resolve
from pycompose.cdi.spec import VERSIONS, BindMount, CdiNode, Edits, Spec, parse_spec, split_name
from pycompose.engine.config import ContainerConfig, Device, Mount, MountKind, OciHook, Process, User
from pycompose.engine.errors import EngineError
from pycompose.model import DeviceRequest

if TYPE_CHECKING:
    from pathlib import Path

MINIMAL = {"cdiVersion": "0.6.0", "kind": "vendor.com/gpu", "devices": [{"name": "0", "containerEdits": {}}]}


def spec(kind: str, *names: str, **edits: Any) -> Spec:
    """Return a specification whose devices set a variable each."""
    return Spec(
        kind=kind,
        edits=Edits(**edits),
        devices={name: Edits(env=(f"{kind.partition('/')[0].upper()}_{name}=1",)) for name in names},
    )


def request(**fields: Any) -> DeviceRequest:
    return DeviceRequest(**fields)


def registry(*specs: Spec) -> Registry:
    return Registry((0, one) for one in specs)


# Files


@pytest.mark.parametrize("version", sorted(VERSIONS))
def test_versions(version: str) -> None:
    """Everything from 0.3 on."""
    assert parse_spec({**MINIMAL, "cdiVersion": version}, "f").kind == "vendor.com/gpu"


def test_everything_that_a_device_can_change() -> None:
    """Each field of the specification that a container can have."""
    edits = {
        "env": ["A=1", "B="],
        "deviceNodes": [
            {"path": "/dev/a"},
            {"path": "/dev/b", "hostPath": "/dev/host", "permissions": "r", "fileMode": 384, "uid": 1, "gid": 2},
            {"path": "/dev/c", "type": "u", "major": 195, "minor": 7},
        ],
        "mounts": [{"hostPath": "/lib/x", "containerPath": "/y", "options": ["ro", "nosuid"]}],
        "hooks": [{"hookName": "createContainer", "path": "/bin/h", "args": ["h", ""], "env": ["E=1"], "timeout": 3}],
        "additionalGids": [44, 109],
    }  # fmt: skip
    found = parse_spec(
        {
            **MINIMAL,
            "annotations": {"a": "b"},
            "containerEdits": {"env": ["ALL=1"]},
            "devices": [{"name": "0", "annotations": {}, "containerEdits": edits}],
        },
        "f",
    )

    assert found.edits == Edits(env=("ALL=1",))
    assert found.devices["0"] == Edits(
        env=("A=1", "B="),
        nodes=(
            CdiNode(path="/dev/a", host_path="/dev/a"),
            CdiNode(path="/dev/b", host_path="/dev/host", permissions="r", mode=0o600, uid=1, gid=2),
            CdiNode(path="/dev/c", type="c", major=195, minor=7),
        ),
        mounts=(BindMount(source="/lib/x", target="/y", options=("ro", "nosuid")),),
        hooks=(OciHook(path="/bin/h", args=("h", ""), env=("E=1",), timeout_s=3),),
        gids=(44, 109),
    )


@pytest.mark.parametrize(
    ("change", "place"),
    (
        ({"cdiVersion": "2.0.0"}, "cdiVersion: 2.0.0 is not known"),
        ({"kind": "gpu"}, "kind: gpu is not VENDOR/CLASS"),
        ({"extra": 1}, "file: unknown key extra"),
        ({"devices": {}}, "devices: must be a list"),
        ({"devices": [{"name": "-"}]}, r"devices\[0\]: - is not a device's name"),
        ({"devices": [{"name": "a"}, {"name": "a"}]}, r"devices\[1\]: a is there twice"),
        ({"containerEdits": []}, "containerEdits: must be a mapping"),
        ({"containerEdits": {"env": ["A"]}}, "containerEdits.env: A is not NAME=VALUE"),
        ({"containerEdits": {"intelRdt": {}}}, "containerEdits: intelRdt can't be had here"),
        ({"containerEdits": {"hooks": [{"hookName": "prestart", "path": "/h"}]}}, r"\[0\]: the hook prestart \(/h\)"),
        ({"containerEdits": {"netDevices": []}}, "netDevices can't be had here"),
        ({"containerEdits": {"deviceNodes": [{"path": "dev"}]}}, "path: dev is not an absolute path"),
        ({"containerEdits": {"deviceNodes": [{"path": "/d", "type": "p"}]}}, "a node of type p can't be had"),
        ({"containerEdits": {"deviceNodes": [{"path": "/d", "permissions": "x"}]}}, "permissions x"),
        ({"containerEdits": {"deviceNodes": [{"path": "/d", "uid": -1}]}}, "uid: must be a number"),
        ({"containerEdits": {"mounts": [{"hostPath": "/a"}]}}, "containerPath: must be text"),
        ({"containerEdits": {"mounts": [{"hostPath": "/", "containerPath": "/", "type": "tmpfs"}]}}, "type tmpfs"),
        ({"containerEdits": {"additionalGids": ["video"]}}, "additionalGids: must be a number"),
    ),
)  # fmt: skip
def test_what_is_wrong_with_a_file(change: dict[str, Any], place: str) -> None:
    """Named with its place: an edit that we don't know must not get lost."""
    with pytest.raises(EngineError, match=f"CDI specification f: .*{place}"):
        parse_spec({**MINIMAL, **change}, "f")


def test_names() -> None:
    """Vendor, class and device; device files aren't any."""
    assert split_name("nvidia.com/gpu=0:1") == ("nvidia.com/gpu", "0:1")
    assert split_name("vendor/class=all") == ("vendor/class", "all")
    for text in ("/dev/null", "vendor.com/class", "vendor.com=x", "a/b/c=d", "vendor.com/class=", "v/c=a\n"):
        assert split_name(text) is None


# The machine


def test_files_are_found_by_suffix_and_the_second_directory_wins(tmp_path: Path) -> None:
    """JSON and YAML; a broken file is told of, and harms no other."""
    low, high = tmp_path / "etc", tmp_path / "run"
    low.mkdir()
    high.mkdir()
    (low / "a.json").write_text(json.dumps({**MINIMAL, "containerEdits": {"env": ["FROM=etc"]}}))
    (low / "b.yaml").write_text(
        "cdiVersion: 0.5.0\nkind: b.com/nic\ndevices: [{name: x, containerEdits: {}}]\n"
    )
    (low / "ignored.yml").write_text("{")
    (low / "broken.json").write_text("{")
    (low / "broken.yaml").write_text("a: [")
    (high / "a.json").write_text(json.dumps({**MINIMAL, "containerEdits": {"env": ["FROM=run"]}}))
    found = read_registry([str(low), str(high), str(tmp_path / "absent")])

    assert found.kinds() == ["b.com/nic", "vendor.com/gpu"]
    assert found.edits(["vendor.com/gpu=0"]) == Edits(env=("FROM=run",))
    assert [line.partition(": not ")[2][:4] for line in found.problems] == ["JSON", "YAML"]


def test_a_device_that_is_described_twice_is_nobodys() -> None:
    """In directories of one rank; a file of a higher one settles it."""
    one, other, higher = spec("v.com/gpu", "0"), spec("v.com/gpu", "0", "1"), spec("v.com/gpu", "0")
    doubtful = Registry([(0, one), (0, other)])

    assert (doubtful.has("v.com/gpu=0"), doubtful.has("v.com/gpu=1")) == (False, True)
    assert doubtful.problems == ["v.com/gpu=0 is described twice"]
    assert Registry([(0, one), (0, other), (1, higher)]).has("v.com/gpu=0")


def test_common_edits_come_once_and_first() -> None:
    """For each file, however many of its devices are asked for, and however often."""
    found = registry(spec("v.com/gpu", "0", "1", gids=(44,))).edits(
        ["v.com/gpu=1", "v.com/gpu=0", "v.com/gpu=1"]
    )

    assert found == Edits(gids=(44,), env=("V.COM_1=1", "V.COM_0=1"))


# Requests


@pytest.mark.parametrize(
    ("wanted", "names"),
    (
        ({"driver": "cdi", "device_ids": ("nvidia.com/gpu=0",)}, ["nvidia.com/gpu=0"]),
        ({"capabilities": ("gpu",), "count": -1}, ["nvidia.com/gpu=all"]),
        ({"capabilities": ("gpu",), "count": 1}, ["nvidia.com/gpu=0"]),
        ({"capabilities": ("gpu",), "driver": "nvidia", "count": 2}, ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]),
        ({"capabilities": ("gpu",), "count": 0}, []),
        ({"capabilities": ("gpu",), "device_ids": ("GPU-abc", "1")}, ["nvidia.com/gpu=GPU-abc", "nvidia.com/gpu=1"]),
        ({"capabilities": ("gpu",), "device_ids": ("amd.com/gpu=card0",)}, ["amd.com/gpu=card0"]),
        ({"capabilities": ("gpu",), "driver": "amd", "count": -1}, ["amd.com/gpu=card0"]),
        ({"capabilities": ("tpu",), "count": -1}, ["google.com/tpu=a", "google.com/tpu=b"]),
    ),
)  # fmt: skip
def test_requests(wanted: dict[str, Any], names: list[str]) -> None:
    """By capability, vendor, number, index, and any other name."""
    machine = registry(
        spec("google.com/tpu", "a", "b"),
        spec("amd.com/gpu", "card0"),
        spec("nvidia.com/gpu", "0", "GPU-abc", "1", "all"),
    )

    assert resolve(request(**wanted), machine) == names


@pytest.mark.parametrize(
    ("wanted", "reason"),
    (
        ({"capabilities": ("gpu",)}, 'could not select device driver "" with capabilities: [[gpu]]'),
        (
            {"driver": "nvidia", "capabilities": ("gpu", "utility")},
            'could not select device driver "nvidia" with capabilities: [[gpu utility]]',
        ),
        (
            {"driver": "cdi", "device_ids": ("v.com/nic=x", "v.com/nic=0")},
            "CDI device injection failed: unresolvable CDI devices v.com/nic=x",
        ),
        (
            {"driver": "v", "capabilities": ("nic",), "count": 3},
            "3 devices v.com/nic are asked for, there are 1",
        ),
        (
            {"driver": "v", "capabilities": ("nic",), "device_ids": ("7",)},
            "CDI device injection failed: unresolvable CDI devices v.com/nic=7",
        ),
    ),
)
def test_what_cannot_be_had_is_an_error(wanted: dict[str, Any], reason: str) -> None:
    """Docker's words; the hint tells what there is."""
    with pytest.raises(EngineError) as caught:
        resolve(request(**wanted), registry(spec("v.com/nic", "0")))

    assert caught.value.message == reason
    assert caught.value.hint == "there are v.com/nic=0"


def test_broken_files_are_told_of_when_a_device_is_missing() -> None:
    """They are the likeliest reason."""
    with pytest.raises(EngineError) as caught:
        resolve(request(capabilities=("gpu",)), Registry([], ["CDI specification /etc/cdi/x.json: not JSON"]))

    assert str(caught.value.hint).startswith(
        "CDI specification /etc/cdi/x.json: not JSON; nothing in /etc/cdi"
    )


# The container

CONFIG = ContainerConfig(
    id="0" * 64,
    name="web-1",
    project="demo",
    rootfs=(),
    process=Process(args=("x",), env=("PATH=/bin", "A=image"), user=User(additional_groups=("5",))),
    devices=(Device(source="/dev/null", target="/dev/mine"),),
    mounts=(Mount(kind=MountKind.TMPFS, target="/a/b/c"), Mount(kind=MountKind.TMPFS, target="/lib")),
)


def test_a_containers_edits() -> None:
    """They win over what is there, and keep its order."""
    edits = Edits(
        env=("A=device", "NEW=1"),
        nodes=(
            CdiNode(path="/dev/mine", host_path="/dev/zero", permissions="r"),
            CdiNode(path="/dev/n", type="c", major=1, minor=5, mode=0o600, uid=7, gid=8),
        ),
        mounts=(
            BindMount(source="/h/lib", target="/lib", options=("ro", "nosuid", "rbind", "rslave")),
            BindMount(source="/h/x", target="/x"),
        ),
        hooks=(OciHook(path="/bin/h"),),
        gids=(44, 5),
    )
    config = apply(CONFIG, edits)

    assert config.process.env == ("PATH=/bin", "A=device", "NEW=1")
    assert config.process.user.additional_groups == ("5", "44")
    assert config.hooks == (OciHook(path="/bin/h"),)
    assert config.devices == (
        Device(source="/dev/zero", target="/dev/mine", permissions="r", mode=0o666, uid=0, gid=0),
        Device(source="", target="/dev/n", kind="c", major=1, minor=5, mode=0o600, uid=7, gid=8),
    )
    assert config.mounts == (
        Mount(
            kind=MountKind.BIND,
            source="/h/lib",
            target="/lib",
            read_only=True,
            options=("nosuid",),
            propagation="rslave",
        ),
        Mount(kind=MountKind.BIND, source="/h/x", target="/x"),
        Mount(kind=MountKind.TMPFS, target="/a/b/c"),
    )
