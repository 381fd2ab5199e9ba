"""What tools that know docker's command line ask for: other words, listings, events, versions, its socket."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.scenario import Host, eventually

COMPOSE = """
name: demo
services:
  web:
    image: busybox
    command: [sh, -c, "trap 'exit 3' USR1; trap 'exit 4' TERM; echo x >/file; echo up; sleep 1000 & wait"]
    labels: {own: label}
    ports: ["8080:80", "127.0.0.1:5353:53/udp"]
    expose: ["7000-7002"]
  db:
    image: busybox
    command: sleep 1000
    stop_signal: KILL
    depends_on: [web]
"""
LABELS = {
    "com.docker.compose.project": "demo",
    "com.docker.compose.service": "web",
    "com.docker.compose.container-number": "1",
    "own": "label",
}


@pytest.fixture
def project(busy: Host, tmp_path: Path) -> Path:
    """Bring two services up, `web` before `db`."""
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    busy.run("up", "-d", cwd=tmp_path).ok()
    return tmp_path


def names(host: Host, *filters: str) -> list[str]:
    """Return the containers that all of the filters leave."""
    words = [word for text in filters for word in ("--filter", text)]
    listed = host.run("container", "ls", "-a", "--format", "{{.Names}}", *words).ok().stdout.split()
    return [name.removeprefix("demo-").removesuffix("-1") for name in listed]


def test_containers_by_size_and_filters(busy: Host, project: Path) -> None:
    """Docker's filters: values of one key are alternatives, labels are not; names are regular expressions."""
    size = busy.run("container", "ls", "--size", "--format", "{{.Names}} {{.Size}}").ok().stdout
    heading = busy.run("container", "ls", "-s").ok().stdout.splitlines()[0]
    found = {
        filters: names(busy, *filters.split())
        for filters in (
            "publish=8080", "publish=8000-9000/tcp", "publish=80", "publish=5353/udp", "publish=5353/tcp", "expose=80",
            "expose=7001", "expose=7003", "before=demo-db-1", "since=demo-web-1", "is-task=false", "is-task=true",
            "name=^/demo-w", "name=^demo-d", "name=web name=db", "label=own label=com.docker.compose.service=db",
            "since=demo-web-1 since=demo-db-1",
        )
    }  # fmt: skip
    busy.run("container", "ls", "--filter", "publish=http").exited(1)
    busy.run("container", "ls", "--filter", "before=nobody").exited(1)
    busy.run("down", cwd=project).ok()

    assert heading.split()[-1] == "SIZE"
    assert all("(virtual " in line for line in size.splitlines())
    assert found == {
        "publish=8080": ["web"],
        "publish=8000-9000/tcp": ["web"],
        "publish=80": [],
        "publish=5353/udp": ["web"],
        "publish=5353/tcp": [],
        "expose=80": ["web"],
        "expose=7001": ["web"],
        "expose=7003": [],
        "before=demo-db-1": ["web"],
        "since=demo-web-1": ["db"],
        "is-task=false": ["db", "web"],
        "is-task=true": [],
        "name=^/demo-w": ["web"],
        "name=^demo-d": ["db"],
        "name=web name=db": ["db", "web"],
        "label=own label=com.docker.compose.service=db": [],
        "since=demo-web-1 since=demo-db-1": ["db"],
    }


