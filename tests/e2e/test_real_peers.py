"""Real servers and clients on our networks and volumes: nginx, Redis, PostgreSQL, dnsmasq, mosquitto, iperf3, dig.

All are Debian's own, on `image: host`.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.support.http import fetch
from tests.support.requires import requires
from tests.support.scenario import Host, eventually

NGINX = """
services:
  proxy:
    image: host
    command: nginx -c /nginx.conf
    configs: [{source: nginx, target: /nginx.conf}]
    ports: ["127.0.0.1:8080:80"]
    stop_signal: SIGKILL
  app:
    image: busybox
    command: [sh, -c, 'hostname -i >/srv/index.html; exec httpd -f -p 80 -h /srv']
    stop_signal: SIGKILL
    networks: {default: {ipv4_address: 10.88.1.ADDRESS}}
networks: {default: {ipam: {config: [{subnet: 10.88.1.0/24}]}}}
configs:
  nginx:
    content: |
      daemon off; user root; pid /tmp/nginx.pid; error_log stderr;
      events {}
      http {
        access_log off; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
        uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
        resolver 127.0.0.11 valid=1s;
        proxy_connect_timeout 1s;
        server { listen 80; set $$upstream http://app; location / { proxy_pass $$upstream; } }
      }
"""


@requires("nginx")
def test_nginx_follows_an_upstream_that_moves(busy: Host) -> None:
    """It asks 127.0.0.11 itself, by its `resolver`, and finds the service at each of its addresses."""
    folder = busy.project({"compose.yaml": ""})

    def answer() -> str:
        return busy.inside(lambda: fetch("http://127.0.0.1:8080/")).strip()

    for address in ("11", "12", "13"):
        (folder / "compose.yaml").write_text(NGINX.replace("ADDRESS", address), encoding="utf-8")
        busy.run("up", "-d", cwd=folder).ok()
        eventually(lambda address=address: answer() == f"10.88.1.{address}")  # type: ignore[misc]
    busy.run("down", cwd=folder).ok()


# ---------------------------------------------------------------------- data that is acknowledged is there


def kill_everything(host: Host, *services: str) -> None:
    """Kill what runs the project and what it runs, without a word: supervisor, keeper, all processes of services."""
    host.kill("pycompose.supervisor", "pycompose.engine.keeper", *services)


REDIS = """
services:
  redis:
    image: host
    command: redis-server --dir /data --appendonly yes --appendfsync always --save "" --protected-mode no
    volumes: [data:/data]
    ports: ["127.0.0.1:6379:6379"]
volumes: {data: {}}
"""


def written(commands: Iterator[bytes], until: threading.Event, acknowledged: list[int]) -> None:
    """Send commands to Redis until it is gone; put the numbers of those that it says it has into the list."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", 6379), 5) as redis,
        redis.makefile("rb") as answers,
    ):
        for number, command in enumerate(commands):
            redis.sendall(command)
            if answers.readline() != b"+OK\r\n":
                return
            acknowledged.append(number)
            if number == 200:
                until.set()


@requires("redis-server")
def test_redis_loses_nothing_that_it_has_acknowledged(busy: Host) -> None:
    """Everything is killed while somebody writes; after `up` each acknowledged key is there."""
    folder = busy.project({"compose.yaml": REDIS})
    busy.run("up", "-d", cwd=folder).ok()
    eventually(lambda: busy.run("exec", "-T", "redis", "redis-cli", "ping", cwd=folder).stdout == "PONG\n")
    commands = (f"SET k{number} v{number}\r\n".encode() for number in range(1_000_000))
    acknowledged: list[int] = []
    many = threading.Event()
    # The connection belongs to the machine's network, whoever uses it.
    writer = threading.Thread(target=busy.inside, args=(partial(written, commands, many, acknowledged),))
    writer.start()
    assert many.wait(20)
    kill_everything(busy, "redis-server")
    writer.join()
    busy.run("up", "-d", cwd=folder).ok()
    eventually(lambda: busy.run("exec", "-T", "redis", "redis-cli", "ping", cwd=folder).stdout == "PONG\n")
    names = " ".join(f"k{number}" for number in acknowledged)
    count = busy.run("exec", "-T", "redis", "sh", "-c", f"redis-cli exists {names}", cwd=folder).ok().stdout
    busy.run("down", "-v", cwd=folder).ok()

    assert len(acknowledged) > 200
    assert count == f"{len(acknowledged)}\n"


