"""What goes into a build from elsewhere: ADD of URLs and repositories, contexts that are one, further contexts."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.support.requires import requires
from tests.support.scenario import PYCOMPOSE, eventually
from tests.support.webserver import GIT_ENVIRONMENT, Web, git_daemon, listening, repository, web_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.scenario import Host

MODIFIED_S = 1_234_567_890


@pytest.fixture
def web(busy: Host) -> Iterator[Web]:
    """Serve files on the machine's loopback."""
    with web_server(busy.inside(listening)) as served:
        yield served


@pytest.fixture
def daemon(busy: Host, tmp_path: Path) -> Iterator[str]:
    """Serve repositories in `tmp_path`/git on the machine's loopback."""
    (tmp_path / "git").mkdir()
    with git_daemon(busy.inside(listening), tmp_path / "git") as url:
        yield url


def inside(host: Host, script: str, image: str = "it") -> str:
    """Return what `script` prints in a container of the image."""
    return host.run("container", "run", "--rm", "--network", "none", image, "sh", "-c", script).ok().stdout


def build(host: Host, dockerfile: str, *flags: str, code: int = 0) -> str:
    """Build a Dockerfile with an empty context; return what is said."""
    folder = host.folder / "context"
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile, encoding="utf-8")
    return host.run("image", "build", "-t", "it", *flags, ".", cwd=folder).exited(code).stderr


def tar_of(files: dict[str, str]) -> bytes:
    """Return a tar.gz of files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


def test_add_of_urls(busy: Host, web: Web) -> None:
    """Name, mode, time; what --chmod, --chown, --unpack change; asked again with what is known of it."""
    web.files |= {"/f.txt": b"hello\n", "/a.tgz": tar_of({"x": "packed\n"}), "/d/": b"unnamed\n"}
    web.modified_s["/f.txt"] = MODIFIED_S
    dockerfile = (
        f"FROM busybox\nADD {web.url}/f.txt?q=1 /one/\nADD --chmod=644 --chown=7:8 {web.url}/f.txt /two\n"
        f"ADD {web.url}/a.tgz /three/\nADD --unpack=true {web.url}/a.tgz /four/\nADD {web.url}/d/ /five/\n"
    )
    build(busy, dockerfile)

    script = (
        "cat /one/f.txt /four/x /five/*; ls /three /five; stat -c '%a %u:%g %Y' /one/f.txt /two /three/a.tgz"
    )
    assert inside(busy, script) == (
        "hello\npacked\nunnamed\n/five:\nd\n\n/three:\na.tgz\n"
        f"600 0:0 {MODIFIED_S}\n644 7:8 {MODIFIED_S}\n600 0:0 0\n"
    )
    web.asked.clear()
    assert "CACHED" in build(busy, dockerfile)
    assert {status for _, status in web.asked} == {304}
    web.files["/f.txt"] = b"other\n"
    said = build(busy, dockerfile)
    was, now = (hashlib.sha256(data).hexdigest()[:12] for data in (b"hello\n", b"other\n"))
    assert f"because: f.txt changed ({was} -> {now})" in said
    assert inside(busy, "cat /one/f.txt") == "other\n"


def test_what_a_server_is_asked(busy: Host, web: Web) -> None:
    """Whether there is something newer, where it tells times only; with user and password of the URL."""
    web.files |= {"/f": b"content", "/secret": b"secret"}
    web.modified_s["/f"] = MODIFIED_S
    web.without_etags.add("/f")
    url = web.url.replace("http://", "http://user:p%40ss@")
    dockerfile = f"FROM busybox\nADD {web.url}/f /f\nADD {url}/secret /s\n"
    build(busy, dockerfile)
    assert web.authorizations == ["", "Basic " + base64.b64encode(b"user:p@ss").decode()]
    web.asked.clear()
    assert build(busy, dockerfile).count("CACHED") == 2
    assert web.asked == [("/f", 304), ("/secret", 304)]
    script = f"grep -rlE 'p(%40|@)ss' {busy.paths.builder / 'sources'} || echo nowhere"
    assert busy.command(["sh", "-c", script]).ok().stdout == "nowhere\n"


def test_checksums(busy: Host, web: Web) -> None:
    """Content has to be what it says, and isn't asked for again when it is here."""
    web.files["/f"] = b"content"
    digest = hashlib.sha256(b"content").hexdigest()
    build(busy, f"FROM busybox\nADD --checksum=sha256:{digest} {web.url}/f /f\n")
    assert inside(busy, "cat /f") == "content"
    web.asked.clear()
    build(busy, f"FROM busybox\nADD --checksum=sha256:{digest} {web.url}/f /g\n")
    assert web.asked == []
    said = build(busy, f"FROM busybox\nADD --checksum=sha256:{'0' * 64} {web.url}/f /f\n", code=1)
    assert f"Dockerfile:2: {web.url}/f: digest mismatch sha256:{digest}: sha256:{'0' * 64}" in said


