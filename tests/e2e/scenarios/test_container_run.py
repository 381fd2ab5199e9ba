"""`container run` and `container create`: containers outside any compose file, as `docker run` makes them."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.scene import Scene

WAIT = ("sh", "-c", "trap exit TERM; echo up; sleep 1000 & wait")
SIZE = "until stty size | grep -q '24 80'; do sleep 0.05; done; echo has $(stty size)"
LINKED = """\
A_1_ENV_A=b
A_1_NAME=/WEB/a-1
A_1_PORT=tcp://IP:53
A_1_PORT_100_TCP=tcp://IP:100
A_1_PORT_100_TCP_ADDR=IP
A_1_PORT_100_TCP_END=tcp://IP:102
A_1_PORT_100_TCP_PORT=100
A_1_PORT_100_TCP_PORT_END=102
A_1_PORT_100_TCP_PORT_START=100
A_1_PORT_100_TCP_PROTO=mine
A_1_PORT_100_TCP_START=tcp://IP:100
A_1_PORT_101_TCP=tcp://IP:101
A_1_PORT_101_TCP_ADDR=IP
A_1_PORT_101_TCP_PORT=101
A_1_PORT_101_TCP_PROTO=tcp
A_1_PORT_102_TCP=tcp://IP:102
A_1_PORT_102_TCP_ADDR=IP
A_1_PORT_102_TCP_PORT=102
A_1_PORT_102_TCP_PROTO=tcp
A_1_PORT_53_TCP=tcp://IP:53
A_1_PORT_53_TCP_ADDR=IP
A_1_PORT_53_TCP_PORT=53
A_1_PORT_53_TCP_PROTO=tcp
A_1_PORT_53_UDP=udp://IP:53
A_1_PORT_53_UDP_ADDR=IP
A_1_PORT_53_UDP_PORT=53
A_1_PORT_53_UDP_PROTO=udp
A_1_PORT_80_TCP=tcp://IP:80
A_1_PORT_80_TCP_ADDR=IP
A_1_PORT_80_TCP_PORT=80
A_1_PORT_80_TCP_PROTO=tcp
"""
MEMORY = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null"


class TestFlags:
    """`container run --rm` with flags, one after the other."""

    @pytest.mark.parametrize(
        ("flags", "script", "out"),
        (
            ((), "echo out; echo err >&2", "out\n"),
            (("-e", "A=$HOME", "-e", "FROM_HERE", "-e", "NOT"), "echo $A $FROM_HERE ${NOT-unset}",
             "$HOME here unset\n"),
            (("--env-file", "vars.env", "-e", "B=flag"), "echo $A $B", "'quoted' flag\n"),
            (("-w", "/tmp"), "pwd", "/tmp\n"),
            (("-u", "app"), "id -un", "app\n"),
            (("-h", "other", "--domainname", "example"), "hostname", "other\n"),
            (("-v", "./shared:/shared:ro"), "cat /shared/file; touch /shared/x 2>&1 || echo refused",
             "texttouch: /shared/x: Read-only file system\nrefused\n"),
            (("--mount", "type=bind,source=FOLDER/shared,target=/shared,readonly"), "cat /shared/file", "text"),
            (("--mount", "type=tmpfs,target=/scratch,tmpfs-size=1m"), "df -k /scratch | awk 'NR==2{print $2}'",
             "1024\n"),
            (("--tmpfs", "/scratch:size=2m"), "df -k /scratch | awk 'NR==2{print $2}'", "2048\n"),
            (("-v", "/anonymous"), "grep -c ' /anonymous ' /proc/mounts", "1\n"),
            (("-m", "64m"), MEMORY, "67108864\n"),
            (("--cap-add", "NET_ADMIN"), "grep CapEff /proc/self/status", "CapEff:\t00000000a80435fb\n"),
            (("--cap-drop", "ALL"), "grep CapEff /proc/self/status", "CapEff:\t0000000000000000\n"),
            (("--privileged",), "mount -t tmpfs none /srv && echo mounted", "mounted\n"),
            (("--read-only",), "touch /x 2>&1", "touch: /x: Read-only file system\n"),
            (("--network", "none"), "ip -o link | wc -l", "1\n"),
            (("--network", "host"), "ip -o link show lo | wc -l", "1\n"),
            (("--add-host", "db:192.0.2.9"), "grep -w db /etc/hosts", "192.0.2.9\tdb\n"),
            (("--dns-search", "example.test"), "grep ^search /etc/resolv.conf", "search example.test\n"),
            (("--init",), "test $$ != 1 && echo not 1", "not 1\n"),
            (("--ulimit", "nofile=100:200"), "ulimit -n; ulimit -Hn", "100\n200\n"),
            (("--sysctl", "net.ipv4.ip_default_ttl=77"), "cat /proc/sys/net/ipv4/ip_default_ttl", "77\n"),
            (("--shm-size", "3m"), "df -k /dev/shm | awk 'NR==2{print $2}'", "3072\n"),
            (("--group-add", "777"), "id -G", "0 777\n"),
            (("--oom-score-adj", "55"), "cat /proc/self/oom_score_adj", "55\n"),
            (("--security-opt", "no-new-privileges"), "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t1\n"),
            (("--rm=true", "--init=false"), "echo $$", "1\n"),
        ),
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )  # fmt: skip
    def test_flags(self, stage: Scene, flags: tuple[str, ...], script: str, out: str) -> None:
        """The command must find what the flags say, and only its output may come."""
        stage.file("shared/file", "text")
        stage.file("vars.env", "# comment\nA='quoted'\nB=file\n")
        flags = tuple(flag.replace("FOLDER", str(stage.folder)) for flag in flags)
        result = stage.container(
            "run", "--rm", *flags, "busybox", "sh", "-c", script, code=None, env={"FROM_HERE": "here"}
        )
        assert result.stdout == out, result.stderr

    def test_entrypoint(self, stage: Scene) -> None:
        """`--entrypoint` must be one word, and take the image's command away."""
        result = stage.container("run", "--rm", "--entrypoint", "/bin/echo", "busybox", "-n", "--rm", "a b")
        assert result.stdout == "--rm a b"

    def test_input(self, stage: Scene) -> None:
        """`-i` must pass the input and its end; without it there must be none."""
        assert stage.container("run", "--rm", "-i", "busybox", "cat", stdin="text").stdout == "text"
        assert stage.container("run", "--rm", "busybox", "cat", stdin="text").stdout == ""

    @pytest.mark.parametrize(
        ("arguments", "code"),
        (
            (("busybox", "sh", "-c", "exit 42"), 42),
            (("busybox", "not-there"), 127),
            (("busybox", "/etc"), 126),
            (("--pull", "never", "not-there"), 125),
            (("--not-a-flag", "busybox"), 125),
            (("-p", "80:x", "busybox"), 125),
            (("--name", "a b", "busybox"), 125),
            (("-m", "much", "busybox"), 125),
            (("-v", "relative:not/absolute", "busybox"), 125),
            (("--mount", "type=bind,source=/not/there,target=/x", "busybox"), 125),
            (("--mount", "type=what,target=/x", "busybox"), 125),
            (("--restart", "always", "busybox"), 125),
            (("--env-file", "not-there", "busybox"), 125),
            (("--ulimit", "nofile=many", "busybox"), 125),
            (("-it", "busybox"), 1),
        ),
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
    )
    def test_exit_codes(self, stage: Scene, arguments: tuple[str, ...], code: int) -> None:
        """The exit code must be the command's, 127 or 126 without one, 125 when it was never got so far."""
        result = stage.container("run", "--rm", *arguments, code=code)
        assert result.stdout == ""
        assert code < 125 or 0 < len(result.stderr.splitlines()) <= 5


