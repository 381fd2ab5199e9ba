"""The management groups: volumes, networks, containers and the machine, apart from any project."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.scenario import Host, eventually

COMPOSE = """
services:
  app:
    image: busybox
    command: [sh, -c, "echo out; echo err >&2; exec sleep 1000"]
    stop_signal: SIGKILL
    environment: {A: "1"}
    ports: ["8080:80"]
    expose: ["90"]
    restart: always
    mem_limit: 64m
    healthcheck: {test: ["CMD", "true"], interval: 1s, retries: 2}
    volumes: ["ext:/data", "named:/named", "/anonymous", "./bound:/bound:ro"]
    networks: [default, ext]
  job:
    image: busybox
    command: ["true"]
volumes: {ext: {external: true}, named: {}}
networks: {ext: {external: true}}
"""


@pytest.fixture
def project(busy: Host) -> Iterator[Path]:
    """Start a project on a volume and a network that were made beforehand."""
    busy.run("volume", "create", "ext", "--label", "kind=test").ok()
    busy.run("network", "create", "ext", "--subnet", "10.77.0.0/24", "--label", "kind=test").ok()
    folder = busy.project({"compose.yaml": COMPOSE, "bound/file": "x"})
    busy.run("up", "-d", "--wait", "app", cwd=folder).ok()
    busy.run("up", "-d", "job", cwd=folder).ok()
    eventually(lambda: states(busy).get("demo-job-1") == "exited")
    yield folder
    busy.run("down", "-v", cwd=folder).ok()
    busy.run("volume", "rm", "-f", "ext").ok()
    busy.run("network", "rm", "-f", "ext").ok()


def states(host: Host) -> dict[str, str]:
    """Return the states of all containers by name."""
    lines = host.run("container", "ls", "-a", "--format", "{{.Names}} {{.State}}").ok().stdout.splitlines()
    return dict(line.split() for line in lines)


def names(host: Host, *command: str) -> list[str]:
    """Return what a listing command prints, a line each."""
    return host.run(*command).ok().stdout.splitlines()


def test_what_a_container_refers_to_is_never_pruned(busy: Host, project: Path) -> None:
    """Running or stopped, its volumes and networks stay; what nobody refers to goes."""
    spare = busy.run("volume", "create").ok().stdout.strip()
    busy.run("volume", "create", "spare").ok()
    busy.run("network", "create", "spare").ok()
    before = set(names(busy, "volume", "ls", "-q")) - {spare, "spare"}
    assert "in use by demo-app-1" in busy.run("network", "rm", "ext").exited(1).stderr
    busy.run("container", "stop", "demo-app-1").ok()

    assert (
        busy.run("volume", "rm", "ext").exited(1).stderr.startswith("error: volume ext: in use by demo-app-1")
    )
    assert spare in busy.run("volume", "prune", "-f").ok().stdout
    assert "spare" in names(busy, "volume", "ls", "-q")
    busy.run("volume", "prune", "-af").ok()
    busy.run("network", "prune", "-f").ok()

    assert set(names(busy, "volume", "ls", "-q")) == before
    left = names(busy, "network", "ls", "--filter", "type=custom", "--format", "{{.Name}}")
    assert left == ["demo_default", "ext"]
    busy.run("container", "start", "demo-app-1").ok()
    assert states(busy)["demo-app-1"] == "running"


def test_details_of_a_log(busy: Host) -> None:
    """Labels and variables that the logging options name, as Docker prints them; a blank where they name none."""
    options = {
        "labels": "zz,a,none",
        "env": "Q0",
        "env-regex": "^Q1",
        "labels-regex": "^com[.]x",
        "tag": "{{.Name}}",
    }
    service = {
        "image": "busybox",
        "command": "echo hi",
        "labels": {"a": "b c,d=&e", "zz": "y", "com.x": "1"},
        "environment": {"Q0": "0", "Q1": "1", "A": "2"},
        "logging": {"driver": "json-file", "options": options},
    }
    project = {"services": {"one": service, "two": {"image": "busybox", "command": "echo hi"}}}
    folder = busy.project({"compose.yaml": json.dumps(project)})
    busy.run("up", cwd=folder).ok()
    details = "Q0=0,Q1=1,a=b+c%2Cd%3D%26e,com.x=1,tag=demo-one-1,zz=y"
    assert busy.run("container", "logs", "--details", "demo-one-1").ok().stdout == f"{details} hi\n"
    assert busy.run("container", "logs", "--details", "demo-two-1").ok().stdout == " hi\n"
    stamped = busy.run("container", "logs", "-t", "--details", "demo-one-1").ok().stdout
    assert stamped.split(" ", 1)[1] == f"{details} hi\n"
    shown = busy.run("inspect", "demo-one-1", "-f", "{{json .HostConfig.LogConfig.Config}}").json()
    assert shown == {**options, "tag": "demo-one-1"}
    busy.run("down", cwd=folder).ok()


# Keys of `docker inspect` (Engine 26.1) for a container of a compose file.
DOCKERS_KEYS = {
    "": "AppArmorProfile Args Config Created Driver ExecIDs GraphDriver HostConfig HostnamePath HostsPath Id Image "
    "LogPath MountLabel Mounts Name NetworkSettings Path Platform ProcessLabel ResolvConfPath RestartCount State",
    "HostConfig": "AutoRemove Binds BlkioDeviceReadBps BlkioDeviceReadIOps BlkioDeviceWriteBps BlkioDeviceWriteIOps "
    "BlkioWeight BlkioWeightDevice CapAdd CapDrop Cgroup CgroupParent CgroupnsMode ConsoleSize ContainerIDFile "
    "CpuCount CpuPercent CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime CpuShares CpusetCpus CpusetMems "
    "DeviceCgroupRules DeviceRequests Devices Dns DnsOptions DnsSearch ExtraHosts GroupAdd IOMaximumBandwidth "
    "IOMaximumIOps IpcMode Isolation Links LogConfig MaskedPaths Memory MemoryReservation MemorySwap MemorySwappiness "
    "NanoCpus NetworkMode OomKillDisable OomScoreAdj PidMode PidsLimit PortBindings Privileged PublishAllPorts "
    "ReadonlyPaths ReadonlyRootfs RestartPolicy Runtime SecurityOpt ShmSize Tmpfs UTSMode Ulimits UsernsMode "
    "VolumeDriver VolumesFrom",
    "Config": "AttachStderr AttachStdin AttachStdout Cmd Domainname Entrypoint Env ExposedPorts Healthcheck Hostname "
    "Image Labels OnBuild OpenStdin StdinOnce Tty User Volumes WorkingDir",
    "NetworkSettings": "Bridge EndpointID Gateway GlobalIPv6Address GlobalIPv6PrefixLen HairpinMode IPAddress "
    "IPPrefixLen IPv6Gateway LinkLocalIPv6Address LinkLocalIPv6PrefixLen MacAddress Networks Ports SandboxID "
    "SandboxKey SecondaryIPAddresses SecondaryIPv6Addresses",
}
# Of those, the ones of HostConfig that are null there where nothing has been asked for.
NULLS = (
    "VolumesFrom CapAdd CapDrop Dns DnsOptions DnsSearch GroupAdd Links SecurityOpt BlkioWeightDevice "
    "BlkioDeviceReadBps BlkioDeviceWriteBps BlkioDeviceReadIOps BlkioDeviceWriteIOps Devices DeviceCgroupRules "
    "DeviceRequests MemorySwappiness PidsLimit Ulimits"
)


@pytest.mark.usefixtures("project")
def test_inspect_has_dockers_keys(busy: Host) -> None:
    """Programs read them into types of their own, and take null for nothing."""
    (found,) = busy.run("inspect", "demo-app-1").ok().json()
    for part, keys in DOCKERS_KEYS.items():
        assert set(keys.split()) - (found[part] if part else found).keys() == set()
    host = found["HostConfig"]
    assert {key: host[key] for key in NULLS.split() if host[key] is not None} == {}
    merged = Path(found["GraphDriver"]["Data"]["MergedDir"])
    assert merged == Path(f"/proc/{found['State']['Pid']}/root")
    assert "WorkDir" in found["GraphDriver"]["Data"]


def test_events_of_what_has_none(busy: Host) -> None:
    """A program that waits for a plugin's learns that it waits in vain."""
    done = busy.run("system", "events", "--filter", "type=plugin", "--until", "2020-01-01T00:00:00Z").ok()
    assert "there are no such events" in done.stderr
    both = busy.run(
        "system", "events", "--filter", "type=plugin", "--filter", "type=container", "--until", "2020-01-01"
    )
    assert both.ok().stderr == ""


