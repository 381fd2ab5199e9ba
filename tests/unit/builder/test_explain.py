"""Why a step was made anew: every reason, from what a key was made of last time and is made of now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pycompose.engine.builder.explain import Made, reason
from pycompose.engine.builder.listing import Listing, changes, head, line
from pycompose.engine.builder.request import NEVER

RUN: dict[str, Any] = {
    "does": "run", "on": "sha256:aaaaaaaaaaaaaaaa", "args": ["/bin/sh", "-c", "true"], "env": ["PATH=/bin", "A=1"],
    "user": "", "cwd": "/", "network": "default", "insecure": False, "scripts": [], "mounts": [],
}  # fmt: skip
COPY: dict[str, Any] = {
    "does": "copy", "on": "sha256:aaaaaaaaaaaaaaaa", "to": "/x", "chown": "", "chmod": "", "parents": False,
    "unpack": None, "link": False, "epoch": None, "files": [["a", ["a"], [], "1"]], "listing": "old", "documents": [],
}  # fmt: skip
BIND = {"kind": "bind", "target": "/m", "id": "", "env": "", "read_only": True, "source": "", "content": "c1"}
MODE = "644"


def why(
    new: Mapping[str, Any],
    old: Mapping[str, Any] = RUN,
    *,
    title: str = "RUN true",
    listings: Mapping[str, bytes] | None = None,
    before: tuple[str, ...] = (),
    index: int = 1,
) -> str:
    """Return the reason for `new` as the second step, when that was `old` last time."""
    known = listings or {}
    made = Made(
        title=title,
        index=index,
        key="new",
        parts=new,
        titles=("WORKDIR /", title) if index else (title,),
        before=before,
        base="base image busybox",
        arguments=frozenset({"A"}),
        listing=lambda name: known.get(name, b""),
    )
    steps = [{"title": "WORKDIR /", "key": "w", "parts": {}}] if index else []
    last = {"stages": {"s": [*steps, {"title": "RUN true", "key": "old", "parts": old}]}}
    return reason(made, last, "s")


@pytest.mark.parametrize(
    ("change", "said"),
    (
        ({"env": ("PATH=/bin", "A=2")}, "ARG A changed (1 -> 2)"),
        ({"env": ("PATH=/sbin", "A=1")}, "ENV PATH changed (/bin -> /sbin)"),
        ({"env": ("PATH=/bin", "A=1", "B=")}, "ENV B is new (nothing)"),
        ({"env": ("PATH=/bin",)}, "ARG A is gone"),
        ({"args": ("/bin/sh", "-c", "false")}, "the command changed, it was: /bin/sh -c true"),
        ({"user": "7"}, "user changed (nothing -> 7)"),
        ({"cwd": "/app"}, "working directory changed (/ -> /app)"),
        ({"network": "none"}, "network changed (default -> none)"),
        ({"scripts": ["echo\n"]}, "the here-document changed"),
        ({"mounts": [BIND]}, "the mount at /m is new"),
        ({"args": ("/bin/sh", "-c", "true")}, "what it is made of has changed"),
    ),
)
def test_what_a_process_is_given(change: dict[str, Any], said: str) -> None:
    """Variables by their kind, and everything else by its name."""
    assert why({**RUN, **change}) == said


def test_mounts() -> None:
    """By target: content with the file's name where it is known, options, gone."""
    old = {**RUN, "mounts": [BIND]}
    listings = {"c1": _listing(("f", "1" * 64)), "c2": _listing(("f", "2" * 64))}
    changed = {**RUN, "mounts": [{**BIND, "content": "c2"}]}

    assert why(changed, old) == "the mount at /m: its content changed"
    assert why(changed, old, listings=listings) == (
        "the mount at /m: d/f changed (111111111111 -> 222222222222)"
    )
    assert why({**RUN, "mounts": [{**BIND, "read_only": False}]}, old) == "the mount at /m has other options"
    assert why(RUN, old) == "the mount at /m is gone"


