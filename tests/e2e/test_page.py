"""`pycompose page` in a real browser: views, actions, hostile words, who is let in, what comes after a kill."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import pytest
from playwright.sync_api import expect

from tests.support.browser import ServedPage, browser_of, open_page
from tests.support.requires import requires
from tests.support.scenario import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from playwright.sync_api import Locator, Page

    from tests.support.scenario import Host

WEBSOCKET_KEY = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
# Where the only card's shell is.
SHELL = "new URL(document.querySelector('.card a.button').href).search.slice(1)"
SLEEP = "init: true, command: [sleep, '1000']"
SHOP = f"""
name: shop
services:
  web: {{image: busybox, {SLEEP}, ports: ["8080:80"], depends_on: {{db: {{condition: service_healthy}}}}}}
  db:
    image: busybox
    command: ["sh", "-c", "cat /script; while ! test -e /go; do sleep 0.1; done; seq 30000; exec sleep 1000"]
    stop_signal: SIGKILL
    volumes: ["./script:/script:ro"]
    healthcheck: {{test: "echo '<b>not yet</b>'; test -e /ok", interval: 0.3s, retries: 1000}}
"""
SCRIPT = "<img src=x onerror='window.hacked=1'>\n\033[31mred\033[0m \033]0;title\007after\n\0\001\u202eodd\n"
# As a terminal ends lines, and colours in parts (ISO 8613-6).
SCRIPT += "\033[38:2::1:2:3mdeep\033[0m\r\n"


def card(page: Page, service: str) -> Locator:
    """Return a service's card."""
    return page.locator(".card").filter(has=page.get_by_role("heading", name=service, exact=True))


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


@requires("chromium")
@pytest.mark.timeout(180)
def test_it_shows_what_happens_as_it_happens(busy: Host) -> None:
    """Why something waits, states, ports, probes, output with hostile bytes, a flood of it, and events."""
    folder = busy.project({"compose.yaml": SHOP, "script": SCRIPT})
    served = ServedPage(busy)
    complaints: list[str] = []
    with browser_of(busy) as browser:
        page = open_page(browser, served.address)
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        expect(page.locator("#nothing")).to_be_visible()
        assert "token" not in page.url

        up = busy.spawn("up", "-d", cwd=folder)
        expect(card(page, "web")).to_contain_text("waits for db: healthy (now starting, probe failed")
        expect(card(page, "db").locator(".probe")).to_contain_text("<b>not yet</b>")
        busy.run("exec", "db", "touch", "/ok", cwd=folder).ok()
        assert up.wait() == 0
        expect(card(page, "db").locator(".state")).to_have_text("healthy")
        expect(card(page, "web").locator(".state")).to_have_text("running")
        expect(card(page, "web").get_by_role("link", name="8080")).to_have_attribute(
            "href", "http://127.0.0.1:8080/"
        )
        expect(card(page, "web").locator("dd").filter(has_text="shop_default")).to_be_visible()
        expect(card(page, "db").locator(".use")).to_be_visible()
        expect(page.locator("#graph .node.good")).to_have_count(2)

        card(page, "db").get_by_role("button", name="logs of db").click()
        lines = page.locator(".line")
        expect(lines.nth(0)).to_contain_text("<img src=x onerror='window.hacked=1'>")
        expect(page.locator(".fore-1")).to_have_text("red")
        expect(lines.nth(1)).to_contain_text("red after")
        expect(lines.nth(2)).to_contain_text("\u2400\u2401\ufffdodd")
        expect(lines.nth(3).locator(".text")).to_have_text("deep")
        expect(lines.nth(3).locator(".text span")).to_have_css("color", "rgb(1, 2, 3)")
        assert page.evaluate("[window.hacked, document.images.length]") == [None, 0]

        busy.run("exec", "db", "touch", "/go", cwd=folder).ok()
        expect(page.locator(".line .text").last).to_have_text("30000")
        assert lines.count() < 200
        page.get_by_label("Search").fill("2999")
        expect(page.locator("#log-count")).to_contain_text(re.compile("1[12] of "))  # 12999 may be forgotten
        # What the page has forgotten meanwhile is in the logs.
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        assert len(download.value.path().read_text().splitlines()) == 13
        page.get_by_label("Stream").select_option("stderr")
        expect(page.locator("#log-count")).to_contain_text("0 of ")

        tab(page, "Events")
        expect(page.locator("#event-rows")).to_contain_text("health_status: healthy")
        tab(page, "Services")
        busy.run("down", cwd=folder).ok()
        expect(card(page, "web").locator(".state")).to_have_text("not created")
    assert complaints == []
    served.end()