def test_detached(scene: Scene) -> None:
    """`-d` must print the id, and leave a container that all other commands know by its name."""
    name = scene.named("web")
    full = scene.container("run", "-d", "--name", name, "-l", "a=b", "busybox", *WAIT).stdout.strip()
    assert re.fullmatch("[0-9a-f]{64}", full)
    label = '{"a":"b"}'
    show = ("inspect", "-f", "{{.Id}} {{.State.Status}} {{json .Config.Labels}}")
    assert scene.container(*show, name).stdout == f"{full} running {label}\n"
    assert scene.container("ls", "-q", "--no-trunc", "-f", f"name={name}").stdout == f"{full}\n"
    assert scene.project not in scene.compose("ls", "-a").stdout
    scene.eventually(lambda: scene.container("logs", name).stdout == "up\n")
    assert scene.container("exec", name, "echo", "inside").stdout == "inside\n"
    assert scene.container("stop", name).stdout == f"{name}\n"
    assert scene.container(*show, name).stdout == f"{full} exited {label}\n"
    scene.container("start", name)
    assert scene.container(*show, full[:12]).stdout == f"{full} running {label}\n"
    scene.container("rm", name, code=1)
    scene.container("rm", "-f", name)
    scene.container("inspect", name, code=1)


def test_created(scene: Scene) -> None:
    """`create` must make a container that `start` starts, and `--rm` removes at its end."""
    name = scene.named("made")
    scene.container("create", "--rm", "--name", name, "busybox", "sh", "-c", "echo hello; sleep 1000")
    assert scene.container("inspect", "-f", "{{.State.Status}}", name).stdout == "created\n"
    scene.container("start", name)
    scene.eventually(lambda: scene.container("logs", name).stdout == "hello\n")
    scene.container("kill", name)
    scene.eventually(lambda: scene.container("inspect", name, code=None).code == 1)


