"""`pycompose test`: a stack of what a service needs, its exit code, and nothing left."""

from __future__ import annotations

import signal
import time
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.scenario import Host

COMPOSE = """
name: shop
services:
  db:
    image: busybox
    container_name: the-db
    command: [sh, -c, "echo db is up; mkdir -p /www; echo page > /www/page; exec httpd -f -p 80 -h /www"]
    ports: ["8080:80"]
    healthcheck: {test: wget -qO /dev/null http://127.0.0.1/page, interval: 1s}
  other: {image: busybox, command: [sleep, inf]}
  check:
    image: busybox
    profiles: [test]
    depends_on: {db: {condition: service_healthy}}
    command: [sh, -c, "timeout 1 wget -qO- http://the-db/page && test ! -e /data/x && touch /data/x"]
    volumes: ["data:/data"]
    x-test:
      reset: snapshot
      wait: {db: {http: 80/page}}
      scenarios:
        lost: {faults: [{service: db, loss: 100}]}
        again: {}
volumes: {data: {}}
"""


@pytest.fixture
def shop(busy: Host) -> Path:
    return busy.project({"compose.yaml": COMPOSE}, "shop")


def nothing_left(host: Host) -> None:
    assert host.run("ls", "-a", "-q").ok().stdout == ""
    assert host.run("volume", "ls", "-q").ok().stdout == ""


def test_a_command_on_what_a_service_needs(busy: Host, shop: Path) -> None:
    argv = (
        "test",
        "-e",
        "A=b c",
        "check",
        "--",
        "sh",
        "-c",
        'wget -qO- http://db/page; echo "$A" >&2; exit 7',
    )
    found = busy.run(*argv, cwd=shop).exited(7)
    assert found.stdout == "page\n"
    assert "b c\n" in found.stderr
    assert "check: check: exit code 7" in found.stderr
    assert "db-1 | db is up" in found.stderr
    assert "other" not in found.stderr
    nothing_left(busy)


def test_declared_tests_and_their_scenarios(busy: Host, shop: Path) -> None:
    found = busy.run("test", "--junit", shop / "junit.xml", cwd=shop).exited(1)
    assert "2 of 3 passed" in found.stderr
    (suite,) = ET.parse(shop / "junit.xml").getroot().findall("testsuite")  # noqa: S314 - ours
    assert [(case.get("name"), case.find("failure") is not None) for case in suite.findall("testcase")] == [
        ("check", False), ("lost", True), ("again", False),
    ]  # fmt: skip
    assert busy.run("test", "--scenario", "again", cwd=shop).exited(0).stdout == "page\n"
    nothing_left(busy)


def test_what_is_broken_stays_broken_while_the_tests_run(busy: Host) -> None:
    reached = "timeout 2 wget -qO- http://db/page"
    lost = f'["sh", "-c", "! {reached}"]'
    both = f'["sh", "-c", "! {reached} && timeout 2 wget -qO- http://other/page"]'
    files = {
        "compose.yaml": f"""
services:
  db: &page
    image: busybox
    command: [sh, -c, "mkdir -p /www; echo page > /www/page; exec httpd -f -p 80 -h /www"]
    x-ready: {{http: 80/page}}
  other: *page
  check:
    image: busybox
    depends_on: [db, other]
    command: {reached}
    x-test:
      scenarios:
        stopped: {{command: {lost}, faults: [{{service: db, stop: true}}]}}
        killed: {{command: {lost}, faults: [{{service: db, kill: true}}]}}
        frozen: {{command: {lost}, faults: [{{service: db, freeze: true}}]}}
        parted: {{command: {both}, faults: [{{partition: [check, db]}}]}}
        the-other-way-round: {{command: {both}, faults: [{{partition: [db, other, check]}}]}}
        mended: {{}}
"""
    }
    folder = busy.project(files, "broken")
    found = busy.run("test", cwd=folder).exited(0)
    assert "7 of 7 passed" in found.stderr
    nothing_left(busy)