ASKING = """
services:
  a:
    image: busybox
    init: true
    command: [sh, -c, "printf Pass; while ! test -e /1; do sleep 0.1; done; printf word:; echo other >&2;
      while ! test -e /2; do sleep 0.1; done; echo ' given'; echo next; exec sleep 1000"]
"""


@requires("chromium")
@pytest.mark.timeout(180)
def test_it_shows_lines_before_they_are_over(busy: Host) -> None:
    """A prompt as it grows, and its end in its place, on a page that was there and on one that comes meanwhile."""
    folder = busy.project({"compose.yaml": ASKING})
    served = ServedPage(busy)
    with browser_of(busy) as browser:
        first = open_page(browser, served.address)
        tab(first, "Logs")
        busy.run("up", "-d", cwd=folder).ok()
        texts, asking = first.locator(".line .text"), first.locator(".line.unfinished .text")
        expect(asking).to_have_text("Pass")
        first.get_by_label("Search").fill("word")
        expect(texts).to_have_count(0)
        busy.run("exec", "a", "touch", "/1", cwd=folder).ok()
        expect(asking).to_have_text("Password:")
        first.get_by_label("Search").fill("")
        second = first.context.new_page()
        second.goto(served.address)
        tab(second, "Logs")
        expect(second.locator(".line .text")).to_have_text(["other", "Password:"])
        busy.run("exec", "a", "touch", "/2", cwd=folder).ok()
        expect(texts).to_have_text(["Password: given", "other", "next"])
        expect(second.locator(".line .text")).to_have_text(["other", "Password: given", "next"])
        expect(asking).to_have_count(0)
    busy.run("down", cwd=folder).ok()
    served.end()


# Lines come between two pictures, too, and every 4,000 of them the oldest go.
FLOOD = """async () => {
  const logs = await import("/logs.js");
  let last = 0;
  while (last < 45000) {
    const lines = Array.from({ length: 37 }, () => [++last, "c", false, `${last}`]);
    logs.add({ lines, unfinished: [], dropped: 0 }, () => "");
    await new Promise((done) => setTimeout(done));
  }
  return `${last}`;
}"""


@requires("chromium")
@pytest.mark.timeout(180)
def test_it_follows_a_flood_to_its_end(busy: Host) -> None:
    """When old lines are forgotten the window moves up: nobody has scrolled."""
    served = ServedPage(busy)
    with browser_of(busy) as browser:
        page = open_page(browser, served.address)
        tab(page, "Logs")
        last = page.evaluate(FLOOD)
        expect(page.get_by_label("Follow")).to_be_checked()
        expect(page.locator(".line .text").last).to_have_text(last)
    served.end()


MILESTONES = f"""
name: road
services:
  a:
    image: busybox
    init: true
    command: [sh, -c, "seq 5000; sleep 1.5; seq 5001 9000; until test -e /go; do sleep 0.1; done; echo last >&2;
      exec sleep 1000"]
  b: {{image: busybox, {SLEEP}}}
"""
# The second in which the first of the lines that are shown was printed, as it is typed.
SECOND = """([text]) => { const at = new Date(text);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60000).toISOString().slice(0, 19); }"""


