"""The log writer and its readers together: what is written in any pieces comes back, through rotations."""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycompose.engine.config import LogConfig
from pycompose.engine.logs.follow import LogFollower
from pycompose.engine.logs.reader import MAX_LINE_BYTES, LogLine, merge, open_files, read_logs
from pycompose.engine.logs.writer import FILE_NAME, LogWriter, format_stamp, is_record, parse_stamp

UNLIMITED = LogConfig()
SECOND_NS = 1_000_000_000

chunks = st.lists(
    st.tuples(
        st.sampled_from(["stdout", "stderr"]),
        st.one_of(
            st.binary(min_size=1, max_size=40),
            st.lists(st.sampled_from([b"a", b"\n", b"\r", b" stdout F ", b"\xff\x00"]), min_size=1).map(
                b"".join
            ),
            st.integers(1, 3000).map(lambda n: b"x" * n),
        ),
    ),
    max_size=30,
)


def streams_of(lines: list[LogLine]) -> dict[str, bytes]:
    """Return what each stream had written, by the lines read."""
    found: dict[str, bytes] = defaultdict(bytes)
    for line in lines:
        found[line.stream] += line.data + (b"" if line.partial else b"\n")
    return dict(found)


def write_all(directory: Path, pieces: list[tuple[str, bytes]], config: LogConfig = UNLIMITED) -> None:
    writer = LogWriter(directory, config)
    for stream, data in pieces:
        writer.write(stream, data)
    writer.close()


@given(st.integers(0, 253_402_300_799 * SECOND_NS))
def test_a_stamp_comes_back(stamp_ns: int) -> None:
    """Any time from 1970 to 9999, to the nanosecond, in 30 bytes that sort as the times do."""
    text = format_stamp(stamp_ns)

    assert len(text) == 30
    assert parse_stamp(text) == stamp_ns


@pytest.mark.parametrize(
    "text", (b"", b"2026-11-24T04:00:00.123456789", b"2026-11-24 04:00:00.123456789Z", b"x" * 30)
)
def test_what_is_no_stamp_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        parse_stamp(text)


def test_the_format_is_that_of_cri() -> None:
    """Stamp, stream, F for a whole line and P for a piece, text."""
    with tempfile.TemporaryDirectory() as name:
        write_all(Path(name), [("stdout", b"one\ntwo\npie"), ("stderr", b"e\n"), ("stdout", b"ce\n")])
        lines = (Path(name) / FILE_NAME).read_bytes().splitlines()

    assert [line[30:] for line in lines] == [
        b" stdout F one",
        b" stdout F two",
        b" stdout P pie",
        b" stderr F e",
        b" stdout F ce",
    ]
    assert all(map(is_record, lines))


@given(chunks)
@settings(max_examples=100, deadline=None)
def test_bytes_come_back(pieces: list[tuple[str, bytes]]) -> None:
    """Any bytes in any pieces, both streams mixed: each stream's bytes are read back exactly."""
    with tempfile.TemporaryDirectory() as name:
        write_all(Path(name), pieces)
        lines = list(read_logs(Path(name)))

    wanted: dict[str, bytes] = defaultdict(bytes)
    for stream, data in pieces:
        wanted[stream] += data
    assert streams_of(lines) == dict(wanted)
    assert [line.stamp_ns for line in lines] == sorted(line.stamp_ns for line in lines)