def test_name_is_taken(scene: Scene) -> None:
    """A name must be given once: the second container must not be made, the first one must go on."""
    name = scene.named("once")
    first = scene.container("run", "-d", "--name", name, "busybox", *WAIT).stdout.strip()
    assert "in use" in scene.container("run", "--name", name, "busybox", "true", code=125).stderr
    assert scene.container("inspect", "-f", "{{.Id}}", name).stdout == f"{first}\n"


def test_restart(scene: Scene) -> None:
    """`--restart on-failure:2` must start a failing container twice more."""
    name = scene.named("again")
    flags = ("-d", "--restart", "on-failure:2", "--name", name)
    scene.container("run", *flags, "busybox", "sh", "-c", "echo try; exit 3")
    show = ("inspect", "-f", "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}", name)
    scene.eventually(lambda: scene.container(*show).stdout == "2 exited 3\n")
    assert scene.container("logs", name).stdout == "try\n" * 3


def test_cidfile(scene: Scene) -> None:
    """`--cidfile` must get the id, and must not be overwritten."""
    name = scene.named("id")
    full = scene.container("run", "-d", "--cidfile", "id", "--name", name, "busybox", "true").stdout.strip()
    assert scene.read("id") == full
    scene.container("run", "--rm", "--cidfile", "id", "busybox", "true", code=125)
    assert scene.read("id") == full


def test_published(scene: Scene) -> None:
    """`-p` must lead to the container, `-P` must publish what is exposed."""
    name = scene.named("server")
    serve = ("sh", "-c", "while true; do echo served | nc -l -p 80; done")
    scene.container("run", "-d", "-p", "47320:80", "--expose", "81", "-P", "--name", name, "busybox", *serve)
    scene.eventually(lambda: scene.engine.connect(47320) == "served\n")
    ports = scene.container("port", name).stdout
    assert "80/tcp -> 0.0.0.0:47320" in ports
    assert re.search(r"81/tcp -> 0.0.0.0:\d+", ports)


