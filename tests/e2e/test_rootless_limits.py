"""What an ordinary user's containers can't have is said: once for each service, or as an error for who insists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.requires import requires
from tests.support.scenario import eventually

if TYPE_CHECKING:
    from tests.support.ordinary import OrdinaryHost

pytestmark = requires("newuidmap")
KEYS = {
    'cgroup_parent: "mine"': "cgroup_parent has no effect: this user has no control group",
    'device_cgroup_rules: ["c 1:3 r"]': "device_cgroup_rules has no effect: only root filters devices",
    'devices: ["/dev/null:/dev/nothing:r"]': "devices: r of /dev/null has no effect: only root filters devices",
}
GRANTED = "cap_add: SYS_TIME has no effect: the kernel lets only the machine's root do what it is for"


def _project(*keys: str) -> dict[str, str]:
    every = ("image: busybox", "command: [sleep, '1000']", "stop_signal: KILL", "scale: 2", *keys)
    return {"compose.yaml": f"services: {{web: {{{', '.join(every)}}}}}"}


def test_keys_without_effect_are_said_once(user: OrdinaryHost) -> None:
    """Those that need a control group, a filter of devices, or a capability on the machine; not those that do."""
    folder = user.project(_project(*KEYS, "cap_add: [SYS_TIME, SYS_CHROOT]"))

    said = user.run("up", "-d", cwd=folder).ok().stderr

    expected = (*KEYS.values(), GRANTED)
    assert {text: said.count(text) for text in expected} == dict.fromkeys(expected, 1)
    user.run("down", cwd=folder).ok()
    keys = ('devices: ["/dev/null:/dev/nothing:rw"]', "cap_add: [ALL]", "cap_drop: [BPF]")
    folder = user.project(_project(*keys), "fine")
    assert "Warning" not in user.run("up", "-d", cwd=folder).ok().stderr
    user.run("down", cwd=folder).ok()


@pytest.mark.parametrize("key", KEYS)
def test_keys_without_effect_are_refused_to_who_insists(user: OrdinaryHost, key: str) -> None:
    """PYCOMPOSE_STRICT_LIMITS=1 has walls that hold, or an error."""
    folder = user.project(_project(key))

    said = user.run("up", "-d", cwd=folder, env={"PYCOMPOSE_STRICT_LIMITS": "1"}).exited(1).stderr

    name = key.partition(":")[0]
    assert f"error: {name}: cannot " in said
    assert "doctor" in said
    user.run("down", cwd=folder).ok()
    eventually(lambda: not user.processes("pycompose.supervisor"))


def test_other_ways_to_limits_say_so_too(user: OrdinaryHost) -> None:
    """`run`, and docker's commands for one container: a limit without effect is never taken in silence."""
    said = "mem_limit has no effect: this user has no memory controller"
    folder = user.project(_project("mem_limit: 64m"))
    one = ("-m", "64m", "--stop-signal", "KILL", "busybox", "sleep", "1000")
    for words in (
        ("run", "-d", "web"),
        ("container", "run", "-d", "--name", "first", *one),
        ("container", "update", "-m", "32m", "first"),
        ("container", "restart", "-t", "0", "first"),
    ):
        assert user.run(*words, cwd=folder).ok().stderr.count(said) == 1, words
    assert said not in user.run("container", "create", "--name", "second", *one).ok().stderr
    assert said in user.run("container", "start", "second").ok().stderr
    user.run("container", "rm", "-f", "first", "second").ok()
    user.run("down", cwd=folder).ok()
