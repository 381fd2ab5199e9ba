"""Attacks by Dockerfiles, and by containers upon `cp`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.attack import OUT, PYTHON, SECRET, SWAP, precious
from tests.support.requires import requires
from tests.support.scenario import Host, eventually
from tests.support.webserver import GIT_ENVIRONMENT, listening, repository, web_server


@pytest.fixture
def prey(busy: Host) -> Iterator[Path]:
    """Make something precious on the machine, at a place that its containers don't have."""
    with precious(busy.folder / "precious") as place:
        yield place


def build(host: Host, dockerfile: str, *flags: str, code: int | None = 0, name: str = "context") -> str:
    """Build an image called `evil`; return what is said, with all that its steps print."""
    folder = host.folder / name
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile, encoding="utf-8")
    done = host.run("--progress", "plain", "image", "build", *flags, "-t", "evil", folder)
    assert code is None or (done.code == 0) == (code == 0), done.stderr
    return done.stdout + done.stderr


def test_cve_2024_23651_a_mount_whose_source_is_a_link(busy: Host, prey: Path) -> None:
    """A cache's first content, a bind out of a stage, and a cache whose content a step has replaced by links."""
    link = f"FROM busybox AS stage\nRUN ln -s {OUT}{prey} /way\nFROM busybox\n"
    for mount in (
        "type=cache,from=stage,source=/way,target=/m",
        "type=cache,from=stage,source=/way/etc,target=/m,id=second",
        "type=bind,from=stage,source=/way,target=/m",
        "type=bind,from=stage,source=/way/etc,target=/m,rw",
        "type=bind,from=stage,source=../../..,target=/m",
    ):
        said = build(
            busy, f"{link}RUN --mount={mount} find /m; cat /m/secret /m/passwd; touch /m/x; true\n", code=None
        )
        assert SECRET not in said, mount
    replace = f"mkdir -p /c/d; rm -r /c/d; ln -s {OUT}{prey} /c/d"
    build(busy, f"FROM busybox\nRUN --mount=type=cache,target=/c {replace}\n")
    said = build(
        busy,
        "FROM busybox\nRUN --mount=type=cache,target=/c cat /c/d/secret; echo x >/c/d/new; true\n",
        "--no-cache",
    )
    assert SECRET not in said
    busy.run("builder", "prune", "-af").ok()


def test_cve_2024_23652_a_mount_point_that_becomes_a_link(busy: Host, prey: Path) -> None:
    """What was made to mount upon is removed after the step: in the step's root, whatever stands at its name then."""
    steps = ["FROM busybox"]
    swap = f"sh -c 'mv /a /gone && ln -s {OUT}{prey} /a'"
    for name in ("b/empty", "b/nothing"):
        for kind in ("tmpfs", "cache", "bind", "secret,id=key"):
            steps.append(f"RUN --mount=type={kind},target=/a/{name} {swap}")
            steps.append("RUN rm -r /a /gone")
            steps.append(f"RUN --mount=type={kind},target=/x/{OUT}/{OUT}{prey}/{name} true")
    build(busy, "\n".join([*steps, ""]), f"--secret=id=key,src={prey}/etc/passwd")
    busy.run("builder", "prune", "-af").ok()


def test_cve_2024_23653_cve_2026_33747_cve_2026_33748_ghsa_7236_3392_c5c6_privileges(
    busy: Host, prey: Path
) -> None:
    """A frontend is never fetched or run; no step gets the machine's privileges or network unless it was granted."""
    said = build(busy, "# syntax=127.0.0.1:9/evil/frontend:latest\nFROM busybox\nRUN echo built by us\n")
    assert "built by us" in said
    for options in ("--security=insecure", "--network=host"):
        assert "error: " in build(busy, f"FROM busybox\nRUN {options} true\n", code=1)
    said = build(
        busy,
        "FROM busybox\nRUN --security=sandbox grep -E 'CapEff|Seccomp:' /proc/self/status\n",
        "--no-cache",
    )
    assert "a80425fb" in said
    assert "Seccomp:\t2" in said
    for source in ("../..", "/../../..", str(prey), f"{OUT}{prey}", "https://127.0.0.1:9/x.git#:../.."):
        assert SECRET not in build(
            busy, f"FROM busybox\nCOPY {source} /x\nRUN cat /x/secret /x/etc/passwd\n", code=None
        )