def test_networks(scene: Scene) -> None:
    """`--network` must put it on a project's network, under its aliases; `container:` must share another's."""
    scene.up(f"services: {{web: {{image: busybox, command: {list(WAIT)}}}}}")
    name = scene.named("guest")
    network = f"{scene.project}_default"
    scene.container(
        "run", "-d", "--network", network, "--network-alias", "other", "--name", name, "busybox", *WAIT
    )
    scene.compose("exec", "-T", "web", "nslookup", "other")
    scene.compose("exec", "-T", "web", "nslookup", name)
    scene.container("exec", name, "nslookup", "web")
    links = scene.container("exec", name, "ip", "-o", "addr", "show", "dev", "eth0").stdout
    shared = (
        "run",
        "--rm",
        "--network",
        f"container:{name}",
        "busybox",
        "ip",
        "-o",
        "addr",
        "show",
        "dev",
        "eth0",
    )
    assert scene.container(*shared).stdout == links
    lost = ("--name", scene.named("lost"))  # docker leaves it behind
    assert "not-there" in scene.container("run", *lost, "--network", "not-there", "busybox", code=125).stderr
    scene.container("rm", "-f", name)


def test_volumes(scene: Scene) -> None:
    """A named volume must be made, kept, and shared; `--volumes-from` must bring another container's."""
    name, volume = scene.named("writer"), f"{scene.project}_data"
    scene.container(
        "run", "-v", f"{volume}:/data", "--name", name, "busybox", "sh", "-c", "echo kept >/data/x"
    )
    read = ("busybox", "cat", "/data/x")
    mount = f"type=volume,src={volume},dst=/data,ro"
    assert scene.container("run", "--rm", "--mount", mount, *read).stdout == "kept\n"
    assert scene.container("run", "--rm", "--volumes-from", name, *read).stdout == "kept\n"
    assert scene.volumes() == {"data"}


def test_health(scene: Scene) -> None:
    """`--health-cmd` must make it healthy."""
    name = scene.named("healthy")
    flags = ("--health-cmd", "test -e /ok", "--health-interval", "200ms", "--health-retries", "100")
    scene.container("run", "-d", *flags, "--name", name, "busybox", *WAIT)
    status = ("inspect", "-f", "{{.State.Health.Status}}", name)
    assert scene.container(*status).stdout == "starting\n"
    scene.container("exec", name, "touch", "/ok")
    scene.eventually(lambda: scene.container(*status).stdout == "healthy\n")


def test_terminal(scene: Scene) -> None:
    """`-it` must give the command a terminal of the same size, and pass what is typed."""
    run = scene.spawn(
        "container",
        "run",
        "--rm",
        "-it",
        "busybox",
        "sh",
        "-c",
        f"{SIZE}; read x; echo got $x; exit 4",
        tty=True,
    )
    run.expect("has 24 80")
    run.send("typed\n")
    run.expect("got typed")
    assert run.wait() == 4


def test_left(scene: Scene) -> None:
    """The detach keys must end `run -it` with 0, and let the container go on."""
    name = scene.named("left")
    run = scene.spawn(
        "container", "run", "-it", "--detach-keys", "ctrl-a,d", "--name", name, "busybox", *WAIT, tty=True
    )
    run.expect("up")
    run.send("\x01d")
    assert run.wait() == 0
    assert scene.container("inspect", "-f", "{{.State.Status}}", name).stdout == "running\n"


def test_signal(scene: Scene) -> None:
    """A signal to `run` must reach the command, whose exit code must be ours."""
    script = "trap 'echo told; exit 8' TERM; echo up; while true; do sleep 0.1; done"
    run = scene.spawn("container", "run", "--rm", "busybox", "sh", "-c", script)
    run.expect("up")
    run.process.terminate()
    assert run.wait() == 8
    assert "told" in run.output