def test_what_keeps_tests_from_running_is_in_the_report(busy: Host) -> None:
    files = {
        "compose.yaml": """
services:
  db: {image: busybox, command: [sh, -c, "sleep 1; echo no room; exit 3"]}
  check:
    image: busybox
    depends_on: {db: {condition: service_completed_successfully}}
    command: "true"
    x-test: {}
  plain: {image: busybox, command: [/nope], x-test: {scenarios: {good: {command: "true"}}}}
"""
    }
    folder = busy.project(files, "report")
    found = busy.run("test", "--junit", "junit.xml", cwd=folder).exited(1)
    assert "db-1 | no room" in found.stderr
    assert "1 of 3 passed" in found.stderr
    root = ET.parse(folder / "junit.xml").getroot()  # noqa: S314 - ours
    errors = [case.find("error") for case in root.iter("testcase")]
    messages = ["" if error is None else str(error.get("message")) for error in errors]
    assert "no room" in messages[0]
    assert "cannot execute /nope" in messages[1]
    assert messages[2] == ""
    assert "cannot execute /nope" in busy.run("test", "plain", "--", "/nope", cwd=folder).exited(127).stderr
    nothing_left(busy)


def test_a_copy_never_has_the_volumes_of_what_it_is_a_copy_of(busy: Host) -> None:
    files = {
        "compose.yaml": """
services:
  files: {image: busybox, container_name: the-files, command: [sleep, inf], volumes: ["data:/data"]}
  check: {image: busybox, volumes_from: ["container:the-files"], command: [sh, -c, "rm -rf /data/*; touch /data/x"]}
volumes: {data: {}}
"""
    }
    folder = busy.project(files, "own")
    busy.run("up", "-d", "files", cwd=folder).ok()
    busy.run("exec", "-T", "files", "touch", "/data/precious", cwd=folder).ok()
    busy.run("test", "check", "--", "sh", "-c", "rm -rf /data/*; touch /data/x", cwd=folder).ok()
    assert busy.run("exec", "-T", "files", "ls", "/data", cwd=folder).ok().stdout == "precious\n"
    busy.run("down", "-v", cwd=folder).ok()


def test_it_is_not_in_the_way_of_the_project(busy: Host, shop: Path) -> None:
    busy.run("up", "-d", "db", cwd=shop).ok()
    busy.run("test", "check", "--", "true", cwd=shop).ok()
    assert busy.run("ls", "-q").ok().stdout.split() == ["shop"]
    busy.run("down", "-v", cwd=shop).ok()


def test_bad_input(busy: Host, shop: Path) -> None:
    assert "did you mean" in busy.run("test", "chekc", cwd=shop).exited(1).stderr
    assert "no such scenario: x" in busy.run("test", "--scenario", "x", cwd=shop).exited(1).stderr
    assert "cannot execute /nope" in busy.run("test", "other", "--", "/nope", cwd=shop).exited(127).stderr
    assert (
        "cannot write"
        in busy.run("test", "--junit", "/no/where", "other", "--", "true", cwd=shop).exited(1).stderr
    )
    (shop / "none.yaml").write_text("services: {a: {image: busybox}}\n")
    assert "no service has an `x-test`" in busy.run("-f", "none.yaml", "test", cwd=shop).exited(1).stderr
    (shop / "none.yaml").write_text("services: {a: {image: busybox, x-test: {comand: x}}}\n")
    assert (
        "none.yaml:1:41: services.a.x-test.comand"
        in busy.run("-f", "none.yaml", "test", cwd=shop).exited(1).stderr
    )
    nothing_left(busy)


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM, signal.SIGKILL))
def test_whoever_is_ended_leaves_nothing(busy: Host, shop: Path, number: signal.Signals) -> None:
    running = busy.spawn("test", "check", "--", "sh", "-c", "echo begun; sleep 100", cwd=shop)
    running.expect("begun")
    running.process.send_signal(number)
    running.process.wait(30)
    until_s = time.monotonic() + 20
    while busy.run("ls", "-a", "-q").ok().stdout and time.monotonic() < until_s:
        time.sleep(0.05)
    nothing_left(busy)
