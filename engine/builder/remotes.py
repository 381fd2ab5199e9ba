"""Sources that are fetched: which texts mean a URL or a git repository, and what of it (BuildKit's gitutil rules)."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote, urlsplit

from pycompose.engine.dataclass import dataclass

UNNAMED = "__unnamed__"
_SCP = re.compile(r"(?P<user>[a-zA-Z0-9_.-]+)@(?P<host>[a-zA-Z0-9_.-]+):(?P<path>.+)")
_GIT_SCHEMES = ("git", "ssh")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class GitSource:
    """A repository, and what of it: `ref` ("" is its HEAD) and `folder` ("" is all)."""

    remote: str
    ref: str = ""
    folder: str = ""


def is_url(text: str) -> bool:
    """Tell whether `text` is fetched by HTTP as one file."""
    return text.startswith(("http://", "https://")) and git_source(text) is None


def is_remote(text: str) -> bool:
    """Tell whether a source of ADD is fetched from somewhere."""
    return is_url(text) or git_source(text) is not None


def git_source(text: str) -> GitSource | None:
    """Return the repository that `text` names, None for something else.

    `git://`, `ssh://` and `user@host:path` are git; `http(s)://` is when its path ends in `.git`.
    """
    remote, _, fragment = text.partition("#")
    match = _SCHEME.match(remote)
    if match is None:
        if _SCP.fullmatch(remote) is None:
            return None
    elif match[1].lower() in ("http", "https"):
        if not _path(remote).endswith(".git"):
            return None
    elif match[1].lower() not in _GIT_SCHEMES:
        return None
    ref, _, folder = fragment.partition(":")
    return GitSource(remote=remote, ref=ref, folder=posixpath.normpath(f"/{folder}").strip("/"))


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""  # no URL: whoever fetches it says so


def git_context(text: str) -> GitSource | None:
    """Return the repository that a build context names: also `github.com/…` without a scheme."""
    if text.startswith("github.com/"):
        remote, mark, fragment = text.partition("#")
        return git_source(f"https://{remote.removesuffix('.git')}.git{mark}{fragment}")
    return git_source(text)


def scheme(text: str) -> str:
    """Return the scheme of a URL, in lower case, "" for what is none."""
    match = _SCHEME.match(text)
    return match[1].lower() if match else ""


def file_name(url: str) -> str:
    """Return what a fetched file is called: the last part of the URL's path."""
    base = posixpath.basename(unquote(_path(url)).rstrip("/"))
    return base if base not in ("", ".", "..") else UNNAMED
