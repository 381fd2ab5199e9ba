"""Trees that change under the hands, links that lead away, tars that lie: nothing gets out of its place."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pycompose.engine.errors import ArchiveError
from pycompose.engine.filesystem.transfer import IN_ROOT, MAX_DEPTH, Extractor, Walker
from pycompose.engine.images.layers.tarstream import TarReader
from pycompose.engine.linux.libc import AT_FDCWD, libc

PATH = os.O_PATH | os.O_CLOEXEC
RENAME_EXCHANGE = 2


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Make a directory to copy out of."""
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Make a directory to copy into, beside something that nobody may touch."""
    (tmp_path / "target").mkdir()
    (tmp_path / "secret").write_text("secret")
    return tmp_path / "target"


def copy(source: Path, target: Path, name: bytes = b".", **options: object) -> tuple[Walker, Extractor]:
    """Copy what is at `source` into `target` as `name`."""
    walker = Walker()
    top = os.open(source, PATH | os.O_NOFOLLOW)
    into = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        extractor = Extractor(into, **options)  # type: ignore[arg-type]
        extractor.tree(walker.walk(top, name))
    finally:
        os.close(top)
        os.close(into)
    return walker, extractor


def put_tar(target: Path, members: list[tuple[tarfile.TarInfo, bytes]], **options: object) -> Extractor:
    """Put a tar of `members` into `target`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    into = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        extractor = Extractor(into, **options)  # type: ignore[arg-type]
        extractor.tar(TarReader(iter([buffer.getvalue()])))
    finally:
        os.close(into)
    return extractor


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **fields: int) -> tarfile.TarInfo:
    """Return a member of a tar."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    for key, value in fields.items():
        setattr(info, key, value)
    return info


# ---------------------------------------------------------------------- out


def test_links_are_copied_and_never_followed(source: Path, target: Path) -> None:
    """Absolute, upwards, dangling, to a directory: the text arrives, the content doesn't."""
    for name, text in (("a", "/etc/passwd"), ("b", "../secret"), ("c", "nowhere"), ("d", "/etc")):
        (source / name).symlink_to(text)

    copy(source, target)

    assert {path.name: os.readlink(path) for path in target.iterdir()} == {
        "a": "/etc/passwd",
        "b": "../secret",
        "c": "nowhere",
        "d": "/etc",
    }


def test_setuid_devices_and_capabilities_stay_behind(source: Path, target: Path) -> None:
    """What comes from a stranger has no power here; devices and sockets are told, not made."""
    program = source / "program"
    program.write_bytes(b"x")
    program.chmod(0o6755)
    os.chown(program, 1234, 1234)
    os.setxattr(program, "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    os.mknod(source / "device", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    os.mkfifo(source / "fifo")

    walker, _ = copy(source, target)

    status = (target / "program").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o755, os.geteuid())
    assert os.listxattr(target / "program") == []
    assert walker.left_out == [b"./device"]
    assert stat.S_ISFIFO((target / "fifo").stat().st_mode)


def test_archive_mode_keeps_owners_only(source: Path, target: Path) -> None:
    """Ids come along when they are asked for, setuid never."""
    (source / "file").write_bytes(b"x")
    os.chown(source / "file", 1234, 1235)
    (source / "file").chmod(0o4750)

    copy(source, target, owners=True)

    status = (target / "file").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1234, 1235, 0o750)


def test_what_the_kernel_makes_up_is_left_out(target: Path) -> None:
    """/proc and /sys of a container are not files."""
    top = os.open("/proc", PATH)
    walker = Walker()
    assert list(walker.walk(top, b"proc")) == []
    os.close(top)
    assert walker.left_out == [b"proc"]


def test_a_fifo_is_never_opened(source: Path, target: Path) -> None:
    """Opening one would wait for ever for a writer."""
    os.mkfifo(source / "fifo")

    copy(source / "fifo", target, b"copy")

    assert stat.S_ISFIFO((target / "copy").lstat().st_mode)


def test_a_tree_without_end_is_refused(source: Path, target: Path) -> None:
    """Directories inside each other cost descriptors; beyond a limit they are an attack."""
    here = os.open(source, os.O_RDONLY)
    for _ in range(MAX_DEPTH + 5):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)

    with pytest.raises(ArchiveError, match="inside each other"):
        copy(source, target)


def test_names_of_any_bytes_and_length(source: Path, target: Path) -> None:
    """255 bytes that are no text, with a newline among them."""
    name = bytes(range(1, 47)) + bytes(range(48, 256))
    with open(os.path.join(os.fsencode(source), name), "wb") as file:
        file.write(b"x")

    copy(source, target)

    assert os.listdir(os.fsencode(target)) == [name]


def test_hard_links_stay_links(source: Path, target: Path) -> None:
    """Two names of one file are two names of one file."""
    (source / "a").write_bytes(b"x")
    os.link(source / "a", source / "b")

    copy(source, target)

    assert (target / "a").stat().st_ino == (target / "b").stat().st_ino


