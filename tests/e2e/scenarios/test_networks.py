"""Who reaches whom under which name, and where addresses come from."""

from __future__ import annotations

import re

import pytest

from tests.support.scene import Scene

WAIT = "[sh, -c, 'trap exit TERM; sleep 1000 & wait']"
NET = f"""
x-service: &service
  image: busybox
  command: {WAIT}
services:
  web:
    <<: *service
    networks: [front, back]
    links: ["db:database"]
  db:
    <<: *service
    container_name: PROJECT-the-db
    networks:
      back: {{aliases: [store, primary], ipv4_address: 10.213.77.40}}
  many:
    <<: *service
    scale: 2
    networks: [back]
  front:
    <<: *service
    hostname: front-host
    networks: [front]
  inner:
    <<: *service
    networks: [inside]
  shares:
    <<: *service
    network_mode: "service:front"
  default: *service
networks:
  front:
  back: {{ipam: {{config: [{{subnet: 10.213.77.0/24, ip_range: 10.213.77.128/25, gateway: 10.213.77.1}}]}}}}
  inside: {{internal: true, name: PROJECT-by-name}}
"""


def resolve(scene: Scene, service: str, name: str) -> set[str]:
    """Return the IPv4 addresses that `name` has for `service`."""
    text = scene.compose("exec", "-T", service, "timeout", "2", "nslookup", name, code=None).stdout
    return set(re.findall(r"^Address(?: \d+)?: ([0-9.]+)$", text, re.MULTILINE))


def execute(scene: Scene, service: str, script: str) -> str:
    """Return what a script prints in a service."""
    return scene.compose("exec", "-T", service, "sh", "-c", script, code=None).stdout


class TestNames:
    """One project with several networks."""

    @pytest.fixture(scope="class")
    @classmethod
    def net(cls, stage: Scene) -> Scene:
        """Start it."""
        stage.up(NET)
        return stage

    @pytest.mark.parametrize(
        "name",
        ("db", "store", "primary", "PROJECT-the-db", "database"),
        ids=("service", "alias", "alias2", "name", "link"),
    )
    def test_names(self, net: Scene, name: str) -> None:
        """A service must be found by its name, its aliases, its container's name and links."""
        assert resolve(net, "web", name.replace("PROJECT", net.project)) == {"10.213.77.40"}

    def test_replicas(self, net: Scene) -> None:
        """The name of a service must have the addresses of all its replicas, and each replica its own name."""
        addresses = {item.addresses[f"{net.project}_back"] for item in net.containers("many")}
        assert len(addresses) == 2
        assert resolve(net, "db", "many") == addresses
        assert len(resolve(net, "db", f"{net.project}-many-1")) == 1

    def test_other_networks(self, net: Scene) -> None:
        """A service must not be found from a network it isn't on."""
        assert not resolve(net, "front", "db")
        assert not resolve(net, "default", "web")
        assert resolve(net, "front", "web") == {net.one("web").addresses[f"{net.project}_front"]}

    def test_reached(self, net: Scene) -> None:
        """Addresses must be reached on the same network, and not from another one."""
        assert "0% packet loss" in execute(net, "web", "ping -c 1 -W 2 10.213.77.40")
        assert "100% packet loss" in execute(net, "front", "ping -c 1 -W 1 10.213.77.40")

    def test_ip_range(self, net: Scene) -> None:
        """Addresses must come from `ip_range`, the fixed one from the subnet."""
        address = net.one("web").addresses[f"{net.project}_back"]
        assert 128 <= int(address.rpartition(".")[2]) <= 254

    def test_interfaces(self, net: Scene) -> None:
        """A service must have an interface per network."""
        assert execute(net, "web", "ls /sys/class/net").split() == ["eth0", "eth1", "lo"]

    def test_internal(self, net: Scene) -> None:
        """An internal network must have no way out, and its own name."""
        assert "default" not in execute(net, "inner", "ip route")
        assert f"{net.project}-by-name" in net.engine.networks()
        assert resolve(net, "inner", "inner") == set(net.one("inner").addresses.values())

    def test_shared_network(self, net: Scene) -> None:
        """`network_mode: service:X` must be X's network, host name and all."""
        script = "cat /sys/class/net/eth0/address; hostname; ip -4 -o addr show eth0"
        assert execute(net, "shares", script) == execute(net, "front", script)
        assert "front-host" in execute(net, "shares", "hostname")

    def test_hosts_file(self, net: Scene) -> None:
        """/etc/hosts must have the own name and localhost."""
        text = execute(net, "front", "cat /etc/hosts")
        address = net.one("front").addresses[f"{net.project}_front"]
        assert re.search(rf"^{re.escape(address)}\s+front-host$", text, re.MULTILINE)
        assert re.search(r"^127\.0\.0\.1\s+localhost$", text, re.MULTILINE)

    def test_localhost(self, net: Scene) -> None:
        """The loopback must work."""
        assert "0% packet loss" in execute(net, "front", "ping -c 1 -W 2 127.0.0.1")

    def test_gateway(self, net: Scene) -> None:
        """The default route must lead to the gateway that the file names."""
        assert "via 10.213.77.1 " in execute(net, "db", "ip route show default")

    def test_default_network(self, net: Scene) -> None:
        """Services without networks must be on PROJECT_default."""
        assert set(net.one("default").addresses) == {f"{net.project}_default"}


