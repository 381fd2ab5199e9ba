"""`run`, and `exec` and `attach` on terminals."""

from __future__ import annotations

import re

import pytest

from tests.support.scene import Scene

WAIT = "[sh, -c, 'trap exit TERM; sleep 1000 & wait']"
SIZE = "until stty size | grep -q '%s'; do sleep 0.05; done; echo has $(stty size)"
TOOL = f"""
services:
  tool:
    image: busybox
    command: [sh, -c, 'echo default']
    environment: {{A: file}}
    working_dir: /srv
    ports: ["47120:80"]
    restart: always
    container_name: PROJECT-tool
    volumes: ["/anonymous"]
    depends_on: [db]
    networks: {{default: {{aliases: [alias]}}}}
  db:
    image: busybox
    command: {WAIT}
"""
HOOKED = """
services:
  web:
    image: busybox
    post_start: [{command: [sh, -c, "touch /hooked"]}]
"""
UNTIL_HOOKED = (
    "echo hi; n=0; until test -e /hooked; do sleep 0.05; n=$((n+1)); test $n -lt 100 || exit 9; done"
)


@pytest.fixture
def tool(scene: Scene) -> Scene:
    """Describe a service to run once, with a dependency."""
    scene.needs("run")
    scene.file("compose.yaml", TOOL)
    return scene


