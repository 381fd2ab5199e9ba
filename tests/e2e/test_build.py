"""`build:`: images out of Dockerfiles, seen from inside containers; what went wrong, and what is left then."""

from __future__ import annotations

import json
import os
import re
import signal
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.scenario import eventually

if TYPE_CHECKING:
    from tests.support.scenario import Host

COMPOSE = "services:\n  web:\n    build: .\n    image: built\n"

RANDOM = "cat /proc/sys/kernel/random/uuid"


def project(host: Host, dockerfile: str, compose: str = COMPOSE, **files: str) -> Path:
    """Make a project with a Dockerfile and further files (`a__b` is a/b)."""
    texts = {"compose.yaml": compose, "Dockerfile": textwrap.dedent(dockerfile)}
    return host.project({**texts, **{name.replace("__", "/"): text for name, text in files.items()}})


def inside(host: Host, script: str, image: str = "built") -> str:
    """Return what `script` prints in a container of the image."""
    return host.run("container", "run", "--rm", "--network", "none", image, "sh", "-c", script).ok().stdout


def config(host: Host, image: str = "built") -> dict[str, object]:
    """Return the image's configuration as `inspect` shows it."""
    (shown,) = json.loads(host.run("image", "inspect", image).ok().stdout)
    found: dict[str, object] = shown["Config"]
    return found


def test_every_kind_of_step(busy: Host) -> None:
    """RUN in all forms, COPY with owner and mode, here-documents, WORKDIR; metadata in the image."""
    folder = project(
        busy,
        """\
        ARG BASE=busybox
        FROM $BASE AS base
        ARG FOO=bar
        ENV A=b
        WORKDIR /app
        WORKDIR sub
        COPY a.txt .
        COPY --chown=3:4 --chmod=640 a.txt b.txt /data/
        RUN echo "$FOO $A $(pwd)" >said
        RUN ["sh", "-c", "echo exec >exec"]
        RUN <<EOF
        echo one >one
        echo two >two
        EOF
        COPY <<X /heredoc
        A is $A
        X
        FROM base
        COPY --from=base /app/sub/a.txt /from
        USER 7
        CMD ["cat", "said"]
        """,
        **{"a.txt": "a\n", "b.txt": "b\n"},
    )
    busy.run("build", cwd=folder).ok()

    assert inside(busy, "cat said exec one two /heredoc /from; id -u") == (
        "bar b /app/sub\nexec\none\ntwo\nA is b\na\n7\n"
    )
    assert inside(busy, "stat -c '%a %u:%g' /data/b.txt /app/sub/a.txt") == "640 3:4\n644 0:0\n"
    assert config(busy)["Cmd"] == ["cat", "said"]
    assert busy.run("run", "--rm", "web", cwd=folder).ok().stdout == "bar b /app/sub\n"
    busy.run("down", cwd=folder).ok()


def test_up_builds_what_is_missing_and_only_that(busy: Host) -> None:
    """And again with --build, where a changed file is a changed image."""
    folder = project(busy, "FROM busybox\nCOPY word /word\nCMD cat /word; sleep 100\n", word="first\n")

    first = busy.run("up", "-d", cwd=folder).ok()
    again = busy.run("up", "-d", cwd=folder).ok()
    (folder / "word").write_text("second\n", encoding="ascii")
    unasked = busy.run("up", "-d", cwd=folder).ok()
    rebuilt = busy.run("up", "-d", "--build", cwd=folder).ok()

    assert "Image built Built" in first.stderr
    assert "Building" not in again.stderr + unasked.stderr
    assert "Recreated" in rebuilt.stderr
    eventually(lambda: busy.run("logs", "--no-log-prefix", cwd=folder).ok().stdout.endswith("second\n"))
    busy.run("down", "-t", "0", "--rmi", "all", cwd=folder).ok()
    assert busy.run("image", "inspect", "built").code != 0


def test_what_was_made_before_is_not_made_again(busy: Host) -> None:
    """The same image comes of it, down to its id; one changed file does what depends on it again."""
    folder = project(
        busy,
        f"FROM busybox\nRUN {RANDOM} >/run1\nCOPY f /f\nRUN {RANDOM} >/run2\n",
        f="x",
        other="unrelated",
    )
    first = busy.run("build", cwd=folder).ok()
    identity = busy.run("image", "inspect", "-f", "{{.Id}}", "built").ok().stdout
    before = inside(busy, "cat /run1")
    (folder / "other").write_text("changed", encoding="ascii")

    second = busy.run("build", cwd=folder).ok()
    assert first.stdout.count("CACHED") == 0
    assert second.stdout.count("CACHED") == 3
    assert busy.run("image", "inspect", "-f", "{{.Id}}", "built").ok().stdout == identity
    (folder / "f").write_text("changed", encoding="ascii")
    third = busy.run("build", cwd=folder).ok()
    assert third.stdout.count("CACHED") == 1
    assert inside(busy, "cat /run1") == before
    fourth = busy.run("build", "--no-cache", cwd=folder).ok()
    assert fourth.stdout.count("CACHED") == 0
    assert inside(busy, "cat /run1") != before


