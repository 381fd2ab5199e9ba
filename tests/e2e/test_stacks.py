"""`pycompose.testing.Compose`: stacks that start, answer, explain themselves, and are gone afterwards.

The scripts run in a process of their own on the private machine: what they assert is what a user's test would.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.scenario import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.scenario import Host, Result

SHOP = """
name: shop
services:
  db:
    image: busybox
    container_name: the-db
    command: [sh, -c, "echo db is up; mkdir -p /www; echo '{\\"ok\\": true}' > /www/state; exec httpd -f -p 80 -h /www"]
    environment: {POSTGRES_USER: app, POSTGRES_PASSWORD: "p/w", POSTGRES_DB: shop}
    ports: ["8080:80"]
    volumes: ["data:/data"]
    networks: {back: {ipv4_address: 10.5.0.5}}
  migrate: {image: busybox, command: "true"}
  web:
    image: busybox
    command: [sleep, inf]
    depends_on:
      migrate: {condition: service_completed_successfully}
      db: {condition: service_started}
    networks: [back]
  broken:
    image: busybox
    command: [sh, -c, "echo cannot start >&2; exit 3"]
    profiles: [bad]
    healthcheck: {test: "false", interval: 1s}
  slow:
    image: busybox
    command: [sleep, inf]
    profiles: [bad]
    healthcheck: {test: "echo not yet; exit 1", interval: 1s, retries: 100}