class TestFlags:
    """`run --rm` with flags, one after the other in one project."""

    @pytest.mark.parametrize(
        ("arguments", "out"),
        (
            (("tool",), "default\n"),
            (("tool", "sh", "-c", "echo $A; pwd"), "file\n/srv\n"),
            (("-e", "A=flag", "-e", "FROM_HERE", "tool", "sh", "-c", "echo $A $FROM_HERE"), "flag here\n"),
            (("-w", "/tmp", "tool", "pwd"), "/tmp\n"),
            (("-u", "app", "tool", "id", "-un"), "app\n"),
            (("--entrypoint", "echo entry", "tool", "point"), "entry point\n"),
            (("-v", "./shared:/shared", "tool", "cat", "/shared/file"), "text"),
            (("--volumes", "./shared:/shared", "--labels", "a=b", "tool", "cat", "/shared/file"), "text"),
            (("--env-from-file", "vars.env", "tool", "sh", "-c", "echo $FROM_FILE"), "file-value\n"),
            (
                ("--cap-add", "NET_ADMIN", "tool", "grep", "CapEff", "/proc/self/status"),
                "CapEff:\t00000000a80435fb\n",
            ),
            (
                ("--cap-drop", "ALL", "tool", "grep", "CapEff", "/proc/self/status"),
                "CapEff:\t0000000000000000\n",
            ),
            (("tool", "echo", "--rm", "-x"), "--rm -x\n"),
        ),
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_flags(self, stage: Scene, arguments: tuple[str, ...], out: str) -> None:
        """`run` must run the service's command or another one, as its flags say, and print only its output."""
        stage.needs("run")
        stage.file("compose.yaml", TOOL)
        stage.file("shared/file", "text")
        stage.file("vars.env", "FROM_FILE=file-value\n")
        result = stage.compose("run", "--rm", "--no-deps", "-T", *arguments, env={"FROM_HERE": "here"})
        assert result.stdout == out
        assert not stage.oneoffs()

    @pytest.mark.parametrize(("script", "code"), (("exit 42", 42), ("exec not-there", 127)), ids=str)
    def test_exit_codes(self, stage: Scene, script: str, code: int) -> None:
        """`run` must end with the command's exit code."""
        stage.needs("run")
        stage.file("compose.yaml", TOOL)
        stage.compose(
            "run", "--rm", "--no-deps", "-T", "--entrypoint", "", "tool", "sh", "-c", script, code=code
        )


def test_kept(tool: Scene) -> None:
    """`run` without `--rm` must keep its container, apart from the service's, until `down --remove-orphans`."""
    tool.compose("run", "-T", "--no-deps", "tool", "sh", "-c", "exit 5", code=5)
    (kept,) = tool.oneoffs()
    assert (kept.state, kept.exit_code, kept.restarts) == ("exited", 5, 0)
    assert re.fullmatch(rf"{tool.project}-tool-run-[0-9a-f]{{12}}", kept.name)
    assert not tool.ids()
    tool.compose("down", "--remove-orphans")
    assert not tool.oneoffs()


@pytest.mark.parametrize("flags", ((), ("--no-deps",)), ids=str)
def test_orphans(scene: Scene, flags: tuple[str, ...]) -> None:
    """`run` must warn of orphans, and `run --remove-orphans` remove them and ended one-offs, nothing else."""
    one = f"services:\n  tool: {{image: busybox, command: {WAIT}}}\n"
    scene.up(one + f"  gone: {{image: busybox, command: {WAIT}}}\n")
    scene.compose("run", "-d", "--name", scene.named("runs"), "gone")
    scene.compose("run", "-T", "--name", scene.named("ended"), "gone", "true")
    scene.file("compose.yaml", one)
    warned = scene.compose("run", "--rm", "-T", *flags, "tool", "true")
    assert f"{scene.project}-gone-1" in warned.stderr
    silent = scene.compose("run", "--rm", "-T", *flags, "tool", "true", env={"COMPOSE_IGNORE_ORPHANS": "1"})
    assert f"{scene.project}-gone-1" not in silent.stderr
    assert set(scene.ids()) == {"tool-1", "gone-1"}
    assert len(scene.oneoffs()) == 2
    scene.compose("run", "--rm", "-T", "--remove-orphans", *flags, "tool", "true")
    assert set(scene.ids()) == {"tool-1"}
    assert [item.name for item in scene.oneoffs()] == [scene.named("runs")]


def test_ended_ones_are_no_news(tool: Scene) -> None:
    """`up` after a `run` that was kept must go on as before it; what Docker says of it is in the differences."""
    tool.compose("run", "-T", "tool", "true")
    said = tool.compose("up", "-d").stderr
    assert ("rphan" in said) == tool.differs("ended-oneoffs", docker=True, pycompose=False)
    tool.compose("down", "-t", "0", "--remove-orphans")


def test_dependencies(tool: Scene) -> None:
    """`run` must start what the service depends on, and leave it running."""
    tool.compose("run", "--rm", "-T", "tool")
    tool.expect({"db-1": "running"})


def test_ports(tool: Scene) -> None:
    """`run` must publish nothing, unless asked by `--service-ports` or `-p`."""
    for flags, ports in (
        ((), {}),
        (("--service-ports",), {"80/tcp": (47120,)}),
        (("-p", "47121:81"), {"81/tcp": (47121,)}),
    ):
        tool.compose(
            "run", "-d", "--no-deps", *flags, "tool", "sh", "-c", "trap exit TERM; sleep 1000 & wait"
        )
        (made,) = tool.oneoffs()
        assert made.state == "running"
        assert dict(made.ports) == ports
        tool.compose("down", "-t", "0", "--remove-orphans")
        assert not tool.oneoffs()


def test_name(tool: Scene) -> None:
    """`run --name` must be the container's name, and `-d` must print it and go on."""
    result = tool.compose("run", "-d", "--no-deps", "--name", f"{tool.project}-mine", "tool", "sleep", "1000")
    (made,) = tool.oneoffs()
    assert made.name == f"{tool.project}-mine"
    assert result.stdout.strip() in (made.name, made.id)
    tool.compose("down", "-t", "0", "--remove-orphans")


def test_aliases(tool: Scene) -> None:
    """The service's aliases must resolve to a one-off container only with `--use-aliases`."""
    ask = ("run", "--rm", "-T", "--no-deps", "db", "timeout", "2", "nslookup", "alias")
    tool.compose("run", "-d", "--no-deps", "tool", "sleep", "1000")
    assert tool.compose(*ask, code=None).code != 0
    tool.compose("run", "-d", "--no-deps", "--use-aliases", "tool", "sleep", "1000")
    address = tool.compose(*ask).stdout
    assert any(ip in address for item in tool.oneoffs() for ip in item.addresses.values() if ip)
    tool.compose("down", "-t", "0", "--remove-orphans")


def test_a_fixed_address(scene: Scene) -> None:
    """`run` must have the service's own address, and fail while a container of the service has it."""
    scene.needs("run")
    text = f"""
services: {{a: {{image: busybox, command: {WAIT}, networks: {{n: {{ipv4_address: 10.77.9.9}}}}}}}}
networks: {{n: {{ipam: {{config: [{{subnet: 10.77.9.0/24}}]}}}}}}
"""
    shown = ("run", "--rm", "-T", "a", "ip", "-4", "-o", "address", "show", "eth0")
    scene.file("compose.yaml", text)
    assert "10.77.9.9/24" in scene.compose(*shown).stdout
    scene.compose("up", "-d")
    scene.compose(*shown, code=1)
    scene.compose("stop", "-t", "0")
    assert "10.77.9.9/24" in scene.compose(*shown).stdout
    scene.compose("start")
    assert "10.77.9.9/24" in scene.compose("exec", "-T", "a", "ip", "-4", "-o", "address").stdout


def test_stdin(tool: Scene) -> None:
    """`run -T` must pass stdin with its end."""
    out = tool.compose("run", "--rm", "-T", "--no-deps", "tool", "wc", "-c", stdin="12345").stdout
    assert out.strip() == "5"


def test_streams(tool: Scene) -> None:
    """`run -T` must keep stdout and stderr apart."""
    result = tool.compose("run", "--rm", "-T", "--no-deps", "tool", "sh", "-c", "echo out; echo err >&2")
    assert result.stdout == "out\n"
    assert "err" in result.stderr.splitlines()


def test_terminal(tool: Scene) -> None:
    """`run` on a terminal must give the command one of the same size, and pass what is typed."""
    run = tool.spawn(
        "run", "--rm", "--no-deps", "tool", "sh", "-c", f"{SIZE % '24 80'}; read x; echo got $x", tty=True
    )
    run.expect("has 24 80")
    run.send("typed\n")
    run.expect("got typed")
    assert run.wait() == 0


def test_interrupt_reaches_the_command(tool: Scene) -> None:
    """Ctrl+C in `run` on a terminal must reach the command, whose exit code must be ours."""
    script = "trap 'echo interrupted; exit 8' INT; echo up; while true; do sleep 0.1; done"
    run = tool.spawn("run", "--rm", "--no-deps", "tool", "sh", "-c", script, tty=True)
    run.expect("up")
    run.interrupt()
    run.expect("interrupted")
    assert run.wait() == 8


def test_signal_is_forwarded(tool: Scene) -> None:
    """SIGTERM to `run` must reach the command."""
    script = "trap 'echo told; exit 8' TERM; echo up; while true; do sleep 0.1; done"
    run = tool.spawn("run", "--rm", "-T", "--no-deps", "tool", "sh", "-c", script)
    run.expect("up")
    run.process.terminate()
    assert run.wait() == 8
    assert "told" in run.output


def test_unknown_service(tool: Scene) -> None:
    """`run` of a service that doesn't exist must fail with its name."""
    assert "nobody" in tool.compose("run", "--rm", "nobody", code=1).stderr


def test_ps_hides(tool: Scene) -> None:
    """`ps` must show one-off containers with `-a` only, and `logs` must leave them out."""
    tool.compose("run", "-d", "--no-deps", "tool", "sh", "-c", "echo from run; exec sleep 1000")
    text = tool.compose("ps", "-a", "--format", "json").stdout
    assert "tool-run" in text
    assert "tool-run" not in tool.compose("ps", "--format", "json").stdout
    assert "from run" not in tool.logs()
    tool.compose("down", "-t", "0", "--remove-orphans")


def test_exec_on_a_terminal(scene: Scene) -> None:
    """`exec` on a terminal must give the command one, and its size must follow."""
    scene.up(f"services: {{web: {{image: busybox, command: {WAIT}}}}}")
    shell = scene.spawn("exec", "web", "sh", "-c", f"{SIZE % '24 80'}; {SIZE % '30 100'}", tty=True)
    shell.expect("has 24 80")

    def resized() -> bool:  # nothing says when it starts to watch the size
        shell.resize(30, 99)
        shell.resize(30, 100)
        shell.sleep(0.2)
        return "has 30 100" in shell.output

    scene.eventually(resized)
    assert shell.wait() == 0


def test_attach(scene: Scene) -> None:
    """`attach` must connect to process 1, and end with its exit code."""
    scene.needs("attach")
    scene.up(
        "services: {web: {image: busybox, stdin_open: true, command: [sh, -c, 'read x; echo got $$x; exit 4']}}"
    )
    attach = scene.spawn("attach", "web")
    attach.send("word\n")
    attach.expect("got word")
    assert attach.wait() == 4


def test_attach_detaches(scene: Scene) -> None:
    """The detach keys must end `attach` and leave the service running."""
    scene.needs("attach")
    script = "while read x; do echo got $$x; done"
    scene.up(
        f"services: {{web: {{image: busybox, stdin_open: true, tty: true, command: [sh, -c, '{script}']}}}}"
    )
    attach = scene.spawn("attach", "--detach-keys", "ctrl-a,d", "web", tty=True)
    attach.send("word\n")
    attach.expect("got word")
    attach.send("\x01d")
    attach.wait()
    scene.expect({"web-1": "running"})


def test_exec_is_left(scene: Scene) -> None:
    """The detach keys must end `exec` with an error, and let the command go on."""
    scene.up(f"services: {{web: {{image: busybox, command: {WAIT}}}}}")
    running = scene.spawn(
        "exec",
        "web",
        "sh",
        "-c",
        "echo $$ >/pid; echo up; sleep 1; echo more; touch /on; sleep 100",
        tty=True,
    )
    running.expect("up")
    running.send("\x10\x11")
    running.expect("read escape sequence")
    assert running.wait() == 1
    scene.compose(
        "exec", "-T", "web", "sh", "-c", "until [ -e /on ]; do sleep 0.1; done; kill -0 $(cat /pid)"
    )


def test_run_is_left(scene: Scene) -> None:
    """The detach keys must end `run` with 0, and let the container go on."""
    scene.up(f"services: {{web: {{image: busybox, command: {WAIT}}}}}")
    running = scene.spawn("run", "web", "sh", "-c", "trap exit TERM; echo up; sleep 100 & wait", tty=True)
    running.expect("up")
    running.send("\x10\x11")
    assert running.wait() == 0
    (oneoff,) = scene.oneoffs()
    assert oneoff.state == "running"


def test_the_network_is_told(scene: Scene) -> None:
    """`run` must tell of the network and the volume that it makes, and of none that are there; `-q` of nothing."""
    scene.file("compose.yaml", "services: {job: {image: busybox, volumes: ['data:/d']}}\nvolumes: {data: {}}")
    network, volume = f"Network {scene.project}_default", f"Volume {scene.project}_data"
    said = " ".join(scene.compose("run", "--rm", "-T", "job", "true").stderr.split())
    assert f"{network} Creating" in said
    assert f"{network} Created" in said
    assert f"{volume} Created" in said
    assert "Network" not in scene.compose("run", "--rm", "-T", "job", "true").stderr
    scene.compose("down", "-v")
    assert not scene.compose("run", "-q", "--rm", "-T", "job", "true").stderr


def test_prefixes_are_padded(scene: Scene) -> None:
    """The prefixes of `logs` must be as wide as the longest one, from the first line on."""
    scene.up(
        "services:\n  a: {image: busybox, command: [echo, early]}\n"
        "  much-longer: {image: busybox, command: [sh, -c, 'sleep 0.5; echo late']}"
    )
    scene.expect({"a-1": "exited", "much-longer-1": "exited"})
    lines = scene.compose("logs", "--no-color").stdout.splitlines()
    early = scene.differs("padded-prefixes", docker="a-1  | early", pycompose="a-1            | early")
    assert sorted(lines) == [early, "much-longer-1  | late"]


class TestHooks:
    """`run` of a service with `post_start`."""

    def test_they_run(self, scene: Scene) -> None:
        """They must run once the command does, and be no reason to lose its output or its exit code."""
        scene.file("compose.yaml", HOOKED)
        code = scene.differs("run-hooks", docker=9, pycompose=5)
        done = scene.compose("run", "--rm", "web", "sh", "-c", f"{UNTIL_HOOKED}; exit 5", code=code)
        assert done.stdout == "hi\n"

    @pytest.mark.parametrize(("command", "code"), (("true", 0), ("exit 5", 5)))
    def test_a_command_that_is_quicker(self, scene: Scene, command: str, code: int) -> None:
        """A command that has ended before the hook could run must have its own exit code."""
        scene.file("compose.yaml", HOOKED)
        assert (
            scene.compose("run", "--rm", "web", "sh", "-c", f"echo hi; {command}", code=code).stdout == "hi\n"
        )

    @pytest.mark.parametrize(("end", "code"), (("true", 1), ("exit 7", 7)))
    def test_one_that_fails(self, scene: Scene, end: str, code: int) -> None:
        """A hook that fails must be told of; its failure counts where the command itself has none."""
        scene.file("compose.yaml", HOOKED.replace("touch /hooked", "echo why >&2; touch /hooked; exit 4"))
        code = scene.differs("run-hooks", docker=9, pycompose=code)
        # The hook has to end before the command, which takes it along.
        done = scene.compose("run", "--rm", "web", "sh", "-c", f"{UNTIL_HOOKED}; sleep 0.5; {end}", code=code)
        assert done.stdout == "hi\n"
        assert ("web hook exited with status 4: why" in done.stderr) == (code == 1)
