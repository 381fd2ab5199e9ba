"""Keys of a compose file whose effect is seen from outside, or by several containers together."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.scenario import eventually

if TYPE_CHECKING:
    from tests.support.scenario import Host

WAIT = "init: true, command: [sleep, '1000']"
NETWORKS = f"""
services:
  a:
    {{image: busybox, {WAIT}, networks: {{
      one: {{ipv4_address: 10.214.1.9, ipv6_address: 'fd00:77::9', mac_address: '02:00:00:00:00:09',
            interface_name: lan0, gw_priority: 1, aliases: [alias]}},
      two: {{priority: 100}}}}}}
  b: {{image: busybox, {WAIT}, networks: [one]}}
  c: {{image: busybox, {WAIT}, networks: [one]}}
  d: {{image: busybox, {WAIT}, networks: [two], ports: ['47202:80']}}
  six: {{image: busybox, {WAIT}, networks: [six]}}
networks:
  one:
    enable_ipv6: true
    labels: {{kind: test}}
    driver_opts: {{com.docker.network.driver.mtu: 1400, com.docker.network.bridge.name: keys0}}
    ipam:
      config:
        - {{subnet: 10.214.1.0/24, ip_range: 10.214.1.128/30, gateway: 10.214.1.2,
           aux_addresses: {{other: 10.214.1.129}}}}
        - {{subnet: 'fd00:77::/64'}}
  two: {{driver: bridge, driver_opts: {{com.docker.network.bridge.host_binding_ipv4: 127.0.0.1}}}}
  six: {{enable_ipv4: false, enable_ipv6: true}}