@pytest.mark.parametrize(
    ("line", "message"),
    (
        ("ADD {url}/nothing /x", "Dockerfile:2: cannot fetch {url}/nothing: not found (status 404)"),
        ("ADD http://127.0.0.1:1/f /x", "cannot fetch http://127.0.0.1:1/f: 127.0.0.1:1: connection refused"),
        (
            "ADD http://nowhere.invalid/f /x",
            "cannot fetch http://nowhere.invalid/f: nowhere.invalid: its name",
        ),
        ("COPY {url}/f /x", "Dockerfile:2:6: source can't be a URL for COPY"),
        ("ADD --checksum=md5:1 {url}/f /x", "Dockerfile:2:5: invalid checksum digest format: md5:1"),
        ("ADD --checksum=sha256:1 Dockerfile /x", "checksum requires HTTP(S) or Git sources"),
        ("ADD --checksum=sha256:1 {url}/f {url}/g /x/", "checksum can't be specified for multiple sources"),
        ("ADD http://[::1/f /x", "Dockerfile:2: cannot fetch: the URL is malformed"),
        ("ADD git://127.0.0.1:1/x /x", "Dockerfile:2: git repository git://127.0.0.1:1/x: "),
        ("ADD http://127.0.0.1:1/x.git#--upload-pack=x /x", "'--upload-pack=x' is no ref"),
    ),
)
def test_what_cannot_be_fetched(busy: Host, web: Web, line: str, message: str) -> None:
    """One clear error with its place."""
    said = build(busy, f"FROM busybox\n{line.format(url=web.url)}\n", code=1)
    assert message.format(url=web.url) in said
    assert "Traceback" not in said


def test_a_server_that_says_nothing(busy: Host, web: Web) -> None:
    """Ctrl+C ends the waiting, for a file, a context and a cache; nothing is left."""
    web.silent |= {"/f", "/v2/x/manifests/latest"}
    registry = web.url.removeprefix("http://")
    base = {"context": ".", "dockerfile_inline": f"FROM busybox\nADD {web.url}/f /f\n"}
    cached = {**base, "dockerfile_inline": "FROM busybox\nRUN true", "cache_from": [f"{registry}/x"]}
    for build_ in (base, {"context": f"{web.url}/f"}, cached):
        web.asked.clear()
        folder = busy.project({"compose.yaml": json.dumps({"services": {"x": {"build": build_}}})})
        running = busy.spawn("build", cwd=folder)
        eventually(lambda: web.asked)
        os.kill(running.process.pid, signal.SIGINT)
        assert running.process.wait(20) == 130
        assert busy.command(["ls", "-A", busy.paths.images / "tmp"]).ok().stdout == ""


@requires("git")
def test_a_repository_that_says_nothing(busy: Host) -> None:
    """Ctrl+C ends git, and what it has started."""
    with busy.inside(listening) as silent:
        url = f"git://127.0.0.1:{silent.getsockname()[1]}/r"
        folder = busy.project({"Dockerfile": f"FROM busybox\nADD {url} /r\n"})
        running = busy.spawn("image", "build", ".", cwd=folder)
        eventually(lambda: busy.processes(f"ls-remote -- {url}"))
        os.kill(running.process.pid, signal.SIGINT)
        assert running.process.wait(20) == 130
        eventually(lambda: not busy.processes("git"))


def test_without_git(busy: Host) -> None:
    """The program is named."""
    folder = busy.project({"Dockerfile": "FROM busybox\nADD git://127.0.0.1/r /r\n"})
    done = busy.run("image", "build", ".", cwd=folder, env={"PATH": str(PYCOMPOSE.parent)}).exited(1)
    assert "Dockerfile:2: git repositories need the program git, which isn't installed" in done.stderr
    assert "hint: install git" in done.stderr