@pytest.mark.parametrize(
    ("change", "said"),
    (
        ({"to": "/y"}, "destination changed (/x -> /y)"),
        ({"chmod": "755"}, "--chmod changed (nothing -> 755)"),
        ({"chown": "a"}, "--chown changed (nothing -> a)"),
        ({"epoch": 5}, "SOURCE_DATE_EPOCH changed (nothing -> 5)"),
        ({"documents": [["X", "text"]]}, "the here-document changed"),
        ({"files": [["a", ["a"], [], "2"]], "listing": "gone"}, "the files are others"),
    ),
)
def test_what_is_copied(change: dict[str, Any], said: str) -> None:
    """Where to, how, and what."""
    assert why({**COPY, **change}, COPY) == said


def test_what_it_stands_on() -> None:
    """The base image, the step before it, or another instruction there; with what changed besides."""
    moved = {**RUN, "on": "sha256:bbbbbbbbbbbbbbbb"}
    assert why(moved, index=0) == "base image busybox changed (aaaaaaaaaaaa -> bbbbbbbbbbbb)"
    assert why(moved, before=("COPY a /a",)) == "follows COPY a /a, which was made anew"
    assert why(moved) == "the steps before it are others than last time"
    both = {**moved, "user": "7"}
    assert why(both, before=("RUN x",)) == "follows RUN x, which was made anew; user changed (nothing -> 7)"


def test_instructions_that_were_not_there() -> None:
    """Edited, added, in a stage that is new, in a file that was never built."""
    assert why(RUN, title="RUN false") == "the instruction changed, it was: RUN true"
    made = Made(
        title="RUN new", index=0, key="k", parts=RUN, titles=("RUN new", "RUN true"), before=(), base="b",
        arguments=frozenset(), listing=lambda _: b"",
    )  # fmt: skip
    last = {"stages": {"s": [{"title": "RUN true", "key": "k", "parts": RUN}]}}
    assert reason(made, last, "s") == "the instruction is new"
    assert reason(made, last, "t") == "the stage is new"
    assert reason(made, {}, "s") == NEVER


def test_what_was_the_same_last_time() -> None:
    """It has failed, or its layer was removed."""
    made = Made(
        title="RUN true", index=0, key="k", parts=RUN, titles=("RUN true",), before=(), base="b",
        arguments=frozenset(), listing=lambda _: b"",
    )  # fmt: skip
    step = {"title": "RUN true", "key": "k", "parts": RUN}
    assert reason(made, {"stages": {"s": [step]}}, "s") == "its layer is not in the cache any more"
    assert reason(made, {"stages": {"s": [{**step, "failed": True}]}}, "s") == "it failed last time"


def _listing(*files: tuple[str, str]) -> bytes:
    listing = Listing()
    listing.begin("d")
    entries = [(name, "100000", MODE, "0:0", "", "", digest) for name, digest in files]
    listing.digest([head("", "755", "0:0"), *(line(*entry) for entry in entries)])
    return listing.text


def test_files_by_name() -> None:
    """Content, mode, new, gone; three by name, then how many more."""
    old = _listing(("a", "1" * 64), ("b", "2" * 64))
    assert changes(old, old) == []
    assert changes(old, _listing(("a", "1" * 64), ("c", "2" * 64))) == ["d/b is gone", "d/c is new"]
    other_mode = old.replace(b"b\x00100000\x00644", b"b\x00100000\x00600")
    assert changes(old, other_mode) == ["d/b: mode 644 -> 600"]
    many = _listing(*((f"f{number}", "3" * 64) for number in range(5)))
    assert changes(_listing(), many) == ["d/f0 is new", "d/f1 is new", "d/f2 is new", "and 2 more files"]


def test_a_file_given_itself_and_names_with_line_ends() -> None:
    """A source that is a file is called as it was given; a name that can't be shown in a line loses nothing else."""
    listing = Listing()
    listing.begin("src/a.txt")
    first = listing.digest([line("a.txt", "100000", MODE, "0:0", "", "", "1" * 64)])
    other = Listing()
    other.begin("src/a.txt")
    second = other.digest([line("a.txt", "100000", MODE, "0:0", "", "", "2" * 64)])
    assert first != second
    assert changes(listing.text, other.text) == ["src/a.txt changed (111111111111 -> 222222222222)"]
    odd = _listing(("line\nend", "1" * 64), ("z", "1" * 64))
    assert changes(_listing(), odd)[-1] == "d/z is new"