"""
INSPECTED = {
    "annotations": ("annotations: {a: b}", "{{json .HostConfig.Annotations}}", {"a": "b"}),
    "expose": ("expose: ['81', '82/udp']", "{{json .Config.ExposedPorts}}", {"81/tcp": {}, "82/udp": {}}),
    "label_file": ("label_file: ./labels", '{{json (index .Config.Labels "from.file")}}', "yes"),
    "labels": ("labels: {a: b}", '{{json (index .Config.Labels "a")}}', "b"),
    "blkio_config": (
        (
            "blkio_config: {device_read_iops: [{path: /dev/loop0, rate: 8}],"
            " device_write_bps: [{path: /dev/loop0, rate: 1mb}]}"
        ),
        "[{{json .HostConfig.BlkioDeviceReadIOps}},{{json .HostConfig.BlkioDeviceWriteBps}}]",
        [[{"Path": "/dev/loop0", "Rate": 8}], [{"Path": "/dev/loop0", "Rate": 1048576}]],
    ),
    "container_name": ("container_name: other-name", "{{json .Name}}", "/other-name"),
}


def inside(host: Host, service: str, script: str) -> str:
    """Return what a script prints in a service of the project `demo`."""
    return host.run("exec", "-T", service, "sh", "-c", script, cwd=host.folder / "demo").ok().stdout


def up(host: Host, text: str, *files: tuple[str, str]) -> None:
    """Bring a project up."""
    project = host.project({"compose.yaml": text, **dict(files)})
    host.run("up", "-d", cwd=project).ok()


def down(host: Host) -> None:
    """Take it down."""
    host.run("down", "-v", "-t", "0", cwd=host.folder / "demo").ok()


def test_networks(busy: Host) -> None:
    """Addresses, names of interfaces, order, routes, MTU; who is given which address."""
    up(busy, NETWORKS)
    addresses = inside(busy, "a", "ip -o addr show dev lan0")
    route = inside(busy, "a", "ip route show default")
    mtu = inside(busy, "a", "cat /sys/class/net/lan0/mtu /sys/class/net/lan0/address")
    interfaces = inside(busy, "a", "ls /sys/class/net")
    others = {inside(busy, name, "ip -4 -o addr show dev eth0").split()[3] for name in "bc"}
    found = inside(busy, "b", "nslookup alias")
    port = busy.run("port", "d", "80", cwd=busy.folder / "demo").ok().stdout
    six = inside(busy, "six", "ip -o addr show dev eth0 scope global")
    shown = busy.run("network", "inspect", "demo_one").ok().json()[0]
    link = busy.command(["ip", "-o", "link", "show", "dev", "keys0"]).ok().stdout
    down(busy)

    assert "10.214.1.9/24" in addresses
    assert "fd00:77::9/64" in addresses
    assert "via 10.214.1.2 dev lan0" in route
    assert mtu == "1400\n02:00:00:00:00:09\n"
    assert interfaces.split() == ["eth0", "lan0", "lo"]  # the other one is of the higher priority
    assert others <= {"10.214.1.128/24", "10.214.1.130/24", "10.214.1.131/24"}
    assert "10.214.1.9" in found
    assert "inet6" in six
    assert "inet " not in six
    assert shown["Labels"]["kind"] == "test"
    assert "mtu 1400" in link
    assert port == "127.0.0.1:47202\n"


@pytest.mark.parametrize("key", INSPECTED)
def test_inspected(busy: Host, key: str) -> None:
    """What is there for tools is where they look for it."""
    text, template, wanted = INSPECTED[key]
    up(busy, f"services: {{a: {{image: busybox, {WAIT}, {text}}}}}", ("labels", "from.file=yes\n"))
    ids = busy.run("ps", "-q", cwd=busy.folder / "demo").ok().stdout.split()
    shown = busy.run("container", "inspect", "-f", template, *ids).ok().stdout
    down(busy)

    assert json.loads(shown) == wanted


def test_an_anonymous_volume_has_its_labels(busy: Host) -> None:
    """As Docker has it; those of a volume with a name are said where it is declared."""
    mount = "volumes: [{type: volume, target: /data, volume: {labels: {mine: 'yes'}}}, 'named:/named']"
    up(
        busy,
        f"services: {{a: {{image: busybox, {WAIT}, {mount}}}}}\nvolumes: {{named: {{labels: {{kind: k}}}}}}\n",
    )
    anonymous = busy.run("volume", "ls", "-q", "-f", "label=mine=yes").ok().stdout.split()
    named = busy.run("volume", "ls", "-q", "-f", "label=kind=k").ok().stdout.split()
    down(busy)

    assert len(anonymous) == 1
    assert named == ["demo_named"]


def test_an_image_as_a_volume(busy: Host, busybox_tar: Any) -> None:
    """A folder of another image, read-only."""
    busy.run("image", "import", busybox_tar, "files").ok()
    mount = "volumes: [{type: image, source: files, target: /img, image: {subpath: etc}}]"
    up(busy, f"services: {{a: {{image: busybox, {WAIT}, {mount}}}}}")
    seen = inside(busy, "a", "grep -c ^app: /img/passwd; touch /img/x 2>&1 | grep -c Read-only")
    down(busy)

    assert seen == "1\n1\n"


def test_hooks(busy: Host) -> None:
    """Rights, folder, user and variables of a hook, and the image of an init container."""
    look = "command: [sh, -c, 'echo $$(id -u) $$PWD $$A $$(grep CapEff /proc/self/status) >>/data/said']"
    text = f"""
services:
  a:
    image: busybox
    init: true
    command: [sleep, '1000']
    volumes: ['data:/data']
    pre_start:
      - {{{look}, image: other, user: "0", working_dir: /tmp, environment: {{A: first}}, privileged: true}}
    post_start:
      - {{{look}, working_dir: /srv, environment: {{A: second}}, privileged: true}}
      - {{{look}, environment: {{A: third}}}}
