"""Faults and snapshots of stacks, seen from inside and outside of containers."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_stacks import run_script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.scenario import Host

PAIR = """
services:
  api:
    image: busybox
    command: [sh, -c, "mkdir -p /www; head -c 500000 /dev/zero > /www/big; exec httpd -f -p 80 -h /www"]
    networks: [one, default]
  client: {image: busybox, command: [sleep, inf], networks: [one, default]}
  shared: {image: busybox, command: [sleep, inf], network_mode: "service:api"}
networks: {one: {}}
"""
HELPERS = """
import re, time, urllib.request
def get(stack, timeout=1):
    began = time.monotonic()
    try:
        size = len(urllib.request.urlopen(stack["api"].url(80, "big"), timeout=timeout).read())
    except OSError:
        size = 0
    return size, time.monotonic() - began
def pings(stack, count=3):
    # How long the answers took that the client got, in ms.
    found = stack["client"].exec("ping", "-c", str(count), "-i", "0.2", "-W", "5", "api", timeout_s=120)
    return [float(time) for time in re.findall(r"time=([0-9.]+) ms", found.text)]
def inside(stack):
    return stack["client"].exec("timeout", "1", "wget", "-qO", "/dev/null", "http://api/big").code == 0
stack = Compose().__enter__()
stack["api"].wait_for(http(80, "/big"))
"""


@pytest.fixture
def pair(busy: Host) -> Path:
    return busy.project({"compose.yaml": PAIR}, "pair")


def script(host: Host, folder: Path, text: str) -> None:
    run_script(host, folder, HELPERS + textwrap.dedent(text) + "\nstack.close()\n")


def test_narrow_and_lossy(busy: Host, pair: Path) -> None:
    script(
        busy,
        pair,
        """
        fast = get(stack)[1]
        with stack["api"].bandwidth("8mbit"):
            size, slow = get(stack, 10)
            assert size == 500000 and slow > 0.3, slow   # 4 Mbit through 8 Mbit/s, less what a burst lets through
        assert min(get(stack)[1] for _ in range(5)) < 0.3  # none could be, were it still there
        with stack["api"].loss(100):
            assert get(stack)[0] == 0 and not pings(stack, 1)
        with stack["api"].loss(50):
            assert 5 < len(pings(stack, 40)) < 35
        assert get(stack)[0] == 500000 and len(pings(stack, 40)) == 40
        """,
    )


def test_latency_is_seen_from_inside_and_outside(busy: Host, pair: Path) -> None:
    """Netem is a module that some kernels don't have: then that is what is said, by doctor too, and nothing stays."""
    rows = busy.run("doctor", "--json").json()["checks"]
    netem = "sch_netem" not in next(row["mend"] for row in rows if row["check"] == "network faults")
    script(
        busy,
        pair,
        """
        from pycompose.engine.errors import NetworkError
        def connect():
            import socket
            began = time.monotonic()
            socket.create_connection(stack["api"].address(80)).close()
            return 1000 * (time.monotonic() - began)
        api = stack["api"]
        try:
            with api.latency("600ms"):
                assert min(pings(stack)) >= 600 <= connect()
            with api.latency("600ms"), api.latency(0.3):
                assert min(pings(stack)) >= 900
            with api.latency("600ms", jitter="500ms"):
                found = pings(stack, 12)
                assert max(found) - min(found) > 100 and min(found) >= 100
            with api.latency("100ms"), api.bandwidth("8mbit"):
                size, slow = get(stack, 10)
                assert size == 500000 and slow > 0.3 and min(pings(stack)) >= 100
            late, narrow = api.latency("100ms"), api.bandwidth("4mbit")
            late.undo()
            assert get(stack, 10)[1] > 0.6 and min(pings(stack)) < 100
            narrow.undo()
        except NetworkError as exc:
            assert not NETEM
            assert exc.message.startswith("api: ") and "netem" in exc.message and "sch_netem" in exc.hint, str(exc)
        else:
            assert NETEM
        assert min(pings(stack)) < 100 and connect() < 600
        assert get(stack)[0] == 500000
        """.replace("NETEM", str(netem)),
    )