networks: {back: {name: fixed-net, ipam: {config: [{subnet: 10.5.0.0/16}]}}}
volumes: {data: {name: production-data}}
"""


@pytest.fixture
def shop(busy: Host) -> Path:
    """Return the folder of a project whose files fix everything that can be fixed."""
    return busy.project({"compose.yaml": SHOP}, "shop")


def run_script(host: Host, folder: Path, text: str, *, code: int = 0, timeout_s: float = 60.0) -> Result:
    """Run Python text that uses pycompose.testing in `folder`."""
    script = folder / "script.py"
    script.write_text("from pycompose.testing import *\n" + textwrap.dedent(text), encoding="utf-8")
    return host.command([sys.executable, script], cwd=folder, timeout_s=timeout_s).exited(code)


def test_a_stack_starts_is_reached_and_is_gone(busy: Host, shop: Path) -> None:
    run_script(
        busy,
        shop,
        """
        import urllib.request
        with Compose() as stack:
            assert stack.name.startswith("shop-")
            db = stack["db"].wait_for(http(80, "/state", json=lambda body: body["ok"]))
            assert urllib.request.urlopen(db.url(80, "state")).read() == b'{"ok": true}\\n'
            port = db.host_port(80)
            assert port != 8080
            assert urllib.request.urlopen(f"http://127.0.0.1:{port}/state").status == 200
            ip, number = db.address(5432)
            assert number == 5432 and not ip.startswith("10.5.")
            assert db.dsn("postgresql") == f"postgresql://app:p%2Fw@{ip}:5432/shop"
            assert db.dsn("postgresql", user="me", password="") == f"postgresql://me@{ip}:5432/shop"
            variables = stack.export()
            assert variables["DB_80_TCP_ADDR"] == ip and variables["DB_80_TCP_HOST_PORT"] == str(port)
            # The name that its container had is still one of it.
            assert stack["web"].exec("wget", "-qO-", "http://the-db/state").json() == {"ok": True}
            assert [view.state for view in stack["migrate"].containers()] == ["exited"]
            assert [line.text for line in db.logs()] == ["db is up"]
        """,
    )
    assert busy.run("ls", "-a", "-q").ok().stdout == ""
    assert busy.run("volume", "ls", "-q").ok().stdout == ""


def test_a_command_has_its_own_outputs_and_code(busy: Host, shop: Path) -> None:
    run_script(
        busy,
        shop,
        """
        with Compose(services=["db"]) as stack:
            assert stack.running == ("db",)
            db = stack["db"]
            command = "cat; echo err >&2; echo $A; pwd; exit 5"
            result = db.exec("sh", "-c", command, stdin="in\\n", env={"A": "b"}, workdir="/tmp")
            assert (result.code, result.text, result.stderr) == (5, "in\\nb\\n/tmp", b"err\\n")
            assert db.exec("id", "-u", user="1000").text == "1000"
            big = b"x" * 3_000_000
            assert db.exec("cat", stdin=big).stdout == big
            try:
                result.check()
            except ProcessFailed as exc:
                assert exc.code == 5 and "err" in str(exc)
            else:
                raise AssertionError
            try:
                db.exec("sleep", "60", timeout_s=0.3)
            except TimeoutError as exc:
                assert "sleep 60" in str(exc)
            else:
                raise AssertionError
            assert "sleep" not in db.exec("ps").text
            assert db.run("echo", "once").text == "once"
            # What it has left in the keeper's hands when it ends comes, too, however late it is read.
            from pycompose.state.snapshot import observe_containers
            import time
            def late(stream, data, seen=[]):
                while not seen and any(c.oneoff and c.running for c in observe_containers(paths, stack.name)[0]):
                    time.sleep(0.01)
                seen.append(data)
            paths = stack.context.paths
            assert len(db.run("sh", "-c", "head -c 1500000 /dev/zero", tee=late).stdout) == 1500000
            # Who holds the output open doesn't hold the test up.
            assert db.exec("sh", "-c", "sleep 50 & echo done", timeout_s=10).text == "done"
            import pathlib
            pathlib.Path("here").write_text("text")
            db.copy_to("here", "/etc/there")
            assert db.exec("cat", "/etc/there").text == "text" and db.exists("/etc/there")
            db.copy_from("/etc/there", "back")
            assert pathlib.Path("back").read_text() == "text"
        """,
    )


def test_a_service_is_started_when_it_is_first_asked_for(busy: Host, shop: Path) -> None:
    run_script(
        busy,
        shop,
        """
        with Compose(services=[]) as stack:
            assert stack.running == ()
            assert stack["web"].container().state == "running"
            assert set(stack.running) == {"db", "migrate", "web"}
            try:
                stack["dbb"]
            except Exception as exc:
                assert "did you mean" in exc.hint, exc
            else:
                raise AssertionError
        """,
    )


def test_what_is_not_ready_says_why(busy: Host, shop: Path) -> None:
    result = run_script(
        busy,
        shop,
        """
        try:
            Compose(services=["broken"], profiles=["bad"]).start()
        except StackFailed as exc:
            print(exc)
            (report,) = exc.reports
            assert (report.state, report.exit_code) == ("exited", 3)
            assert [line.text for line in report.lines] == ["cannot start"]
        else:
            raise AssertionError
        try:
            Compose(services=["slow", "db"], profiles=["bad"], timeouts={"slow": 1}).start()
        except NotReady as exc:
            print(exc)
            assert exc.reports[0].health == "starting"
            assert "not yet" in exc.reports[0].health_output
        else:
            raise AssertionError
        with Compose(services=["db"]) as stack:
            stack["db"].kill()
            assert stack["db"].wait_exit() == 137
            try:
                stack["db"].wait_for(tcp(80))
            except NotReady as exc:
                assert "has ended (exit code 137)" in str(exc)
            else:
                raise AssertionError
        """,
    )
    assert "cannot start" in result.stdout
    assert "not ready after 1 s" in result.stdout
    assert busy.run("ls", "-a", "-q").ok().stdout == ""


def test_what_a_stack_is_made_of(busy: Host) -> None:
    """Files, their directory, variables and an override are what -f, --project-directory and a shell would give."""
    app = "trap 'echo told' USR1; echo mode $MODE; cat /conf/f; touch /ready; while :; do sleep 0.1 & wait; done"
    hungry = {
        "image": "busybox",
        "command": ["tail", "/dev/zero"],
        "mem_limit": "16m",
        "profiles": ["hungry"],
    }
    services = {
        "app": {
            "image": "busybox",
            "command": ["sh", "-c", app.replace("$MODE", "${MODE}")],
            "volumes": ["./conf:/conf:ro"],
            "healthcheck": {"test": "test -e /ready", "interval": "1s"},
        },
        "hungry": hungry,
    }
    folder = busy.project(
        {"deploy/compose.yaml": json.dumps({"services": services}), "conf/f": "text\n"}, "made"
    )
    run_script(
        busy,
        folder,
        """
        more = {"services": {"app": {"environment": {"EXTRA": "x"}}}}
        with Compose("deploy/compose.yaml", project_directory=".", env={"MODE": "a"}, override=more) as stack:
            app = stack["app"].wait_for(healthy())
            assert [line.text for line in app.logs()] == ["mode a", "text"], app.logs()
            assert app.environment["EXTRA"] == "x" and app.exec("sh", "-c", "echo $EXTRA").text == "x"
            with app.expect_log("told"):
                app.signal("SIGUSR1")
            try:
                stack["hungry"].wait_for(completed())
            except NotReady as exc:
                found = exc.reports[0]
                assert (found.state, found.exit_code, found.oom_killed) == ("exited", 137, True), found
                assert "exit code 137, killed for lack of memory" in str(exc)
            except StackFailed as exc:
                assert "killed for lack of memory" in str(exc)
            else:
                raise AssertionError
        for wrong, hint in (
            ({"files": "deploy/compos.yaml"}, 'did you mean "compose.yaml"?'),
            ({"files": "nowhere.yaml"}, None),
            ({"profiles": ["hungri"]}, 'did you mean "hungry"?'),
            ({"services": ["ap"]}, 'did you mean "app"?'),
            ({"timeouts": {"db": 1}}, "services: app, hungry"),
            ({"ready": {"ap": tcp(80)}}, 'did you mean "app"?'),
            ({"volume_sizes": {"data": "1m"}}, "volumes: none"),
        ):
            try:
                Compose(**{"files": "deploy/compose.yaml", **wrong}).start()
            except Exception as exc:
                assert exc.hint == hint and "internal" not in str(exc), (wrong, str(exc), exc.hint)
            else:
                raise AssertionError(wrong)
        """,
    )
    assert busy.run("ls", "-a", "-q").ok().stdout == ""


def test_waits_combine(busy: Host, shop: Path) -> None:
    run_script(
        busy,
        shop,
        """
        import time
        with Compose(services=["db"], ready={"db": all_of(tcp(80), log("is up"), file("/www/state"))}) as stack:
            db = stack["db"]
            db.wait_for(any_of(log("never"), http(80, "/nothing", status=404)))
            db.wait_for(command("test", "-e", "/www"))
            db.wait_for(check(lambda service: service.stats().pids > 0))
            with db.expect_log("said", timeout_s=5, count=2) as found:
                db.exec("sh", "-c", "echo said 1 > /proc/1/fd/1; echo said 2 > /proc/1/fd/1")
            assert [line.text for line in found] == ["said 1", "said 2"], found
            began = time.monotonic()
            try:
                with db.expect_log("never", timeout_s=0.3):
                    pass
            except NotReady as exc:
                assert "0 of 1 lines" in str(exc)
            else:
                raise AssertionError
            assert time.monotonic() - began < 5
        """,
    )


def test_services_are_controlled(busy: Host, shop: Path) -> None:
    run_script(
        busy,
        shop,
        """
        with Compose() as stack:
            db, web = stack["db"], stack["web"]
            first = db.container().id
            db.stop()
            assert db.container().state == "exited"
            db.start()
            db.wait_for(running())
            db.freeze()
            assert db.container().state == "paused"
            db.thaw()
            db.restart()
            assert db.container().id == first
            web.scale(3)
            assert len(web.containers()) == 3
            db.limit(memory_bytes=64 << 20)
            assert db.stats().memory_limit_bytes == 64 << 20
            stack.reset("recreate")
            assert db.container().id != first
            stack.reset("restart")
        """,
    )


def test_sixteen_of_one_file_at_once(busy: Host, shop: Path) -> None:
    """Each has its own fixed names, ports, addresses and volumes."""
    run_script(
        busy,
        shop,
        """
        from concurrent.futures import ThreadPoolExecutor
        import urllib.request
        stacks = [Compose(services=["web"]) for _ in range(16)]
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(Compose.start, stacks))
            for number, stack in enumerate(stacks):
                stack["db"].exec("sh", "-c", f"echo {number} > /www/number", check=True)
            for number, stack in enumerate(stacks):
                for url in (stack["db"].url(80, "number"), f"http://127.0.0.1:{stack['db'].host_port(80)}/number"):
                    assert urllib.request.urlopen(url).read() == f"{number}\\n".encode()
                assert stack["web"].exec("wget", "-qO-", "http://db/number").text == str(number)
            assert len({stack.name for stack in stacks}) == 16
            list(pool.map(Compose.close, stacks))
        """,
        timeout_s=120,
    )


def test_stacks_one_after_the_other_cost_nothing_that_stays(busy: Host, shop: Path) -> None:
    """Their supervisors are forked from one that is loaded, which ends with the process, and may be killed."""
    run_script(
        busy,
        shop,
        """
        import os, signal, time
        from pathlib import Path
        def named(part):
            found = []
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    if part in path.read_bytes(): found.append(int(path.parent.name))
                except OSError: pass
            return found
        def children():
            return Path("/proc/thread-self/children").read_text().split()
        seen = []
        for number in range(6):
            with Compose(services=["db"]) as stack:
                stack["db"].wait_for(tcp(80))
                if number not in (0, 4):
                    assert named(b"pycompose.supervisor.template"), number
                if number == 3:
                    for pid in named(b"pycompose.supervisor.template"):
                        os.kill(pid, signal.SIGKILL)  # its forks, too
                    stack["db"].exec("true", check=True)
            ends = time.monotonic() + 10  # what has been told to end is there for a moment
            while True:
                seen[number:] = [(len(os.listdir("/proc/self/fd")), len(children()))]
                if number != 2 or seen[2] == seen[1] or time.monotonic() > ends: break
                time.sleep(0.05)
        # What is started in place of what was killed are more children, which nobody waits for.
        assert seen[2] == seen[1] and seen[5][0] == seen[1][0] and seen[5][1] <= seen[1][1] + 3, seen
        with Compose(services=["db"], env={"PYCOMPOSE_CGROUP": "another"}) as stack:
            stack["db"].exec("true", check=True)
        """,
        timeout_s=120,
    )


def test_an_async_stack(busy: Host, shop: Path) -> None:
    run_script(
        busy,
        shop,
        """
        import asyncio
        async def main():
            async with Compose(services=["db"]) as stack:
                assert stack["db"].container().state == "running"
        asyncio.run(main())
        """,
    )


def test_a_project_that_runs_is_left_alone(busy: Host, shop: Path) -> None:
    """Without isolation the names are the file's; what ran before is used, and stays."""
    busy.run("up", "-d", "db", cwd=shop).ok()
    run_script(
        busy,
        shop,
        """
        with Compose(isolated=False, services=["db"]) as stack:
            assert stack.name == "shop" and stack["db"].host_port(80) == 8080
            stack["db"].loss(100)
            stack["db"].freeze()
        try:
            stack["db"].wait_for(tcp(80), timeout_s=10)  # nothing is broken any more
        finally:
            stack.heal()
        """,
    )
    assert busy.run("ps", "-q", cwd=shop).ok().stdout
    busy.run("down", "-v", cwd=shop).ok()