volumes: {{data: }}
"""
    busy.run("image", "tag", "busybox", "other").ok()
    up(busy, text)
    said = inside(busy, "a", "cat /data/said").splitlines()
    images = busy.run("container", "ls", "-a", "--format", "{{.Image}}").ok().stdout.split()
    down(busy)

    everything, some = r"0000[0-9a-f]{2}fff[ef]ffffff", "00000000a80425fb"
    assert re.fullmatch(rf"0 /tmp first CapEff: {everything}", said[0].replace("\t", " "))
    assert re.fullmatch(rf"0 /srv second CapEff: {everything}", said[1].replace("\t", " "))
    assert said[2].replace("\t", " ") == f"0 / third CapEff: {some}"
    assert {"busybox", "other"} >= set(images)


def test_names_of_other_projects(busy: Host) -> None:
    """`external_links` is another container under another name, `volumes_from: container:` its mounts."""
    busy.run(
        "container", "run", "-d", "--init", "--name", "far", "-v", "/shared", "busybox", "sleep", "1000"
    ).ok()
    busy.run("container", "exec", "far", "touch", "/shared/file").ok()
    shared = "networks: {default: {name: bridge, external: true}}"
    own = "external_links: ['far:near'], volumes_from: ['container:far']"
    up(busy, f"services: {{a: {{image: busybox, {WAIT}, {own}}}}}\n{shared}")
    seen = inside(busy, "a", "ls /shared; nslookup near >/dev/null && echo found")
    down(busy)
    busy.run("container", "rm", "-fv", "far").ok()

    assert seen == "file\nfound\n"


def test_projects_out_of_several_files(busy: Host) -> None:
    """`include` with a directory and variables of its own, and `extends` of another file."""
    project = busy.project(
        {
            "compose.yaml": "name: named\n"
            "include: [{path: sub/inner.yaml, project_directory: sub, env_file: inner.env}]\n"
            "services: {a: {extends: {file: base.yaml, service: base}}}\n",
            "base.yaml": "services: {base: {image: busybox, command: [echo, extended]}}\n",
            "inner.env": "WORD=included\n",
            "sub/inner.yaml": "services: {b: {image: busybox, command: [sh, -c, 'echo $WORD; cat /m/file'],"
            " volumes: ['./m:/m']}}\n",
            "sub/m/file": "below\n",
        }
    )
    busy.run("up", "--no-log-prefix", cwd=project).ok()
    said = busy.run("logs", "--no-log-prefix", cwd=project).ok().stdout
    listed = busy.run("ls", "-a", "-q").ok().stdout
    busy.run("down", cwd=project).ok()

    assert sorted(said.split()) == ["below", "extended", "included"]
    assert listed == "named\n"


def test_builds(busy: Host) -> None:
    """What steps see of `build:`, and what the image has of it."""
    folder = busy.project(
        {
            "Dockerfile": "FROM busybox AS one\nRUN ulimit -n >/seen; df -k /dev/shm | awk 'END {print $2}' >>/seen\n"
            "RUN grep -c 9.9.9.9 /etc/hosts >>/seen; ls /sys/class/net | wc -l >>/seen\n"
            "RUN cat /proc/sys/kernel/random/uuid >/one\nFROM one AS two\nRUN cat /proc/sys/kernel/random/uuid >/two\n"
            "FROM two AS three\nRUN false\n",
            "compose.yaml": "",
        }
    )
    build = "context: ., target: two, network: none, ulimits: {nofile: 77}, shm_size: 1m, labels: {a: b},"
    build += " tags: [further], extra_hosts: ['h:9.9.9.9']"

    def built(more: str) -> list[str]:
        text = f"services: {{a: {{image: it, build: {{{build}{more}}}}}}}"
        (folder / "compose.yaml").write_text(text, encoding="utf-8")
        busy.run("build", cwd=folder).ok()
        return busy.run("container", "run", "--rm", "it", "cat", "/one", "/two", "/seen").ok().stdout.split()

    first = built("")
    (shown,) = busy.run("image", "inspect", "further").ok().json()
    again = built("")
    some, none = built(", no_cache_filter: [two]"), built(", no_cache: true")

    assert first[2:] == ["77", "1024", "1", "1"]
    assert shown["Config"]["Labels"]["a"] == "b"
    assert again == first
    assert (some[0] == first[0], some[1] == first[1]) == (True, False)
    assert none[0] != first[0]


def test_entitlements_of_a_build(busy: Host) -> None:
    """`network.host` and `security.insecure` are for steps that ask for them, `privileged` is the latter."""
    dockerfile = "FROM busybox\nRUN --security=insecure grep CapEff /proc/self/status >/seen\n"
    folder = busy.project({"Dockerfile": dockerfile, "compose.yaml": ""})
    for more, code in (("", 1), (", entitlements: [security.insecure]", 0), (", privileged: true", 0)):
        text = f"services: {{a: {{image: it, build: {{context: .{more}}}}}}}"
        (folder / "compose.yaml").write_text(text, encoding="utf-8")
        busy.run("build", "--no-cache", cwd=folder).exited(code)
    assert "fffff" in busy.run("container", "run", "--rm", "it", "cat", "/seen").ok().stdout
    (folder / "Dockerfile").write_text("FROM busybox\nRUN --network=host true\n", encoding="ascii")
    for more, code in (("", 1), (", network: host", 0), (", entitlements: [network.host]", 0)):
        text = f"services: {{a: {{image: it, build: {{context: .{more}}}}}}}"
        (folder / "compose.yaml").write_text(text, encoding="utf-8")
        busy.run("build", "--no-cache", cwd=folder).exited(code)


def test_health(busy: Host) -> None:
    """Kinds of tests, how long one may take, how many may fail, and when failures don't count yet."""
    checks = {
        "cmd": "test: [CMD, 'true']",
        "shell": "test: [CMD-SHELL, 'test -e /proc && true']",
        "none": "test: [NONE]",
        "slow": "test: [CMD, sleep, '60'], timeout: 200ms, retries: 1",
        "many": "test: [CMD, 'false'], retries: 1000",
        "early": "test: [CMD, 'false'], retries: 1, start_period: 1h, start_interval: 100ms",
        "late": "test: [CMD, 'false'], retries: 1",
    }
    services = "".join(
        f"  {name}: {{image: busybox, {WAIT}, healthcheck: {{interval: 100ms, {check}}}}}\n"
        for name, check in checks.items()
    )
    up(busy, f"services:\n{services}")
    wanted = {"cmd": "healthy", "shell": "healthy", "none": "", "slow": "unhealthy", "many": "starting",
              "early": "starting",
              "late": "unhealthy"}  # fmt: skip

    def states() -> dict[str, str]:
        rows = busy.run("ps", "--format", "{{.Service}} {{.Health}}", cwd=busy.folder / "demo").ok().stdout
        return {words[0]: "".join(words[1:]) for words in map(str.split, rows.splitlines())}

    eventually(lambda: states() == wanted)
    failed = busy.run("inspect", "-f", "{{.State.Health.FailingStreak}}", "demo-many-1").ok().stdout
    down(busy)

    assert int(failed) > 1


