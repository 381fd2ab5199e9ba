"""To whom a repository's token is told."""

from __future__ import annotations

import pytest
from pycompose.engine.builder.fetching import Fetcher
from pycompose.engine.builder.git import Git, GitAccess
from pycompose.engine.builder.remotes import GitSource


@pytest.mark.parametrize(
    ("remote", "scope"),
    (
        ("https://example.org:8443/team/app.git", "https://example.org:8443/team/app.git"),
        ("http://example.org/app.git", "http://example.org/app.git"),
        ("https://github.com/team/app.git", "https://github.com/"),
        ("https://github.com.example.org/app.git", "https://github.com.example.org/app.git"),
        ("ssh://git@example.org/app.git", ""),
        ("git@github.com:team/app.git", ""),
        ("git://example.org/app.git", ""),
    ),
)
def test_a_token_is_for_its_repository(
    remote: str, scope: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in BuildKit, on two hosts for all repositories there; without http nobody is told."""
    folder = tmp_path_factory.mktemp("git")
    program = folder / "git"
    program.write_text('#!/bin/sh\nenv >"$0.env"\n', encoding="ascii")
    program.chmod(0o755)
    git = Git(Fetcher(folder / "sources", {"PATH": f"{folder}:/usr/bin:/bin"}), GitAccess(token="t0ken"))
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    git._run(GitSource(remote=remote), "version")

    said = (folder / "git.env").read_text(encoding="utf-8").splitlines()
    keys = [line.partition("=")[2] for line in said if "extraHeader" in line]
    assert keys == ([f"http.{scope}.extraHeader"] if scope else [])
    assert any("Authorization" in line for line in said) is bool(scope)