def test_the_data_of_a_project_that_is_no_copy_stays(busy: Host, shop: Path) -> None:
    """Whoever takes the file's own names gets the file's own volumes, which hold what is not the test's."""
    busy.run("up", "-d", "db", cwd=shop).ok()
    busy.run("exec", "-T", "db", "sh", "-c", "echo precious > /data/x", cwd=shop).ok()
    busy.run("down", cwd=shop).ok()
    run_script(
        busy,
        shop,
        """
        with Compose(isolated=False, services=["db"]) as stack:
            stack.reset("recreate")
            assert stack["db"].exec("cat", "/data/x").text == "precious"
        """,
    )
    script = shop / "script.py"
    script.write_text(
        "import time\nfrom pycompose.testing import Compose\n"
        "Compose(isolated=False, services=['db']).start()\nprint('up', flush=True)\ntime.sleep(100)\n",
        encoding="utf-8",
    )
    owner = busy.inside(lambda: _popen(busy, script))
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"up\n"
    owner.kill()
    owner.wait()
    owner.stdout.close()
    eventually(lambda: busy.run("ls", "-a", "-q").ok().stdout == "")
    busy.run("test", "--no-isolated", "db", "--", "true", cwd=shop).ok()
    busy.run("up", "-d", "db", cwd=shop).ok()
    assert busy.run("exec", "-T", "db", "cat", "/data/x", cwd=shop).ok().stdout == "precious\n"
    busy.run("down", "-v", cwd=shop).ok()


