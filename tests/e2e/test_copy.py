"""`cp`, `export`, `commit`: docker's rules for names, and containers that want to get out."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.scenario import Host, Result

COMPOSE = """
services:
  app:
    image: busybox
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    volumes: ["data:/data", "./fixed:/fixed:ro"]
    tmpfs: [/scratch]
  fixed:
    image: busybox
    read_only: true
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    volumes: ["data:/data"]
volumes:
  data:
"""
INSIDE = """
mkdir -p /c/dir/sub /c/empty /t/exist/dir
echo cf >/c/file; echo ca >/c/dir/a; echo cb >/c/dir/sub/b
ln -s file /c/link; ln -s dir /c/dirlink; ln -s nowhere /c/dangling; ln -s /c/file /c/abslink
echo old >/t/oldfile; ln -s exist /t/tolink; ln -s oldfile /t/tofile; ln -s new2 /t/tonew
echo d >/data/d; echo s >/scratch/s
"""
RESET = """
rm -rf /t; mkdir -p /t/exist/dir; cd /t
echo old >oldfile; ln -s exist tolink; ln -s oldfile tofile; ln -s new2 tonew
"""
LOOK = """
cd /t; find . -type f -o -type l | while read f; do
[ -L $f ] && echo "$f=-> $(readlink $f)" || echo "$f=$(cat $f)"; done
"""
# What docker-compose 2.40 does with Docker 26, checked side by side: source, target, flags, what is there afterwards.
OUT = (
    ("/c/file", "out", "", {"file": "cf"}),
    ("/c/file", "out/", "", {"file": "cf"}),
    ("/c/file", "out/new", "", {"new": "cf"}),
    ("/c/file", "out/old", "", {"old": "cf"}),
    ("/c/file", "out/tolink", "", {"exist/file": "cf"}),
    ("/c/file", "out/tofile", "", {"old": "cf"}),
    ("/c/file", "out/tonew", "", {"new2": "cf"}),
    ("c/file", "out/new", "", {"new": "cf"}),
    ("/c/../../c/file", "out", "", {"file": "cf"}),
    ("/c/dir", "out", "", {"dir/a": "ca", "dir/sub/b": "cb"}),
    ("/c/dir/", "out", "", {"dir/a": "ca", "dir/sub/b": "cb"}),
    ("/c/dir/.", "out", "", {"a": "ca", "sub/b": "cb"}),
    ("/c/dir/.", "out/new", "", {"new/a": "ca", "new/sub/b": "cb"}),
    ("/c/dir", "out/new/", "", {"new/a": "ca", "new/sub/b": "cb"}),
    ("/c/link", "out", "", {"link": "-> file"}),
    ("/c/link", "out", "-L", {"link": "cf"}),
    ("/c/abslink", "out/new", "-L", {"new": "cf"}),
    ("/c/dirlink", "out", "", {"dirlink": "-> dir"}),
    ("/c/dirlink/", "out", "", {"dirlink/a": "ca", "dirlink/sub/b": "cb"}),
    ("/c/dirlink", "out", "-L", {"dirlink/a": "ca", "dirlink/sub/b": "cb"}),
    ("/c/dangling", "out", "", {"dangling": "-> nowhere"}),
    ("/data", "out", "", {"data/d": "d"}),
    ("/scratch/s", "out", "", {"s": "s"}),  # docker cannot see into a tmpfs
)
REFUSED_OUT = (
    ("/c/file", "out/new/", "no such directory"),
    ("/c/file", "out/missing/new", "does not exist"),
    ("/c/file", "out/old/", "not a directory"),
    ("/c/dir", "out/old", "cannot copy a directory onto a file"),
    ("/c/file/", "out", "not a directory"),
    ("/c/file/.", "out", "not a directory"),
    ("/c/missing", "out", "could not find /c/missing"),
    ("/proc/version", "out", "made up by the kernel"),
)
INTO = (
    ("h/file", "/t", "", {"file": "file"}),
    ("h/file", "/t/new", "", {"new": "file"}),
    ("h/file", "/t/oldfile", "", {"oldfile": "file"}),
    ("h/file", "/t/tolink", "", {"exist/file": "file"}),
    ("h/file", "/t/tofile", "", {"oldfile": "file"}),
    ("h/file", "/t/tonew", "", {"new2": "file"}),
    ("h/file", "/t/exist/dir/..", "", {"exist/file": "file"}),
    ("h/dir", "/t", "", {"dir/a": "a", "dir/sub/b": "b"}),
    ("h/dir/", "/t", "", {"dir/a": "a", "dir/sub/b": "b"}),
    ("h/dir", "/t/exist", "", {"exist/dir/a": "a", "exist/dir/sub/b": "b"}),
    ("h/dir/.", "/t", "", {"a": "a", "sub/b": "b"}),
    ("h/dir", "/t/new", "", {"new/a": "a", "new/sub/b": "b"}),
    ("h/dir", "/t/new/", "", {"new/a": "a", "new/sub/b": "b"}),
    ("h/link", "/t", "", {"link": "-> file"}),
    ("h/link", "/t", "-L", {"link": "file"}),
    ("h/dirlink", "/t", "-L", {"dirlink/a": "a", "dirlink/sub/b": "b"}),
)
REFUSED_INTO = (
    ("h/file", "app:/t/new/", "no such directory"),
    ("h/file", "app:/t/missing/new", "could not find the directory /t/missing"),
    ("h/file", "app:/t/oldfile/", "not a directory"),
    ("h/dir", "app:/t/oldfile", "cannot copy a directory onto a file"),
    ("h/file/", "app:/t", "Not a directory"),
    ("h/missing", "app:/t", "No such file"),
    ("h/exist", "app:/t", "cannot overwrite a directory"),
    ("h/file", "app:/fixed", "read-only in the container"),
    ("h/file", "fixed:/etc", "read-only in the container"),
    ("h/file", "app:/proc", "the kernel makes up"),
    ("h/file", "nobody:/t", 'no container found for service "nobody"'),
)


@pytest.fixture
def project(busy: Host) -> Iterator[Path]:
    """Start containers with one of each kind of file, beside a folder that has them too."""
    folder = busy.project(
        {"compose.yaml": COMPOSE, "h/file": "file\n", "h/dir/a": "a\n", "h/dir/sub/b": "b\n"}
    )
    (folder / "h/exist").write_text("x")
    (folder / "h/link").symlink_to("file")
    (folder / "h/dirlink").symlink_to("dir")
    (folder / "fixed").mkdir()
    busy.run("up", "-d", cwd=folder).ok()
    shell(busy, folder, INSIDE)
    yield folder
    busy.run("down", "-v", cwd=folder).ok()


def shell(host: Host, project: Path, script: str) -> str:
    """Return what `script` prints in the app container."""
    return host.run("exec", "-T", "app", "sh", "-c", script, cwd=project).ok().stdout


def cp(host: Host, project: Path, source: str, target: str, *flags: str) -> Result:
    """Run `cp`."""
    return host.run("--progress", "quiet", "cp", *flags, source, target, cwd=project)


def fresh(project: Path) -> dict[str, str]:
    """Make `out` anew, with a directory, a file, and links; return what is in it."""
    out = project / "out"
    for path in sorted(out.rglob("*"), reverse=True) if out.exists() else ():
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    (out / "exist").mkdir(parents=True, exist_ok=True)
    (out / "old").write_text("old\n")
    for name, text in (("tolink", "exist"), ("tofile", "old"), ("tonew", "new2")):
        (out / name).symlink_to(text)
    return tree(out)


def tree(top: Path) -> dict[str, str]:
    """Return files and links below `top`: name → content, or `-> text`."""
    return {
        str(path.relative_to(top)): f"-> {os.readlink(path)}"
        if path.is_symlink()
        else path.read_text().strip()
        for path in top.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def test_out_of_a_container(busy: Host, project: Path) -> None:
    """Every form of a name gives what docker gives."""
    for source, target, flags, added in OUT:
        before = fresh(project)
        cp(busy, project, f"app:{source}", target, *flags.split()).ok()
        assert tree(project / "out") == {**before, **added}, (source, target, flags)


def test_what_cannot_come_out(busy: Host, project: Path) -> None:
    """And what docker refuses is refused, with the reason; nothing changes."""
    for source, target, reason in REFUSED_OUT:
        before = fresh(project)
        assert reason in cp(busy, project, f"app:{source}", target).exited(1).stderr
        assert tree(project / "out") == before


def test_into_a_container(busy: Host, project: Path) -> None:
    """The same the other way round; owners and modes arrive as they are."""
    os.chown(project / "h/dir/a", 1000, 1001)
    (project / "h/dir/a").chmod(0o640)
    for source, target, flags, added in INTO:
        shell(busy, project, RESET)
        cp(busy, project, source, f"app:{target}", *flags.split()).ok()
        lines = shell(busy, project, LOOK).splitlines()
        found = dict(line.removeprefix("./").split("=", 1) for line in lines)
        before = {"oldfile": "old", "tolink": "-> exist", "tofile": "-> oldfile", "tonew": "-> new2"}
        assert found == {**before, **added}, (source, target, flags)
    cp(busy, project, "h/dir", "app:/t/last").ok()
    assert shell(busy, project, "stat -c '%u:%g %a' /t/last/a") == "1000:1001 640\n"


def test_what_cannot_go_in(busy: Host, project: Path) -> None:
    """Read-only places, the kernel's files, directories that aren't there."""
    for source, target, reason in REFUSED_INTO:
        assert reason in cp(busy, project, source, target).exited(1).stderr, (source, target)
    cp(busy, project, "h/file", "fixed:/data").ok()
    assert shell(busy, project, "cat /data/file") == "file\n"
    for arguments in (("app:/a", "fixed:/b"), ("a", "b")):
        cp(busy, project, *arguments).exited(1)


def test_a_mounted_file_is_written_in_place(busy: Host, project: Path) -> None:
    """/etc/hosts is a mount: it can't be replaced, but it can be overwritten, which docker cannot."""
    cp(busy, project, "h/file", "app:/etc/hosts").ok()
    assert shell(busy, project, "cat /etc/hosts") == "file\n"