def test_propagation(busy: Host) -> None:
    """What is mounted inside is seen outside only with `shared`, and inside what is mounted outside with `slave`."""
    shared = busy.folder / "shared"
    (shared / "inner").mkdir(parents=True)
    busy.command(["mount", "-t", "tmpfs", "--make-shared", "top", str(shared)]).ok()
    for word, options in (
        ("shared", "shared:"),
        ("rshared", "shared:"),
        ("slave", "master:"),
        ("private", ""),
        ("rprivate", ""),
    ):
        mount = f"-v{shared}:/mnt:{word}"
        line = (
            busy.run("container", "run", "--rm", mount, "busybox", "grep", " /mnt ", "/proc/self/mountinfo")
            .ok()
            .stdout
        )
        found = line.partition(" - ")[0].split()[6:]
        assert "".join(found).startswith(options) if options else not found, (word, line)
    busy.command(["umount", str(shared)]).ok()


def test_propagation_that_would_be_without_effect(busy: Host) -> None:
    """Docker's rule: only what is shared on the machine can be shared with a container."""
    place = busy.folder / "apart"
    place.mkdir()
    busy.command(["mount", "-t", "tmpfs", "--make-private", "top", str(place)]).ok()
    for word, ties in (("rshared", "a shared"), ("shared", "a shared"), ("slave", "a shared or slave")):
        refused = busy.run("container", "run", "--rm", f"-v{place}:/mnt:{word}", "busybox", "true").exited(
            125
        )
        assert f"path {place} is mounted on {place} but it is not {ties} mount" in refused.stderr
    busy.command(["umount", str(place)]).ok()