def test_a_restore_takes_no_volume_away_that_is_not_a_copys(busy: Host) -> None:
    text = """
        services:
          db: {image: busybox, command: [sleep, inf]}
          more: {image: busybox, command: [sleep, inf], volumes: ["theirs:/data"]}
        volumes: {theirs: {external: true}}
        """
    folder = busy.project({"compose.yaml": text}, "theirs")
    busy.run("volume", "create", "theirs").ok()
    run_script(
        busy,
        folder,
        """
        with Compose(isolated=False, services=["db"]) as stack:
            stack.snapshot()
            stack["more"].exec("touch", "/data/precious", check=True)
            stack.restore()
            assert stack["more"].exists("/data/precious")
        """,
    )
    assert busy.run("volume", "ls", "-q").ok().stdout == "theirs\n"
    busy.run("volume", "rm", "theirs").ok()


def test_a_stack_ends_with_its_process(busy: Host, shop: Path) -> None:
    """Kill -9 of the owner, and of the supervisor right before."""
    script = shop / "script.py"
    script.write_text(
        "import sys, time\nfrom pycompose.testing import Compose\n"
        "Compose().start()\nprint('up', flush=True)\ntime.sleep(100)\n",
        encoding="utf-8",
    )
    for kill_supervisor in (False, True):
        owner = busy.inside(lambda: _popen(busy, script))
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        if kill_supervisor:
            busy.kill("pycompose.supervisor")
        owner.kill()
        owner.wait()
        owner.stdout.close()
        _until_nothing(busy)