def test_links_of_a_container_never_lead_to_the_host(busy: Host, project: Path) -> None:
    """Absolute links, links up, links at every component: all stay in the container (CVE-2018-15664, 2019-14271)."""
    (project / "host-secret").write_text("secret")
    shell(
        busy,
        project,
        f"""
        ln -s / /root-link; ln -s ../../../../../../../.. /up-link; ln -s {project} /project-link
        ln -s /proc/1/root /magic-link; ln -s /proc/self/fd /fd-link; mkdir -p /evil; ln -s {project} /evil/dir
        """,
    )
    inside = shell(busy, project, "cat /etc/passwd")
    for path in ("/root-link/etc/passwd", "/up-link/etc/passwd"):
        fresh(project)
        cp(busy, project, f"app:{path}", "out/new", "-L").ok()
        assert (project / "out/new").read_text() == inside
    for path in ("/project-link/host-secret", "/magic-link/etc/passwd", "/fd-link/0"):
        cp(busy, project, f"app:{path}", "out/x", "-L").exited(1)
        assert not (project / "out/x").exists()
    cp(busy, project, "h/file", "app:/project-link/host-secret").exited(1)
    cp(busy, project, "h/file", "app:/magic-link/tmp").exited(1)
    (project / "h/evil/dir").mkdir(parents=True)
    (project / "h/evil/dir/host-secret").write_text("overwritten")
    assert "with a directory" in cp(busy, project, "h/evil/.", "app:/evil").exited(1).stderr
    assert (project / "host-secret").read_text() == "secret"


