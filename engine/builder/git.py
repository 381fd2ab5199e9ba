"""Git repositories as sources, by the program `git`: a ref's commit looked up, fetched without history, checked out.

`git` runs without the caller's GIT_* variables and asks nobody for passwords. Whoever needs a token for https gives
the build a secret GIT_AUTH_TOKEN, as BuildKit has it; for ssh the agent of `--ssh default`, or the caller's own.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pycompose.engine.builder.fetching import Fetcher, shown
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import BuildError
from pycompose.engine.linux.trees import remove_tree

if TYPE_CHECKING:
    from pycompose.engine.builder.remotes import GitSource
    from pycompose.engine.builder.request import Secret

TOKEN = "GIT_AUTH_TOKEN"  # noqa: S105 - the name of a secret
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+@-]*")
_PASSED = ("HOME", "PATH", "SSH_AUTH_SOCK", "GIT_SSH_COMMAND", "GIT_SSL_CAINFO", "SSL_CERT_FILE", "http_proxy",
           "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY")  # fmt: skip
# A server that says nothing for a minute has gone; no maintenance, no file monitor, no hooks of a template.
_SETTINGS = {
    "http.lowSpeedLimit": "1", "http.lowSpeedTime": "60", "gc.auto": "0", "maintenance.auto": "false",
    "core.fsmonitor": "false", "init.templateDir": "", "init.defaultBranch": "main", "advice.detachedHead": "false",
    "safe.directory": "*",
}  # fmt: skip
_SHARED_HOSTS = ("github.com", "gitlab.com")


@dataclass(frozen=True, slots=True, kw_only=True)
class GitAccess:
    """What opens a repository: a token for https, an agent's socket for ssh."""

    token: str = field(default_factory=str, repr=False)
    agent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit that is here, in the bare repository `repository`."""

    source: GitSource
    repository: Path
    id: str


class Git:
    """Runs `git` for one command."""

    def __init__(self, fetcher: Fetcher, access: GitAccess) -> None:
        self._fetcher = fetcher
        self._access = access

    def fetch(self, source: GitSource, checksum: str = "") -> Commit:
        """Return the commit that `source` means, fetched if it isn't here. Raises BuildError, OSError.

        `checksum` (a commit, or how it begins) has to be the one that the ref stands for.
        """
        if source.ref and not _REF.fullmatch(source.ref):
            raise BuildError(f"{_name(source)}: {source.ref!r} is no ref")
        with self._fetcher.entry(f"git {source.remote}") as folder:
            repository = folder / "repository"
            if not (repository / "HEAD").is_file():
                self._run(source, "init", "--quiet", "--bare", "--", str(repository))
                (folder / "meta.json").write_text(f'{{"url": "{shown(source.remote)}"}}', encoding="utf-8")
            commit = self._commit(source)
            if not self._has(repository, commit):
                self._fetch(source, repository, commit)
        if checksum and not commit.startswith(checksum):
            raise BuildError(
                f"{_name(source)}: expected checksum to match {checksum}, got {commit}",
                hint="the ref stands for another commit than --checksum says",
            )
        return Commit(source=source, repository=repository, id=commit)

    def check_out(self, commit: Commit, place: Path, *, keep_git_dir: bool) -> Path:
        """Put the files of a commit into the empty directory `place`, return the folder that was asked for.

        Submodules come along. All times are the commit's: the same commit gives the same layer. Raises BuildError.
        """
        source, where = commit.source, str(place)
        self._run(source, "-C", where, "init", "--quiet")
        self._run(source, "-C", where, "remote", "add", "origin", source.remote)
        self._run(source, "-C", where, "fetch", "--quiet", "--depth=1", str(commit.repository), commit.id)
        self._run(source, "-C", where, "checkout", "--quiet", "--detach", "FETCH_HEAD")
        if (place / ".gitmodules").is_file():
            self._run(
                source, "-C", where, "submodule", "update", "--quiet", "--init", "--recursive", "--depth=1"
            )
        stamp = int(self._run(source, "-C", where, "show", "-s", "--format=%ct", "HEAD"))
        if not keep_git_dir:
            _remove_git(place)
        _set_times(place, stamp)
        folder = place
        for part in filter(None, source.folder.split("/")):
            folder /= part
            if folder.is_symlink() or not folder.is_dir():
                raise BuildError(f"{_name(source)}: {source.folder}: no such folder in it")
        return folder

    def _commit(self, source: GitSource) -> str:
        ref = source.ref
        if _COMMIT.fullmatch(ref):
            return ref
        wanted = ref or "HEAD"
        names = [wanted] if not ref or ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
        patterns = [*names, *(f"{name}^{{}}" for name in names)]
        found: dict[str, str] = {}
        for line in self._run(source, "ls-remote", "--", source.remote, *patterns).splitlines():
            commit, _, name = line.partition("\t")
            found[name] = commit
        for name in names:  # a branch before a tag, as git's own checkout
            for spelled in (f"{name}^{{}}", name):
                if spelled in found:
                    return found[spelled]
        raise BuildError(f"{_name(source)}: it has no branch or tag {wanted}")

    def _has(self, repository: Path, commit: str) -> bool:
        return self._code("-C", str(repository), "cat-file", "-e", f"{commit}^{{tree}}") == 0

    def _fetch(self, source: GitSource, repository: Path, commit: str) -> None:
        where = ("-C", str(repository), "fetch", "--quiet", "--no-tags")
        try:
            self._run(source, *where, "--depth=1", "--", source.remote, f"+{commit}:refs/kept/{commit}")
        except BuildError:
            # Old servers give what refs point to only.
            self._run(
                source, *where, "--", source.remote, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"
            )
        if not self._has(repository, commit):
            raise BuildError(f"{_name(source)}: it has no commit {commit}")

    def _run(self, source: GitSource, *arguments: str) -> str:
        """Run git, return what it prints. Raises BuildError with its last words."""
        code, out, err = self._process(arguments, _scope(source.remote))
        if code == 0:
            return out
        lines = [line for line in err.splitlines() if line.strip()] or [f"git ended with code {code}"]
        reason = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1])
        why = reason.partition(": ")[2] or reason
        hint = (
            "builds fetch over this machine's network: is there a way out, and may you read the repository?"
        )
        if "Could not read from remote repository" in reason and reason != lines[0]:
            why = lines[lines.index(reason) - 1].strip()  # ssh's own words
            if "Host key verification failed" in why:
                hint = "get to know the server first: ssh-keyscan HOST >>~/.ssh/known_hosts"
        raise BuildError(f"{_name(source)}: {why}", hint=hint)

    def _code(self, *arguments: str) -> int:
        return self._process(arguments)[0]

    def _process(self, arguments: Sequence[str], scope: str = "") -> tuple[int, str, str]:
        try:
            process = subprocess.Popen(
                ["git", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment(scope),
                umask=0o022,
                start_new_session=True,  # Ctrl+C is for us to answer
            )
        except FileNotFoundError as exc:
            raise BuildError(
                "git repositories need the program git, which isn't installed", hint="install git"
            ) from exc
        with process:
            # Whoever cancels may be gone before this thread would notice.
            self._fetcher.on_cancel(lambda: _end(process))
            try:
                out, err = process.communicate()
            except BaseException:
                _end(process)
                raise
        return process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")

    def _environment(self, scope: str) -> dict[str, str]:
        """Return the variables of git, which tells the token to what is below `scope` only ("": nobody)."""
        given = self._fetcher.environment
        settings = dict(_SETTINGS)
        if self._access.token and scope:
            secret = base64.b64encode(f"x-access-token:{self._access.token}".encode()).decode()
            settings[f"http.{scope}.extraHeader"] = f"Authorization: Basic {secret}"
        found = {name: given[name] for name in _PASSED if given.get(name)}
        found.setdefault("PATH", os.defpath)
        found.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
        found |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_COUNT": str(len(settings))}
        if self._access.agent:
            found["SSH_AUTH_SOCK"] = self._access.agent
        for number, (name, value) in enumerate(settings.items()):
            found |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        return found


def access(secrets: Mapping[str, Secret], agents: Mapping[str, str]) -> GitAccess:
    """Return what a build's secrets and agents open. Raises BuildError for a secret that can't be read."""
    from pycompose.engine.builder.mounts import read_secret  # noqa: PLC0415 - seldom

    secret = secrets.get(TOKEN)
    token = read_secret(secret).decode("utf-8", "replace").strip() if secret and secret.is_there else ""
    return GitAccess(token=token, agent=agents.get("default", ""))


def _scope(remote: str) -> str:
    """Return the URL for which a repository's token is meant, "" without http: not for its submodules elsewhere.

    As in BuildKit it is the repository alone, but on hosts whose tokens open several of the same owner.
    """
    parts = urlsplit(remote)
    if parts.scheme not in ("http", "https"):
        return ""
    return f"{parts.scheme}://{parts.netloc}/" if parts.hostname in _SHARED_HOSTS else remote


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _name(source: GitSource) -> str:
    return f"git repository {source.remote if '://' not in source.remote else shown(source.remote)}"


def _remove_git(place: Path) -> None:
    """Remove the repository, and the files by which submodules point into it."""
    remove_tree(place / ".git")
    for folder, _names, files in os.walk(place):
        if ".git" in files:
            os.unlink(os.path.join(folder, ".git"))


def _set_times(place: Path, stamp: int) -> None:
    for folder, names, files in os.walk(place, topdown=False):
        for name in (*names, *files):
            os.utime(os.path.join(folder, name), (stamp, stamp), follow_symlinks=False)
    os.utime(place, (stamp, stamp))