def test_another_signal_stops(busy: Host, project: Path) -> None:
    """`stop` and `restart` with `--signal`, and with `--time`, docker's older name of `--timeout`."""
    state = ("inspect", "-f", "{{.State.ExitCode}}", "demo-web-1")
    logs = ("container", "logs", "demo-web-1")  # "up" is printed when it can take signals
    eventually(lambda: busy.run(*logs).ok().stdout == "up\n")
    busy.run("container", "stop", "--signal", "USR1", "--time", "30", "demo-web-1").ok()
    stopped = busy.run(*state).ok().stdout
    busy.run("container", "start", "demo-web-1").ok()
    eventually(lambda: busy.run(*logs).ok().stdout == "up\nup\n")
    busy.run("container", "restart", "-s", "SIGUSR1", "-t", "30", "demo-web-1").ok()
    ends = busy.run("events", "--since", "1h", "--until", "0s", "--json", "web", cwd=project).ok()
    bad = busy.run("container", "stop", "-s", "NOTHING", "demo-web-1").exited(1).stderr
    busy.run("down", cwd=project).ok()

    assert stopped == "3\n"
    codes = [
        event["attributes"]["exitCode"]
        for event in (json.loads(line) for line in ends.stdout.splitlines())
        if event["action"] == "die"
    ]
    assert codes == ["3", "3"]
    assert "NOTHING" in bad


def test_events_have_the_labels(busy: Host, project: Path) -> None:
    """All of them for docker, and to choose by; Compose leaves its own out."""
    since = ("--since", "1h", "--until", "0s")
    mine = busy.run("events", *since, "--json", "web", cwd=project).ok()

    def chosen(*filters: str) -> list[dict[str, object]]:
        words = [word for text in filters for word in ("--filter", text)]
        out = busy.run("system", "events", *since, "--format", "{{json .}}", *words).ok().stdout
        return [json.loads(line) for line in out.splitlines()]

    events = chosen("label=own=label", "label=com.docker.compose.project=demo")
    assert chosen("label=own=other") == []
    assert chosen("label=own", "label=com.docker.compose.service=db") == []
    actions = [event["Action"] for event in events]
    assert actions == ["create", "start"]
    for event in events:
        actor = event["Actor"]
        assert isinstance(actor, dict)
        assert LABELS.items() <= actor["Attributes"].items()
    assert "own" in mine.stdout
    assert "com.docker" not in mine.stdout
    busy.run("down", cwd=project).ok()


@pytest.mark.parametrize("group", ("container", "image", "network", "volume"))
def test_docker_s_other_words(busy: Host, group: str) -> None:
    """`list` is `ls`, `remove` is `rm`; neither is a command of its own in the help."""
    busy.run("volume", "create", "vol").ok()
    busy.run("network", "create", "n").ok()
    listed = busy.run(group, "list").ok().stdout
    thing = {"container": "none", "image": "busybox", "network": "n", "volume": "vol"}[group]
    removed = busy.run(group, "remove", thing)
    help_ = busy.run(group, "--help").ok().stdout
    busy.run("volume", "rm", "-f", "vol").ok()
    busy.run("network", "rm", "n")

    assert listed == "" or listed.split()[0] in ("CONTAINER", "REPOSITORY", "NETWORK", "DRIVER")
    assert removed.code == (1 if thing == "none" else 0)
    assert "\n  remove " not in help_


def test_images_are_listed_as_docker_s(busy: Host) -> None:
    """Clients read these keys, and this form of a time."""
    (row,) = [json.loads(busy.run("image", "ls", "--format", "{{json .}}").ok().stdout)]

    assert {"Containers", "SharedSize", "UniqueSize", "VirtualSize"} <= row.keys()
    assert row["VirtualSize"] == row["Size"]
    assert row["CreatedAt"] == "N/A" or row["CreatedAt"].endswith(" +0000 UTC")


def test_versions_by_a_template(host: Host) -> None:
    """Docker's form of them, which clients ask for; another word is refused."""
    assert (
        host.run("version", "-f", "{{.Server.Version}} {{.Client.Version}}").ok().stdout == "26.1.5 26.1.5\n"
    )
    found = json.loads(host.run("version", "--format", "{{json .}}").ok().stdout)
    refused = host.run("version", "--format", "yaml").exited(1).stderr

    assert {"Version", "ApiVersion", "Os", "Arch"} <= found["Client"].keys() & found["Server"].keys()
    assert found["Server"]["Os"] == "linux"
    assert "neither" in refused
