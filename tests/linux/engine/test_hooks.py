"""Hooks of devices: programs of the machine that prepare a container's files before it starts."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from pycompose.engine.config import Namespaces, OciHook, Security
from pycompose.engine.errors import ChildError

from tests.support.lab import Lab
from tests.support.requires import requires

pytestmark = requires("root", "overlay", "static-busybox")
PRIVATE = Namespaces(network="private")


def script(tmp_path: Path, text: str) -> str:
    """Write a hook, return its path."""
    path = tmp_path / "hook"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o700)
    return str(path)


def run(lab: Lab, text: str, path: str, **hook: Any) -> str:
    """Run a container with one hook, return what it printed."""
    code, told = lab.run(text, hooks=(OciHook(path=path, **hook),), namespaces=PRIVATE)
    assert code == 0, told
    return told


def test_a_hook_is_told_where_the_container_is(lab: Lab, tmp_path: Path) -> None:
    """State on its input, a bundle with the root's path, its own arguments and environment; the working directory."""
    seen = tmp_path / "seen"
    seen.mkdir()
    path = script(tmp_path, f"cat >{seen}/state; echo $0 $@ $A $B $PWD >{seen}/words; umask >>{seen}/words")
    run(lab, "true", path, args=("name", "x", "y z"), env=("A=1", "B=b=b"))
    state = json.loads((seen / "state").read_text())

    assert (state["id"], state["status"]) == (lab.made[0], "creating")
    root = f"{lab.paths.container_run(lab.made[0])}/rootfs"
    bundle = json.loads((Path(state["bundle"]) / "config.json").read_text())
    assert bundle["root"] == {"path": root}
    # A shell sets $0 to the script that it reads.
    assert (seen / "words").read_text().splitlines() == [f"{path} x y z 1 b=b {root}", "0022"]


def test_a_hook_changes_the_containers_files(lab: Lab, tmp_path: Path) -> None:
    """Mounts are there already; the container sees the result, read-only or not, and nothing of the machine does."""
    library = Path("/usr/lib/libmade.so")
    text = f"ln -s libreal.so .{library}; ls ./dev/null ./proc/self/stat >/dev/null && echo ok >./made"
    code, told = lab.run(
        f"readlink {library}; cat /made; touch /x 2>/dev/null || echo closed",
        hooks=(OciHook(path=script(tmp_path, f"mkdir -p ./usr/lib; {text}")),),
        namespaces=PRIVATE,
        security=Security(read_only_rootfs=True),
    )

    assert (code, told) == (0, "libreal.so\nok\nclosed\n")
    assert not library.is_symlink()


def test_a_hook_inherits_nothing(lab: Lab, tmp_path: Path) -> None:
    """No descriptor but its three, and it runs in the container's namespaces."""
    seen = tmp_path / "seen"
    path = script(
        tmp_path, f"ls /proc/self/fd >{seen}; readlink /proc/self/ns/net >>{seen}; hostname >>{seen}"
    )
    inside = run(lab, "readlink /proc/self/ns/net; hostname", path)

    # 3 is that of `ls` on the directory.
    assert seen.read_text() == "0\n1\n2\n3\n" + inside


def test_hooks_run_in_order_and_at_every_start(lab: Lab, tmp_path: Path) -> None:
    """Each start mounts anew."""
    path = script(tmp_path, "echo $1 >>./made")
    hooks = tuple(OciHook(path=path, args=("x", name)) for name in ("first", "second"))
    container = lab.make("cat /made | tr '\\n' ' '; echo", hooks=hooks, namespaces=PRIVATE)
    for _ in range(2):
        lab.keeper.start_container(container)
        lab.exit_code(container)
        lab.events.clear()

    assert lab.output(container) == "first second \nfirst second first second \n"


@pytest.mark.parametrize(
    ("text", "reason"),
    (
        ("echo what went wrong >&2; exit 3", "exit code 3: what went wrong"),
        ("kill -9 $$", "exit code -9"),
        ("yes x", "not done after 1 s: x x x"),
    ),
)
def test_a_hook_that_fails_is_the_error(lab: Lab, tmp_path: Path, text: str, reason: str) -> None:
    """Nothing starts; it is named with its own words, and with an end."""
    path = script(tmp_path, text)
    container = lab.make(
        "true", hooks=(OciHook(path=path, timeout_s=1 if "1 s" in reason else 30),), namespaces=PRIVATE
    )
    start = time.monotonic()
    with pytest.raises(ChildError) as caught:
        lab.keeper.start_container(container)

    assert f"cannot run hook {path} of a device: {reason}" in caught.value.message
    assert len(caught.value.message) < 3000
    assert time.monotonic() - start < 10


def test_a_hook_that_is_not_there(lab: Lab) -> None:
    """By name."""
    with pytest.raises(
        ChildError, match=r"cannot run hook /nowhere/h of a device: exit code 127: No such file"
    ):
        lab.keeper.start_container(lab.make("true", hooks=(OciHook(path="/nowhere/h"),), namespaces=PRIVATE))
