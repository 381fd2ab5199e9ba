"""`pycompose hosts`: the machine finds containers by name, for as long as there is the project."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.support.namespaces import MS_BIND, mount, umount
from tests.support.scenario import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.scenario import Host

SLEEPS = "command: [sleep, '1000'], init: true, stop_signal: SIGKILL"
COMPOSE = f"""
services:
  web: {{image: busybox, {SLEEPS}, hostname: front, networks: {{default: {{aliases: [shop]}}}}}}
  db: {{image: busybox, {SLEEPS}, scale: 2}}
"""
OWN = "127.0.0.1 localhost\n# mine, without a line's end"


def block(file: Path) -> list[str]:
    """Return the names that are kept in a file, line by line, each with addresses as A."""
    text = file.read_text(encoding="ascii")
    assert text.startswith(OWN)
    _, begin, rest = text.partition("# BEGIN pycompose demo\n")
    inner, end, after = rest.partition("# END pycompose demo\n")
    assert bool(begin) == bool(end)
    assert not after
    return [re.sub(r"^172\.\d+\.0\.\d+ ", "A ", line) for line in inner.splitlines()]


def test_names_for_the_machine(busy: Host) -> None:
    """Printed, or kept in a file: up to date whatever happens, and gone with the project."""
    folder = busy.project({"compose.yaml": COMPOSE})
    file = folder / "hosts"
    file.write_text(OWN, encoding="ascii")
    busy.run("up", "-d", cwd=folder).ok()
    printed = busy.run("hosts", cwd=folder).ok().stdout
    other = busy.run("hosts", "--domain", "test", cwd=folder).ok().stdout
    assert file.read_text(encoding="ascii") == OWN
    busy.run("hosts", "--write", "--file", file, cwd=folder).ok()
    first = block(file)
    busy.run("up", "-d", "--scale", "db=1", cwd=folder).ok()
    eventually(lambda: len(block(file)) == 2)
    busy.kill("pycompose.supervisor")
    busy.run("up", "-d", "--scale", "db=2", cwd=folder).ok()
    eventually(lambda: block(file) == first)
    busy.run("stop", cwd=folder).ok()
    eventually(lambda: not block(file))
    busy.run("start", cwd=folder).ok()
    eventually(lambda: block(file) == first)
    busy.run("down", cwd=folder).ok()
    eventually(lambda: file.read_text(encoding="ascii") == OWN + "\n")
    busy.run("up", "-d", cwd=folder).ok()
    again = block(file)
    busy.run("hosts", "-w", "--file", file, "--domain", "test", cwd=folder).ok()
    elsewhere = block(file)
    busy.run("hosts", "--rm", cwd=folder).ok()
    removed = block(file)
    both = busy.run("hosts", "--rm", "--write", cwd=folder).exited(1).stderr
    busy.run("down", cwd=folder).ok()

    assert sorted(first) == [
        "A demo-db-1.demo.localhost db.demo.localhost",
        "A demo-db-2.demo.localhost db.demo.localhost",
        "A demo-web-1.demo.localhost web.demo.localhost shop.demo.localhost front.demo.localhost",
    ]
    assert [re.sub(r"^[\d.]+ ", "A ", line) for line in printed.splitlines()] == first
    assert other == printed.replace(".localhost", ".test")
    assert again == removed == []
    assert elsewhere == [line.replace(".localhost", ".test") for line in first]
    assert "one or the other" in both


def test_the_machine_finds_them(busy: Host) -> None:
    """In /etc/hosts, where its resolver looks, what a container answers to is a name."""
    folder = busy.project({"compose.yaml": COMPOSE})
    own = folder / "hosts"
    own.write_text(OWN, encoding="ascii")
    busy.inside(
        lambda: mount(str(own), "/etc/hosts", flags=MS_BIND)
    )  # the test's machine has no /etc of its own
    busy.run("up", "-d", cwd=folder).ok()
    busy.run("hosts", "--write", cwd=folder).ok()
    (shown,) = busy.run("container", "inspect", "demo-web-1").ok().json()
    address = shown["NetworkSettings"]["Networks"]["demo_default"]["IPAddress"]
    found = busy.command(["getent", "hosts", "web.demo.localhost"]).ok().stdout
    other = busy.command(["getent", "hosts", "shop.demo.localhost"]).ok().stdout
    busy.run("down", cwd=folder).ok()
    left = own.read_text(encoding="ascii")
    busy.inside(lambda: umount("/etc/hosts"))

    assert found.split()[0] == other.split()[0] == address
    assert left == OWN + "\n"


def test_what_is_no_domain_is_refused(busy: Host) -> None:
    """A line of its own in /etc/hosts would be anybody's name."""
    folder = busy.project({"compose.yaml": "services: {web: {image: busybox, command: sleep inf}}"})
    for domain in ("two words", "a\n192.0.2.1 bank.example", "", "x#"):
        said = busy.run("hosts", "--domain", domain, cwd=folder).exited(1).stderr
        assert "not a domain" in said