def test_partitions(busy: Host, pair: Path) -> None:
    script(
        busy,
        pair,
        """
        assert inside(stack)
        assert stack["shared"].url(80, "big") == stack["api"].url(80, "big")
        with stack.partition("api", "client"):
            assert not inside(stack)
            assert get(stack)[0] == 500000
        assert inside(stack)
        with stack.cut_off("api"):
            assert inside(stack)
            assert get(stack)[0] == 0
        with stack.partition("api", "client"), stack.cut_off("client"):
            stack.heal()
            assert inside(stack)
        # All faults, whatever they are of.
        stack["client"].disconnect("one")
        frozen, killed = stack["client"].freeze(), stack["api"].kill()
        stack["api"].wait_exit()
        assert stack["client"].container().state == "paused"
        stack.heal()
        stack.heal()
        assert frozen.undone and killed.undone
        assert len(stack["client"].exec("ls", "/sys/class/net").text.split()) == 3
        stack["api"].wait_for(http(80, "/big"))
        assert inside(stack)
        with stack["client"].freeze():
            stack["client"].thaw()  # by hand is as good
        stack["client"].restart()
        with stack["client"].disconnect("one"):
            names = stack["client"].exec("ls", "/sys/class/net").text.split()
            assert names == ["eth0", "lo"], names
        assert len(stack["client"].exec("ls", "/sys/class/net").text.split()) == 3
        assert inside(stack)
        api, shared = stack["api"], stack["shared"]
        for bad in (
            lambda: stack.partition("api"), lambda: shared.loss(1), lambda: api.bandwidth("x"),
            lambda: api.loss(101), lambda: api.latency(-1), lambda: api.scale(-1), lambda: stack.partition("api", "x"),
        ):
            try:
                bad()
            except Exception as exc:
                assert exc.message and "internal" not in exc.message
            else:
                raise AssertionError
        """,
    )


def test_a_snapshot_is_put_back(busy: Host, pair: Path) -> None:
    files = {
        "compose.yaml": "services:\n  db:\n    image: busybox\n    volumes: ['data:/data', '/anonymous']\n"
        '    command: [sh, -c, "echo run >> /data/runs; exec sleep inf"]\n'
        "    healthcheck: {test: 'test -e /data/runs', interval: 1s}\n"
        "  api: {image: busybox, command: [sleep, inf], depends_on: {db: {condition: service_healthy}}}\n"
        "volumes: {data: {}}\n"
    }
    folder = busy.project(files, "snapshots")
    run_script(
        busy,
        folder,
        """
        with Compose() as stack:
            db = stack["db"]
            db.exec("sh", "-c", "echo kept > /data/kept; echo kept > /kept; echo kept > /anonymous/kept", check=True)
            assert not stack.has_snapshot()
            stack.snapshot()
            for _ in range(3):
                damage = "rm /data/kept /anonymous/kept; echo x > /etc/new; rm /bin/vi; mkdir /kept2; mv /kept /kept2"
                db.exec("sh", "-c", damage, check=True)
                stack.restore()
                assert db.exec("cat", "/data/kept", "/kept", "/anonymous/kept").text == "kept\\nkept\\nkept"
                assert not db.exists("/etc/new") and db.exists("/bin/vi") and not db.exists("/kept2")
                # Started on it once by the snapshot, once by the restore.
                assert db.exec("cat", "/data/runs").text.split() == ["run", "run"]
                assert stack["api"].container().state == "running" and db.container().health == "healthy"
            stack["api"].stop()
            stack.snapshot("other")
            stack["api"].start()
            stack.restore("other")
            assert stack["api"].container().state == "exited"
            try:
                stack.restore("nope")
            except Exception as exc:
                assert "no snapshot 'nope'" in exc.message
            else:
                raise AssertionError
        """,
    )
    assert busy.run("volume", "ls", "-q").ok().stdout == ""


KILLS = int(os.environ.get("PYCOMPOSE_STACK_KILLS", "3"))
DATA = {
    "compose.yaml": "services:\n  db:\n    image: busybox\n    volumes: ['data:/data']\n"
    '    command: [sh, -c, "echo run >> /runs; exec sleep inf"]\nvolumes: {data: {}}\n'
}
# What is to be there after a restore: 400 files, and nothing else.
DATA_HELPERS = """
import os, sys
FILL = "mkdir -p /data/d; for n in $(seq 400); do echo $n > /data/d/$n; done; echo kept > /kept"
DAMAGE = "cd /data/d; for n in *; do echo x >> $n; done; mkdir e; mv 1 2 3 e; echo x > /kept"
LOOK = "cd /data/d; for n in $(seq 400); do [ \\"$(cat $n)\\" = $n ] || echo $n; done; cat /kept; ls | wc -l"
def inside(db, text):
    from pycompose.errors import NotRunning
    while True:
        try:
            return db.exec("sh", "-c", text, timeout_s=120).text
        except NotRunning:  # the supervisor has been killed, and a command isn't done twice by itself
            pass
def is_whole(db):
    return inside(db, LOOK).split() == ["kept", "400"]
def on_the_data():
    return Compose(isolated=False)
"""