def test_cve_2024_24557_a_poisoned_cache(busy: Host) -> None:
    """An image that says it was made by the same steps is taken for none of them; each instruction counts."""
    honest = "FROM busybox\nRUN echo honest >/said\nHEALTHCHECK CMD honest\nONBUILD RUN honest\n"
    poison = "FROM busybox\nRUN echo poison >/said\n"
    build(busy, poison)
    folder = busy.folder / "context"
    busy.run("image", "save", "-o", folder / "poison.tar", "evil").ok()
    # The same history as the honest one, around a file system of its own.
    busy.run(
        "image",
        "import",
        "-c",
        'CMD ["echo honest >/said"]',
        "-m",
        "RUN echo honest >/said",
        folder / "poison.tar",
        "busyboxx",
    )
    build(busy, honest)
    look = ("container", "run", "--rm", "--network", "none", "evil", "cat", "/said")
    assert busy.run(*look).ok().stdout == "honest\n"

    for change in (
        ("HEALTHCHECK CMD honest", "HEALTHCHECK CMD other"),
        ("ONBUILD RUN honest", "ONBUILD RUN other"),
    ):
        build(busy, honest.replace(*change))
        (shown,) = busy.run("image", "inspect", "evil").ok().json()
        assert "other" in str(shown["Config"])


def test_cve_2020_15157_a_token_for_a_repository_stays_with_its_host(busy: Host, tmp_path: Path) -> None:
    """A repository names a submodule on another host: that one isn't told the token which opens the first."""
    with web_server(busy.inside(listening)) as honest, web_server(busy.inside(listening)) as evil:
        module = f'[submodule "evil"]\n\tpath = evil\n\turl = {evil.url}/evil.git\n'
        commit = repository(tmp_path / "repository", {"Dockerfile": "FROM busybox\n", ".gitmodules": module})
        link = ("update-index", "--add", "--cacheinfo", "160000", commit({"f": "x"}), "evil")
        for words in (link, ("commit", "-q", "-m", "module"), ("update-server-info",)):
            git = ["git", "-C", tmp_path / "repository", *words]
            subprocess.run(git, env=GIT_ENVIRONMENT, check=True)
        for path in (tmp_path / "repository/.git").rglob("*"):
            if path.is_file():
                honest.files[f"/r.git/{path.relative_to(tmp_path / 'repository/.git')}"] = path.read_bytes()
        (busy.folder / "token").write_text("t0ken", encoding="ascii")

        busy.run(
            "image", "build", "--secret", f"id=GIT_AUTH_TOKEN,src={busy.folder}/token", f"{honest.url}/r.git"
        )

    assert any(honest.authorizations)
    assert evil.authorizations
    assert not any(evil.authorizations)


TRAP = """\
#!/bin/sh
echo "trapped as $(id -u) by $0" >>/data/trap
"""
APP = """
services:
  app:
    image: busybox
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    volumes: [data:/data]
volumes: {data: {}}
"""


