"""`gateway_mode_ipv4` and its kin, and options of a container's place on a network, as a compose file says them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tests.support.http import fetch
from tests.support.netlab import ip
from tests.support.requires import requires
from tests.support.scenario import HOST_ADDRESS, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.scenario import Host, Hosts

pytestmark = requires("ip")
SLEEPS = "command: [sleep, '1000'], init: true, stop_signal: SIGKILL"
ROUTED = """
services:
  web:
    image: busybox
    command: [sh, -c, 'echo "I am web" >/srv/index.html; exec httpd -f -p 80 -h /srv']
    stop_signal: SIGKILL
    networks: {n: {ipv4_address: 10.83.1.5}}
    ports: ["8080:80", "127.0.0.1:8081:80"]
networks:
  n:
    driver_opts: {com.docker.network.bridge.gateway_mode_ipv4: routed}
    ipam: {config: [{subnet: 10.83.1.0/24}]}
"""


def test_a_published_port_of_a_routed_network(hosts: Hosts, busybox_tar: Path) -> None:
    """It is reached at the container's own address, the host's port isn't taken, also after a supervisor is killed.

    A port of one address of the machine is nowhere, which is said.
    """
    host = hosts(neighbour=True)
    host.run("image", "import", busybox_tar, "busybox").ok()
    folder = host.project({"compose.yaml": ROUTED})
    warned = host.run("up", "-d", cwd=folder).ok().stderr
    host.outside(partial(ip, "route", "add", "10.83.1.0/24", "via", HOST_ADDRESS))

    def served(url: str) -> str:
        return host.outside(lambda: fetch(url, timeout_s=5))

    eventually(lambda: served("http://10.83.1.5/") == "I am web\n")
    taken = host.command(["cat", "/proc/net/tcp"]).ok().stdout
    supervisor = host.process("pycompose.supervisor")
    host.kill("pycompose.supervisor")
    host.process("pycompose.supervisor", supervisor)
    eventually(lambda: host.run("ps", "-q", cwd=folder).code == 0)
    host.command(["nft", "delete", "table", "inet", "pyc_demo"]).ok()
    eventually(lambda: "pyc_demo" in host.command(["nft", "list", "tables"]).stdout)
    again = served("http://10.83.1.5/")
    listed = host.run("ps", "--format", "{{.Ports}}", cwd=folder).ok().stdout
    host.run("down", cwd=folder).ok()

    assert again == "I am web\n"
    assert "service web: ports: 127.0.0.1:8081:80 has no effect: network demo_n is routed" in warned
    assert "8080" not in warned
    assert f":{8080:04X} " not in taken
    assert "->" not in listed


def test_options_of_an_endpoint(busy: Host) -> None:
    """com.docker.network.endpoint.sysctls and ….ifname: in the file, for `network connect --driver-opt` and `run`."""
    sysctls = "com.docker.network.endpoint.sysctls"
    name = "com.docker.network.endpoint.ifname"
    martians = "net.ipv4.conf.IFNAME.log_martians=1"
    folder = busy.project(
        {
            "compose.yaml": f"""
services:
  a:
    image: busybox
    command: [sleep, '1000']
    init: true
    stop_signal: SIGKILL
    networks: {{default: {{driver_opts: {{{sysctls}: "{martians}", {name}: mine0}}}}}}
"""
        }
    )
    busy.run("up", "-d", cwd=folder).ok()
    busy.run("network", "create", "more").ok()
    wrong = busy.run("network", "connect", "--driver-opt", f"{sysctls}=nothing", "more", "demo-a-1").exited(1)
    idle = busy.run(
        "network", "connect", "--driver-opt", f"{name}=more0", "--driver-opt", "a=b", "more", "demo-a-1"
    ).ok()
    read = "ls /sys/class/net; cat /proc/sys/net/ipv4/conf/mine0/log_martians"
    seen = busy.run("container", "exec", "demo-a-1", "sh", "-c", read).ok().stdout
    joined = f'name=more,"driver-opt={sysctls}={martians}"'
    once = busy.run(
        *("container", "run", "--rm", "--network", joined, "busybox"),
        *("cat", "/proc/sys/net/ipv4/conf/eth0/log_martians"),
    ).ok()
    shown = busy.run("container", "inspect", "demo-a-1").ok().json()[0]["NetworkSettings"]["Networks"]
    busy.run("down", cwd=folder).ok()
    busy.run("network", "rm", "more").ok()

    assert "'nothing' is not net.X.Y.IFNAME.Z=VALUE" in wrong.stderr
    assert "--driver-opt a without effect: no driver here has it" in idle.stderr
    assert seen.split() == ["lo", "mine0", "more0", "1"]
    assert once.stdout == "1\n"
    assert shown["demo_default"]["DriverOpts"] == {sysctls: martians, name: "mine0"}


def test_a_wrong_network_is_refused_before_anything_is_made(busy: Host) -> None:
    """With its place in the file; no other network and no volume is there then."""
    folder = busy.project(
        {
            "compose.yaml": f"""
services:
  a: {{image: busybox, {SLEEPS}, networks: [good, wrong], volumes: ["data:/data"]}}
networks:
  good: {{}}
  wrong: {{ipam: {{config: [{{subnet: 10.83.2.5/24}}]}}}}
volumes: {{data: {{}}}}
"""
        }
    )
    told = busy.run("up", "-d", cwd=folder).exited(1).stderr
    networks = busy.run("network", "ls", "-q", "--filter", "name=demo").ok().stdout
    volumes = busy.run("volume", "ls", "-q").ok().stdout

    assert "compose.yaml:6:36: networks.wrong.ipam.config[0].subnet: invalid subnet 10.83.2.5/24" in told
    assert networks == volumes == ""
