"""Devices by name, with specifications made up for the test, as a container sees them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.scenario import Host

NULL = {"path": "/dev/accelerator", "hostPath": "/dev/null", "permissions": "rw"}
ZERO = {"path": "/dev/sub/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 5, "gid": 44}
BY_NAME = "{driver: cdi, device_ids: ['nvidia.com/gpu=1'], capabilities: [x]}"
# Mode, owner and numbers in hexadecimal.
LOOK = "stat -c '%n %a %u:%g %t:%T' /dev/accelerator /dev/sub/zero"


def describe(host: Host, spec: dict[str, Any], name: str = "vendor.json") -> None:
    """Write a specification on the machine."""
    folder = Path("/run/cdi")  # /var/run is a link to /run

    def write() -> None:
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps({"cdiVersion": "0.7.0", **spec}), encoding="utf-8")

    host.inside(write)


def gpu(*names: str) -> dict[str, Any]:
    """Return a specification of devices that tell their names."""
    return {
        "kind": "nvidia.com/gpu",
        "devices": [{"name": name, "containerEdits": {"env": [f"GPU_{name}=1"]}} for name in names],
    }


def up(host: Host, service: str, *, code: int = 0) -> str:
    """Run `up` of one service to its end, return its lines and what went wrong."""
    text = f"services:\n  web:\n    image: busybox\n    network_mode: none\n{service}"
    project = host.project({"compose.yaml": text}, f"p{len(list(host.folder.iterdir()))}")
    result = host.run("up", "--no-log-prefix", cwd=project)
    host.run("down", cwd=project).ok()
    assert result.code == code, result.stdout + result.stderr
    return result.stdout + result.stderr


def test_what_a_device_puts_into_a_container(busy: Host, tmp_path: Path) -> None:
    """Variables over those of the file, nodes with mode and owner, mounts, groups: as Docker does."""
    (tmp_path / "driver").mkdir()
    (tmp_path / "driver/lib.so").write_text("library")
    edits = {
        "env": ["MODE=device", "PATH=/bin:/driver"],
        "deviceNodes": [NULL, ZERO],
        "mounts": [
            {"hostPath": str(tmp_path / "driver"), "containerPath": "/driver", "options": ["ro", "nosuid"]}
        ],
        "additionalGids": [44, 109],
    }
    common = {"env": ["COMMON=1"]}
    devices = [{"name": "name", "containerEdits": edits}]
    describe(busy, {"kind": "vendor.com/class", "containerEdits": common, "devices": devices})
    script = f"""{LOOK}; cat /driver/lib.so; echo; grep -c ' /driver .*ro,nosuid' /proc/mounts; id -G
      echo $$MODE $$COMMON $$PATH; echo x >/dev/accelerator && head -c 3 /dev/sub/zero | wc -c"""
    told = up(
        busy,
        f"    devices: [vendor.com/class=name]\n    environment: {{MODE: file}}\n    user: '5:5'\n"
        f"    command: [sh, -c, {json.dumps(script)}]\n",
    )

    for line in (
        "/dev/accelerator 666 0:0 1:3",
        "/dev/sub/zero 640 5:44 1:5",
        "library",
        "1",
        "5 44 109",
        "device 1 /bin:/driver",
        "3",
    ):
        assert f"\n{line}\n" in told


def test_permissions_are_those_of_the_specification(busy: Host) -> None:
    """`r` doesn't write: a number that no driver has is ENXIO where it is allowed, EPERM where not."""
    node = {"path": "/dev/odd", "type": "c", "major": 240, "minor": 77, "permissions": "r"}
    describe(busy, {"kind": "v.com/c", "devices": [{"name": "n", "containerEdits": {"deviceNodes": [node]}}]})
    script = "cat /dev/odd; echo x >/dev/odd; true"
    told = up(busy, f"    devices: [v.com/c=n]\n    command: [sh, -c, {json.dumps(script)}]\n", code=0)

    assert "'/dev/odd': No such device or address" in told
    assert "/dev/odd: Operation not permitted" in told