def test_cve_2019_14271_cve_2026_41567_programs_of_the_container(busy: Host) -> None:
    """`cp`, `export` and `commit` run no program and load no library that they find in the container."""
    folder = busy.project({"compose.yaml": APP, "trap": TRAP, "file": "x\n"})
    busy.run("up", "-d", cwd=folder).ok()
    busy.run("cp", "trap", "app:/trap", cwd=folder).ok()
    places = "for d in /bin /usr/bin /sbin /usr/sbin /usr/local/bin; do mkdir -p $d; for p in"
    names = "xz unxz unpigz pigz gzip gunzip zstd bzip2 tar getent docker-untar pycompose python3"
    script = f"chmod +x /trap; {places} {names}; do rm -f $d/$p; ln -s /trap $d/$p; done; done"
    script += "; for l in libnss_files.so.2 libnss_dns.so.2 liblzma.so.5 libc.so.6; do"
    script += " for d in /lib /lib64 /usr/lib /lib/x86_64-linux-gnu; do mkdir -p $d; echo >$d/$l; done; done"
    busy.run("exec", "-T", "app", "sh", "-c", script, cwd=folder).ok()

    busy.run("cp", "file", "app:/", cwd=folder).ok()
    busy.run("cp", "app:/file", "back", cwd=folder).ok()
    busy.run("cp", "app:/bin", "bin", cwd=folder).ok()
    for kind in ("gz", "xz", "bz2"):
        busy.command(
            ["sh", "-c", f"tar -caf f.tar.{kind} file; pycompose cp - app:/ <f.tar.{kind}"], cwd=folder
        )
    busy.run("export", "-o", "out.tar", "app", cwd=folder).ok()
    busy.run("commit", "app", "committed", cwd=folder).ok()

    assert busy.run("exec", "-T", "app", "ls", "/data", cwd=folder).ok().stdout == ""
    busy.run("exec", "-T", "app", "/bin/xz", cwd=folder).ok()
    assert busy.run("exec", "-T", "app", "ls", "/data", cwd=folder).ok().stdout == "trap\n"
    busy.run("down", "-v", cwd=folder).ok()


RACE = """
services:
  app:
    image: busybox
    command: {command}
    stop_signal: SIGKILL
    volumes: [data:/data, /usr:/usr:ro, /lib:/lib:ro, /lib64:/lib64:ro]
volumes: {{data: {{}}}}
"""


@pytest.mark.timeout(240)
@requires("host-python")
def test_cve_2018_15664_cve_2026_41568_cve_2026_42306_moby_52948_cp_against_a_racing_container(
    busy: Host, prey: Path
) -> None:
    """While the container swaps a directory for a link to the machine's, files come and go: nothing leads there."""
    folder = busy.project({"compose.yaml": "", "new": "evil\n", "tree/etc/passwd": "evil\n", "out/keep": ""})
    command = [*PYTHON, SWAP, "/data/a", "/data/b"]
    wait = ["sh", "-c", 'until [ -L /data/b ]; do sleep 0.01; done; exec "$$@"', "x", *command]
    (folder / "compose.yaml").write_text(RACE.format(command=json.dumps(wait)), encoding="utf-8")
    busy.run("up", "-d", cwd=folder).ok()
    make = (
        f"mkdir -p /data/a/etc; echo own >/data/a/secret; echo own >/data/a/etc/passwd; ln -s {prey} /data/b"
    )
    busy.run("exec", "-T", "app", "sh", "-c", make, cwd=folder).ok()
    eventually(lambda: "swapping" in busy.run("logs", cwd=folder).stdout)

    came = set()
    for number in range(6):
        busy.run("cp", "new", f"app:/data/a/new{number}", cwd=folder)
        busy.run("cp", "tree/.", "app:/data/a", cwd=folder)
        if busy.run("cp", "app:/data/a/secret", f"out/secret{number}", cwd=folder).code == 0:
            came.add((folder / f"out/secret{number}").read_text(encoding="utf-8"))
        busy.run("cp", "-L", "app:/data/a", f"out/a{number}", cwd=folder)
        came |= {
            path.read_text()
            for path in (folder / "out").rglob("*")
            if path.is_file() and not path.is_symlink()
        }
    assert "over" not in busy.run("logs", "--no-log-prefix", cwd=folder).stdout.split()
    busy.run("down", "-v", cwd=folder).ok()

    assert came <= {"own\n", "evil\n", ""}
    assert "own\n" in came