POSTGRES = """
services:
  data: {image: host, command: chown postgres /data, volumes: [data:/data]}
  db:
    image: host
    user: postgres
    command: [sh, -c, 'test -e /data/PG_VERSION || initdb -A trust -D /data -N >/dev/null;
      exec postgres -D /data -k /tmp -c shared_buffers=1MB']
    volumes: [data:/data]
    tmpfs: ["/tmp:mode=1777"]
    stop_signal: SIGINT
    environment: {PATH: "/usr/local/bin:/usr/bin:/bin:PROGRAMS"}
    depends_on: {data: {condition: service_completed_successfully}}
    healthcheck: {test: psql -h /tmp -c 'SELECT 1' postgres, interval: 1s, timeout: 5s, start_period: 30s}
volumes: {data: {}}
"""


@requires("postgres")
def test_postgres_loses_nothing_that_it_has_acknowledged(busy: Host) -> None:
    """As above: every row whose INSERT has returned."""
    programs = ":".join(map(str, Path("/usr/lib/postgresql").glob("*/bin")))
    folder = busy.project({"compose.yaml": POSTGRES.replace("PROGRAMS", programs)})
    ask = ("exec", "-T", "db", "psql", "-h", "/tmp", "-qAt", "postgres")
    busy.run("up", "-d", "--wait", cwd=folder, timeout_s=90).ok()
    busy.run(*ask, "-c", "CREATE TABLE t (n int)", cwd=folder).ok()
    rows = 'for n in $(seq 100000); do echo "INSERT INTO t VALUES ($n) RETURNING n;"; done'
    insert = f"{rows} | psql -h /tmp -qAt postgres"
    writer = busy.spawn("exec", "-T", "db", "sh", "-c", insert, cwd=folder)
    writer.expect("^101$")
    kill_everything(busy, "postgres -D")
    writer.wait()
    acknowledged = [int(line) for line in writer.output.split("\n")[:-1] if line.isdigit()]
    busy.run("up", "-d", "--wait", cwd=folder, timeout_s=90).ok()
    kept = {int(line) for line in busy.run(*ask, "-c", "SELECT n FROM t", cwd=folder).ok().stdout.split()}
    busy.run("down", "-v", cwd=folder).ok()

    assert len(acknowledged) > 100
    assert kept.issuperset(acknowledged)


# ---------------------------------------------------------------------- names

DNSMASQ = """
services:
  dns:
    image: host
    command: dnsmasq --keep-in-foreground --no-resolv --no-hosts --user=root --pid-file= --server=127.0.0.11
      --address=/fixed.test/10.9.9.9
    ports: ["127.0.0.1:5353:53/udp", "127.0.0.1:5353:53/tcp"]
    stop_signal: SIGKILL
  web: {image: busybox, command: [sleep, "1000"], stop_signal: SIGKILL, scale: 3}
  client: {image: host, command: sleep 1000, stop_signal: SIGKILL}
"""


@requires("dnsmasq", "dig")
def test_a_dns_server_has_port_53_and_asks_ours(busy: Host) -> None:
    """Dnsmasq in a container, asked by dig: from another container, and from the machine by its published port."""
    folder = busy.project({"compose.yaml": DNSMASQ})
    busy.run("up", "-d", cwd=folder).ok()

    def dig(*words: str) -> list[str]:
        said = busy.run("exec", "-T", "client", "dig", "+short", *words, cwd=folder).ok().stdout
        return sorted(said.split())

    own = dig("web")
    eventually(lambda: dig("@dns", "fixed.test") == ["10.9.9.9"])
    for transport in ("+notcp", "+tcp"):
        assert dig("@dns", transport, "web") == own
        outside = ["dig", "+short", transport, "-p", "5353", "@127.0.0.1", "web"]
        assert sorted(busy.command(outside).ok().stdout.split()) == own
    busy.run("down", cwd=folder).ok()

    assert len(own) == 3


