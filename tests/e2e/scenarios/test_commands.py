"""What the commands for looking and handling do, and what their output promises."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.scene import Scene
from tests.support.terminal import Running

WAIT = "[sh, -c, 'trap exit TERM; sleep 1000 & wait']"
TRIO = f"""
services:
  web:
    image: busybox
    command: [sh, -c, "trap exit TERM; echo one; echo two >&2; echo three; sleep 1000 & wait"]
    ports: ["80", "127.0.0.1::53/udp"]
    scale: 2
  db:
    image: busybox
    command: {WAIT}
    volumes: ["data:/data"]
  job:
    image: busybox
    command: [sh, -c, "echo done; exit 3"]
volumes: {{data: }}
"""
TWO = f"""
services:
  web: {{image: busybox, command: {WAIT}, depends_on: [db]}}
  db: {{image: busybox, command: {WAIT}}}
"""
ONE = f"services: {{web: {{image: busybox, command: {WAIT}, stop_grace_period: 1s}}}}"


@pytest.fixture(scope="class")
def trio(stage: Scene) -> Scene:
    """Three services that nobody changes: two replicas of web, db, and a job that has ended."""
    stage.up(TRIO)
    stage.expect({"web-1": "running", "web-2": "running", "db-1": "running", "job-1": "exited"})
    stage.eventually(lambda: len(stage.logs("web").split()) == 6)
    return stage


def _mark(scene: Scene, events: Running) -> None:
    """Wait for the last of what has happened until now, which comes before the end of the first pause."""
    scene.compose("pause")
    scene.compose("unpause")
    events.expect(r'"unpause".*\n')


def names(text: str) -> list[str]:
    """Return the first word of each line but the first."""
    return [line.split()[0] for line in text.splitlines()[1:]]


class TestLooking:
    """Commands that change nothing, on one project."""

    def test_ps(self, trio: Scene) -> None:
        """`ps` must have Docker's columns and only what runs, sorted by name."""
        text = trio.compose("ps").stdout
        assert text.splitlines()[0].split() == [
            "NAME",
            "IMAGE",
            "COMMAND",
            "SERVICE",
            "CREATED",
            "STATUS",
            "PORTS",
        ]
        assert names(text) == [f"{trio.project}-{name}" for name in ("db-1", "web-1", "web-2")]
        assert re.search(r'busybox +"sh -c .*" +web +\S.* ago +Up .* +.*0\.0\.0\.0:\d+->80/tcp', text)

    @pytest.mark.parametrize(
        ("flags", "wanted"),
        (
            (("-a",), {"db-1", "web-1", "web-2", "job-1"}),
            (("web",), {"web-1", "web-2"}),
            (("-a", "job", "db"), {"db-1", "job-1"}),
            (("--status", "exited"), {"job-1"}),
            (("--filter", "status=running"), {"db-1", "web-1", "web-2"}),
            (("--status", "paused"), set()),
        ),
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_ps_chooses(self, trio: Scene, flags: tuple[str, ...], wanted: set[str]) -> None:
        """`ps` must show what its flags ask for."""
        assert set(names(trio.compose("ps", *flags).stdout)) == {f"{trio.project}-{name}" for name in wanted}

    def test_ps_short(self, trio: Scene) -> None:
        """`ps -q` must print ids, `ps --services` names."""
        ids = {item.id for item in trio.containers() if item.state == "running"}
        assert set(trio.compose("ps", "-q").stdout.split()) == ids
        assert set(trio.compose("ps", "--services").stdout.split()) == {"web", "db"}

    def test_ps_json(self, trio: Scene) -> None:
        """`ps --format json` must have one object per container with Docker's fields."""
        found = {item["Name"]: item for item in trio.compose("ps", "-a", "--format", "json").json()}
        job = found[f"{trio.project}-job-1"]
        wanted = {"State": "exited", "ExitCode": 3, "Service": "job", "Project": trio.project, "Health": ""}
        assert {name: job[name] for name in wanted} == wanted
        assert job["Status"].startswith("Exited (3)")
        web = found[f"{trio.project}-web-1"]
        ports = {
            (item["TargetPort"], item["Protocol"]): item
            for item in web["Publishers"]
            if ":" not in item["URL"]
        }
        assert set(ports) == {(80, "tcp"), (53, "udp")}
        assert ports[53, "udp"]["URL"] == "127.0.0.1"
        assert ports[80, "tcp"]["PublishedPort"] in trio.one("web").ports["80/tcp"]

    def test_ps_template(self, trio: Scene) -> None:
        """`ps --format` must take a Go template."""
        lines = trio.compose("ps", "-a", "--format", "{{.Service}} {{.State}}", "job").stdout.splitlines()
        assert lines == ["job exited"]

    def test_ls(self, trio: Scene) -> None:
        """`ls` must have a line per project with the number of containers per state."""
        rows = [re.split(r" {2,}", line.strip()) for line in trio.compose("ls", "-a").stdout.splitlines()]
        assert rows[0] == ["NAME", "STATUS", "CONFIG FILES"]
        (mine,) = [row for row in rows if row[0] == trio.project]
        assert mine[1:] == ["exited(1), running(3)", str(trio.folder / "compose.yaml")]

    def test_ls_json(self, trio: Scene) -> None:
        """`ls --format json` must be a list of objects, and `--filter` must choose by name."""
        found = trio.compose("ls", "--filter", f"name={trio.project}", "--format", "json").json()
        assert [item["Name"] for item in found] == [trio.project]
        assert found[0]["Status"] == "running(3)"
        assert found[0]["ConfigFiles"] == str(trio.folder / "compose.yaml")
        assert list(found[0]) == ["Name", "Status", "ConfigFiles"]

    @pytest.mark.parametrize(
        ("pattern", "found"),
        (("^PROJECT$", True), ("PROJEC.", True), ("^ROJECT", False), ("[", False), ("$^", False)),
    )
    def test_ls_by_a_pattern(self, trio: Scene, pattern: str, *, found: bool) -> None:
        """`ls --filter` must take a regular expression; what is none is the name itself."""
        pattern = pattern.replace("PROJECT", trio.project).replace("PROJEC", trio.project[:-1])
        pattern = pattern.replace("ROJECT", trio.project[1:])
        names = trio.compose("ls", "-q", "--filter", f"name={pattern}").stdout.split()
        assert (trio.project in names) == found

    def test_ls_quiet(self, trio: Scene) -> None:
        """`ls -q` must print names."""
        assert trio.project in trio.compose("ls", "-q").stdout.split()

    def test_port(self, trio: Scene) -> None:
        """`port` must print where a port is published, of any replica and protocol."""
        for number in (1, 2):
            (port,) = set(trio.one("web", number).ports["80/tcp"])
            said = trio.compose("port", "--index", str(number), "web", "80").stdout
            assert said == f"0.0.0.0:{port}\n"
        (port,) = trio.one("web").ports["53/udp"]
        assert (
            trio.compose("port", "--protocol", "udp", "--index", "1", "web", "53").stdout
            == f"127.0.0.1:{port}\n"
        )

    @pytest.mark.parametrize(
        "arguments", (("web", "81"), ("nobody", "80"), ("--index", "9", "web", "80")), ids=str
    )
    def test_port_of_nothing(self, trio: Scene, arguments: tuple[str, ...]) -> None:
        """`port` must end with 1 when there is no such port, service or replica."""
        assert trio.compose("port", *arguments, code=1).stderr

    def test_images(self, trio: Scene) -> None:
        """`images` must list the image of each container."""
        found = trio.compose("images", "--format", "json").json()
        assert {item["ContainerName"] for item in found} == {item.name for item in trio.containers()}
        assert {(item["Repository"], item["Tag"]) for item in found} == {("busybox", "latest")}
        assert list(found[0])[:6] == ["ID", "ContainerName", "Repository", "Tag", "Platform", "Size"]
        assert len(set(trio.compose("images", "-q").stdout.split())) == 1

    def test_top(self, trio: Scene) -> None:
        """`top` must list the processes of the running containers."""
        text = trio.compose("top", "web").stdout
        assert len(re.findall("sleep 1000", text)) >= 2
        assert {"UID", "PID", "PPID", "CMD"} <= set(text.split())

    def test_volumes(self, trio: Scene) -> None:
        """`volumes` must list the project's volumes."""
        assert f"{trio.project}_data" in trio.compose("volumes").stdout
        assert trio.compose("volumes", "-q").stdout.split() == [f"{trio.project}_data"]

    def test_logs(self, trio: Scene) -> None:
        """`logs` must have all lines of both streams, each with the name of its container."""
        lines = [re.sub(" +", " ", line) for line in trio.compose("logs", "--no-color").stdout.splitlines()]
        wanted = [f"web-{n} | {word}" for n in (1, 2) for word in ("one", "three", "two")]
        assert sorted(lines) == sorted([*wanted, "job-1 | done"])

    @pytest.mark.parametrize(
        ("flags", "pattern"),
        (
            (("--no-log-prefix", "job"), r"done"),
            (("--index", "2", "--tail", "2", "web"), r"(web-2 +\| (one|two|three)\n?){2}"),
            (("-n", "0", "job"), r""),
            (("--since", "2020-01-01T00:00:00Z", "job"), r"job-1 +\| done"),
            (("--since", "2099-01-01T00:00:00Z", "job"), r""),
            (("--until", "2020-01-01T00:00:00Z", "job"), r""),
            (("--since", "1h", "job"), r"job-1 +\| done"),
            (("-t", "job"), r"job-1 +\| \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z done"),
        ),
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_logs_chooses(self, trio: Scene, flags: tuple[str, ...], pattern: str) -> None:
        """`logs` must print what its flags ask for."""
        assert re.fullmatch(pattern, trio.compose("logs", "--no-color", *flags).stdout.strip())

    @pytest.mark.parametrize(
        "command",
        (
            pytest.param(("logs", "nobody")),
            ("stop", "nobody"),
            ("restart", "nobody"),
            ("exec", "-T", "nobody", "true"),
            ("exec", "-T", "--index", "9", "web", "true"),
            ("kill", "-s", "SIGNOTHING", "db"),
            pytest.param(("ps", "nobody")),
            ("wait", "nobody"),
            ("ps", "--no-such-flag"),
            ("-f", "not-there.yaml", "ps"),
        ),
        ids=" ".join,
    )
    def test_errors(self, trio: Scene, command: tuple[str, ...]) -> None:
        """A service, command, flag or file that doesn't exist must end a command with an error and no data."""
        result = trio.compose(*command, code=None)
        assert result.code != 0
        assert result.stderr
        assert not result.stdout.strip()
        assert "Traceback" not in result.stderr

    def test_unknown_command(self, trio: Scene) -> None:
        """A command that doesn't exist must not end with 0."""
        assert trio.compose("no-such-command", code=None).code != 0

    def test_version(self, trio: Scene) -> None:
        """`version` must be known, short and as JSON, and be one that scripts take for new enough."""
        short = trio.compose("version", "--short").stdout.strip()
        assert re.fullmatch(r"\d+\.\d+\.\d+\S*", short)
        assert [int(part) for part in short.split(".")[:2]] >= [2, 40]
        assert json.loads(trio.compose("version", "-f", "json").stdout)["version"].lstrip("v") == short

    def test_viz(self, scene: Scene) -> None:
        """`alpha viz` must draw the services for Graphviz, with what its flags ask for."""
        scene.file(
            "compose.yaml", TWO.replace("depends_on", "ports: ['80', '127.0.0.1::53/udp'], depends_on")
        )
        graph = scene.compose(
            "alpha", "viz", "--image", "--networks", "--ports", "--spaces"
        ).stdout.splitlines()
        assert graph[:2] == [f'digraph "{scene.project}" {{', " layout=dot;"]
        (db,) = [line for line in graph if line.startswith(' "db"')]
        assert db == (
            ' "db" [style="filled" label=<<font point-size="15">db</font><font point-size="10"><br/><br/>'
            '<b>Networks:</b><br/>default</font><font point-size="10"><br/><br/><b>Image:</b><br/>busybox</font>>];'
        )
        (web,) = [line for line in graph if line.startswith(' "web" [')]
        assert "<b>Ports:</b><br/>:80 (tcp, ingress)<br/>127.0.0.1::53 (udp, ingress)</font>" in web
        assert ' "web" -> "db";' in graph


class TestExec:
    """`exec`, in one container."""

    @pytest.fixture(scope="class")
    @classmethod
    def web(cls, stage: Scene) -> Scene:
        """One service with a second replica."""
        stage.up(ONE.replace("busybox,", "busybox, scale: 2, environment: {A: file}, working_dir: /srv,"))
        return stage

    @pytest.mark.parametrize(
        ("arguments", "out"),
        (
            (("web", "sh", "-c", "echo $A; pwd"), "file\n/srv\n"),
            (("-e", "A=flag", "-e", "B=2", "web", "sh", "-c", "echo $A$B"), "flag2\n"),
            (("-w", "/tmp", "web", "pwd"), "/tmp\n"),
            (("-u", "app", "web", "id", "-un"), "app\n"),
            (("-u", "1000:1001", "web", "id", "-g"), "1001\n"),
            (("web", "echo", "-n", "--flag"), "--flag"),
            (("--privileged", "web", "grep", "-c", "CapEff.*ffffff$", "/proc/self/status"), "1\n"),
        ),
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_flags(self, web: Scene, arguments: tuple[str, ...], out: str) -> None:
        """`exec` must run the command as its flags say, starting from the service's settings."""
        assert web.compose("exec", "-T", *arguments).stdout == out

    @pytest.mark.parametrize(
        ("command", "code"),
        ((("sh", "-c", "exit 42"), 42), (("/etc/passwd",), 126), (("sh", "-c", "kill -9 $$"), 137)),
        ids=str,
    )
    def test_exit_codes(self, web: Scene, command: tuple[str, ...], code: int) -> None:
        """`exec` must end with the command's exit code."""
        web.compose("exec", "-T", "web", *command, code=code)

    def test_missing_command(self, web: Scene) -> None:
        """`exec` of a command that doesn't exist must say so."""
        result = web.compose(
            "exec", "-T", "web", "not-there", code=web.differs("exec-not-found", docker=126, pycompose=127)
        )
        assert "not-there" in result.stdout + result.stderr

    def test_index(self, web: Scene) -> None:
        """`exec --index 2` must run in the second replica."""
        said = [
            web.compose("exec", "-T", "--index", str(n), "web", "hostname").stdout.strip() for n in (1, 2)
        ]
        assert said == [web.one("web", n).id[:12] for n in (1, 2)]

    def test_streams(self, web: Scene) -> None:
        """`exec -T` must keep stdout and stderr apart, and must pass stdin with its end."""
        result = web.compose("exec", "-T", "web", "sh", "-c", "wc -c; echo err >&2", stdin="12345")
        assert (result.stdout.strip(), result.stderr.strip()) == ("5", "err")

    def test_detached(self, web: Scene) -> None:
        """`exec -d` must return at once and leave the command running."""
        web.compose("exec", "-d", "web", "sh", "-c", "echo $$ >/tmp/pid; exec sleep 77")
        web.eventually(lambda: web.compose("exec", "-T", "web", "cat", "/tmp/pid", code=None).code == 0)
        web.compose("exec", "-T", "web", "sh", "-c", "kill -0 $(cat /tmp/pid)")


class TestHandling:
    """Commands that change states, on one project after the other."""

    def test_stop_start(self, scene: Scene) -> None:
        """`stop` must end and keep containers, `start` must start the same ones."""
        scene.up(ONE)
        before = scene.ids()
        scene.compose("stop")
        scene.expect({"web-1": "exited"})
        scene.compose("stop")
        scene.compose("start")
        scene.expect({"web-1": "running"})
        assert scene.ids() == before

    def test_restart(self, scene: Scene) -> None:
        """`restart` must start the same containers once more, stopped ones too, and ignore changes of the file."""
        scene.up(TRIO)
        scene.expect_exit("job", 3)
        with scene.restarts("web-1", "web-2"):
            scene.compose("restart", "-t", "1", "web")
        scene.file("compose.yaml", TRIO.replace("80", "81"))
        with scene.restarts("db-1"):
            scene.compose("stop", "db")
            scene.compose("restart", "db")
        assert "80/tcp" in scene.one("web").ports

    def test_restart_and_dependants(self, scene: Scene) -> None:
        """`restart db` must restart who depends on db with `restart: true`, and nobody with `--no-deps`."""
        scene.up(
            f"""
services:
  web: {{image: busybox, command: {WAIT}, depends_on: {{db: {{condition: service_started, restart: true}}}}}}
  app: {{image: busybox, command: {WAIT}, depends_on: [db]}}
  db: {{image: busybox, command: {WAIT}}}
"""
        )
        with scene.restarts("db-1", "web-1"):
            scene.compose("restart", "db")
        with scene.restarts("db-1"):
            scene.compose("restart", "--no-deps", "db")

    def test_pause(self, scene: Scene) -> None:
        """`pause` must freeze, `ps` must say so, `unpause` must go on."""
        scene.up(ONE)
        scene.compose("pause")
        scene.expect({"web-1": "paused"})
        assert "(Paused)" in scene.compose("ps").stdout
        scene.compose("unpause")
        scene.expect({"web-1": "running"})
        scene.compose("pause")
        scene.compose("down", "-t", "1")
        assert not scene.ids()

    def test_pause_twice(self, scene: Scene) -> None:
        """`pause` of what is paused and `unpause` of what is not must fail; what doesn't run must not matter."""
        scene.up(TWO)
        scene.compose("pause", "web")
        for words in (("pause", "web"), ("pause",)):
            assert "already paused" in scene.compose(*words, code=1).stderr
        scene.compose("restart", "-t", "1")
        for words in (("unpause", "web"), ("unpause",)):
            assert "not paused" in scene.compose(*words, code=1).stderr
        scene.compose("stop", "-t", "1")
        scene.compose("pause")
        scene.compose("unpause", "web")

    def test_paused_ones_are_not_started(self, scene: Scene) -> None:
        """`up`, `start` and `run` must refuse a paused container; `restart` and a new one must do."""
        scene.up(TWO)
        scene.compose("pause", "web")
        scene.compose("pause", "db")
        for words in (
            ("up", "-d"),
            ("up", "-d", "--wait"),
            ("start",),
            ("start", "web"),
            ("run", "-T", "web"),
        ):
            assert "cannot start a paused container" in scene.compose(*words, code=1).stderr
        scene.compose("restart", "-t", "1")
        scene.expect({"web-1": "running", "db-1": "running"})
        scene.compose("pause")
        scene.compose("up", "-d", "-t", "1", "--force-recreate")
        scene.expect({"web-1": "running", "db-1": "running"})

    def test_kill(self, scene: Scene) -> None:
        """`kill` must send the signal, by name or number, SIGKILL by default."""
        script = "trap 'echo usr' USR1; echo up; while sleep 0.05; do :; done"
        scene.up(f'services: {{web: {{image: busybox, command: [sh, -c, "{script}"]}}}}')
        scene.eventually(lambda: "up" in scene.logs())
        scene.compose("kill", "-s", "SIGUSR1", "web")
        scene.eventually(lambda: scene.logs().count("usr") == 1)
        scene.compose("kill", "-s", "10")
        scene.eventually(lambda: scene.logs().count("usr") == 2)
        scene.compose("kill")
        scene.expect_exit("web", 137)
        scene.compose("kill")

    def test_rm(self, scene: Scene) -> None:
        """`rm -f` must remove stopped containers only, `-s` must stop them first, `-v` takes anonymous volumes."""
        scene.up(TRIO.replace("data:/data", "/data"))
        scene.expect_exit("job", 3)
        scene.compose("rm", "-f")
        assert set(scene.ids()) == {"web-1", "web-2", "db-1"}
        volume = scene.one("db").volumes["/data"]
        scene.compose("rm", "-fsv", "db")
        assert set(scene.ids()) == {"web-1", "web-2"}
        assert volume not in scene.engine.volumes()
        scene.compose("rm", "-f", "db")

    def test_rm_asks(self, scene: Scene) -> None:
        """`rm` must ask, and a no must remove nothing."""
        scene.file("compose.yaml", ONE)
        scene.compose("create")
        scene.compose("rm", stdin="n\n")
        scene.expect({"web-1": "created"})
        scene.compose("rm", stdin="y\n")
        scene.expect({})

    def test_wait(self, scene: Scene) -> None:
        """`wait` must return when the service has ended, with its exit code."""
        scene.file("shared/.keep", "")
        scene.up(
            "services: {job: {image: busybox, volumes: ['./shared:/s'], "
            "command: [sh, -c, 'until test -e /s/go; do sleep 0.05; done; exit 6']}}"
        )
        waiting = scene.spawn("wait", "job")
        scene.file("shared/go", "")
        assert waiting.wait() == 6
        assert "exited with status code 6" in waiting.output
        scene.expect_exit("job", 6)

    def test_wait_for_those_that_run(self, scene: Scene) -> None:
        """`wait` must leave out what has ended already as long as there is something to wait for."""
        scene.up(
            "services:\n  over: {image: busybox, command: [sh, -c, exit 4]}\n"
            "  job: {image: busybox, command: [sh, -c, 'sleep 4; exit 6']}"
        )
        scene.eventually(lambda: scene.states()["over-1"] == "exited")
        said = scene.compose("wait", "--down-project", "over", "job", code=6)
        assert said.stdout.count("exited with status code") == 1
        scene.expect({})

    def test_wait_for_the_past(self, scene: Scene) -> None:
        """`wait` for a job that was quicker must end with its code (Docker Compose finds no container)."""
        scene.up("services: {job: {image: busybox, command: [sh, -c, exit 4]}}")
        scene.expect({"job-1": "exited"})
        scene.compose("wait", "job", code=scene.differs("wait-for-the-past", docker=1, pycompose=4))

    def test_wait_and_down(self, scene: Scene) -> None:
        """`wait --down-project` must remove the project when the first service has ended."""
        scene.up(TRIO.replace("exit 3", "sleep 1; exit 3"))
        scene.compose("wait", "--down-project", "job", code=3)
        scene.expect({})

    def test_nothing_to_do(self, scene: Scene) -> None:
        """`down`, `stop`, `kill`, `rm`, `ps` and `logs` of a project that doesn't run must end with 0."""
        scene.file("compose.yaml", ONE)
        for command in (["down"], ["stop"], ["kill"], ["rm", "-f"], ["ps"], ["logs"], ["images"], ["top"]):
            scene.compose(*command)

    def test_start_needs_containers(self, scene: Scene) -> None:
        """`start` must fail where nothing was created."""
        scene.file("compose.yaml", ONE)
        assert scene.compose("start", code=1).stderr

    def test_events(self, scene: Scene) -> None:
        """`events --json` must tell of every change of a container, in order."""
        scene.up(ONE)
        events = scene.spawn("events", "--json")

        def heard() -> bool:  # nothing says when it listens: repeat something harmless
            scene.compose("restart")
            events.sleep(0.3)
            return '"start"' in events.output

        scene.eventually(heard)
        _mark(scene, events)
        seen = len(events.output)
        scene.compose("stop")
        scene.compose("start")
        scene.compose("pause")
        scene.compose("unpause")
        scene.compose("down")
        events.expect('"destroy"')
        found = [json.loads(line) for line in events.output[seen:].splitlines() if line]
        assert list(found[0]) == ["action", "attributes", "id", "service", "time", "type"]
        assert {item["service"] for item in found} == {"web"}
        assert {item["type"] for item in found} == {"container"}
        actions = [item["action"] for item in found]
        ours = [word for word in actions if word in ("start", "die", "pause", "unpause", "destroy")]
        assert ours == ["die", "start", "pause", "unpause", "die", "destroy"]

    def test_events_before_up(self, scene: Scene) -> None:
        """`events` must wait for a project that doesn't run yet."""
        scene.file("compose.yaml", ONE)
        events = scene.spawn("events")
        scene.eventually(
            lambda: scene.compose("up", "-d", "--force-recreate") and (events.sleep(0.2), events.output)[1]
        )
        assert events.process.poll() is None

    def test_events_of_nobody(self, scene: Scene) -> None:
        """`events` of a service that the file doesn't have must say so; 2.40 waits for ever."""
        scene.file("compose.yaml", ONE)
        if scene.differs("events-of-nobody", docker=False, pycompose=True):
            assert "no such service" in scene.compose("events", "nobody", code=1).stderr

    def test_cp(self, scene: Scene) -> None:
        """`cp` must copy files and folders in both directions, running or not, and tar on `-`."""
        scene.needs("cp")
        scene.up(ONE)
        scene.file("folder/in", "hello")
        scene.compose("cp", "folder", "web:/tmp/")
        scene.compose("cp", "folder/in", "web:/tmp/renamed")
        assert (
            scene.compose("exec", "-T", "web", "cat", "/tmp/folder/in", "/tmp/renamed").stdout == "hellohello"
        )
        scene.compose("stop")
        scene.compose("cp", "web:/tmp/folder", "back")
        assert scene.read("back/in") == "hello"
        assert "folder/in" in scene.compose("cp", "web:/tmp/folder", "-").stdout
        scene.compose("cp", "web:/not/there", "x", code=1)
        scene.compose("cp", "folder/in", "web:/not/there/", code=1)


def test_ports_are_published(scene: Scene) -> None:
    """A published port must be answered by the service, a range by its replicas."""
    scene.up(
        """
services:
  web:
    image: busybox
    command: [sh, -c, "while true; do hostname | nc -l -p 80; done"]
    stop_grace_period: 0s
    scale: 2
    ports: ["47080-47081:80"]
"""
    )
    ports = [scene.one("web", number).ports["80/tcp"] for number in (1, 2)]
    assert sorted(ports) == [(47080,), (47081,)]
    for number in (1, 2):
        (port,) = scene.one("web", number).ports["80/tcp"]
        scene.eventually(lambda port=port: scene.engine.connect(port))
        said = scene.eventually(lambda port=port: scene.engine.connect(port))
        assert said.strip() == scene.one("web", number).id[:12]


def test_port_that_is_taken(scene: Scene) -> None:
    """A port that another service has must end `up` with 1 and the number."""
    service = f"{{image: busybox, command: {WAIT}, ports: ['47090:80']}}"
    result = scene.up(f"services: {{a: {service}, b: {service}}}", code=1)
    assert "47090" in result.stderr


def test_logs_that_nobody_keeps(scene: Scene) -> None:
    """`logs` must say for which containers there are none, and show the others'."""
    scene.up("""
services:
  web: {image: busybox, command: echo hello, logging: {driver: none}}
  app: {image: busybox, command: echo world}
""")
    scene.expect({"web-1": "exited", "app-1": "exited"})
    result = scene.compose("logs")
    said = (result.stdout + result.stderr).replace('\\"', '"')
    assert f'Can\'t retrieve logs for "{scene.project}-web-1"' in said
    assert "world" in result.stdout
    assert "hello" not in said


def test_nobody_says_yes(scene: Scene) -> None:
    """`rm` without `-f` must take the end of its input for a no, which is no error."""
    scene.up("services: {a: {image: busybox, command: ['true']}}")
    scene.expect({"a-1": "exited"})
    scene.compose("rm")
    scene.expect({"a-1": "exited"})


@pytest.mark.parametrize("flags", (("-u", "nobody-of-that-name"), ("-w", "/no/such/directory")), ids=" ".join)
def test_exec_as_somebody_or_somewhere_that_is_not_there(scene: Scene, flags: tuple[str, ...]) -> None:
    """`exec` must end with 126 when the command couldn't be begun, whatever its own codes mean."""
    scene.up("services: {a: {image: busybox, command: [sh, -c, 'trap exit TERM; sleep 1000 & wait']}}")
    scene.compose("exec", "-T", *flags, "a", "true", code=126)


def test_events_of_what_is_gone(scene: Scene) -> None:
    """`events --since` must tell of what was, as far as somebody keeps it."""
    scene.up("services: {a: {image: busybox, command: ['true']}}")
    scene.expect({"a-1": "exited"})
    scene.compose("down")
    told = scene.compose("events", "--since", "5m", "--until", "0s", code=None).stdout
    assert ("container create" in told) is scene.differs("past-events", docker=True, pycompose=False)


def test_cp_without_a_path(scene: Scene) -> None:
    """`cp` must refuse a container's side without a path: it may mean everything."""
    scene.up("services: {a: {image: busybox, command: ['true']}}")
    scene.file("file", "")
    scene.compose("cp", "a:", "out", code=1)
    scene.compose("cp", "file", "a:", code=1)
    assert not (scene.folder / "out").exists()