@requires("chromium")
@pytest.mark.timeout(180)
def test_it_finds_what_was_printed_long_before(busy: Host) -> None:
    """Beyond the last 200 lines: earlier ones, a time, all in a file."""
    folder = busy.project({"compose.yaml": MILESTONES})
    busy.run("up", "-d", cwd=folder).ok()
    # What comes by two pipes at the same time is written down in any order.
    eventually(lambda: "9000" in busy.run("logs", "--tail", "1", cwd=folder).stdout)
    busy.run("exec", "a", "touch", "/go", cwd=folder).ok()
    eventually(lambda: "last" in busy.run("logs", "--tail", "1", cwd=folder).stdout)
    began = busy.run("logs", "--no-log-prefix", "-t", "a", cwd=folder).ok().stdout.split(" ", 1)[0]
    served = ServedPage(busy)
    with browser_of(busy) as browser:
        page = open_page(browser, served.address)
        tab(page, "Logs")
        texts = page.locator(".line .text")
        expect(texts.last).to_have_text("last")
        count = page.locator("#log-count")
        expect(count).to_contain_text("200 of 200 lines")
        busy.run("exec", "b", "sh", "-c", "echo more > /proc/1/fd/1", cwd=folder).ok()
        expect(texts.last).to_have_text("more")
        page.get_by_role("button", name="Earlier").click()
        expect(count).not_to_contain_text("201 of 201 lines")
        expect(page.get_by_label("Follow")).not_to_be_checked()

        earlier = page.get_by_role("button", name="Earlier")
        while earlier.is_enabled():
            earlier.click()
            expect(page.locator("#log-earlier[data-busy]")).to_have_count(0)
        expect(count).to_contain_text("9,002 of 9,002 lines")
        page.locator("#log-window").evaluate("one => one.scrollTop = 0")
        expect(texts.first).to_have_text("1")
        page.get_by_label("Follow").check()
        expect(texts.last).to_have_text("more")

        page.get_by_label("Jump to").fill(page.evaluate(SECOND, [began]))
        expect(texts.first).to_have_text("1")
        window = page.locator("#log-window")
        for _ in range(20):
            window.evaluate("one => one.scrollTop = one.scrollHeight")
            expect(page.locator("#log-earlier[data-busy]")).to_have_count(0)
        expect(texts.last).to_have_text("more")
        expect(count).to_contain_text("9,002 of 9,002 lines")
        busy.run("exec", "b", "sh", "-c", "echo new > /proc/1/fd/1", cwd=folder).ok()
        expect(count).to_contain_text("9,003 of 9,003 lines")

        page.locator("#log-service").select_option("a")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        written = download.value.path().read_text().splitlines()
        assert [line.split(" ", 3)[3] for line in written] == [*map(str, range(1, 9001)), "last"]
        assert written[-1].split(" ", 3)[1:3] == ["road-a-1", "stderr"]
        assert download.value.suggested_filename == "road.log"
    busy.run("down", cwd=folder).ok()
    served.end()


# One waits long before it is started again, by its third time.
BUTTONS = f"""
services:
  a: {{image: busybox, {SLEEP}}}
  b: {{image: busybox, command: ["false"], restart: always}}
"""


@requires("chromium")
@pytest.mark.timeout(180)
def test_its_buttons_do_what_they_say(busy: Host) -> None:
    folder = busy.project({"compose.yaml": BUTTONS})
    busy.run("up", "-d", cwd=folder).ok()
    served = ServedPage(busy)
    with browser_of(busy) as browser:
        page = open_page(browser, served.address)
        state = card(page, "a").locator(".state")
        for action, after in (
            ("pause", "paused"), ("unpause", "running"), ("kill", "exited (137)"), ("start", "running"),
            ("stop", "exited (143)"), ("start", "running"),
        ):  # fmt: skip
            card(page, "a").get_by_role("button", name=f"{action} a", exact=True).click()
            expect(state).to_have_text(after)
            expect(page.locator("#said")).to_have_text(f"{action} a: done")
        card(page, "a").get_by_role("button", name="restart a").click()
        expect(page.locator("#said")).to_have_text("restart a: done")
        expect(card(page, "b").locator(".state")).to_contain_text("restarting")
        for name in ("stop", "restart"):
            expect(card(page, "b").get_by_role("button", name=f"{name} b", exact=True)).to_be_visible()
        card(page, "b").get_by_role("button", name="kill b", exact=True).click()
        expect(page.locator("#said")).to_have_text("kill b: done")
        expect(card(page, "b").locator(".state")).to_contain_text("exited (")
        tab(page, "Events")
        restarts = page.locator("#event-rows tr").filter(has_text="restart")
        expect(restarts.filter(has_text="a-1")).to_have_count(1)
        # A browser has six connections to one place, and any number of pages, each with what may take long.
        others = [page.context.new_page() for _ in range(7)]
        for other in others:
            other.goto(served.address)
        shell = urljoin(served.address, f"/terminal.html?{page.evaluate(SHELL)}")
        for other in others[3:]:
            other.goto(shell)
            expect(other.locator(".xterm-rows")).to_contain_text("demo-a-1")
        tab(page, "Services")
        card(page, "a").get_by_role("button", name="pause a", exact=True).click()
        for one in (page, *others[:3]):
            expect(card(one, "a").locator(".state")).to_have_text("paused")
        card(others[2], "a").get_by_role("button", name="unpause a", exact=True).click()
        expect(state).to_have_text("running")
        others[3].keyboard.type("yes | head -c 500000; echo $((6*7)); exit 4\n")
        expect(others[3].locator(".xterm-rows")).to_contain_text("ended with code 4")
    busy.run("down", cwd=folder).ok()
    served.end()