def test_events_of_images_networks_and_volumes(busy: Host) -> None:
    """Whoever makes and removes them; a stopped container's network can be removed, as Docker has it."""
    begin = f"{time.time():.9f}"
    busy.run("network", "create", "net").ok()
    busy.run("volume", "create", "vol").ok()
    busy.run("image", "tag", "busybox", "other:1").ok()
    busy.run("container", "run", "-d", "--name", "con", "--network", "net", "busybox", "sleep", "1000").ok()
    assert "in use by con" in busy.run("network", "rm", "net").exited(1).stderr
    busy.run("container", "kill", "con").ok()
    busy.run("network", "rm", "net").ok()
    assert "no such network" in busy.run("container", "start", "con").exited(1).stderr
    eventually(lambda: not busy.processes("pycompose.supervisor"))  # and by one that has never seen it
    assert "no such network" in busy.run("container", "start", "con").exited(1).stderr
    for words in (("container", "rm", "con"), ("volume", "rm", "vol"), ("image", "rm", "other:1")):
        busy.run(*words).ok()
    past = ("system", "events", "--since", begin, "--until", f"{time.time():.9f}", "--format")

    def told(kind: str, name: str) -> list[str]:
        line = busy.run(*past, "{{.Action}}", "--filter", f"type={kind}", "--filter", f"{kind}={name}").ok()
        return line.stdout.split()

    assert told("network", "net") == ["create", "connect", "disconnect", "destroy"]
    assert told("volume", "vol") == ["create", "destroy"]
    assert told("image", "other") == ["tag"]
    (tagged, untagged) = busy.run(*past, "json", "--filter", "type=image").ok().json()
    assert (tagged["Action"], tagged["Actor"]["Attributes"]["name"]) == ("tag", "other:1")
    assert (untagged["Action"], untagged["id"]) == ("untag", tagged["id"])