def test_streams(busy: Host, project: Path) -> None:
    """`-` is a tar on standard output, and on standard input, compressed or not."""
    command = ["sh", "-c", "pycompose cp app:/c/dir - | tar tf -"]
    assert busy.command(command, cwd=project).ok().stdout.split() == [
        "dir/",
        "dir/a",
        "dir/sub/",
        "dir/sub/b",
    ]
    command = ["sh", "-c", "tar czf - -C h dir | pycompose --progress quiet cp - app:/t/exist"]
    busy.command(command, cwd=project).ok()
    assert shell(busy, project, "cat /t/exist/dir/sub/b") == "b\n"
    for content in ("garbage", ""):
        result = busy.run("cp", "-", "app:/t/exist", cwd=project, stdin=content)
        assert (result.code == 0) == (content == "")
    assert "has to be a directory" in busy.run("cp", "-", "app:/t/oldfile", cwd=project).exited(1).stderr


def test_a_hostile_archive_on_standard_input(busy: Host, project: Path) -> None:
    """A link and a file below it, a name that climbs: neither reaches what it wants."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("way")
        link.type, link.linkname = tarfile.SYMTYPE, str(project)
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("way/made"))
    (project / "evil.tar").write_bytes(buffer.getvalue())
    busy.command(["sh", "-c", "pycompose cp - app:/t/exist <evil.tar"], cwd=project)
    assert not (project / "made").exists()


def test_stopped_containers(busy: Host, project: Path) -> None:
    """Their file system is mounted for it: volumes and read-only mounts too, and nothing stays mounted."""
    busy.run("stop", cwd=project).ok()
    mounts = busy.command(["cat", "/proc/mounts"]).stdout
    fresh(project)
    cp(busy, project, "app:/c/dir", "out").ok()
    cp(busy, project, "app:/data/d", "out").ok()
    assert tree(project / "out").items() >= {"dir/a": "ca", "dir/sub/b": "cb", "d": "d"}.items()
    cp(busy, project, "h/file", "app:/t/later").ok()
    cp(busy, project, "h/file", "app:/data/later").ok()
    assert "read-only in the container" in cp(busy, project, "h/file", "app:/fixed/x").exited(1).stderr
    assert "read-only in the container" in cp(busy, project, "h/file", "fixed:/etc/x").exited(1).stderr
    assert busy.command(["cat", "/proc/mounts"]).stdout == mounts
    busy.run("start", cwd=project).ok()
    assert shell(busy, project, "cat /t/later /data/later") == "file\nfile\n"


def test_nobody_starts_what_is_being_copied(busy: Host, project: Path) -> None:
    """A stopped container's file system is mounted only once: `start` waits until `cp` has ended."""
    busy.run("stop", cwd=project).ok()
    (project / "early").write_text("x" * 200_000)
    (project / "slow").write_text("x" * 100)
    busy.command(["mkfifo", "pipe"], cwd=project).ok()
    script = "pycompose --progress quiet cp - app:/t/exist <pipe; echo copied >>order"
    # More than a pipe holds: the copy is under way when it has been written.
    feed = "tar cf - early slow | (head -c 100000; touch reading; sleep 0.5; cat) >pipe"
    other = (
        "until [ -e reading ]; do sleep 0.02; done; pycompose --progress quiet start; echo started >>order"
    )
    busy.command(["sh", "-c", f"({script}) & ({feed}) & {other}; wait"], cwd=project).ok()
    assert (project / "order").read_text().split() == ["copied", "started"]
    assert len(shell(busy, project, "cat /t/exist/slow")) == 100