@requires("chromium")
@pytest.mark.timeout(180)
def test_it_comes_again_after_a_kill(busy: Host) -> None:
    """Of the server, which is started again at its port, and of a supervisor, which its keeper starts again.

    A server that allows more doesn't let the page in: its address was given for something else.
    """
    folder = busy.project({"compose.yaml": f"services: {{a: {{image: busybox, {SLEEP}}}}}"})
    busy.run("up", "-d", cwd=folder).ok()
    served = ServedPage(busy, "--read-only", "--project", "demo")
    with browser_of(busy) as browser:
        page = open_page(browser, served.address)
        expect(card(page, "a").locator(".state")).to_have_text("running")
        expect(card(page, "a").get_by_role("button")).to_have_count(1)  # its logs
        os.kill(served.running.process.pid, signal.SIGKILL)
        expect(page.locator("#link")).to_have_text("not connected: trying again…")
        port = str(urlsplit(served.address).port)
        again = ServedPage(busy, "--port", port, "--read-only", "--project", "demo")
        assert again.address == served.address
        expect(page.locator("#link")).to_have_text("live")

        os.kill(busy.process("pycompose.supervisor"), signal.SIGKILL)
        busy.run("stop", cwd=folder).ok()
        expect(card(page, "a").locator(".state")).to_have_text("exited (143)")
        for flags in (["--project", "demo"], ["--read-only"]):
            os.kill(again.running.process.pid, signal.SIGKILL)
            again = ServedPage(busy, "--port", port, *flags)
            assert again.address != served.address
        expect(page.locator("#link")).to_contain_text("not let in")
    busy.run("down", cwd=folder).ok()
    again.end()


def asked(
    host: Host, port: int, method: str, target: str, headers: Mapping[str, str]
) -> tuple[int, dict[str, str]]:
    """Return the status and the headers of an answer."""

    def ask() -> tuple[int, dict[str, str]]:
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        body = b'{"action":"stop","project":"demo","services":["a"]}' if method == "POST" else None
        connection.request(method, target, body=body, headers=dict(headers))
        answer = connection.getresponse()
        found = answer.status, {key.lower(): value for key, value in answer.getheaders()}
        connection.close()
        return found

    return host.inside(ask)


def test_up_prints_the_address_of_a_page_that_goes_with_the_project(busy: Host) -> None:
    """One server, found again by the next `up`, even after a kill; nothing of it is left after `down`."""
    folder = busy.project({"compose.yaml": f"services: {{a: {{image: busybox, {SLEEP}}}}}"})

    def address() -> str:
        said = busy.run("up", "-d", "--page", cwd=folder).ok().stderr
        (found,) = [line.removeprefix("page: ") for line in said.splitlines() if line.startswith("page: ")]
        return found

    first = address()
    parts = urlsplit(first)
    assert asked(busy, parts.port or 0, "GET", f"/?{parts.query}", {})[0] == 303
    assert address() == first
    os.kill(busy.process("page --background"), signal.SIGKILL)
    eventually(lambda: not busy.processes("page --background"))
    assert address() == first
    busy.run("stop", cwd=folder).ok()
    assert asked(busy, parts.port or 0, "GET", f"/?{parts.query}", {})[0] == 303
    busy.run("down", cwd=folder).ok()
    eventually(lambda: not busy.processes("page --background"))
    assert busy.inside(lambda: os.listdir(busy.paths.run / "pages")) == []
    assert busy.run("up", "--page", "-d", "--dry-run", cwd=folder).ok().stderr.count("page:") == 0