def test_containers_by_name_and_id(busy: Host, project: Path) -> None:
    """stop, start, kill, pause, logs, exec, rm: one container, whatever project it is of."""
    container_id = names(busy, "container", "ls", "-q", "--no-trunc")[0]
    prefix = container_id[:6]
    assert busy.run("container", "exec", prefix, "echo", "hi").ok().stdout == "hi\n"
    busy.run("container", "exec", "demo-app-1", "sh", "-c", "exit 3").exited(3)
    assert busy.run("container", "exec", "-i", prefix, "cat", stdin="in").ok().stdout == "in"
    logs = busy.run("container", "logs", "demo-app-1").ok()
    assert (logs.stdout, logs.stderr) == ("out\n", "err\n")
    for command, state in (
        ("pause", "paused"),
        ("unpause", "running"),
        ("stop", "exited"),
        ("start", "running"),
    ):
        assert busy.run("container", command, prefix).ok().stdout == "demo-app-1\n"
        assert states(busy)["demo-app-1"] == state
    assert states(busy)["demo-job-1"] == "exited"
    assert "is running" in busy.run("container", "rm", "demo-app-1").exited(1).stderr
    assert "demo-job-1" in busy.run("container", "prune", "-f").ok().stdout
    busy.run("container", "rm", "-fv", "demo-app-1").ok()
    assert states(busy) == {}
    for command in ("stop", "kill", "rm", "inspect", "logs", "wait"):
        assert "no such container" in busy.run("container", command, "nobody").exited(1).stderr


