"""What somebody's scripts and fingers are used to: switches with values, scopes of commands, small outputs."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.scene import Scene

WAIT = "[sh, -c, 'trap exit TERM; sleep 1000 & wait']"
ONE = f"services: {{web: {{image: busybox, command: {WAIT}}}}}"


class TestSwitches:
    """Flags as Docker's command line takes them, one project for all."""

    @pytest.fixture(scope="class")
    @classmethod
    def web(cls, stage: Scene) -> Scene:
        """One service that runs."""
        stage.up(ONE)
        return stage

    @pytest.mark.parametrize(
        ("arguments", "out"),
        (
            (("exec", "-T", "-i=false", "web", "cat"), ""),
            (("exec", "-T=true", "--interactive=0", "web", "cat"), ""),
            (("exec", "-T=true", "web", "cat"), "in\n"),
            (("run", "--rm=true", "-T", "-i=false", "web", "cat"), ""),
            (("exec", "-T", "web", "echo", "-x=true", "--y=false"), "-x=true --y=false\n"),
            (("--all-resources=false", "config", "--services=true"), "web\n"),
            (("ps", "--services=1", "--all=false"), "web\n"),
        ),
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_values(self, web: Scene, arguments: tuple[str, ...], out: str) -> None:
        """A switch must be on with `=true` and off with `=false`, and the words of a command must stay."""
        assert web.compose(*arguments, stdin="in\n").stdout == out

    @pytest.mark.parametrize("flags", (("-it",), ("-t",), ("-ti", "-e", "A=1")), ids=" ".join)
    def test_terminal_by_habit(self, web: Scene, flags: tuple[str, ...]) -> None:
        """`exec -it` must work where there is no terminal: scripts are full of it. `run -t` must refuse."""
        assert web.compose("exec", *flags, "web", "cat", stdin="in\n").stdout == "in\n"
        web.compose("run", "--rm", *flags, "web", "true", code=1)
        assert not web.oneoffs()

    def test_bad_value(self, web: Scene) -> None:
        """A value that is neither must be refused."""
        web.compose("ps", "--all=maybe", code=1)


PROFILES = f"""
services:
  web: {{image: busybox, command: {WAIT}, volumes: ["data:/data"]}}
  tool: {{image: busybox, command: {WAIT}, profiles: [dev], volumes: ["tools:/data", "/anonymous"]}}
volumes: {{data: {{}}, tools: {{}}}}
"""
LEFT = f"""
services:
  web: {{image: busybox, command: {WAIT}, volumes: ["data:/data"]}}
volumes: {{data: {{}}}}
"""


class TestScope:
    """Which containers a command is about that names no service."""

    @pytest.mark.parametrize("later", (PROFILES, LEFT), ids=("profile", "orphan"))
    def test_others_are_left_alone(self, scene: Scene, later: str) -> None:
        """Commands must leave alone what no profile enables now, and what the file doesn't have any more."""
        scene.file("compose.yaml", PROFILES)
        scene.compose("--profile", "dev", "up", "-d")
        tool = scene.one("tool")
        scene.file("compose.yaml", later)
        for words in (("restart", "-t0"), ("pause",), ("unpause",), ("stop", "-t0"), ("start",), ("kill",)):
            scene.compose(*words)
            assert scene.one("tool") == tool, words
        scene.expect({"web-1": "exited", "tool-1": "running"})
        scene.file("compose.yaml", PROFILES)
        scene.compose("stop", "-t0", "tool")
        scene.file("compose.yaml", later)
        scene.compose("rm", "-f")
        scene.expect({"tool-1": "exited"})

    @pytest.mark.parametrize("later", (PROFILES, LEFT), ids=("profile", "orphan"))
    def test_down_keeps_their_data(self, scene: Scene, later: str) -> None:
        """`down -v` must keep containers and volumes of profiles that are off, and of services that are gone."""
        scene.file("compose.yaml", PROFILES)
        scene.compose("--profile", "dev", "up", "-d")
        anonymous = scene.one("tool").volumes["/anonymous"]
        scene.volume("tools", "precious").write_text("data", encoding="ascii")
        scene.file("compose.yaml", later)
        scene.compose("down", "-v", "-t0")
        scene.expect({"tool-1": "running"})
        assert scene.volumes() == {"tools"}
        assert anonymous in scene.engine.volumes()
        scene.file("compose.yaml", PROFILES)
        scene.compose("--profile", "dev", "down", "-v", "-t0")
        assert not scene.ids()
        assert not scene.volumes()

    def test_without_a_file(self, scene: Scene) -> None:
        """With nothing but the project's name a command must be about all services, and not what `run` made."""
        scene.file("compose.yaml", PROFILES)
        scene.compose("--profile", "dev", "up", "-d")
        scene.compose("run", "-d", "web", "sh", "-c", "trap exit TERM; sleep 1000 & wait")
        (scene.folder / "compose.yaml").unlink()
        name = ("-p", scene.project)
        scene.compose(*name, "stop", "-t0")
        scene.expect({"web-1": "exited", "tool-1": "exited"})
        scene.compose(*name, "start")
        scene.compose(*name, "kill")
        scene.expect({"web-1": "exited", "tool-1": "exited"})
        assert [item.state for item in scene.oneoffs()] == ["exited"]
        scene.compose(*name, "down")
        assert not scene.ids()
        assert len(scene.oneoffs()) == 1

    def test_down_and_what_run_made(self, scene: Scene) -> None:
        """`down` must leave alone what `run` made, running or not, unless asked for orphans."""
        scene.up(ONE)
        scene.compose("run", "-d", "web", "sh", "-c", "trap exit TERM; sleep 1000 & wait")
        scene.compose("run", "-T", "web", "true")
        scene.compose("down", "-t0")
        assert not scene.ids()
        assert sorted(item.state for item in scene.oneoffs()) == ["exited", "running"]
        scene.compose("stop", "-t0")
        scene.compose("rm", "-f")
        assert sorted(item.state for item in scene.oneoffs()) == ["exited", "running"]
        scene.compose("kill")
        scene.eventually(lambda: {item.state for item in scene.oneoffs()} == {"exited"})
        scene.compose("down", "--remove-orphans")
        assert not scene.oneoffs()
        assert not scene.networks()

    def test_up_removes_what_run_left(self, scene: Scene) -> None:
        """`up --remove-orphans` must remove one-offs that have ended, and no others; `up` removes none."""
        scene.up(ONE)
        scene.compose("run", "-d", "web", "sh", "-c", "trap exit TERM; sleep 1000 & wait")
        scene.compose("run", "-T", "web", "true")
        said = scene.compose("up", "-d").stderr
        assert not [line for line in said.splitlines() if "-run-" in line and line.endswith("Running")]
        assert len(scene.oneoffs()) == 2
        scene.compose("up", "-d", "--remove-orphans")
        assert [item.state for item in scene.oneoffs()] == ["running"]
        scene.compose("down", "-t0", "--remove-orphans")

    @pytest.mark.parametrize("shared", ('ports: ["47150:80"]', "container_name: PROJECT-fixed"), ids=str)
    def test_renamed(self, scene: Scene, shared: str) -> None:
        """`up --remove-orphans` after a service has got another name must give it what the old one had."""
        text = f"services: {{NAME: {{image: busybox, command: {WAIT}, {shared}}}}}"
        scene.up(text.replace("NAME", "old"))
        scene.up(text.replace("NAME", "new"), code=1)
        scene.up(text.replace("NAME", "new"), "--remove-orphans")
        scene.expect({"new-1": "running"})

    def test_nothing_to_do(self, scene: Scene) -> None:
        """Commands must end with 0 when only others have containers."""
        scene.file("compose.yaml", PROFILES)
        scene.compose("--profile", "dev", "up", "-d", "tool")
        for words in (("stop",), ("kill",), ("pause",), ("unpause",), ("restart",), ("rm", "-f"), ("down",)):
            scene.compose(*words)
        scene.expect({"tool-1": "running"})

    def test_unknown(self, scene: Scene) -> None:
        """`down` of a service that doesn't exist must fail, and remove nothing."""
        scene.up(ONE)
        assert "nobody" in scene.compose("down", "nobody", code=1).stderr
        scene.expect({"web-1": "running"})


PIPELINE = f"""
services:
  test:
    image: busybox
    command: [sh, -c, 'trap exit TERM; echo testing; sleep 1.5 & wait $$!; exit 6']
    depends_on: {{migrate: {{condition: service_completed_successfully}}, side: {{condition: service_started}}}}
  migrate: {{image: busybox, command: ["true"]}}
  side: {{image: busybox, command: [sh, -c, 'trap exit TERM; sleep 0.7 & wait $$!; exit 3']}}
  database: {{image: busybox, command: {WAIT}}}
"""


class TestMonitored:
    """Whose end an attached `up` is about."""

    @pytest.mark.parametrize(
        ("flags", "code"),
        (
            (("--exit-code-from", "test", "test"), 6),
            (("--abort-on-container-exit", "test"), 6),
            (("--abort-on-container-failure", "test"), 6),
            (("--abort-on-container-exit", "--attach-dependencies", "test"), 6),
            (("--abort-on-container-exit", "--attach", "side", "test"), 6),
            (("--abort-on-container-exit", "--attach", "test"), 6),
            (("--abort-on-container-exit", "--no-attach", "migrate"), 3),
            (("test",), 0),
        ),
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_dependencies_may_end(self, scene: Scene, flags: tuple[str, ...], code: int) -> None:
        """The end of a dependency that was not asked for must not end `up`, nor be told."""
        scene.file("compose.yaml", PIPELINE)
        out = scene.compose("up", *flags, code=code).stdout
        assert "migrate-1 exited" not in out

    def test_every_end_is_told_once(self, scene: Scene) -> None:
        """What is stopped because something has ended must be told, and once."""
        scene.file("compose.yaml", PIPELINE)
        out = scene.compose("up", "--abort-on-container-failure", "--no-color", code=3).stdout
        for name in ("database-1", "migrate-1", "side-1", "test-1"):
            assert out.count(f"{name} exited with code") == 1, name


class TestImages:
    """`down --rmi`."""

    @pytest.fixture
    @classmethod
    def tagged(cls, scene: Scene) -> Scene:
        """Three services with images of their own names, one of them switched off."""
        for name in "abc":
            scene.image(f"{scene.project}:{name}", "busybox")
        text = f"services: {{a: {{image: 'PROJECT:a', command: {WAIT}}}, b: {{image: 'PROJECT:b', command: {WAIT}}},"
        scene.up(f"{text} c: {{image: 'PROJECT:c', command: {WAIT}, profiles: [off]}}}}")
        return scene

    @pytest.mark.parametrize(
        ("arguments", "left"),
        ((("local",), "abc"), (("all",), "c"), (("all", "a"), "bc"), (("all", "--dry-run"), "abc")),
        ids=" ".join,
    )
    def test_rmi(self, tagged: Scene, arguments: tuple[str, ...], left: str) -> None:
        """`--rmi all` must remove the images of the services that are taken down, `--rmi local` no named ones."""
        tagged.compose("down", "-t0", "--rmi", *arguments)
        there = [name for name in "abc" if tagged.has_image(f"{tagged.project}:{name}")]
        assert "".join(there) == left
        tagged.compose("down", "-t0", "--rmi", "all")
        tagged.compose("--profile", "off", "down", "--rmi", "all")
        assert not any(tagged.has_image(f"{tagged.project}:{name}") for name in "abc")

    def test_used_by_another_project(self, tagged: Scene) -> None:
        """An image that somebody else's container uses may lose this name, but its container must go on."""
        tagged.compose("-p", f"{tagged.project}x", "up", "-d", "a")
        tagged.compose("down", "-t0", "--rmi", "all")
        tagged.compose("-p", f"{tagged.project}x", "exec", "-T", "a", "true")
        tagged.compose("-p", f"{tagged.project}x", "down", "-t0", code=0)
        tagged.compose("--profile", "off", "down", "--rmi", "all")


LOOKED_AT = f"""
services:
  web:
    image: busybox
    command: {WAIT}
    scale: 2
    labels: {{own: label}}
    volumes: ["data:/data", /anonymous]
    networks: [front, back]
  job: {{image: busybox, command: [echo, done], networks: [front]}}
volumes: {{data: {{}}}}
networks: {{front: {{}}, back: {{}}}}
"""


class TestLooking:
    """Commands that look, one project for all."""

    @pytest.fixture(scope="class")
    @classmethod
    def shop(cls, stage: Scene) -> Scene:
        """Two replicas and a job that has ended."""
        stage.up(LOOKED_AT)
        stage.expect_exit("job", 0)
        return stage

    def test_volumes(self, shop: Scene) -> None:
        """`volumes` must list named volumes only, and refuse services that don't exist."""
        name = f"{shop.project}_data\n"
        assert shop.compose("volumes", "-q").stdout == name
        assert shop.compose("volumes", "-q", "web").stdout == name
        assert shop.compose("volumes", "-q", "job").stdout == ""
        shop.compose("volumes", "nobody", code=1)

    def test_networks_of_stopped(self, shop: Scene) -> None:
        """`ps` must know the networks of a container that has ended."""
        said = shop.compose("ps", "-a", "--format", "{{.Networks}}", "job").stdout
        assert said == f"{shop.project}_front\n"

    def test_images_have_dates(self, shop: Scene) -> None:
        """`images` must say when they were made."""
        assert " ago\n" in shop.compose("images", "job").stdout.replace(" \n", "\n")

    def test_top_of_nothing(self, shop: Scene) -> None:
        """`top` must print nothing where nothing runs."""
        assert shop.compose("top", "job").stdout == ""

    @pytest.mark.parametrize(
        "arguments", (("--index", "2"), ("--index", "1", "web", "job"), ("--index", "7", "web")), ids=" ".join
    )
    def test_index(self, shop: Scene, arguments: tuple[str, ...]) -> None:
        """`logs --index` must be refused unless there is such a replica of one service."""
        shop.compose("logs", *arguments, code=1)

    def test_empty_since(self, shop: Scene) -> None:
        """A time that is empty must be none: scripts pass variables that aren't set."""
        assert shop.logs("--since", "", "--until", "", "job") == "done\n"

    @pytest.mark.parametrize("arguments", (("-w", "relative"), ("-l", "bare")), ids=" ".join)
    def test_run_refuses(self, shop: Scene, arguments: tuple[str, ...]) -> None:
        """`run` must refuse what can't be meant."""
        shop.compose("run", "--rm", *arguments, "web", "true", code=1)


def test_events(scene: Scene) -> None:
    """`events --json` must tell of signals before their consequences, of restarts, and the service's labels."""
    scene.up(f"services: {{web: {{image: busybox, init: true, command: {WAIT}, labels: {{own: label}}}}}}")
    events = scene.spawn("events", "--json")

    def heard() -> bool:
        scene.compose("kill", "-s", "URG")
        events.sleep(0.3)
        return '"kill"' in events.output

    scene.eventually(heard)
    # The last of what has happened until now comes before the end of a pause.
    scene.compose("pause")
    scene.compose("unpause")
    events.expect(r'"unpause".*\n')
    seen = len(events.output)
    scene.compose("restart")
    scene.compose("kill")
    scene.compose("up", "-d")
    scene.compose("down")
    events.expect('"destroy"')
    found = [json.loads(line) for line in events.output[seen:].splitlines() if line]
    assert {item["attributes"].get("own") for item in found} == {"label"}
    assert not [key for item in found for key in item["attributes"] if key.startswith("com.docker")]
    told = [item["action"] for item in found if item["action"] != "stop"]
    assert told == ["kill", "die", "start", "restart", "kill", "die", "start", "kill", "die", "destroy"]
    assert [i["attributes"]["signal"] for i in found if i["action"] == "kill"] == ["15", "9", "15"]


def test_events_of_commands(scene: Scene) -> None:
    """`events` must tell of commands in containers: made, started, ended; those of health checks, too."""
    scene.up(
        "services: {web: {image: busybox, init: true, "
        f"command: {WAIT}, healthcheck: {{test: [CMD, test, probed], interval: 1s}}}}}}"
    )
    events = scene.spawn("events", "--json")

    def heard() -> bool:
        scene.compose("exec", "-T", "web", "true")
        events.sleep(0.3)
        return '"exec_die"' in events.output

    scene.eventually(heard)
    seen = len(events.output)
    scene.compose("exec", "-T", "web", "sh", "-c", "exit 4", code=4)
    scene.compose("exec", "-T", "web", "no-such-program", code=None)
    scene.compose("exec", "-d", "web", "false")
    scene.eventually(lambda: events.sleep(0.1) or '"exec_start: test probed"' in events.output)
    scene.compose("kill", "-s", "URG")
    events.expect('"kill"')
    lines = events.output[seen:].splitlines()
    found = [item for item in map(json.loads, filter(None, lines)) if "probed" not in item["action"]]
    told = [(item["action"], item["attributes"].get("exitCode")) for item in found]
    for step in (
        *[(f"exec_{what}: sh -c exit 4", None) for what in ("create", "start")],
        ("exec_die", "4"),
        *[(f"exec_{what}: no-such-program ", None) for what in ("create", "start")],
        *[(f"exec_{what}: false ", None) for what in ("create", "start")],
    ):
        assert step in told
        told = told[told.index(step) + 1 :]
    ids = {item["attributes"]["execID"] for item in found if "sh -c exit 4" in item["action"]}
    assert len(ids) == 1
    assert re.fullmatch("[0-9a-f]{64}", ids.pop())


CHAIN = f"""
services:
  web: {{image: busybox, command: {WAIT}, depends_on: {{api: {{condition: service_started, restart: true}}}}}}
  api: {{image: busybox, command: {WAIT}, depends_on: {{db: {{condition: service_healthy}}}}}}
  db: {{image: busybox, command: {WAIT}, healthcheck: {{test: "true", interval: 300ms}}}}
  other: {{image: busybox, command: {WAIT}}}
"""


class TestChain:
    """`start` and `restart` of one service out of a chain."""

    @pytest.mark.parametrize("before", ("create", "stop"))
    def test_start(self, scene: Scene, before: str) -> None:
        """`start web` must start what web depends on, in order, and nothing else."""
        scene.file("compose.yaml", CHAIN)
        if before == "create":
            scene.compose("create")
        else:
            scene.compose("up", "-d")
            scene.compose("stop")
        stopped = "created" if before == "create" else "exited"
        scene.compose("start", "web")
        scene.expect({"web-1": "running", "api-1": "running", "db-1": "running", "other-1": stopped})
        scene.compose("stop", "db")
        scene.compose("start", "api")
        assert scene.states()["db-1"] == "running"

    @pytest.mark.parametrize("before", ("create", "stop"))
    def test_restart(self, scene: Scene, before: str) -> None:
        """`restart api` must restart it, and who asked for it, whatever the state of what it depends on."""
        scene.file("compose.yaml", CHAIN)
        if before == "create":
            scene.compose("create")
            left = {"web-1": "created", "api-1": "running", "db-1": "created", "other-1": "created"}
        else:
            scene.compose("up", "-d")
            scene.compose("stop", "db")
            left = {"web-1": "running", "api-1": "running", "db-1": "exited", "other-1": "running"}
        scene.compose("restart", "api")
        states = scene.states()
        states["web-1"] = left["web-1"]
        assert states == left
        scene.compose("restart")
        scene.expect(dict.fromkeys(left, "running"))

    def test_one_container(self, scene: Scene) -> None:
        """A container that is started by its own name must not wait for others."""
        scene.up(CHAIN)
        scene.compose("stop")
        scene.container("start", f"{scene.project}-api-1")
        scene.container("restart", f"{scene.project}-web-1")
        scene.expect({"web-1": "running", "api-1": "running", "db-1": "exited", "other-1": "exited"})


def test_cp_into_read_only(scene: Scene) -> None:
    """`cp` into what a container can't write to must fail, and say that it is the container's place that is so."""
    scene.file("file", "text")
    scene.file("folder/file", "old")
    service = f"image: busybox, command: {WAIT}, read_only: true, volumes: ['./folder:/folder:ro']"
    scene.up(f"services: {{a: {{{service}}}}}")
    for target in ("/folder/file", "/etc/file"):
        said = scene.compose("cp", "file", f"a:{target}", code=1).stderr
        assert "read-only" in said.lower()
        assert "PYCOMPOSE_ROOT" not in said
    assert scene.read("folder/file") == "old"