def test_nobody_else_is_let_in(host: Host) -> None:
    """Neither without the token, nor from another site, nor by a name that leads to 127.0.0.1."""
    served = ServedPage(host)
    address = urlsplit(served.address)
    port = address.port or 0
    ours = f"127.0.0.1:{port}"

    status, headers = asked(host, port, "GET", f"/?{address.query}", {})
    assert (status, headers["location"]) == (303, "/")
    assert "SameSite=Strict" in headers["set-cookie"]
    assert "HttpOnly" in headers["set-cookie"]
    cookie = {"Cookie": headers["set-cookie"].partition(";")[0]}
    status, headers = asked(host, port, "GET", "/", cookie)
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    opens = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", **WEBSOCKET_KEY}
    refused: list[tuple[str, str, dict[str, str]]] = [
        ("GET", "/stream", {**opens, "Origin": f"http://{ours}"}),
        ("GET", "/stream", {**opens, **cookie}),
        ("GET", "/stream", {**opens, **cookie, "Origin": "http://evil.example"}),
        ("GET", "/shell", {**opens, **cookie, "Origin": f"http://evil.example:{port}"}),
        ("GET", "/shell", {**opens, **cookie}),
        ("GET", "/", {}),
        ("GET", "/?token=x", {}),
        ("GET", "/stream", {"Cookie": f"pycompose-{port}=x"}),
        ("GET", "/main.js", {}),
        ("GET", "/", {**cookie, "Host": f"evil.example:{port}"}),
        ("GET", f"/?{address.query}", {"Host": "evil.example"}),
        ("GET", "/stream", {**cookie, "Origin": "http://evil.example"}),
        ("GET", "/stream", {**cookie, "Sec-Fetch-Site": "cross-site"}),
        ("GET", "/stream", {**cookie, "Origin": f"http://127.0.0.1:{port + 1}"}),
        ("POST", "/act", cookie),
        ("POST", "/act", {**cookie, "Origin": "null"}),
        ("POST", "/act", {"Origin": f"http://{ours}"}),
        ("POST", "/plan", cookie),
        ("POST", "/shell", {**cookie, "Origin": f"http://evil.example:{port}"}),
        ("POST", "/shell/x/input", {**cookie, "Origin": f"http://127.0.0.1:{port + 1}"}),
        ("GET", "/resources", {}),
        ("GET", "/terminal.html", {**cookie, "Host": "evil.example"}),
    ]
    assert [asked(host, port, *one)[0] for one in refused] == [403] * len(refused)
    for target in ("/site.py", "/../site.py", "/%2e%2e/site.py", "/static/main.js"):
        assert asked(host, port, "GET", target, cookie)[0] == 404
    served.end()


def test_a_read_only_page_changes_nothing(host: Host) -> None:
    served = ServedPage(host, "--read-only")
    address = urlsplit(served.address)
    port = address.port or 0
    _, headers = asked(host, port, "GET", f"/?{address.query}", {})
    allowed = {"Cookie": headers["set-cookie"].partition(";")[0], "Origin": f"http://127.0.0.1:{port}"}

    for target in ("/act", "/plan", "/shell", "/shell/x/input"):
        assert asked(host, port, "POST", target, allowed)[0] == 403
    assert asked(host, port, "GET", "/shell", allowed)[0] == 403
    served.end()


