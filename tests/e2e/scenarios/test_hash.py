"""Which changes of a service make its container anew.

One project has one service per row; it is created (not started) twice, before and after the change.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.scene import Scene


@dataclass(frozen=True, kw_only=True)
class Change:
    """A service before and after. `replaced`: whether the container must be another one then."""

    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    replaced: bool = True
    bug: str = ""


CHANGES: dict[str, Change] = {
    "command": Change(before={"command": ["a"]}, after={"command": ["b"]}),
    "entrypoint": Change(after={"entrypoint": ["sh"]}),
    "image": Change(after={"image": "busybox:other"}),
    "environment": Change(before={"environment": {"A": "1"}}, after={"environment": {"A": "2"}}),
    "environment-order": Change(
        before={"environment": ["A=1", "B=2"]}, after={"environment": {"B": "2", "A": "1"}}, replaced=False
    ),
    "env-file-content": Change(before={"env_file": ["changing.env"]}, after={"env_file": ["changing.env"]}),
    "env-file-inlined": Change(
        before={"env_file": ["fixed.env"]}, after={"environment": {"FIXED": "1"}}, replaced=False
    ),
    "labels": Change(after={"labels": {"a": "b"}}),
    "user": Change(after={"user": "app"}),
    "working-dir": Change(after={"working_dir": "/srv"}),
    "hostname": Change(after={"hostname": "other"}),
    "container-name": Change(after={"container_name": "PROJECT-by-name"}),
    "ports": Change(before={"ports": ["80"]}, after={"ports": ["81"]}),
    "expose": Change(after={"expose": ["80"]}),
    "bind": Change(after={"volumes": ["./:/project"]}),
    "volume": Change(before={"volumes": ["one:/v"]}, after={"volumes": ["two:/v"]}),
    "volume-read-only": Change(before={"volumes": ["one:/v"]}, after={"volumes": ["one:/v:ro"]}),
    "tmpfs": Change(after={"tmpfs": ["/t"]}),
    "network-added": Change(before={"networks": ["default"]}, after={"networks": ["default", "second"]}),
    "network-alias": Change(after={"networks": {"default": {"aliases": ["other"]}}}),
    "healthcheck": Change(after={"healthcheck": {"test": ["CMD", "true"]}}),
    "restart": Change(after={"restart": "always"}),
    "stop-grace-period": Change(after={"stop_grace_period": "3s"}),
    "stop-signal": Change(after={"stop_signal": "SIGINT"}),
    "cap-add": Change(after={"cap_add": ["NET_ADMIN"]}),
    "ulimits": Change(after={"ulimits": {"nofile": 1000}}),
    "sysctls": Change(after={"sysctls": {"net.ipv4.ip_forward": "0"}}),
    "extra-hosts": Change(after={"extra_hosts": ["a:10.0.0.1"]}),
    "dns": Change(after={"dns": ["192.0.2.1"]}),
    "logging": Change(after={"logging": {"driver": "json-file", "options": {"max-size": "1m"}}}),
    "memory": Change(after={"deploy": {"resources": {"limits": {"memory": "64M"}}}}),
    "tty": Change(after={"tty": True}),
    "init": Change(after={"init": True}),
    "read-only": Change(after={"read_only": True}),
    "privileged": Change(after={"privileged": True}),
    "config-added": Change(after={"configs": ["fixed"]}),
    "config-content": Change(
        before={"configs": ["changing"]}, after={"configs": ["changing"]}, replaced=False
    ),
    "config-file-content": Change(
        before={"configs": ["changing-file"]}, after={"configs": ["changing-file"]}, replaced=False
    ),
    "secret-variable": Change(
        before={"secrets": ["changing"]}, after={"secrets": ["changing"]}, replaced=False
    ),
    "hook": Change(after={"post_start": [{"command": ["true"]}]}),
    "same": Change(before={"command": "echo a"}, after={"command": ["echo", "a"]}, replaced=False),
    "depends-on": Change(after={"depends_on": ["same"]}, replaced=False),
    "profiles": Change(after={"profiles": ["some"]}, replaced=False),
    "pull-policy": Change(after={"pull_policy": "missing"}, replaced=False),
    "build": Change(after={"build": "."}, replaced=False),
    "scale": Change(before={"scale": 1}, after={}, replaced=False),
    "replicas": Change(
        before={"deploy": {"replicas": 1}}, after={"deploy": {"replicas": 1, "labels": {"a": "b"}}}
    ),
    "extension": Change(after={"x-note": "for people"}, replaced=False),
    "attach": Change(after={"attach": False}),
    "develop": Change(after={"develop": {"watch": [{"path": ".", "action": "rebuild"}]}, "build": "."}),
}


def compose_file(*, after: bool) -> str:
    """Return the project with one service per row."""
    services = {
        name: {"image": "busybox", **(change.after if after else change.before)}
        for name, change in CHANGES.items()
    }
    text = "after" if after else "before"
    top = {
        "networks": {"second": {}},
        "volumes": {"one": {}, "two": {}},
        "configs": {
            "fixed": {"content": "fixed"},
            "changing": {"content": text},
            "changing-file": {"file": "./changing.txt"},
        },
        "secrets": {"changing": {"environment": "CHANGING"}},
    }
    return json.dumps({"services": services, **top}, indent=1)


@pytest.fixture(scope="class")
def replaced(stage: Scene) -> set[str]:
    """Create the project, change it, create it again; return the services with other containers."""
    before: dict[str, str] = {}
    stage.file("fixed.env", "FIXED=1\n")
    for text in ("before", "after"):
        stage.file("changing.env", f"CHANGING={text}\n")
        stage.file("changing.txt", text)
        stage.file("compose.yaml", compose_file(after=text == "after"))
        before = stage.ids()
        arguments = ["--profile", "*", "up", "--no-start", "--no-build"]
        stage.compose(*arguments, env={"CHANGING": text}, timeout_s=120)
    after = stage.ids()
    assert set(after) == set(before)
    return {name.rpartition("-")[0] for name in after if after[name] != before[name]}


class TestChanges:
    """All rows of one project."""

    @pytest.mark.parametrize(
        "name",
        [
            pytest.param(name, marks=pytest.mark.bug(row.bug)) if row.bug else name
            for name, row in CHANGES.items()
        ],
    )
    def test_change(self, replaced: set[str], name: str) -> None:
        """A change must make the container anew exactly when the container could notice it."""
        assert (name in replaced) == CHANGES[name].replaced

    def test_hash(self, replaced: set[str], stage: Scene) -> None:
        """The label with the hash must be what `config --hash` prints."""
        lines = stage.compose(
            "--profile", "*", "config", "--hash", "*", env={"CHANGING": "after"}
        ).stdout.splitlines()
        printed = dict(line.split() for line in lines)
        labels = {item.service: item.labels["com.docker.compose.config-hash"] for item in stage.containers()}

        different = {name for name in labels if labels[name] != printed[name]}
        assert different <= {"env-file-content"}  # of which `config --hash` knows the name only