def test_inspect_has_dockers_shape(busy: Host, project: Path) -> None:
    """What tools and tests read is where they look for it."""
    (found,) = busy.run("inspect", "demo-app-1").ok().json()
    state = found["State"]
    assert (state["Status"], state["Running"], state["ExitCode"], state["OOMKilled"]) == (
        "running",
        True,
        0,
        False,
    )
    assert state["Pid"] > 0
    assert (state["Health"]["Status"], state["Health"]["FailingStreak"]) == ("healthy", 0)
    assert state["Health"]["Log"][-1]["ExitCode"] == 0
    assert found["Name"] == "/demo-app-1"
    assert found["Config"]["Env"] == ["A=1"]
    assert found["Config"]["Cmd"][:2] == ["sh", "-c"]
    assert found["Config"]["Labels"]["com.docker.compose.service"] == "app"
    assert found["HostConfig"]["Memory"] == 64 * 1024**2
    assert found["HostConfig"]["RestartPolicy"] == {"Name": "always", "MaximumRetryCount": 0}
    mounts = {mount["Destination"]: (mount["Type"], mount["RW"]) for mount in found["Mounts"]}
    assert mounts == {
        "/data": ("volume", True),
        "/named": ("volume", True),
        "/anonymous": ("volume", True),
        "/bound": ("bind", False),
    }
    settings = found["NetworkSettings"]
    assert {entry["HostPort"] for entry in settings["Ports"]["80/tcp"]} == {"8080"}
    assert settings["Ports"]["90/tcp"] is None
    assert settings["Networks"]["ext"]["IPAddress"].startswith("10.77.0.")
    assert settings["Networks"]["ext"]["IPPrefixLen"] == 24
    template = "{{.State.Health.Status}} {{json .HostConfig.PortBindings}}"
    line = busy.run("inspect", "-f", template, "demo-app-1").ok().stdout
    assert line == 'healthy {"80/tcp":[{"HostIp":"","HostPort":"8080"}]}\n'

    (job,) = busy.run("container", "inspect", "demo-job-1").ok().json()
    assert (job["State"]["Status"], job["State"]["Pid"], job["State"]["ExitCode"]) == ("exited", 0, 0)
    assert job["State"]["FinishedAt"] > job["State"]["StartedAt"]


def test_inspect_finds_what_it_is(busy: Host, project: Path) -> None:
    """A name is looked for among containers, images, volumes, networks; --type says which."""
    (image,) = busy.run("inspect", "busybox").ok().json()
    assert image["RepoTags"] == ["busybox:latest"]
    (volume,) = busy.run("inspect", "demo_named").ok().json()
    assert volume["Mountpoint"].endswith("/demo_named/_data")
    assert volume["Labels"]["com.docker.compose.volume"] == "named"
    (network,) = busy.run("inspect", "--type", "network", "ext").ok().json()
    assert network["IPAM"]["Config"][0]["Subnet"] == "10.77.0.0/24"
    assert [item["Name"] for item in network["Containers"].values()] == ["demo-app-1"]
    assert "no such object: nobody" in busy.run("inspect", "nobody").exited(1).stderr


def test_listings_filter(busy: Host, project: Path) -> None:
    """By what docker filters by; a filter that isn't known is an error."""
    assert names(busy, "volume", "ls", "-q", "-f", "label=kind=test") == ["ext"]
    assert names(busy, "volume", "ls", "-q", "-f", "dangling=true") == []
    assert names(busy, "network", "ls", "-f", "name=ex", "--format", "{{.Name}}") == ["ext"]
    for text, found in (
        ("status=exited", ["demo-job-1"]),
        ("name=app", ["demo-app-1"]),
        ("label=com.docker.compose.service=app", ["demo-app-1"]),
        ("volume=ext", ["demo-app-1"]),
        ("health=healthy", ["demo-app-1"]),
    ):
        assert names(busy, "container", "ls", "--filter", text, "--format", "{{.Names}}") == found
    for group in ("volume", "network", "container"):
        busy.run(group, "ls", "--filter", "colour=red").exited(1)


def test_an_external_network_comes_back_after_a_reboot(busy: Host, project: Path) -> None:
    """With its subnet, when a project asks for it: networks live in memory, what was asked for on disk."""
    (before,) = busy.run("network", "inspect", "ext").ok().json()
    busy.run("stop", cwd=project).ok()
    eventually(lambda: not busy.processes("pycompose.supervisor"))
    forget = """
    for bridge in /sys/class/net/pc-*; do ip link delete ${bridge##*/}; done
    nft flush ruleset; echo 0 >/proc/sys/net/ipv4/ip_forward; rm -rf /run/pycompose/*
    """
    busy.command(["sh", "-c", forget]).ok()

    busy.run("start", "app", cwd=project).ok()

    (after,) = busy.run("network", "inspect", "ext").ok().json()
    assert after["IPAM"] == before["IPAM"]


