"""Which texts are fetched, and what of it; what a cache's document may say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pycompose.engine.builder.cacheformat import CachedStep, document_of, encoded, layer_blob, parse
from pycompose.engine.builder.contexts import read_inside
from pycompose.engine.builder.remotes import GitSource, file_name, git_context, git_source, is_remote, is_url
from pycompose.engine.errors import BuildError

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


@pytest.mark.parametrize(
    ("text", "source"),
    (
        ("git://h/p", GitSource(remote="git://h/p")),
        ("ssh://git@h:22/p.git#v1", GitSource(remote="ssh://git@h:22/p.git", ref="v1")),
        ("git@h:p/q.git#main:a/b", GitSource(remote="git@h:p/q.git", ref="main", folder="a/b")),
        ("git@h:/p/q.git", GitSource(remote="git@h:/p/q.git")),
        ("https://h/p.git", GitSource(remote="https://h/p.git")),
        ("https://h/p.git#:a", GitSource(remote="https://h/p.git", folder="a")),
        ("https://h/p.git#x:../../a", GitSource(remote="https://h/p.git", ref="x", folder="a")),
        ("https://h/p.tar.gz", None),
        ("http://h/p?x=.git", None),
        ("ftp://h/p.git", None),
        ("file:///p.git", None),
        ("github.com/a/b", None),
        ("a/b.git", None),
        ("/a@b:c", None),
        ("-oProxyCommand=x@h:p", None),
        ("https://[::1/p.git", None),
    ),
)
def test_repositories(text: str, source: GitSource | None) -> None:
    """By scheme, by form, by `.git`."""
    assert git_source(text) == source


def test_contexts_of_github() -> None:
    """Without a scheme they are repositories as contexts only."""
    assert git_context("github.com/a/b#x") == GitSource(remote="https://github.com/a/b.git", ref="x")
    assert git_context("./github.com/a/b") is None
    assert not is_remote("github.com/a/b")


@pytest.mark.parametrize(
    ("url", "name"),
    (
        ("http://h/a/b.txt?x=1#y", "b.txt"),
        ("http://h/a/", "a"),
        ("http://h", "__unnamed__"),
        ("http://h/..", "__unnamed__"),
        ("http://h/a%2Fb", "b"),
        ("http://h/%2e%2e", "__unnamed__"),
        ("http://[::1/f", "__unnamed__"),
    ),
)
def test_names_of_files(url: str, name: str) -> None:
    """The last part of the path; never one that leads somewhere else."""
    assert is_url(url)
    assert file_name(url) == name


def test_files_of_a_context_stay_inside(tmp_path: Path) -> None:
    """Links are the context's own."""
    (tmp_path / "outside").write_text("outside", encoding="ascii")
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "f").write_text("inside", encoding="ascii")
    (folder / "good").symlink_to("/f")
    (folder / "bad").symlink_to("../outside")
    (folder / "worse").symlink_to(tmp_path / "outside")
    assert read_inside(folder, "good") == "inside"
    for name in ("bad", "worse", "../outside", str(tmp_path / "outside")):
        with pytest.raises(FileNotFoundError):
            read_inside(folder, name)


def test_a_document_is_read_as_it_was_written() -> None:
    """Keys and what they gave."""
    steps = [
        CachedStep(key="a" * 64, diff_id=ONE, chain_id="x", created_s=1.5),
        CachedStep(key="b" * 64, diff_id=TWO, chain_id="y", created_s=2.0, below="a" * 64),
    ]
    blobs = {ONE: layer_blob(ONE, 10), TWO: layer_blob(TWO, 20)}
    document = document_of(steps, blobs)
    assert [layer["parent"] for layer in document["layers"]] == [-1, 0]
    found = parse(encoded(document), list(blobs.values()))
    assert {key: (one.diff_id, one.blob.size, one.created_s) for key, one in found.items()} == {
        "a" * 64: (ONE, 10, 1.5),
        "b" * 64: (TWO, 20, 2.0),
    }


@pytest.mark.parametrize(
    "change",
    (
        lambda value: value.pop("layers"),
        lambda value: value["records"][0]["results"][0].update(layer=7),
        lambda value: value["records"][0]["results"][0].update(createdAt="soon"),
        lambda value: value["layers"][0].update(blob=TWO),
        lambda value: value.update(records=3),
    ),
)
def test_damaged_documents(change: object) -> None:
    """They are no cache."""
    step = CachedStep(key="a" * 64, diff_id=ONE, chain_id="x", created_s=1.5)
    value = json.loads(encoded(document_of([step], {ONE: layer_blob(ONE, 10)})))
    assert callable(change)
    change(value)
    with pytest.raises(BuildError):
        parse(json.dumps(value).encode(), [layer_blob(ONE, 10)])