def test_a_stack_ends_with_a_process_that_is_killed_while_it_ends_it(busy: Host) -> None:
    """Until all is gone somebody has to see to it."""
    loop = "trap 'echo told' TERM; echo ready; while :; do sleep 0.1; done"
    text = f'services: {{slow: {{image: busybox, command: [sh, -c, "{loop}"]}}}}'
    folder = busy.project({"compose.yaml": text}, "slow")
    script = folder / "script.py"
    script.write_text(
        "from pycompose.testing import Compose, log\n"
        "with Compose(name='slow', stop_timeout_s=100, ready={'slow': log('ready')}): pass\n",
        encoding="utf-8",
    )
    owner = busy.inside(lambda: _popen(busy, script))
    eventually(lambda: "told" in busy.run("-p", "slow", "logs").stdout)
    owner.kill()
    owner.wait()
    assert owner.stdout is not None
    owner.stdout.close()
    _until_nothing(busy)


def test_kills_at_any_moment_leave_nothing(busy: Host, shop: Path) -> None:
    """PYCOMPOSE_STACK_KILLS=200 for as many; the seed is printed, PYCOMPOSE_KILL_SEED repeats it."""
    seed = int(os.environ.get("PYCOMPOSE_KILL_SEED") or time.time_ns())
    print(f"seed {seed}")
    lot = random.Random(seed)  # noqa: S311 - to be repeated
    script = shop / "script.py"
    script.write_text(
        "import sys\nfrom pycompose.testing import Compose\n"
        "while True:\n    with Compose() as stack:\n        stack['db'].exec('touch', '/data/x')\n"
        "        stack.snapshot()\n        stack.restore()\n        stack['db'].loss(5)\n",
        encoding="utf-8",
    )
    for _ in range(int(os.environ.get("PYCOMPOSE_STACK_KILLS", "4"))):
        owner = busy.inside(lambda: _popen(busy, script))
        with contextlib.suppress(subprocess.TimeoutExpired):
            owner.wait(lot.uniform(0.1, 2.5))
        assert owner.poll() is None
        if lot.random() < 0.3:
            busy.kill("pycompose.supervisor")
        owner.kill()
        owner.wait()
        assert owner.stdout is not None
        owner.stdout.close()
        _until_nothing(busy)