def test_a_container_that_never_ran(busy: Host, project: Path) -> None:
    """It has a file system from the start, which the first start takes over."""
    busy.run("down", cwd=project).ok()
    busy.run("create", cwd=project).ok()
    cp(busy, project, "h/file", "app:/etc/before").ok()
    busy.run("start", cwd=project).ok()
    assert shell(busy, project, "cat /etc/before") == "file\n"


def test_replicas(busy: Host, project: Path) -> None:
    """Into all of them, out of the first, or the one that --index names."""
    busy.run("up", "-d", "--scale", "app=2", cwd=project).ok()
    cp(busy, project, "h/file", "app:/both").ok()
    cp(busy, project, "h/dir/a", "app:/both", "--index", "2").ok()
    busy.command(["sh", "-c", "tar cf - -C h file | pycompose cp - app:/tmp"], cwd=project).ok()
    for index, text in (("1", "file\nfile\n"), ("2", "a\nfile\n")):
        command = ("exec", "-T", "--index", index, "app", "cat", "/both", "/tmp/file")
        assert busy.run(*command, cwd=project).ok().stdout == text
    fresh(project)
    cp(busy, project, "app:/both", "out", "--index", "2").ok()
    assert (project / "out/both").read_text() == "a\n"
    cp(busy, project, "app:/both", "out", "--index", "3").exited(1)