@requires("dig")
def test_dig_is_answered_as_it_asks(busy: Host) -> None:
    """Types, transports, sizes, cookies and spellings, of replicas so many that they fill more than a datagram."""
    text = """
services:
  web:
    image: busybox
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    scale: 3
    networks: {default: {aliases: [Alias]}}
  client: {image: host, command: sleep 1000, stop_signal: SIGKILL}
networks: {default: {ipam: {config: [{subnet: 10.88.2.0/24}]}}}
"""
    folder = busy.project({"compose.yaml": text})
    busy.run("up", "-d", cwd=folder).ok()

    def dig(*words: str) -> str:
        return busy.run("exec", "-T", "client", "dig", *words, cwd=folder).ok().stdout

    def short(*words: str) -> list[str]:
        return sorted(dig("+short", *words).split())

    found = short("web")
    pointers = [name for address in found for name in short("-x", address)]
    whole, again, other, text_type = dig("web"), dig("WEB."), dig("web", "AAAA"), dig("web", "TXT")
    same = [
        short(*words, "web") for words in (["+tcp"], ["+bufsize=512"], ["+noedns"], ["+cookie"], ["+norec"])
    ]
    named = [short(name) for name in ("alias", "web.demo_default", "demo-web-1")]
    busy.run("down", cwd=folder).ok()

    assert len(found) == 3
    assert sorted(pointers) == [f"demo-web-{number}.demo_default." for number in (1, 2, 3)]
    assert "status: NOERROR" in whole
    assert "WEB." in again
    assert "ANSWER: 3" in again
    for empty in (other, text_type):
        assert "status: NOERROR" in empty
        assert "ANSWER: 0" in empty
    assert same == [found] * len(same)
    assert named[:2] == [found, found]
    assert len(named[2]) == 1


# ---------------------------------------------------------------------- messages, and all that fits through

MOSQUITTO = """
services:
  broker:
    image: host
    command: mosquitto -c /mosquitto.conf
    configs: [{source: conf, target: /mosquitto.conf}]
    volumes: [data:/data]
    restart: always
  client: {image: host, command: sleep 1000, stop_signal: SIGKILL}
volumes: {data: {}}
configs:
  conf:
    content: |
      listener 1883
      allow_anonymous true
      user root
      persistence true
      persistence_location /data/
      autosave_on_changes true
      autosave_interval 1
"""


@requires("mosquitto", "mosquitto_pub")
def test_messages_outlive_their_broker(busy: Host) -> None:
    """A retained message goes from one container to another, and is there when the broker has been killed."""
    folder = busy.project({"compose.yaml": MOSQUITTO})
    busy.run("up", "-d", cwd=folder).ok()

    def client(*words: str) -> str:
        return busy.run("exec", "-T", "client", *words, cwd=folder).stdout

    send = ("mosquitto_pub", "-h", "broker", "-t", "a/b", "-q", "1", "-r", "-m", "kept")
    receive = ("mosquitto_sub", "-h", "broker", "-t", "a/#", "-C", "1", "-W", "2")
    eventually(lambda: client(*send) == "" and client(*receive) == "kept\n")
    kill_everything(busy, "mosquitto -c")
    busy.run("up", "-d", cwd=folder).ok()
    eventually(lambda: client(*receive) == "kept\n")
    busy.run("down", "-v", "-t", "1", cwd=folder).ok()


IPERF = """
services:
  server: {image: host, command: iperf3 -s, ports: ["5201:5201", "5201:5201/udp"], stop_signal: SIGKILL}
  client: {image: host, command: sleep 1000, stop_signal: SIGKILL}
"""


@requires("iperf3", "ip")
def test_iperf_gets_through_everywhere(busy: Host) -> None:
    """Both directions, TCP and UDP, between containers and through the published port, [::1] (the relay) included."""
    folder = busy.project({"compose.yaml": IPERF})
    busy.run("up", "-d", cwd=folder).ok()
    load = ("iperf3", "--json", "--time", "1", "--omit", "0")

    def inside(*words: str) -> str:
        return busy.run("exec", "-T", "client", *load, "-c", "server", *words, cwd=folder).stdout

    def outside(*words: str) -> str:
        return busy.command([*load, *words]).stdout

    ways: dict[str, Callable[[], str]] = {
        "container": inside,
        "container, back": partial(inside, "-R"),
        "container, UDP": partial(inside, "-u", "-b", "20M"),
        "127.0.0.1": partial(outside, "-c", "127.0.0.1"),
        "127.0.0.1, UDP": partial(outside, "-u", "-b", "20M", "-c", "127.0.0.1"),
        "::1": partial(outside, "-c", "::1"),
        "::1, back, four at once": partial(outside, "-c", "::1", "-R", "-P", "4"),
    }
    for name, measure in ways.items():
        ends = json.loads(eventually(lambda measure=measure: measure()))["end"]  # type: ignore[misc]
        assert "sum_received" in ends or "sum" in ends, name
        assert ends.get("sum_received", ends.get("sum"))["bytes"] > 1_000_000, name
    busy.run("down", cwd=folder).ok()