@given(chunks, st.integers(1024, 4000), st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_rotation_bounds_the_files_and_loses_only_the_oldest(
    pieces: list[tuple[str, bytes]], max_bytes: int, max_files: int
) -> None:
    """No file is larger than `max_bytes`, there are at most `max_files`, each of whole records."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_all(directory, pieces, LogConfig(max_bytes=max_bytes, max_files=max_files))
        files = sorted(directory.iterdir())
        got = streams_of(list(read_logs(directory)))
        contents = [file.read_bytes() for file in files]

    wanted: dict[str, bytes] = defaultdict(bytes)
    for stream, data in pieces:
        wanted[stream] += data
    assert len(contents) <= max_files
    assert all(len(content) <= max_bytes for content in contents)
    assert all(is_record(line) for content in contents for line in content.split(b"\n")[:-1])
    assert all(content.endswith(b"\n") for content in contents if content)
    for stream, data in got.items():
        assert wanted[stream].endswith(data)


@given(chunks, st.integers(0, 40), st.sampled_from([0, 1500]))
@settings(max_examples=100, deadline=None)
def test_tail_is_the_end_of_everything(pieces: list[tuple[str, bytes]], tail: int, max_bytes: int) -> None:
    """`tail` gives the same lines as reading everything and taking the last ones."""
    with tempfile.TemporaryDirectory() as name:
        write_all(Path(name), pieces, LogConfig(max_bytes=max_bytes, max_files=50))
        everything = list(read_logs(Path(name)))
        last = list(read_logs(Path(name), tail=tail))

    assert last == everything[len(everything) - min(tail, len(everything)) :]


@given(chunks, st.data())
@settings(max_examples=100, deadline=None)
def test_since_and_until_select_by_stamp(pieces: list[tuple[str, bytes]], data: st.DataObject) -> None:
    """A time range gives the same lines as reading everything and comparing stamps, both ends included."""
    with tempfile.TemporaryDirectory() as name:
        write_all(
            Path(name),
            [*pieces, ("stdout", b"\n"), ("stderr", b"\n")],
            LogConfig(max_bytes=1500, max_files=50),
        )
        everything = list(read_logs(Path(name)))
        stamps = st.sampled_from([line.stamp_ns + shift for line in everything for shift in (-1, 0, 1)])
        since_ns, until_ns = data.draw(stamps), data.draw(stamps)
        found = list(read_logs(Path(name), since_ns=since_ns, until_ns=until_ns))

    assert found == [line for line in everything if since_ns <= line.stamp_ns <= until_ns]


@given(chunks, st.integers(0, 30), st.sampled_from([(0, 1), (1500, 100)]), st.none() | st.integers(0, 20))
@settings(max_examples=100, deadline=None)
def test_a_follower_sees_every_line_once(
    pieces: list[tuple[str, bytes]], before: int, size: tuple[int, int], tail: int | None
) -> None:
    """What was there (the last `tail` of it) and what comes later, through rotations, no gap, no repeat."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        writer = LogWriter(directory, LogConfig(max_bytes=size[0], max_files=size[1]))
        for stream, data in pieces[:before]:
            writer.write(stream, data)
        old = [line for line in read_logs(directory) if not line.partial]
        with LogFollower(directory, tail=tail) as follower:
            seen = []
            for stream, data in pieces[before:]:
                writer.write(stream, data)
                seen += follower.read()
            writer.finish()
            writer.close()
            while more := follower.read():
                seen += more
        everything = list(read_logs(directory))

    skipped = 0 if tail is None else max(len(old) - tail, 0)
    assert seen == everything[skipped:]


def test_a_follower_is_woken(tmp_path: Path) -> None:
    """Its descriptor becomes readable by a write, by the first file and by the end of the directory."""
    directory = tmp_path / "log"
    directory.mkdir()
    with LogFollower(directory) as follower:
        assert follower.read() == []
        write_all(directory, [("stdout", b"hello\n")])
        assert select.select([follower], [], [], 10)[0]
        assert [line.data for line in follower.read()] == [b"hello"]
        assert follower.read() == []
        (directory / FILE_NAME).unlink()
        directory.rmdir()
        while not follower.gone:
            assert select.select([follower], [], [], 10)[0]
            assert follower.read() == []


# As if the user's other programs, containers of root's among them, had taken all that there is.
WITHOUT_INOTIFY = """
import select, sys
from pathlib import Path
from pycompose.engine.logs.follow import LogFollower
Path("/proc/sys/user/max_inotify_{what}").write_text("0")
directory = Path(sys.argv[1])
with LogFollower(directory) as follower:
    print("follows", flush=True)
    while not follower.gone:
        select.select([follower], [], [], 20)
        for line in follower.read():
            print(line.data.decode(), flush=True)
"""


@pytest.mark.parametrize("what", ("instances", "watches"))
def test_a_follower_without_inotify(tmp_path: Path, what: str) -> None:
    """It looks by the clock, and nobody notices but by a moment."""
    directory = tmp_path / "log"
    directory.mkdir()
    script = WITHOUT_INOTIFY.replace("{what}", what)
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", script, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert following.stderr is not None
        begun = following.stdout.readline()
        if not begun and "unshare" in (said := following.stderr.read()):
            pytest.skip(f"no user namespaces: {said}")
        assert begun == "follows\n"

        write_all(directory, [("stdout", b"hello\n")])

        assert following.stdout.readline() == "hello\n"
        (directory / FILE_NAME).unlink()
        directory.rmdir()
        assert following.wait(20) == 0


def test_a_follower_keeps_up_with_a_writer_that_rotates(tmp_path: Path) -> None:
    """Another process writes 20000 numbered lines in odd pieces through some 50 files; none is missed."""
    with LogFollower(tmp_path) as follower:
        pid = os.fork()
        if pid == 0:
            writer = LogWriter(tmp_path, LogConfig(max_bytes=20_000, max_files=1000))
            text = b"".join(b"%d\n" % number for number in range(20_000))
            for start in range(0, len(text), 997):
                writer.write("stdout", text[start : start + 997])
            os._exit(0)
        numbers: list[int] = []
        while len(numbers) < 20_000:
            lines = follower.read()
            numbers += [int(line.data) for line in lines]
            if not lines:
                assert select.select([follower], [], [], 10)[0]
        os.waitpid(pid, 0)

    assert numbers == list(range(20_000))
    assert len(list(tmp_path.iterdir())) > 40


def test_files_are_in_order_while_they_move_on(tmp_path: Path) -> None:
    """However often the writer rotates while the files are being opened, an older one never comes after a newer one."""
    pid = os.fork()
    if pid == 0:
        writer = LogWriter(tmp_path, LogConfig(max_bytes=800, max_files=30))
        for number in range(30_000):
            writer.write("stdout", b"%d\n" % number)
        os._exit(0)
    looks = 0
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        fds = open_files(tmp_path)
        firsts = [int(text.split()[3]) for text in (os.pread(fd, 60, 0) for fd in fds) if text.count(b"\n")]
        for fd in fds:
            os.close(fd)
        assert firsts == sorted(firsts)
        looks += 1
    assert looks > 20


def test_a_follower_takes_a_large_log_in_turns(tmp_path: Path) -> None:
    """One `read` returns a bounded part; all parts together are everything."""
    write_all(tmp_path, [("stdout", b"0123456789\n" * 5000)] * 40)
    with LogFollower(tmp_path) as follower:
        counts = []
        while lines := follower.read():
            counts.append(len(lines))

    assert sum(counts) == 200_000
    assert max(counts) < 60_000


@given(st.integers(0, 120))
@settings(deadline=None)
def test_a_torn_last_line_is_repaired(lost: int) -> None:
    """A writer killed in the middle of a line: the next one ends it, or removes a header that isn't whole."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_all(directory, [("stdout", b"first\nsecond line\n")])
        file = directory / FILE_NAME
        os.truncate(file, max(file.stat().st_size - lost, 0))
        left = file.read_bytes()
        write_all(directory, [("stderr", b"third\n")])
        lines = list(read_logs(directory))
        records = file.read_bytes().split(b"\n")[:-1]

    assert lines[-1].data == b"third"
    assert all(map(is_record, records))
    texts = [line.data for line in lines[:-1]]
    whole = [line[40:] for line in left.split(b"\n") if is_record(line)]
    assert texts == whole


def test_a_new_writer_goes_on_with_an_unfinished_line(tmp_path: Path) -> None:
    """After a crash of the keeper a line continues; at the end of the process it is ended."""
    write_all(tmp_path, [("stdout", b"one "), ("stderr", b"err")])
    writer = LogWriter(tmp_path, UNLIMITED)
    writer.write("stdout", b"line\n")
    writer.finish()
    writer.close()

    assert [(line.data, line.partial) for line in read_logs(tmp_path)] == [
        (b"one line", False),
        (b"err", False),
    ]


def test_stamps_ascend_when_the_clock_goes_back(tmp_path: Path) -> None:
    """A log from the future (the clock was set back): new lines come after the old ones."""
    future = time.time_ns() + 3600 * SECOND_NS
    (tmp_path / FILE_NAME).write_bytes(format_stamp(future) + b" stdout F old\n")
    write_all(tmp_path, [("stdout", b"new\n"), ("stdout", b"newer\n")])

    assert [line.stamp_ns - future for line in read_logs(tmp_path)] == [0, 1, 2]


def test_a_line_above_the_limit_comes_in_parts(tmp_path: Path) -> None:
    """A reader's memory is bounded: a line of 3.5 MiB is four lines, all but the last marked."""
    write_all(tmp_path, [("stdout", b"x" * 65536)] * 56 + [("stdout", b"\n")])
    lines = list(read_logs(tmp_path))

    assert [line.partial for line in lines] == [True, True, True, False]
    assert all(len(line.data) <= MAX_LINE_BYTES for line in lines)
    assert sum(len(line.data) for line in lines) == 56 * 65536


def test_a_full_disk_loses_lines_and_nothing_else(tmp_path: Path) -> None:
    """ENOSPC (here: a limit on the file size) is counted, and the records before stay whole."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
            writer = LogWriter(tmp_path, UNLIMITED)
            for _ in range(50):
                writer.write("stdout", b"0123456789\n")
            code = 0 if writer.lost_bytes == 51 * (50 - 19) else 2
        finally:
            os._exit(code)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert [line.data for line in read_logs(tmp_path)] == [b"0123456789"] * 19


def test_logs_merge_by_stamp() -> None:
    """Lines of several containers come as one, oldest first, each with its source."""
    web = [LogLine(1, "stdout", b"a"), LogLine(5, "stdout", b"c")]
    db = [LogLine(3, "stderr", b"b")]

    batches = merge({"web": [web[:1], web[1:]], "db": [db]})
    assert [(key, line.data) for batch in batches for key, line in batch] == [
        ("web", b"a"),
        ("db", b"b"),
        ("web", b"c"),
    ]


@given(st.lists(st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=4), max_size=4), max_size=4))
def test_merging_many_lines_at_a_time_is_merging_line_by_line(stamps: list[list[list[int]]]) -> None:
    """However the sources are cut into pieces: by stamp, and each source in its own order."""
    sources = {}
    for number, pieces in enumerate(stamps):
        ascending = iter(sorted(stamp for piece in pieces for stamp in piece))
        sources[number] = [
            [LogLine(next(ascending), "stdout", b"%d" % place) for place, _ in enumerate(piece)]
            for piece in pieces
        ]

    batches = list(merge(sources))

    merged = [pair for batch in batches for pair in batch]
    assert all(batches)
    assert [line.stamp_ns for _, line in merged] == sorted(line.stamp_ns for _, line in merged)
    for number, pieces in sources.items():
        assert [line for key, line in merged if key == number] == [line for piece in pieces for line in piece]