def test_dry_run_copies_nothing(busy: Host, project: Path) -> None:
    """It only says what it would do."""
    busy.run("--dry-run", "cp", "h/file", "app:/t/dry", cwd=project).ok()
    busy.run("exec", "-T", "app", "test", "-e", "/t/dry", cwd=project).exited(1)


# ---------------------------------------------------------------------- export and commit


def test_export_is_the_same_running_and_stopped(busy: Host, project: Path) -> None:
    """What was removed isn't in it, what is in volumes neither."""
    shell(busy, project, "rm /etc/group; echo new >/etc/new; ln /etc/new /etc/hard")
    busy.run("export", "app", "-o", "running.tar", cwd=project).ok()
    busy.run("stop", cwd=project).ok()
    busy.run("export", "app", "-o", "stopped.tar", cwd=project).ok()

    with tarfile.open(project / "running.tar") as first, tarfile.open(project / "stopped.tar") as second:
        names = first.getnames()
        assert sorted(names) == sorted(second.getnames())
    assert {"etc/new", "etc/hard", "bin/busybox", "data"} <= set(names)
    assert not {"etc/group", "data/d", "scratch/s"} & set(names)
    assert busy.run("export", "nobody", cwd=project).exited(1).stdout == ""


def test_export_and_what_is_no_file(busy: Host, project: Path) -> None:
    """A device, a link or a directory stays what it is; what standard output can't take is said of that."""
    os.mknod(project / "device", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    (project / "link").symlink_to("device")
    (project / "folder").mkdir()
    for name, kind in (("device", "a device"), ("link", "a symbolic link"), ("folder", "a directory")):
        failed = busy.run("export", "app", "-o", name, cwd=project).exited(1)
        assert f"--output {name}: it is {kind}" in failed.stderr
    busy.run("cp", "app:/etc/passwd", "link", cwd=project).exited(1)
    assert (project / "device").is_char_device()
    assert sorted(path.name for path in project.glob("*.part")) == []
    for words in ("export app", "cp app:/etc -"):
        failed = busy.command(["sh", "-c", f"pycompose {words} >/dev/full"], cwd=project)
        assert "standard output: cannot write: No space left on device" in failed.stderr
        assert "prune" not in failed.stderr
        assert failed.code == 1


def test_commit_makes_an_image(busy: Host, project: Path) -> None:
    """With what was written, without what was removed, with the service's settings and the changes over them."""
    shell(busy, project, "rm -r /home; echo new >/etc/new; rm -r /srv; mkdir /srv; echo x >/srv/x")
    arguments = ("-m", "hello", "-a", "Ada", "-c", 'CMD ["cat", "/etc/new"]', "-c", "ENV B=2")
    image_id = busy.run("commit", "app", "mine:1", *arguments, cwd=project).ok().stdout.strip()

    (document,) = busy.run("image", "inspect", "mine:1").ok().json()
    assert document["Id"] == image_id
    assert (document["Author"], document["Comment"]) == ("Ada", "hello")
    assert document["Config"]["Cmd"] == ["cat", "/etc/new"]
    assert "B=2" in document["Config"]["Env"]
    assert len(document["RootFS"]["Layers"]) == 2
    assert busy.run("ps", "--format", "{{.State}}", "app", cwd=project).ok().stdout == "running\n"
    other = "services: {a: {image: 'mine:1', command: [sh, -c, 'ls /home; cat /etc/new /srv/x; echo $$B']}}"
    folder = busy.project({"compose.yaml": other}, "other")
    shown = busy.run("up", "--no-log-prefix", "--no-color", cwd=folder).ok().stdout
    assert [line for line in shown.splitlines() if line in ("new", "x", "2")] == ["new", "x", "2"]
    busy.run("down", cwd=folder).ok()