def test_mounts_of_a_step(busy: Host) -> None:
    """A cache stays from build to build, a secret is there and nowhere else, a bind shows the context."""
    dockerfile = """\
        FROM busybox AS made
        RUN echo from-stage >/made
        FROM busybox
        ARG N
        RUN --mount=type=cache,target=/c echo $N >>/c/log && cp /c/log /log
        RUN --mount=type=secret,id=key cat /run/secrets/key | wc -c >/length
        RUN --mount=type=secret,id=key,env=KEY echo ${#KEY} >>/length
        RUN --mount=type=bind,target=/ctx ls /ctx >/listing && ! touch /ctx/x
        RUN --mount=from=made,target=/m cp /m/made /copied
        RUN --mount=type=tmpfs,target=/t,size=1m df /t | tail -1 | cut -c1-5 >/tmpfs
        RUN --mount=type=bind,rw,target=/ctx echo lost >/ctx/written
        """
    compose = (
        COMPOSE.replace("build: .", "build: {context: ., args: [N=1], secrets: [key]}")
        + "secrets: {key: {file: ./key}}\n"
    )
    folder = project(
        busy, dockerfile, compose, key="hunter2hunter2", **{".dockerignore": "key\nhidden\n", "hidden": "h"}
    )
    busy.run("build", cwd=folder).ok()
    busy.run("build", "--build-arg", "N=2", cwd=folder).ok()

    assert inside(busy, "cat /log /length /copied /tmpfs") == "1\n2\n14\n14\nfrom-stage\ntmpfs\n"
    assert inside(busy, "cat /listing").split() == ["Dockerfile", "compose.yaml"]
    assert inside(busy, "ls -a / | grep -E '^(c|ctx|m|t|run)$' || echo none").split() in (["none"], ["run"])
    assert not (folder / "written").exists()


def test_secrets_stay_out_of_the_store(busy: Host) -> None:
    """Neither layers, nor records, nor logs of the machine have them."""
    folder = project(
        busy,
        "FROM busybox\nRUN --mount=type=secret,id=s cat /run/secrets/s >/dev/null\n",
        COMPOSE.replace("build: .", "build: {context: ., secrets: [s]}") + "secrets: {s: {environment: S}}\n",
    )
    busy.run("build", cwd=folder, env={"S": "swordfish"}).ok()

    script = f"grep -rl swordfish {busy.paths.root} {busy.paths.run} 2>/dev/null || echo nowhere"
    assert busy.command(["sh", "-c", script]).ok().stdout == "nowhere\n"


def test_a_step_that_fails(busy: Host) -> None:
    """Place, code, output; the earlier image keeps its name, and nothing is left."""
    folder = project(busy, "FROM busybox\nRUN true\n")
    busy.run("build", cwd=folder).ok()
    identity = busy.run("image", "inspect", "-f", "{{.Id}}", "built").ok().stdout
    (folder / "Dockerfile").write_text("FROM busybox\nRUN echo about to fail; exit 7\n", encoding="ascii")

    done = busy.run("build", cwd=folder)

    assert done.code == 1
    assert (
        'error: Dockerfile:2: process "/bin/sh -c echo about to fail; exit 7" did not complete successfully: '
        "exit code: 7" in done.stderr
    )
    assert "     | about to fail\n     2 | RUN echo about to fail; exit 7\n" in done.stderr
    assert busy.run("image", "inspect", "-f", "{{.Id}}", "built").ok().stdout == identity