def test_a_devices_hook_prepares_the_container(busy: Host, tmp_path: Path) -> None:
    """As nvidia-cdi-hook does: it finds the root by the state on its input; another moment than that is refused."""
    hook = tmp_path / "hook"
    find = 'sed -n \'s/.*"{}": *"\\([^"]*\\)".*/\\1/p\''
    hook.write_text(
        f"#!/bin/sh\nbundle=$({find.format('bundle')})\nroot=$({find.format('path')} $bundle/config.json)\n"
        'ln -s libcuda.so.1 "$root/lib.so" && echo "$@" >"$root/arguments"\n'
    )
    hook.chmod(0o755)
    wanted = {
        "hookName": "createContainer",
        "path": str(hook),
        "args": ["nvidia-cdi-hook", "create-symlinks"],
    }
    devices = [{"name": "n", "containerEdits": {"hooks": [wanted]}}]
    describe(busy, {"kind": "v.com/c", "devices": devices})
    told = up(busy, "    devices: [v.com/c=n]\n    command: [sh, -c, 'readlink /lib.so; cat /arguments']\n")
    assert "\nlibcuda.so.1\ncreate-symlinks\n" in told

    wanted["hookName"] = "prestart"
    describe(busy, {"kind": "v.com/c", "devices": devices})
    told = up(busy, "    devices: [v.com/c=n]\n    command: ['true']\n", code=1)
    assert f"hooks[0]: the hook prestart ({hook}) can't be run here" in told


@pytest.mark.parametrize(
    ("service", "seen"),
    (
        ("gpus: all", "GPU_all=1"),
        ("gpus: [{count: 2}]", "GPU_0=1 GPU_1=1"),
        ("gpus: [{device_ids: ['1']}]", "GPU_1=1"),
        (
            "deploy: {resources: {reservations: {devices: [{driver: nvidia, count: 1, capabilities: [gpu]}]}}}",
            "GPU_0=1",
        ),
        (
            f"deploy: {{resources: {{reservations: {{devices: [{BY_NAME}]}}}}}}",
            "GPU_1=1",
        ),
    ),
)
def test_gpus(busy: Host, service: str, seen: str) -> None:
    """Every way to ask for one."""
    describe(busy, gpu("0", "1", "all"))

    assert f"\n{seen}\n" in up(
        busy, f"    {service}\n    command: [sh, -c, 'echo $$(env | grep GPU_ | sort)']\n"
    )


@pytest.mark.parametrize(
    ("service", "place", "reason"),
    (
        (
            "gpus: all",
            "compose.yaml:5:11: services.web.gpus[0]",
            'could not select device driver "" with capabilities: [[gpu]]',
        ),
        (
            "deploy: {resources: {reservations: {devices: [{driver: nvidia, count: 1, capabilities: [gpu]}]}}}",
            "compose.yaml:5:51: services.web.deploy.resources.reservations.devices[0]",
            'could not select device driver "nvidia" with capabilities: [[gpu]]',
        ),
        (
            "devices: [vendor.com/class=nope]",
            "compose.yaml:5:15: services.web.devices[0]",
            "unresolvable CDI devices vendor.com/class=nope",
        ),
    ),
)
def test_what_is_not_there_is_an_error(busy: Host, service: str, place: str, reason: str) -> None:
    """Never silence; with place, Docker's words, and what to do."""
    told = up(busy, f"    {service}\n    command: ['true']\n", code=1)

    assert f"{place}: " in told
    assert reason in told
    assert "nvidia-ctk cdi generate" in told


def test_the_command_line(busy: Host) -> None:
    """`--gpus` and `--device` of `container run`, and what `inspect` tells."""
    failed = busy.run("container", "run", "--rm", "--gpus", "all", "busybox", "true").exited(125)
    assert 'could not select device driver "" with capabilities: [[gpu]]' in failed.stderr

    describe(busy, gpu("0"))
    show = ("busybox", "sh", "-c", "env | grep GPU_")
    assert busy.run("container", "run", "--rm", "--gpus", "1", *show).ok().stdout == "GPU_0=1\n"
    named = ("container", "run", "--name", "one", "--device", "nvidia.com/gpu=0", *show)
    assert busy.run(*named).ok().stdout == "GPU_0=1\n"
    requests = busy.run("container", "inspect", "-f", "{{json .HostConfig.DeviceRequests}}", "one").json()
    assert requests == [
        {
            "Driver": "cdi",
            "Count": 0,
            "DeviceIDs": ["nvidia.com/gpu=0"],
            "Capabilities": None,
            "Options": None,
        }
    ]
    busy.run("container", "rm", "one").ok()