def test_a_container_that_cannot_be_made_leaves_no_volumes(busy: Host) -> None:
    """Its anonymous ones were made for nobody else."""
    bind = "{type: bind, source: ./nosuch, target: /x, bind: {create_host_path: false}}"
    text = f"services: {{a: {{image: busybox, command: 'true', volumes: [/data, {bind}]}}}}"
    folder = busy.project({"compose.yaml": text})
    assert "source path does not exist" in busy.run("up", "-d", cwd=folder).exited(1).stderr
    busy.run("down", cwd=folder).ok()
    assert busy.run("volume", "ls", "-q").ok().stdout == ""


def test_a_directory_without_devices(busy: Host) -> None:
    """It is none, as for Docker: nothing that was asked for is missing without a word."""
    (busy.folder / "empty/within").mkdir(parents=True)
    text = f"services: {{a: {{image: busybox, command: 'true', devices: ['{busy.folder}/empty:/dev/x']}}}}"
    folder = busy.project({"compose.yaml": text})
    assert "empty: not a device node" in busy.run("up", "-d", cwd=folder).exited(1).stderr
    busy.run("down", cwd=folder).ok()


def test_a_shell_that_is_told_of_another_machine(busy: Host) -> None:
    """`setarch i686` is for programs with 32 bits that are built in it; containers are those of the machine."""
    folder = busy.project({"compose.yaml": "services: {a: {image: busybox, command: uname -m}}"})
    shown = busy.command(["setarch", "i686", "pycompose", "up", "--no-log-prefix"], cwd=folder).ok()
    busy.command(["setarch", "i686", "pycompose", "down"], cwd=folder).ok()
    assert f"{os.uname().machine}\n" in shown.stdout


def test_what_config_shows(busy: Host) -> None:
    """Names and protocols that are for readers, and for programs that read it."""
    text = """
services:
  a:
    image: busybox
    ports: [{target: 80, published: "8080", name: front, app_protocol: http}]
    secrets: [s]
    configs: [c]
secrets: {s: {file: ./s, name: the-secret}}
configs: {c: {content: x, name: the-config}}
"""
    folder = busy.project({"compose.yaml": text})
    shown = json.loads(busy.run("config", "--format", "json", cwd=folder).ok().stdout)

    port = {
        "name": "front",
        "app_protocol": "http",
        "mode": "ingress",
        "target": 80,
        "published": "8080",
        "protocol": "tcp",
    }
    assert shown["services"]["a"]["ports"] == [port]
    assert (shown["secrets"]["s"]["name"], shown["configs"]["c"]["name"]) == ("the-secret", "the-config")


def test_what_is_watched(busy: Host) -> None:
    """Names that are included and ignored; files that stay outside until they change."""
    rule = (
        "{path: src, action: sync, target: /srv, include: ['*.py'], ignore: ['no.py'], initial_sync: false}"
    )
    text = f"services: {{a: {{image: busybox, {WAIT}, develop: {{watch: [{rule}]}}}}}}"
    folder = busy.project({"compose.yaml": text, "src/old.py": "old"})
    os.utime(folder / "src/old.py", (10**9, 10**9))
    watching = busy.spawn("watch", cwd=folder)
    watching.expect("^Watch enabled")
    for name in ("no.py", "a.txt", "b.py"):
        (folder / "src" / name).write_text("new", encoding="ascii")
    eventually(lambda: "b.py" in busy.run("exec", "-T", "a", "ls", "/srv", cwd=folder).stdout)
    found = inside(busy, "a", "ls /srv").split()
    watching.interrupt()
    watching.wait()
    down(busy)

    assert found == ["b.py"]