@pytest.mark.parametrize(
    ("dockerfile", "message"),
    (
        (
            "FROM busybox\nCOPY nothing /x\n",
            'error: Dockerfile:2: "/nothing": not found in the build context',
        ),
        ("FROM busybox\nCOPY fild /x\n", "hint: did you mean 'file'?"),
        ("FROM busybox\nRUM x\n", "error: Dockerfile:2:1: unknown instruction: RUM"),
        ("FROM nosuch AS x\n", "nosuch"),
        ("FROM busybox\nCOPY --from=nostage /x /y\n", "nostage"),
        ("FROM busybox\nCOPY --chown=nobody_here file /x\n", "unable to find user nobody_here"),
        ("FROM busybox\nCOPY ignored /x\n", ".dockerignore leaves it out"),
        ("FROM busybox\nRUN --mount=type=secret,id=s,required true\n", "secret s: not found"),
        ("", "Dockerfile: the file has no instructions"),
    ),
)
def test_what_cannot_be_built(busy: Host, dockerfile: str, message: str) -> None:
    """One clear error with its place."""
    folder = project(busy, dockerfile, file="f", ignored="i", **{".dockerignore": "ignored\n"})
    done = busy.run("build", cwd=folder)

    assert done.code == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_dockerfile_or_a_context(busy: Host) -> None:
    """What is missing is named."""
    folder = busy.project({"compose.yaml": COMPOSE})
    assert "failed to read dockerfile" in busy.run("build", cwd=folder).stderr
    (folder / "compose.yaml").write_text(COMPOSE.replace("build: .", "build: ./nowhere"), encoding="ascii")
    assert "path not found" in busy.run("build", cwd=folder).stderr


def test_services_upon_each_other(busy: Host) -> None:
    """`additional_contexts: service:x` is built first; a circle is an error."""
    compose = """\
services:
  b: {image: b, build: {dockerfile_inline: "FROM base\\nRUN cat /who >/copy", additional_contexts: {base: "service:a"}}}
  a: {image: a, build: {dockerfile_inline: "FROM busybox\\nRUN echo a >/who"}}
"""
    folder = busy.project({"compose.yaml": compose})
    busy.run("build", "b", cwd=folder).ok()
    assert inside(busy, "cat /copy", "b") == "a\n"

    circle = compose.replace('RUN echo a >/who"', 'RUN echo a >/who", additional_contexts: {x: "service:b"}')
    (folder / "compose.yaml").write_text(circle, encoding="ascii")
    done = busy.run("build", cwd=folder)
    assert "in a circle" in done.stderr


def test_upon_the_machine(host: Host) -> None:
    """`FROM host` takes the machine's own system, /usr included, and adds to it."""
    folder = host.project(
        {
            "compose.yaml": COMPOSE,
            "Dockerfile": "FROM host\nRUN python3 -c 'print(6*7)' >/answer && touch /usr/added\nCOPY f /usr/share/f\n",
            "f": "shared\n",
        }
    )
    host.run("build", cwd=folder).ok()

    assert inside(host, "cat /answer /usr/share/f; ls /usr/added; python3 -c 'print(1)'") == (
        "42\nshared\n/usr/added\n1\n"
    )
    assert not Path("/usr/added").exists()


def test_ctrl_c_and_kill_leave_nothing(busy: Host) -> None:
    """The fixture looks; and the next build is right."""
    folder = project(busy, "FROM busybox\nRUN touch /started; sleep 1000\n")
    for signum in (signal.SIGINT, signal.SIGKILL):
        running = busy.spawn("build", cwd=folder)
        eventually(lambda: busy.processes("sleep 1000"))
        os.kill(running.process.pid, signum)
        running.process.wait(20)
        eventually(lambda: not busy.processes("sleep 1000"))
        eventually(lambda: not busy.processes("pycompose.build.cleanup"))
    (folder / "Dockerfile").write_text("FROM busybox\nRUN echo fine >/started\n", encoding="ascii")
    busy.run("build", cwd=folder).ok()
    assert inside(busy, "cat /started") == "fine\n"


def test_what_is_built_can_be_saved(busy: Host, tmp_path: Path) -> None:
    """A layer's tar is written when it is wanted, and loads elsewhere as the same image."""
    folder = project(busy, "FROM busybox\nRUN echo saved >/f && mkdir -m 700 /d && rm /bin/wget\n")
    busy.run("build", cwd=folder).ok()
    identity = busy.run("image", "inspect", "-f", "{{.Id}}", "built").ok().stdout
    busy.run("image", "save", "-o", tmp_path / "built.tar", "built").ok()
    busy.run("image", "rm", "-f", "built").ok()
    busy.run("builder", "prune", "-af").ok()
    busy.run("image", "load", "-i", tmp_path / "built.tar").ok()

    assert busy.run("image", "inspect", "-f", "{{.Id}}", "built").ok().stdout == identity
    assert inside(busy, "cat /f; stat -c %a /d; ls /bin/wget 2>&1 | grep -c 'No such'") == "saved\n700\n1\n"