def test_tokens_for_repositories(busy: Host, web: Web) -> None:
    """The secret GIT_AUTH_TOKEN opens them, and is in no message and nowhere on the disk."""
    env = {"GIT_AUTH_TOKEN": "swordfish"}
    folder = busy.project({"Dockerfile": f"FROM busybox\nADD {web.url}/r.git /r\n"})
    done = busy.run("image", "build", "--secret", "id=GIT_AUTH_TOKEN", ".", cwd=folder, env=env).exited(1)
    secret = base64.b64encode(b"x-access-token:swordfish").decode()
    assert web.authorizations == [f"Basic {secret}"]
    script = f"grep -rlE 'swordfish|{secret}' {busy.paths.root} {busy.paths.run} 2>/dev/null || echo nowhere"
    assert busy.command(["sh", "-c", script]).ok().stdout == "nowhere\n"
    assert secret not in done.stderr


@requires("git")
def test_add_of_repositories(busy: Host, daemon: str, tmp_path: Path) -> None:
    """A branch, a tag, a commit, a folder in it; without .git unless asked; again when the branch has moved."""
    commit = repository(tmp_path / "git/r", {"f": "one\n", "d/g": "folder\n"})
    old = commit({"run": "x\n"})
    subprocess.run(["git", "-C", tmp_path / "git/r", "tag", "v1"], env=GIT_ENVIRONMENT, check=True)
    dockerfile = (
        f"FROM busybox\nADD {daemon}/r /head/\nADD {daemon}/r#v1:d /folder\nADD --keep-git-dir {daemon}/r#main /kept\n"
        f"ADD --checksum={old} {daemon}/r#{old} /old\n"
    )
    build(busy, dockerfile)

    script = "cat /head/f /folder/g; ls -A /head; ls -A /kept | head -1; cat /kept/.git/HEAD; stat -c %Y /head/f /head"
    assert inside(busy, script) == f"one\nfolder\nd\nf\nrun\n.git\n{old}\n1000000000\n1000000000\n"
    assert build(busy, dockerfile).count("CACHED") == 4
    new = commit({"f": "two\n"})
    assert "CACHED" not in build(busy, dockerfile)
    assert inside(busy, "cat /head/f /old/f; cat /kept/.git/HEAD") == f"two\none\n{new}\n"
    said = build(busy, f"FROM busybox\nADD --checksum={old} {daemon}/r#main /x\n", code=1)
    assert f"expected checksum to match {old}, got {new}" in said
    said = build(busy, f"FROM busybox\nADD {daemon}/r#nosuch /x\n", code=1)
    assert "it has no branch or tag nosuch" in said
    said = build(busy, f"FROM busybox\nADD {daemon}/r#main:nosuch /x\n", code=1)
    assert "nosuch: no such folder in it" in said


@requires("git")
def test_submodules_come_along(busy: Host, daemon: str, tmp_path: Path) -> None:
    """Without what makes them repositories."""
    inner = repository(tmp_path / "git/inner", {"f": "inner\n"})({"g": "more\n"})
    commit = repository(tmp_path / "git/outer", {"f": "outer\n"})
    link = ["update-index", "--add", "--cacheinfo", f"160000,{inner},sub"]
    subprocess.run(["git", "-C", tmp_path / "git/outer", *link], env=GIT_ENVIRONMENT, check=True)
    (tmp_path / "git/outer/sub").mkdir()
    commit({".gitmodules": f'[submodule "sub"]\n\tpath = sub\n\turl = {daemon}/inner\n'})
    build(busy, f"FROM busybox\nADD {daemon}/outer /o\n")
    assert inside(busy, "cat /o/f /o/sub/f /o/sub/g; ls -A /o /o/sub") == (
        "outer\ninner\nmore\n/o:\n.gitmodules\nf\nsub\n\n/o/sub:\nf\ng\n"
    )