@pytest.fixture
def swapping(source: Path, tmp_path: Path) -> Iterator[None]:
    """Swap a directory for a link to what it must not reach, as fast as possible, for the length of a test."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("secret")
    (source / "dir").mkdir()
    (source / "dir/file").write_text("harmless")
    (source / "link").symlink_to(tmp_path / "outside")
    stop = threading.Event()

    def swap() -> None:
        names = (os.fsencode(source / "dir"), os.fsencode(source / "link"))
        while not stop.is_set():
            libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE)

    thread = threading.Thread(target=swap)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.mark.usefixtures("swapping")
def test_a_directory_that_becomes_a_link_leads_nowhere(source: Path, tmp_path: Path) -> None:
    """However often it is swapped while we read, no secret arrives (CVE-2018-15664)."""
    for number in range(200):
        place = tmp_path / f"copy{number}"
        place.mkdir()
        try:
            copy(source, place)
        except OSError:
            continue  # it was a link when a directory was expected
        assert "secret" not in [path.read_text() for path in place.rglob("file") if not path.is_symlink()]
        for path in place.iterdir():
            assert path.is_symlink() or path.is_dir()


@pytest.mark.usefixtures("swapping")
def test_what_goes_into_a_directory_that_becomes_a_link_stays_inside(source: Path, tmp_path: Path) -> None:
    """A container that swaps them while we write gets the file somewhere in itself, or not at all."""
    for number in range(200):
        with contextlib.suppress(OSError):
            put_tar(source, [(member(f"dir/planted{number}"), b"x")], resolve=IN_ROOT)
    assert os.listdir(tmp_path / "outside") == ["file"]


# ---------------------------------------------------------------------- in, from a tar


def test_no_name_leads_out(target: Path, tmp_path: Path) -> None:
    """`..` is refused, a leading slash means nothing."""
    with pytest.raises(ArchiveError, match=r"'\.\.'"):
        put_tar(target, [(member("../secret"), b"x")])
    put_tar(target, [(member("/abs"), b"x")])

    assert (tmp_path / "secret").read_text() == "secret"
    assert (target / "abs").read_bytes() == b"x"


@pytest.mark.parametrize("text", ("..", "/tmp", "."))
def test_no_link_of_the_archive_leads_out(target: Path, tmp_path: Path, text: str) -> None:
    """A member below a link that came before it is refused, wherever the link points."""
    with pytest.raises(OSError, match="a/secret"):
        put_tar(target, [(member("a", tarfile.SYMTYPE, text), b""), (member("a/secret"), b"x")])

    assert (tmp_path / "secret").read_text() == "secret"


def test_a_link_that_was_there_is_replaced_not_followed(target: Path, tmp_path: Path) -> None:
    """A file that comes where a link is takes its place."""
    (target / "file").symlink_to(tmp_path / "secret")

    put_tar(target, [(member("file"), b"new")])

    assert (tmp_path / "secret").read_text() == "secret"
    assert (target / "file").read_text() == "new"
    assert not (target / "file").is_symlink()


def test_hard_links_stay_inside(target: Path, tmp_path: Path) -> None:
    """A hard link can only name a file of the target."""
    (target / "outside").symlink_to(tmp_path / "secret")
    for link in ("../secret", "outside", "missing"):
        with pytest.raises((ArchiveError, OSError)):
            put_tar(target, [(member("hard", tarfile.LNKTYPE, link), b"")])
    assert not (target / "hard").exists()


def test_devices_and_mad_owners(target: Path) -> None:
    """Devices are left out, ids that no user can have are refused."""
    extractor = put_tar(target, [(member("null", tarfile.CHRTYPE, devmajor=1, devminor=3), b"")])
    assert extractor.left_out == [b"null"]
    with pytest.raises(ArchiveError, match="out of range"):
        put_tar(target, [(member("file", uid=2**32 - 1), b"x")], owners=True)


def test_files_and_directories_do_not_replace_each_other(target: Path) -> None:
    """As with docker: each refuses the other's place."""
    (target / "dir").mkdir()
    (target / "file").write_text("old")
    with pytest.raises(ArchiveError, match="cannot overwrite a directory"):
        put_tar(target, [(member("dir"), b"x")])
    with pytest.raises(ArchiveError, match="with a directory"):
        put_tar(target, [(member("file", tarfile.DIRTYPE, mode=0o755), b"")])


def test_links_of_a_container_are_followed_inside_its_root(target: Path, tmp_path: Path) -> None:
    """/lib -> /usr/lib of an image is a way inside it; so is one that tries to climb."""
    (target / "usr/lib").mkdir(parents=True)
    (target / "lib").symlink_to("/usr/lib")
    (target / "up").symlink_to("../../../..")

    put_tar(target, [(member("lib/a"), b"a"), (member("up/b"), b"b")], resolve=IN_ROOT)

    assert (target / "usr/lib/a").read_bytes() == b"a"
    assert (target / "b").read_bytes() == b"b"
    assert not (tmp_path / "b").exists()


def test_nothing_is_written_to_the_kernel(tmp_path: Path) -> None:
    """A link of a container to /proc/sys is not a way to change the machine."""
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    info = tarfile.TarInfo("hostname")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(info)
    with pytest.raises(ArchiveError, match="the kernel makes up"):
        Extractor(root, "proc/sys/kernel", resolve=IN_ROOT).tar(TarReader(iter([buffer.getvalue()])))
    os.close(root)