@pytest.fixture
def data(busy: Host) -> Iterator[Path]:
    """Run a project whose data is its own."""
    folder = busy.project(DATA, "data")
    busy.run("up", "-d", cwd=folder).ok()
    yield folder
    busy.run("down", "-v", cwd=folder).ok()


def begin(host: Host, folder: Path, text: str) -> subprocess.Popen[bytes]:
    """Start Python text like `run_script`; return its process, whose output is a pipe."""
    script = folder / "begun.py"
    whole = "from pycompose.testing import *\n" + DATA_HELPERS + textwrap.dedent(text)
    script.write_text(whole, encoding="utf-8")
    return host.inside(
        lambda: subprocess.Popen(
            [sys.executable, script], cwd=folder, env=host.environment, stdout=subprocess.PIPE
        )
    )


def test_a_restore_that_is_killed_is_finished_by_the_next(busy: Host, data: Path) -> None:
    """Nothing starts on half of the data: the next stack on it goes on, and the snapshot is there still."""
    whole = """
    with on_the_data() as stack:
        assert is_whole(stack["db"])
        assert stack.has_snapshot()
    """
    noted = busy.paths.project("data") / "snapshots/.restoring"
    with begin(
        busy,
        data,
        """
        stack = on_the_data().__enter__()
        inside(stack["db"], FILL)
        stack.snapshot()
        inside(stack["db"], DAMAGE)
        assert not is_whole(stack["db"])
        print("damaged", flush=True)
        stack.restore()
        """,
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"damaged\n"
        while not busy.inside(noted.exists):
            assert owner.poll() is None
        owner.kill()
    assert busy.inside(noted.exists)
    run_script(busy, data, DATA_HELPERS + textwrap.dedent(whole))
    assert not busy.inside(noted.exists)


@pytest.mark.timeout(40 + 20 * KILLS)
def test_snapshots_and_restores_that_are_killed_anywhere(busy: Host, data: Path) -> None:
    """PYCOMPOSE_STACK_KILLS=100 for as many; the seed is printed, PYCOMPOSE_KILL_SEED repeats it.

    A killed owner leaves the last whole snapshot. A killed supervisor is replaced, and the owner goes on.
    """
    seed = int(os.environ.get("PYCOMPOSE_KILL_SEED") or time.time_ns())
    print(f"seed {seed}")
    lot = random.Random(seed)  # noqa: S311 - to be repeated
    run_script(
        busy,
        data,
        DATA_HELPERS
        + textwrap.dedent("""
    with on_the_data() as stack:
        inside(stack["db"], FILL)
        stack.snapshot()
    """),
    )
    loop = """
    with on_the_data() as stack:
        for _ in range(ROUNDS):
            stack.restore()
            assert is_whole(stack["db"])
            print("whole", flush=True)
            stack.snapshot()
            inside(stack["db"], DAMAGE)
        stack.restore()
        assert is_whole(stack["db"])
    """
    for _ in range(KILLS):
        of_owner = lot.random() < 0.7
        with begin(busy, data, loop.replace("ROUNDS", "1000" if of_owner else "1")) as owner:
            assert owner.stdout is not None
            assert owner.stdout.readline() == b"whole\n"
            time.sleep(lot.uniform(0, 1.5))  # any moment of the round
            if of_owner:
                assert owner.poll() is None
                owner.kill()
                continue
            busy.kill("pycompose.supervisor")
            assert owner.wait(60) == 0
    run_script(busy, data, DATA_HELPERS + textwrap.dedent(loop.replace("ROUNDS", "1")))


def test_a_volume_is_full(busy: Host) -> None:
    files = {
        "compose.yaml": "services:\n  db:\n    image: busybox\n    command: [sleep, inf]\n"
        "    volumes: ['data:/data', 'big:/big']\n"
        "volumes: {data: {}, big: {}}\n"
    }
    run_script(
        busy,
        busy.project(files, "full"),
        """
        with Compose(volume_sizes={"data": "4m"}) as stack:
            db = stack["db"]
            write = ("sh", "-c", "echo text > /data/file && cat /data/file")
            assert db.exec(*write).text == "text"
            with stack.fill("data"):
                full = db.exec("sh", "-c", "dd if=/dev/zero of=/data/more bs=1k count=100")
                assert b"No space left" in full.stderr, full
            assert db.exec(*write).text == "text"
            assert not db.exists("/data/.pycompose-fill")
            try:
                stack.fill("big")
            except Exception as exc:
                assert "would take the machine's disk along" in exc.message and "volume_sizes" in exc.hint
            else:
                raise AssertionError
        """,
    )