def test_it_is_served_on_a_socket_and_beside_the_api(host: Host, tmp_path: Path) -> None:
    """A socket that is its owner's; and one process for both, which ends with both of them."""
    place = host.readable(tmp_path) / "page.sock"
    served = ServedPage(host, "--socket", str(place))
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    query = urlsplit(served.address).query

    def ask(target: str, name: str) -> int:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(place))
            sock.sendall(f"GET {target} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            return int(sock.makefile().readline().split()[1])

    found = [ask(f"/?{query}", "localhost:8000"), ask(f"/?{query}", "localhost"), ask("/", "localhost")]
    assert found == [303, 303, 403]
    assert ask(f"/?{query}", "evil.example") == 403
    served.end()
    assert not place.exists()

    both = host.spawn("system", "serve", "--socket", str(place), "--page", "0")
    assert both.process.stdout is not None
    said = sorted(both.process.stdout.readline().decode().strip() for _ in range(2))
    address = urlsplit(said[0])
    assert asked(host, address.port or 0, "GET", f"/?{address.query}", {})[0] == 303
    assert ask("/_ping", "localhost") == 200
    both.process.terminate()
    assert both.process.wait(20) == 0
    assert not place.exists()


def test_who_serves_until_nobody_is_there_counts_pages(host: Host, tmp_path: Path) -> None:
    place = host.readable(tmp_path) / "api.sock"
    server = host.spawn("system", "serve", "--socket", str(place), "--page", "0", "--idle", "2")
    assert server.process.stdout is not None
    first = server.process.stdout.readline()
    client = socket.socket(socket.AF_UNIX)
    eventually(lambda: client.connect_ex(str(place)) == 0)
    address = urlsplit(min(first, server.process.stdout.readline()).decode().strip())
    ours = f"127.0.0.1:{address.port}"
    _, headers = asked(host, address.port or 0, "GET", f"/?{address.query}", {})
    request = {
        "Host": ours, "Origin": f"http://{ours}", "Cookie": headers["set-cookie"].partition(";")[0],
        "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", **WEBSOCKET_KEY,
    }  # fmt: skip
    lines = "".join(f"{name}: {value}\r\n" for name, value in request.items())
    with host.inside(lambda: socket.create_connection(("127.0.0.1", address.port or 0), timeout=30)) as sock:
        sock.sendall(f"GET /stream HTTP/1.1\r\n{lines}\r\n".encode())
        assert sock.recv(12) == b"HTTP/1.1 101"
        client.close()
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(3)
    assert server.process.wait(60) == 0
    assert not place.exists()


def test_a_port_that_is_taken_is_said(host: Host) -> None:
    served = ServedPage(host)
    port = str(urlsplit(served.address).port)

    assert f"127.0.0.1:{port}: cannot listen" in host.run("page", "--port", port).exited(1).stderr
    served.end()


FARM = f"""
name: farm
services:
  cow: {{image: busybox, {SLEEP}, volumes: ["milk:/milk"]}}
  hen: {{image: busybox, {SLEEP}}}
volumes: {{milk: {{}}}}
"""


@requires("chromium")
@pytest.mark.timeout(180)
def test_it_plans_and_does_what_the_compose_file_says(busy: Host) -> None:
    """Plans with their causes, files that change, numbers of containers, snapshots of volumes, a shell."""
    folder = busy.project({"compose.yaml": FARM})
    file = folder / "compose.yaml"
    busy.run("up", "-d", cwd=folder).ok()
    served = ServedPage(busy)
    with browser_of(busy) as browser:
        page = open_page(browser, served.address)
        steps = page.locator("#plan-steps li")
        done = page.locator("#said")
        expect(page.locator("#pending")).to_be_hidden()
        page.get_by_role("button", name="Up…").click()
        expect(page.locator("#plan-state")).to_contain_text("Nothing to do")
        expect(page.get_by_role("button", name="Do it")).to_be_disabled()
        page.keyboard.press("Escape")

        card(page, "hen").get_by_role("button", name="scale hen").click()
        page.get_by_label("Containers").fill("3")
        expect(steps.filter(has_text="farm-hen-3")).to_contain_text("Created, Started, no existing container")
        page.keyboard.press("Enter")
        expect(done).to_have_text("scale hen: done")
        expect(card(page, "hen").locator(".state")).to_have_text("3 running")

        file.write_text(
            FARM.replace(f"hen: {{image: busybox, {SLEEP}", f"hen: {{image: busybox, {SLEEP}, tty: true")
        )
        expect(page.locator("#pending")).to_contain_text("Container farm-hen-1 (configuration changed)")
        page.get_by_role("button", name="Up…").click()
        expect(steps.filter(has_text="farm-hen-1")).to_contain_text(
            "Recreated, Started, configuration changed"
        )
        expect(steps.filter(has_text="farm-cow")).to_have_count(0)
        busy.run("stop", "cow", cwd=folder).ok()
        page.get_by_role("button", name="Do it").click()
        expect(done).to_contain_text("something has changed meanwhile")
        page.get_by_role("button", name="Up…").click()
        expect(steps.filter(has_text="farm-cow-1")).to_contain_text("Started")
        expect(page.get_by_role("button", name="Do it")).to_be_focused()
        page.keyboard.press("Enter")
        expect(done).to_have_text("up farm: done")
        expect(page.locator("#pending")).to_be_hidden()
        expect(card(page, "hen").locator(".state")).to_have_text("running")
        tab(page, "Activity")
        expect(page.locator(".work.done").filter(has_text="up -d")).to_contain_text(
            "Container farm-hen-1 Started"
        )
        file.write_text(FARM + "x: {\n")
        tab(page, "Services")
        expect(page.locator("#pending")).to_contain_text("compose.yaml cannot be used")
        file.write_text(FARM)

        busy.run("exec", "cow", "sh", "-c", "echo white > /milk/colour", cwd=folder).ok()
        tab(page, "Storage")
        milk = page.locator("#volume-rows tr").filter(has_text="farm_milk")
        expect(milk).to_contain_text("farm-cow-1")
        expect(page.locator("#network-rows tr").filter(has_text="farm_default")).to_contain_text("farm-hen-1")
        milk.get_by_role("button", name="snapshot").click()
        page.get_by_label("Tag").fill("a/b")
        with page.expect_response("**/act") as refused:
            page.keyboard.press("Enter")
        assert refused.value.status == 400
        expect(done).to_contain_text("snapshot 'a/b': not a tag")
        milk.get_by_role("button", name="snapshot").click()
        page.get_by_label("Tag").fill("fresh")
        page.keyboard.press("Enter")
        expect(milk.locator(".snapshots")).to_contain_text("fresh")
        busy.run("exec", "cow", "sh", "-c", "echo sour > /milk/colour", cwd=folder).ok()
        milk.get_by_role("button", name="restore").click()
        expect(page.locator("#volume-cancel")).to_be_focused()
        page.get_by_role("button", name="Do it").click()
        expect(done).to_have_text("restore farm_milk: done")
        assert busy.run("exec", "cow", "cat", "/milk/colour", cwd=folder).ok().stdout == "white\n"
        busy.run("stop", "hen", cwd=folder).ok()
        expect(page.locator("#network-rows tr").filter(has_text="farm_default")).to_contain_text(
            "farm-cow-1, farm-hen-1 (not running)"
        )

        tab(page, "Services")
        with page.expect_popup() as opened:
            card(page, "cow").get_by_role("link", name="shell in cow").click()
        shell = opened.value
        expect(shell.locator(".xterm-rows")).to_contain_text("farm-cow-1")
        shell.keyboard.type("echo $((6*7)) > /milk/answer; cat /milk/*; exit 3\n")
        expect(shell.locator(".xterm-rows")).to_contain_text("ended with code 3")
        expect(shell.locator(".xterm-rows")).to_contain_text("42")
        expect(shell.locator("#state")).to_have_text("the shell has ended")
    busy.run("down", "-v", cwd=folder).ok()
    served.end()


YARD = f"""
name: yard
include: [parts/more.yaml]
services:
  dog:
    image: busybox
    env_file: [{{path: dog.env, required: false}}]
    extends: {{file: base.yaml, service: base}}
    init: true
    command: [sleep, '1000']
  cat: {{image: busybox, {SLEEP}, profiles: [indoors], depends_on: [dog]}}
  pup: {{build: kennel, {SLEEP}, profiles: [indoors]}}
"""


@requires("chromium")
@pytest.mark.timeout(180)
def test_it_brings_up_what_is_down(busy: Host) -> None:
    """A project that is down, of the folder of the page, with a profile; then all its files are watched."""
    files = {
        "compose.yaml": YARD,
        "parts/more.yaml": f"services: {{hen: {{image: busybox, {SLEEP}}}}}",
        "base.yaml": "services: {base: {labels: {a: one}}}",
        "kennel/Dockerfile": "FROM busybox\n",
    }
    folder = busy.project(files)
    told = json.loads(busy.run("page", "--describe", cwd=folder).ok().stdout)
    assert {os.path.relpath(name, folder) for name in told["reads"]} == {*files, "dog.env"} - {
        "kennel/Dockerfile"
    }
    assert [os.path.relpath(name, folder) for name in told["dockerfiles"]] == []  # its profile is off
    served = ServedPage(busy, cwd=folder)
    with browser_of(busy) as browser:
        page = open_page(browser, served.address)
        expect(page.locator("#project")).to_have_value("yard")
        expect(card(page, "dog").locator(".state")).to_have_text("not created")
        expect(card(page, "cat")).to_have_count(0)
        steps = page.locator("#plan-steps li")
        page.get_by_role("button", name="Up…").click()
        expect(steps.filter(has_text="yard-dog-1")).to_contain_text("Created, Started")
        expect(steps.filter(has_text="yard-cat-1")).to_have_count(0)
        page.get_by_label("indoors").check()
        expect(steps.filter(has_text="yard-cat-1")).to_contain_text("Created, Started")
        page.get_by_role("button", name="Do it").click()
        expect(page.locator("#said")).to_have_text("up yard: done")
        for name in ("dog", "cat", "hen", "pup"):
            expect(card(page, name).locator(".state")).to_have_text("running")

        pending = page.locator("#pending")
        expect(pending).to_be_hidden()
        for name, text in (
            ("parts/more.yaml", files["parts/more.yaml"].replace("image", "tty: true, image")),
            ("base.yaml", files["base.yaml"].replace("one", "two")),
            ("dog.env", "BONE=1\n"),
        ):
            (folder / name).write_text(text)
            expect(pending).to_contain_text(f"{name} has changed: Container yard-")
            (folder / name).write_text(files[name]) if name in files else (folder / name).unlink()
            expect(pending).to_be_hidden()
        (folder / "kennel/Dockerfile").write_text("FROM busybox\nENV BONE=1\n")
        expect(pending).to_contain_text("kennel/Dockerfile has changed: pup to be built")
        page.get_by_role("button", name="Up…").click()
        expect(page.get_by_label("Build images first")).to_be_checked()
        expect(page.get_by_label("indoors")).to_be_checked()
        expect(steps.filter(has_text="yard-pup-1")).to_be_visible()
        page.get_by_role("button", name="Do it").click()
        expect(page.locator("#said")).to_have_text("up yard: done")
        expect(pending).to_be_hidden()

        busy.run("--profile", "indoors", "down", cwd=folder).ok()
        expect(card(page, "cat").locator(".state")).to_have_text("not created")
        expect(page.locator("#project option")).to_have_text("yard (down)")
        page.get_by_role("button", name="Up…").click()
        expect(steps.filter(has_text="yard-cat-1")).to_contain_text("Created, Started")
    served.end()


MILL = """
name: mill
services:
  web:
    build: .
    image: mill
    init: true
    command: [sleep, '1000']
    develop: {watch: [{action: sync, path: ./src, target: /app}]}
  check: {image: busybox, profiles: [test], command: ["true"], depends_on: [web], x-test: {}}
"""


HOSTILE = "<img src=x onerror='window.hacked=1'>"
# What can be used has a name for who doesn't see it.
NAMELESS = """
[...document.querySelectorAll("button, a, input, select, [role=tabpanel], [role=log]")].filter((one) =>
  !(one.textContent.trim() || one.ariaLabel || one.labels?.length || one.getAttribute("aria-labelledby"))
).map((one) => one.outerHTML)
"""


@requires("chromium")
@pytest.mark.timeout(180)
def test_it_tells_what_commands_elsewhere_do(busy: Host) -> None:
    """Builds step by step, batches of live reload, tests of stacks; hostile names of folders and files are text."""
    files = {
        "compose.yaml": MILL,
        "Dockerfile": (
            "FROM busybox\nCOPY src /app\n"
            f'RUN echo "grinding {HOSTILE}" >&2; printf "\\033[31mred\\n" >&2; echo done > /done\n'
        ),
        "src/a.txt": "one",
    }
    folder = busy.project(files, HOSTILE)
    busy.run("build", cwd=folder).ok()
    served = ServedPage(busy)
    with browser_of(busy) as browser:
        page = open_page(browser, served.address, width=380, scheme="dark")
        tab(page, "Activity")
        expect(page.locator("#no-works")).to_be_visible()
        busy.run("build", cwd=folder).ok()
        work = page.locator(".work").filter(has_text="build")
        expect(work.locator(".steps li").filter(has_text="RUN echo")).to_contain_text("cached")
        busy.run("build", "--no-cache", cwd=folder).ok()
        expect(page.locator(".work").first.locator(".work-output")).to_contain_text(f"grinding {HOSTILE}")
        expect(page.locator(".work").first.locator(".work-output")).not_to_contain_text("[31m")
        expect(page.locator(".work.done")).to_have_count(2)

        busy.run("watch", "-d", cwd=folder).ok()
        (folder / f"src/{HOSTILE}.txt").write_text("two")
        batch = page.locator(".work").filter(has_text='Syncing service "web"')
        expect(batch.first).to_contain_text(f"{HOSTILE}.txt")
        busy.run("test", cwd=folder)
        expect(page.locator(".work.done").filter(has_text="tests")).to_contain_text("stack ready")
        busy.run("test", "web", "--", "false", cwd=folder).exited(1)
        expect(page.locator(".work.failed").filter(has_text="tests")).to_contain_text("exit code 1")

        # A narrow, dark page, used without a mouse.
        expect(page.locator("body")).to_have_css("background-color", "rgb(13, 17, 23)")
        page.get_by_role("tab", name="Activity").focus()
        for name in ("Services", "Logs", "Events", "Storage"):
            page.keyboard.press("ArrowRight")
            expect(page.get_by_role("tab", name=name)).to_be_focused()
            expect(page.get_by_role("tabpanel", name=name)).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= 380
            assert page.evaluate(NAMELESS) == []
        tab(page, "Services")
        up = page.get_by_role("button", name="Up…")
        up.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#plan-state")).to_contain_text(f"{HOSTILE}/compose.yaml")
        page.keyboard.press("Escape")
        expect(page.locator("#plan")).to_be_hidden()
        expect(up).to_be_focused()
        card(page, "web").get_by_role("button", name="stop web").focus()
        page.keyboard.press("Enter")
        expect(card(page, "web").locator(".state")).to_have_text("exited (143)")
        assert page.evaluate("[window.hacked, document.images.length]") == [None, 0]
    busy.run("down", cwd=folder).ok()
    served.end()
    assert busy.inside(lambda: os.listdir(busy.paths.run / "pages")) == []