@requires("git")
def test_contexts_from_elsewhere(busy: Host, daemon: str, web: Web, tmp_path: Path) -> None:
    """A repository, an archive, a Dockerfile; by `image build` and in a compose file; nothing of them is left."""
    files = {"Dockerfile": "FROM busybox\nCOPY . /c\n", "f": "f\n", "no": "no\n", ".dockerignore": "no\n"}
    repository(tmp_path / "git/r", {f"sub/{name}": text for name, text in files.items()})
    web.files |= {"/c.tgz": tar_of(files), "/Dockerfile": b"FROM busybox\nRUN echo alone >/c\n"}
    for context in (f"{daemon}/r#main:sub", f"{web.url}/c.tgz"):
        busy.run("image", "build", "-t", "it", context).ok()
        assert inside(busy, "cat /c/f; ls -A /c") == "f\n.dockerignore\nDockerfile\nf\n"
        folder = busy.project(
            {"compose.yaml": f"services: {{x: {{image: it, build: '{context}'}}}}"}, "compose"
        )
        busy.run("image", "rm", "-f", "it").ok()
        busy.run("build", cwd=folder).ok()
        assert inside(busy, "cat /c/f") == "f\n"
        (folder / "compose.yaml").unlink()
        folder.rmdir()
    keep = ("--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", "-f", "sub/Dockerfile")
    busy.run("image", "build", "-t", "it", *keep, f"{daemon}/r").ok()
    assert inside(busy, "ls -A /c") == ".git\nsub\n"
    busy.run("image", "build", "-t", "it", f"{web.url}/Dockerfile").ok()
    assert inside(busy, "cat /c") == "alone\n"
    folder = busy.project({"f": "here\n"}, "here")
    (folder / "x").write_text("x", encoding="ascii")
    web.files["/Other"] = b"FROM busybox\nCOPY f /c\n"
    busy.run("image", "build", "-t", "it", "-f", f"{web.url}/Other", ".", cwd=folder).ok()
    assert inside(busy, "cat /c") == "here\n"
    assert busy.command(["ls", busy.paths.images / "tmp"]).ok().stdout == ""