def test_links(scene: Scene) -> None:
    """`--link` must tell of the other's ports and variables, at each start, and ask for one that runs on the bridge."""
    db, web, apart = scene.named("db"), scene.named("web"), scene.named("apart")
    ports = ("--expose", "100-102", "--expose", "53/udp", "--expose", "53", "-p", "80")
    scene.container("run", "-d", "--name", db, *ports, "-e", "A=b", "-e", "HOME=/", "busybox", *WAIT)
    own = ("-e", "A_1_PORT_100_TCP_PROTO=mine")
    scene.container("run", "-d", "--name", web, "--link", f"{db}:a-1", *own, "busybox", *WAIT)

    def expected() -> str:
        where = "{{.NetworkSettings.IPAddress}}"
        ip = scene.container("inspect", "-f", where, db).stdout.strip()
        return LINKED.replace("IP", ip).replace("WEB", web)

    executed = scene.container("exec", web, "sh", "-c", "env | grep ^A_1_ | sort")
    first = scene.container("exec", web, "sh", "-c", "tr '\\0' '\\n' </proc/1/environ | grep ^A_1_ | sort")
    assert (executed.stdout, first.stdout) == (expected(), expected())
    shown = "{{json .HostConfig.Links}} {{json .Config.Env}}"
    links, _, variables = scene.container("inspect", "-f", shown, web).stdout.partition(" ")
    assert links == f'["/{db}:/{web}/a-1"]'
    assert "A_1_NAME" not in variables
    assert scene.container("exec", web, "ping", "-c1", "-w5", "a-1").stdout

    scene.container("stop", "-t", "0", db, web)
    refusal = scene.container("start", web, code=1).stderr
    assert f"Cannot link to a non running container: /{db} AS /{web}/a-1" in refusal
    # Another one may have its address by now.
    scene.container("run", "-d", "--name", apart, "busybox", *WAIT)
    scene.container("start", db)
    scene.container("start", web)
    assert scene.container("exec", web, "sh", "-c", "env | grep ^A_1_ | sort").stdout == expected()
    scene.container("rm", "-f", web, apart, db)


def test_links_that_cannot_be(scene: Scene) -> None:
    """A link must be NAME:ALIAS, to a container of the default bridge; on another network it must only be a name."""
    network, apart, lost = f"{scene.project}-net", scene.named("apart"), scene.named("lost")
    scene.engine.run("network", "create", network, cwd=scene.folder).ok()
    scene.container("run", "-d", "--name", apart, "--network", network, "busybox", *WAIT)

    def refused(link: str, *flags: str) -> str:
        own = ("--rm", "--name", lost, *flags, "--link", link, "busybox", "true")
        return scene.container("run", *own, code=125).stderr

    words = f"Cannot link to /{apart}, as it does not belong to the default network"
    assert words in refused(f"{apart}:x")
    assert "bad format for links: a:b:c" in refused("a:b:c")
    assert "could not get container for nosuch" in refused("nosuch:x")
    assert "link" in refused(f"{apart}:x", "--network", "host")
    there = ("--network", network, "--link", f"{apart}:x", "busybox", "sh", "-c", "nslookup x && env")
    seen = scene.container("run", "--rm", *there).stdout
    assert "Address" in seen
    assert "X_NAME" not in seen
    scene.container("rm", "-f", apart)
    scene.engine.run("network", "rm", network, cwd=scene.folder).ok()


def test_ports_of_the_image(scene: Scene) -> None:
    """What the image exposes must be shown with what the container does, for who looks for a port to lead to."""
    name, image = scene.named("web"), scene.project
    scene.container("create", "--name", name, "busybox", "true")
    scene.container("commit", "-c", "EXPOSE 8080 53/udp", name, image)
    scene.container("rm", name)
    scene.container("run", "-d", "--name", name, "--expose", "99", "-p", "47321:8080", image, *WAIT)
    shown = "{{json .Config.ExposedPorts}} {{json .NetworkSettings.Ports}}"
    exposed, ports = scene.container("inspect", "-f", shown, name).stdout.split()
    listed = scene.container("ls", "--format", "{{.Ports}}", "-f", f"name={name}").stdout
    scene.container("rm", "-f", name)
    scene.engine.run("image", "rm", image, cwd=scene.folder).ok()

    assert exposed == '{"53/udp":{},"8080/tcp":{},"99/tcp":{}}'
    assert {key: bool(places) for key, places in json.loads(ports).items()} == {
        "53/udp": False,
        "8080/tcp": True,
        "99/tcp": False,
    }
    assert "53/udp" in listed
    assert "99/tcp" in listed