def test_upon_the_machine_cannot_leave_it(host: Host, tmp_path: Path) -> None:
    """The system below is no part of the image."""
    folder = host.project({"compose.yaml": COMPOSE, "Dockerfile": "FROM host\nRUN true\n"})
    host.run("build", cwd=folder).ok()
    done = host.run("image", "save", "-o", tmp_path / "built.tar", "built")

    assert done.code == 1
    assert "it was built FROM host" in done.stderr


def test_check_of_services(busy: Host) -> None:
    """Services that share a Dockerfile are one; an argument can leave rules out."""
    compose = "services:\n  a: {build: .}\n  b: {build: .}\n  c: {build: {context: ., dockerfile: other}}\n"
    folder = project(busy, "FROM busybox as x\n", compose, other="FROM busybox\nMAINTAINER me\n")
    done = busy.run("build", "--check", cwd=folder).exited(1)
    assert done.stdout.count("FromAsCasing") == 1
    assert "a, b: Dockerfile\nCheck complete, 1 warning has been found!" in done.stdout
    assert "c: other\nCheck complete, 1 warning has been found!" in done.stdout
    done = busy.run("build", "--check", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all", cwd=folder).ok()
    assert done.stdout.count("no warnings found") == 2


def test_two_binds_of_a_context_with_ignored_files(busy: Host) -> None:
    """What `docker init` and uv write: several files of the context bound into one step, beside a .dockerignore."""
    folder = project(
        busy,
        """\
        FROM busybox
        WORKDIR /app
        RUN --mount=type=bind,source=a.json,target=a.json \\
            --mount=type=bind,source=b.json,target=b.json \\
            --mount=type=bind,target=/all \\
            cat a.json b.json >both && ls /all >all
        """,
        **{"a.json": "a\n", "b.json": "b\n", ".dockerignore": "hidden\n", "hidden": "h"},
    )
    busy.run("build", cwd=folder).ok()

    assert inside(busy, "cat /app/both; grep hidden /app/all || echo none") == "a\nb\nnone\n"


def test_steps_on_the_machines_network(busy: Host) -> None:
    """`network: host` of a build: its steps see the machine's own devices."""
    folder = project(
        busy,
        "FROM busybox\nRUN readlink /proc/self/ns/net >/ns\nRUN --network=none readlink /proc/self/ns/net >/other\n",
        COMPOSE.replace("build: .", "build: {context: ., network: host}"),
    )
    busy.run("build", cwd=folder).ok()
    own = busy.command(["readlink", "/proc/self/ns/net"]).ok().stdout

    assert inside(busy, "cat /ns") == own
    assert inside(busy, "cat /other") != own


def test_a_dockerfile_upon_the_image_of_another_service(busy: Host) -> None:
    """It waits for that build, whatever their order in the file; the steps beside it go on."""
    folder = busy.project(
        {
            "compose.yaml": (
                "services:\n  after: {image: after, build: ./after}\n"
                "  before: {image: 'before:1', build: ./before}\n"
            ),
            "after/Dockerfile": "FROM before:1\nRUN cat /said >/again\n",
            "before/Dockerfile": "FROM busybox\nRUN echo one >/said\n",
        }
    )
    busy.run("build", cwd=folder).ok()
    assert inside(busy, "cat /again", "after") == "one\n"

    (folder / "before" / "Dockerfile").write_text("FROM busybox\nRUN echo two >/said\n", encoding="utf-8")
    busy.run("build", cwd=folder).ok()
    assert inside(busy, "cat /again", "after") == "two\n", "upon the new one, though the former was there"


def test_what_another_failure_ends_is_canceled(busy: Host) -> None:
    """It is no failure, neither now nor when the next build says why it makes the step."""
    folder = busy.project(
        {
            "compose.yaml": "services:\n  bad: {build: ./bad}\n  slow: {build: ./slow}\n",
            "bad/Dockerfile": "FROM busybox\nRUN sleep 1; exit 3\n",
            "slow/Dockerfile": "FROM busybox\nRUN sleep 300\n",
        }
    )
    done = busy.run("--progress", "plain", "build", cwd=folder).exited(1)
    assert done.stdout.count("did not complete successfully") == 1, "the step"
    assert done.stderr.count("did not complete successfully") == 2, "its image, and the error"
    assert "CANCELED" in done.stdout
    assert "Image demo-slow Canceled" in done.stderr

    (folder / "slow" / "Dockerfile").write_text("FROM busybox\nRUN true\n", encoding="utf-8")
    said = busy.run("--progress", "plain", "build", "slow", cwd=folder).ok().stdout
    assert "[slow 2/2] RUN true" in said
    assert "failed last time" not in said


def test_down_removes_the_images_that_were_built(busy: Host) -> None:
    """`--rmi local`: with and without a name of their own; not those from elsewhere."""
    folder = busy.project(
        {
            "compose.yaml": (
                "services:\n  a: {build: .}\n  b: {image: named, build: .}\n  c: {image: busybox, command: 'true'}\n"
            ),
            "Dockerfile": 'FROM busybox\nRUN echo >/x\nCMD ["true"]\n',
        }
    )
    busy.run("up", cwd=folder).ok()
    said = busy.run("down", "--rmi", "local", cwd=folder).ok().stderr

    assert "Image demo-a Removed" in said
    assert "Image named Removed" in said
    left = busy.run("image", "ls", "--format", "{{.Repository}}").ok().stdout.split()
    assert "busybox" in left
    assert not {"demo-a", "named"} & set(left)


def test_a_file_of_windows_by_another_name(busy: Host) -> None:
    """`dockerfile` is found where Dockerfile is missing; here-documents keep their line ends."""
    folder = project(busy, "")
    (folder / "Dockerfile").unlink()
    (folder / "dockerfile").write_bytes(
        b"FROM busybox\r\nCOPY <<A /said\r\none\r\nA\r\nRUN echo \\\r\n  two >/two\r\n"
    )
    busy.run("build", cwd=folder).ok()

    assert inside(busy, "od -An -c /said; cat /two").split() == ["o", "n", "e", r"\r", r"\n", "two"]


def test_how_many_are_built_at_once(busy: Host) -> None:
    """`--parallel` and COMPOSE_PARALLEL_LIMIT bound the builds, and those that wait for another leave it their room."""
    services: dict[str, object] = {
        f"s{number}": {"build": {"context": ".", "args": {"N": str(number)}}} for number in range(3)
    }
    services["upon"] = {"build": {"context": "upon"}, "depends_on": ["s2"]}
    folder = busy.project(
        {
            "compose.yaml": json.dumps({"name": "p", "services": services}),
            "Dockerfile": "FROM busybox\nARG N\nRUN --network=none sleep 0.1; echo $N >/n\n",
            "upon/Dockerfile": "FROM p-s2\nRUN --network=none cat /n >/m\n",
        }
    )
    for flags, env in ((["--parallel", "1"], {}), ([], {"COMPOSE_PARALLEL_LIMIT": "1"})):
        done = busy.run(*flags, "--progress", "plain", "build", "--no-cache", cwd=folder, env=env).ok()
        under_way = 0
        for service, word in re.findall(r"^ ?Image p-(\w+) +(Building|Built)$", done.stderr, re.MULTILINE):
            under_way += 1 if word == "Building" else -1
            assert under_way <= (2 if service in ("upon", "s2") else 1)


def test_what_is_copied_into_new_and_old_directories(busy: Host) -> None:
    """New directories are filled past the overlay: names that are one file stay one, what was there stays."""
    files = {
        f"{tree}/{place}/{tree}": f"{tree}\n" for tree in ("one", "two") for place in ("old", "new/deep")
    }
    dockerfile = (
        "FROM busybox\nRUN mkdir -p /t/old /real && echo kept >/t/old/kept && ln -s /real /lnk\n"
        "COPY one two /t/\nCOPY one /lnk/made\n"
        "RUN cd /t && find . -type f | sort && stat -c %h old/link && ls /real/made\n"
    )
    folder = busy.project({"Dockerfile": dockerfile, **files})
    for name in ("new/deep/link", "zero"):
        os.link(folder / "one/old/one", folder / "one" / name)
    os.link(folder / "one/old/one", folder / "one/old/link")
    os.mkfifo(folder / "one/new/fifo", 0o640)
    done = busy.run("--progress", "plain", "image", "build", "-t", "it", ".", cwd=folder).ok()
    said = [line.split(" ", 2)[2] for line in done.stderr.splitlines() if re.match(r"#\d+ \d+\.\d+ ", line)]

    assert said == [
        "./new/deep/link", "./new/deep/one", "./new/deep/two", "./old/kept", "./old/link", "./old/one", "./old/two",
        "./zero", "4", "new", "old", "zero",
    ]  # fmt: skip
    script = "stat -c '%F %a' /t/new/fifo; stat -c %i /t/zero /t/old/one /t/new/deep/link | uniq | wc -l"
    shown = busy.run("container", "run", "--rm", "--network", "none", "it", "sh", "-c", script).ok()
    assert shown.stdout == "fifo 640\n1\n"