def test_new_address_is_found(scene: Scene) -> None:
    """A replacement must be found under the old names at once."""
    text = f"services: {{a: {{image: busybox, command: {WAIT}}}, b: {{image: busybox, command: {WAIT}}}}}"
    scene.up(text)
    assert resolve(scene, "a", "b") == set(scene.one("b").addresses.values())
    scene.compose("up", "-d", "--force-recreate", "b")
    assert resolve(scene, "a", "b") == set(scene.one("b").addresses.values())
    scene.compose("stop", "b")
    assert not resolve(scene, "a", "b")


def test_address_is_kept(scene: Scene) -> None:
    """A service that is made anew must keep its address."""
    scene.up(f"services: {{a: {{image: busybox, command: {WAIT}}}, b: {{image: busybox, command: {WAIT}}}}}")
    before = scene.one("a").addresses
    scene.compose("up", "-d", "--force-recreate", "--scale", "b=3")
    kept = scene.one("a").addresses == before
    if scene.differs("address-kept", docker=False, pycompose=True):
        assert kept


def test_changed_network(scene: Scene) -> None:
    """A changed network must be made anew; who is on it must be started again, as it was, and others left alone."""
    text = """
services:
  web: {image: busybox, command: [sh, -c, "trap exit TERM; sleep 1000 & wait"], networks: [front, back]}
  db: {image: busybox, command: [sh, -c, "trap exit TERM; sleep 1000 & wait"], networks: [back]}
networks:
  front: {labels: {version: "1"}}
  back:
"""
    scene.up(text)
    scene.compose("exec", "-T", "web", "touch", "/kept")
    with scene.restarts("web-1"):
        scene.up(text.replace('"1"', '"2"'))
    scene.compose("exec", "-T", "web", "ls", "/kept")
    scene.compose("exec", "-T", "web", "nslookup", "db")
    scene.compose("exec", "-T", "db", "nslookup", "web")


def test_external_network(scene: Scene) -> None:
    """An external network must connect two projects, and outlive the one that only uses it."""
    scene.up(f"services: {{a: {{image: busybox, command: {WAIT}}}}}")
    other = f"{scene.project}x"
    text = f"services: {{b: {{image: busybox, command: {WAIT}}}}}\n"
    text += "networks: {default: {external: true, name: PROJECT_default}}\n"
    scene.file("other/compose.yaml", text)
    scene.compose("-p", other, "-f", "other/compose.yaml", "up", "-d")
    assert resolve(scene, "a", "b")
    scene.compose("-p", other, "-f", "other/compose.yaml", "down", "-t", "1")
    assert scene.networks() == {"default"}
    assert not resolve(scene, "a", "b")


@pytest.mark.parametrize(
    ("ports", "key"),
    (
        ('"47130:80"', "80/tcp"),
        ('"127.0.0.1:47130:80"', "80/tcp"),
        ('"80"', "80/tcp"),
        ("{target: 80, published: '47130', host_ip: 127.0.0.1, protocol: tcp}", "80/tcp"),
        ('"47130-47139:80"', "80/tcp"),
    ),
    ids=("fixed", "loopback", "random", "long", "range"),
)
def test_published(stage: Scene, ports: str, key: str) -> None:
    """A published port must be answered on the machine, in every form."""
    stage.up(
        f"""
services:
  web:
    image: busybox
    command: [sh, -c, "while true; do echo hello | nc -l -p 80; done"]
    stop_grace_period: 0s
    ports: [{ports}]
"""
    )
    (port,) = stage.one("web").ports[key]
    assert stage.eventually(lambda: stage.engine.connect(port)) == "hello\n"


def test_range_of_ports(scene: Scene) -> None:
    """A range to a range must publish one by one."""
    scene.up(
        f"services: {{a: {{image: busybox, command: {WAIT}, ports: ['47140-47142:80-82', '47143:53/udp']}}}}"
    )
    wanted = {"80/tcp": (47140,), "81/tcp": (47141,), "82/tcp": (47142,), "53/udp": (47143,)}
    assert dict(scene.one("a").ports) == wanted


def test_port_comes_free(scene: Scene) -> None:
    """A port must be free again after `stop`, and taken again after `start`."""
    service = f"{{image: busybox, command: {WAIT}, ports: ['47150:80']}}"
    scene.up(f"services: {{a: {service}, b: {service}}}", "a")
    scene.compose("stop", "a")
    scene.compose("up", "-d", "b")
    assert scene.one("b").ports == {"80/tcp": (47150,)}
    scene.compose("start", "a", code=1)


def test_a_network_that_somebody_is_on(scene: Scene) -> None:
    """`down` must leave a network with others on it, say so once, and end with 0."""
    scene.up(f"services: {{web: {{image: busybox, command: {WAIT}}}}}")
    network = f"{scene.project}_default"
    guest = scene.named("guest")
    scene.container("run", "-d", "--name", guest, "--network", network, "busybox", "sleep", "1000")
    said = scene.compose("down").stderr
    assert said.count("Resource is still in use") == 1
    assert scene.networks() == {"default"}
    scene.container("rm", "-f", guest)
    scene.compose("down")
    assert not scene.networks()