def test_containers_join_and_leave_networks(busy: Host, project: Path) -> None:
    """While they run: with an address, a name, a way out, and published ports that go on; after a restart too."""
    busy.run("network", "create", "late", "--subnet", "10.78.0.0/24").ok()
    app = ("container", "exec", "demo-app-1")
    busy.run("network", "connect", "--alias", "other", "--ip", "10.78.0.9", "late", "demo-app-1").ok()
    assert "inet 10.78.0.9/24" in busy.run(*app, "ip", "address").ok().stdout
    assert "10.78.0.9" in busy.run(*app, "nslookup", "other").ok().stdout
    assert "already" in busy.run("network", "connect", "late", "demo-app-1").exited(1).stderr
    assert "in use by demo-app-1" in busy.run("network", "rm", "late").exited(1).stderr
    busy.run("container", "restart", "-t", "0", "demo-app-1").ok()
    assert "inet 10.78.0.9/24" in busy.run(*app, "ip", "address").ok().stdout

    for network in ("late", "ext"):
        busy.run("network", "disconnect", network, "demo-app-1").ok()
        assert "is not on" in busy.run("network", "disconnect", network, "demo-app-1").exited(1).stderr
    text = busy.run(*app, "ip", "address").ok().stdout
    assert "10.78." not in text
    assert "10.77." not in text
    assert "default via" in busy.run(*app, "ip", "route").ok().stdout
    busy.run("container", "exec", "-d", "demo-app-1", "nc", "-l", "-p", "80", "-e", "echo", "answer").ok()
    fetch = ["/bin/busybox", "nc", "127.0.0.1", "8080"]
    eventually(lambda: busy.command(fetch).stdout == "answer\n")
    busy.run("network", "connect", "ext", "demo-job-1").ok()
    busy.run("network", "rm", "late").ok()


def test_system(busy: Host, project: Path) -> None:
    """`df` counts, info tells, prune takes what nobody needs and leaves the rest."""
    busy.run("network", "create", "spare").ok()
    rows = busy.run("system", "df", "--format", "json").ok().json()
    assert {row["Type"]: (row["TotalCount"], row["Active"]) for row in rows} == {
        "Images": ("1", "1"),
        "Containers": ("2", "1"),
        "Local Volumes": ("3", "3"),
        "Build Cache": ("0", "0"),
    }
    assert "demo_named" in busy.run("system", "df", "-v").ok().stdout
    info = busy.run("system", "info", "-f", "json").ok().json()
    assert (info["Containers"], info["ContainersRunning"], info["Images"]) == (2, 1, 1)

    gone = busy.run("system", "prune", "-af", "--volumes").ok().stdout

    assert "demo-job-1" in gone
    assert "spare" in gone
    assert states(busy) == {"demo-app-1": "running"}
    assert len(names(busy, "volume", "ls", "-q")) == 3
    assert names(busy, "image", "ls", "-q") != []


def test_nothing_goes_without_being_asked(busy: Host) -> None:
    """`prune` asks; "no" and an empty answer leave everything."""
    busy.run("volume", "create", "kept").ok()
    busy.run("volume", "prune", "-a", stdin="n\n")
    busy.run("volume", "prune", "-a", stdin="")
    assert "--dry-run" in busy.run("--dry-run", "volume", "prune", "-af").exited(1).stderr
    assert names(busy, "volume", "ls", "-q") == ["kept"]
    busy.run("volume", "rm", "kept").ok()
    assert "no such volume" in busy.run("volume", "rm", "kept").exited(1).stderr
    busy.run("volume", "rm", "-f", "kept").ok()


def test_bad_requests(busy: Host) -> None:
    """Names, drivers and subnets that can't be are refused with a reason."""
    for arguments, reason in (
        (("volume", "create", "../x"), "not a volume name"),
        (("volume", "create", "xx", "-d", "nfs"), "unknown driver"),
        (("network", "create", "a/b"), "not a valid name"),
        (("network", "create", "x", "--subnet", "10.0.0.0/99"), "not appear to be"),
        (("network", "rm", "nothing"), "not found"),
    ):
        assert reason in busy.run(*arguments).exited(1).stderr
    busy.run("network", "create", "twice").ok()
    assert "already exists" in busy.run("network", "create", "twice").exited(1).stderr
    busy.run("network", "rm", "twice").ok()