def _until_nothing(host: Host) -> None:
    until_s = time.monotonic() + 30
    while _anything(host) and time.monotonic() < until_s:
        time.sleep(0.05)
    assert _anything(host) == ""


def _anything(host: Host) -> str:
    """Return the projects and volumes that there are; what was killed with all of its processes needs `gc`."""
    host.run("gc").ok()
    return host.run("ls", "-a", "-q").ok().stdout + host.run("volume", "ls", "-q").ok().stdout


def test_what_nobody_owns_is_collected(busy: Host, shop: Path) -> None:
    """And with --kept what has been left on purpose."""
    run_script(busy, shop, "Compose(services=['db'], keep=True).__enter__().close()")
    (kept,) = busy.run("ls", "-a", "-q").ok().stdout.split()
    assert busy.run("gc").ok().stdout == ""
    assert busy.run("gc", "--kept").ok().stdout.split() == [kept]
    assert busy.run("ls", "-a", "-q").ok().stdout == ""


def _popen(host: Host, script: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, script], cwd=script.parent, env=host.environment, stdout=subprocess.PIPE
    )


def test_isolated_copies_on_the_command_line(busy: Host, shop: Path) -> None:
    """Their name is what is printed; with it every command is about the same copy."""
    busy.run("up", "-d", "db", cwd=shop).ok()
    names = [
        busy.run("up", "-d", "--isolated", "--write-ports", "ports.json", "db", cwd=shop).ok().stdout.strip()
        for _ in range(2)
    ]
    ports = json.loads((shop / "ports.json").read_text())
    (port,) = ports["services"]["db"]
    assert ports["project"] == names[1] != names[0]
    assert (port["target"], port["host_ip"]) == (80, "127.0.0.1")
    assert port["host_port"] not in (0, 8080)
    published = busy.run("-p", names[1], "port", "db", "80", cwd=shop).ok().stdout.strip()
    assert published == f"127.0.0.1:{port['host_port']}"
    assert "Running" in busy.run("-p", names[0], "up", "-d", "db", cwd=shop).ok().stderr
    for name in names:
        busy.run("-p", name, "down", "-v", cwd=shop).ok()
    assert busy.run("volume", "ls", "-q").ok().stdout.split() == ["production-data"]
    busy.run("down", "-v", cwd=shop).ok()
    assert busy.run("up", "-d", "--isolated", "--write-ports", "env", "db", cwd=shop).ok()
    variables = dict(line.split("=") for line in (shop / "env").read_text().splitlines())
    assert variables["DB_80_TCP_HOST"] == "127.0.0.1"
    assert int(variables["DB_80_TCP_HOST_PORT"])
    busy.run("-p", variables["COMPOSE_PROJECT_NAME"], "down", "-v", cwd=shop).ok()
    assert busy.run("volume", "ls", "-q").ok().stdout == ""


def test_a_copy_has_a_name_whatever_goes_wrong(busy: Host, shop: Path) -> None:
    failed = busy.run("up", "-d", "--isolated", "--write-ports", "/no/where", "db", cwd=shop).exited(1)
    busy.run("-p", failed.stdout.strip(), "down", "-v", cwd=shop).ok()
    attached = busy.spawn("up", "--isolated", "db", cwd=shop)
    attached.expect("Started")
    attached.process.send_signal(signal.SIGINT)
    attached.expect("to remove it: pycompose -p")
    attached.process.wait(30)
    (name,) = busy.run("ls", "-a", "-q").ok().stdout.split()
    busy.run("-p", name, "down", "-v", cwd=shop).ok()
    assert busy.run("ls", "-a", "-q").ok().stdout == ""


def test_only_the_ports_are_free_ones(busy: Host, shop: Path) -> None:
    busy.run("up", "-d", "--random-ports", "db", cwd=shop).ok()
    (line,) = busy.run("ps", "--format", "{{.Name}} {{.Ports}}", cwd=shop).ok().stdout.splitlines()
    assert line.startswith("the-db ")
    assert ":8080->" not in line
    assert "needs --detach" in busy.run("up", "--write-ports", "x", cwd=shop).exited(1).stderr
    busy.run("down", "-v", cwd=shop).ok()