def test_contexts_lead_nowhere(busy: Host, tmp_path: Path) -> None:
    """A Dockerfile or .dockerignore that is a link to a file of the machine is one inside the context."""
    with tarfile.open(tmp_path / "c.tar", "w") as tar:
        for name in ("Dockerfile", ".dockerignore"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(link)
    done = busy.command(["sh", "-c", f"pycompose image build - <{tmp_path}/c.tar"])
    assert done.code == 1
    assert "failed to read dockerfile: Dockerfile: no such file" in done.stderr
    assert "root:" not in done.stderr


@requires("git")
def test_further_contexts(busy: Host, daemon: str, web: Web, tmp_path: Path) -> None:
    """A folder, an image, an OCI layout by tag and digest, another service, a repository, an archive."""
    repository(tmp_path / "git/r", {"f": "repository\n"})
    web.files["/c.tgz"] = tar_of({"f": "archive\n"})
    busy.run("image", "build", "-t", "other", "-", stdin="FROM busybox\nRUN echo image >/f\n").ok()
    folder = busy.project({"folder/f": "folder\n", "layout/x": ""})
    busy.run("image", "save", "-o", folder / "saved.tar", "other").ok()
    with tarfile.open(folder / "saved.tar") as tar:
        tar.extractall(folder / "layout", filter="data")
    (entry,) = json.loads((folder / "layout/index.json").read_text(encoding="utf-8"))["manifests"]
    kinds = {
        "a": "./folder", "b": "docker-image://other", "c": f"oci-layout://{folder}/layout:latest",
        "d": f"oci-layout://{folder}/layout@{entry['digest']}", "g": f"{daemon}/r#main", "h": f"{web.url}/c.tgz",
    }  # fmt: skip
    copies = "".join(f"COPY --from={name} f /{name}\n" for name in "abcdegh")
    text = f"FROM c\n{copies}RUN --mount=from=g,target=/m cat /m/f >/mounted\n"
    contexts = {**kinds, "e": "service:base"}
    compose = {
        "services": {
            "x": {"image": "it", "build": {"dockerfile_inline": text, "additional_contexts": contexts}},
            "base": {"image": "base", "build": {"dockerfile_inline": "FROM busybox\nRUN echo service >/f"}},
        }
    }
    (folder / "compose.yaml").write_text(json.dumps(compose), encoding="utf-8")
    busy.run("build", "x", cwd=folder).ok()
    assert inside(busy, "cat /a /b /c /d /e /g /h /mounted").split() == [
        "folder", "image", "image", "image", "service", "repository", "archive", "repository",
    ]  # fmt: skip

    (folder / "Dockerfile").write_text("FROM c\nCOPY --from=g f /g\n", encoding="ascii")
    flags = [f"--build-context={name}={value}" for name, value in kinds.items()]
    busy.run("image", "build", "-t", "it", *flags, ".", cwd=folder).ok()
    assert inside(busy, "cat /f /g") == "image\nrepository\n"
    for value, message in (
        ("target:base", "another service is service:base, in a compose file"),
        ("oci-layout:///nowhere", "there is no OCI layout"),
        (f"{web.url}/nothing", "not found (status 404)"),
        (f"oci-layout://{folder}/layout:nosuch", "it has no image 'nosuch'"),
    ):
        done = busy.run("image", "build", "--build-context", f"c={value}", ".", cwd=folder).exited(1)
        assert message in done.stderr


def test_what_was_fetched_can_be_removed(busy: Host, web: Web) -> None:
    """`builder du` shows it, `builder prune -a` removes it."""
    web.files["/f"] = b"content"
    build(busy, f"FROM busybox\nADD {web.url}/f /f\n")
    assert "source.http" in busy.run("builder", "du", "--format", "json").ok().stdout
    busy.run("builder", "prune", "-af").ok()
    assert busy.command(["ls", busy.paths.builder / "sources"]).ok().stdout == ""


def test_why_a_repository_over_ssh_cannot_be_read(busy: Host) -> None:
    """The program's own words, not what git makes of them."""
    (busy.folder / "ssh").write_text(
        "#!/bin/sh\necho Host key verification failed. >&2\nexit 255\n", encoding="utf-8"
    )
    (busy.folder / "ssh").chmod(0o755)
    done = busy.run(
        "image", "build", "ssh://git@127.0.0.1/x.git", env={"GIT_SSH_COMMAND": str(busy.folder / "ssh")}
    ).exited(1)

    assert "git repository ssh://127.0.0.1/x.git: Host key verification failed." in done.stderr
    assert "ssh-keyscan" in done.stderr


@requires("git")
def test_repositories_over_ssh(busy: Host, tmp_path: Path) -> None:
    """As context and for ADD: host, port, user and path reach ssh, with the agent of `--ssh`; what comes is built."""
    files = {"Dockerfile": "FROM busybox\nCOPY f /f\n", "f": "over ssh\n"}
    repository(tmp_path / "git/app.git", files)
    ssh = tmp_path / "ssh"
    # What ssh does, without a network: it runs the command that git asks for.
    ssh.write_text(
        f'#!/bin/sh\necho "$SSH_AUTH_SOCK $*" >>{tmp_path}/asked\nfor last; do :; done\ncd {tmp_path}/git\n'
        'eval "exec $(echo "$last" | sed "s,/srv/,./,")"\n',
        encoding="utf-8",
    )
    ssh.chmod(0o755)
    env = {"GIT_SSH_COMMAND": str(ssh), "SSH_AUTH_SOCK": ""}
    agent = tmp_path / "agent"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(agent))
        for url in ("ssh://deploy@example.test:2222/srv/app.git", "deploy@example.test:/srv/app.git"):
            (tmp_path / "asked").unlink(missing_ok=True)
            busy.run(
                "image", "build", "-t", "it", "--no-cache", "--ssh", f"default={agent}", url, env=env
            ).ok()
            assert inside(busy, "cat /f") == "over ssh\n"
            asked = (tmp_path / "asked").read_text()
            assert all(line.startswith(f"{agent} ") for line in asked.splitlines())
            assert "deploy@example.test git-upload-pack" in asked
            assert ("-p 2222" in asked) == ("2222" in url)
        folder = busy.project({"Dockerfile": "FROM busybox\nADD git@example.test:/srv/app.git#main /r\n"})
        busy.run("image", "build", "-t", "it", "--ssh", f"default={agent}", ".", cwd=folder, env=env).ok()
        assert inside(busy, "cat /r/f") == "over ssh\n"
        section = {"context": "ssh://git@example.test/srv/app.git", "ssh": [f"default={agent}"]}
        compose = {"services": {"a": {"image": "it", "build": section}}}
        project = busy.project({"compose.yaml": json.dumps(compose)})
        busy.run("build", "--no-cache", cwd=project, env=env).ok()
        assert inside(busy, "cat /f") == "over ssh\n"
