"""Files and repositories from elsewhere: ADD of URLs and git, build contexts that are one.

What was fetched is kept for the next build, which asks only whether there is something new (ETag, the commit of a ref):
```
sources/ID/            one per URL or repository
  fetch.lock use.lock  exclusive while it is fetched; shared while a command uses it (pruning.py takes both)
  meta.json            {url, etag, modified, digest, name, modified_s}, or {url}
  DIGEST/NAME          a file as it came: 0600, its mtime what Last-Modified says, the epoch without
  repository/          bare, shallow; git.py
```
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from pycompose.engine.builder.remotes import file_name
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import BuildError, PullError
from pycompose.engine.images.layout import replace_file
from pycompose.engine.linux.trees import remove_tree
from pycompose.engine.statedirs import make_directory

if TYPE_CHECKING:
    from pycompose.engine.images.registry.transport import Response, Transport

_PIECE = 1 << 20
_TICK_S = 0.2
_OLD_S = 24 * 3600.0
T = TypeVar("T")
# What a server is asked, so that it sends only what is new (RFC 9110 13.1): header → key of meta.json.
_CONDITIONS = {"If-None-Match": "etag", "If-Modified-Since": "modified"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedFile:
    """One file: alone in `folder` under `name`. `modified_s` is 0 when the server doesn't say."""

    folder: Path
    name: str
    digest: str
    modified_s: int


class Fetcher:
    """Fetches for one command, from several threads; what was asked for once stays as it was until `close`."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """`folder` keeps what is fetched; proxies, certificates and insecure hosts are those for registries."""
        self._folder = folder
        self.environment = environment
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._files: dict[str, FetchedFile] = {}
        self._used: dict[Path, int] = {}
        self._transport: Transport | None = None
        self._cancels: list[Callable[[], None]] = []
        self.canceled = threading.Event()

    def cancel(self) -> None:
        """End all that is under way; may be called from another thread."""
        self.canceled.set()
        if self._transport is not None:
            self._transport.abort()
        for call in self._cancels:
            call()

    def on_cancel(self, call: Callable[[], None]) -> None:
        """Have `call` called, too, when all is to end; at once when it is."""
        self._cancels.append(call)
        if self.canceled.is_set():
            call()

    def run(self, call: Callable[[], T]) -> T:
        """Return what `call` returns, which may wait for a network as long as it likes: `cancel` ends the waiting.

        Raises what it raises, BuildError when all is to end.
        """
        future: Future[T] = Future()

        def work() -> None:
            try:
                future.set_result(call())
            except BaseException as exc:  # noqa: BLE001 - raised by whoever waits
                future.set_exception(exc)

        threading.Thread(target=work, name="fetch", daemon=True).start()
        while not wait([future], timeout=_TICK_S).done:
            if self.canceled.is_set():
                raise BuildError("canceled")
        return future.result()

    def close(self) -> None:
        """Let go of what was fetched."""
        for fd in self._used.values():
            os.close(fd)
        self._used.clear()
        if self._transport is not None:
            self._transport.close()

    @contextlib.contextmanager
    def entry(self, name: str) -> Iterator[Path]:
        """Yield the directory of a URL or repository, held against others; it stays there until `close`."""
        path = self._folder / hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock, _held(path):
            if path not in self._used:
                self._used[path] = os.open(path / "use.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(self._used[path], fcntl.LOCK_SH)
            os.utime(path)  # `builder prune` takes what was used longest ago
            yield path

    def file(self, url: str, checksum: str = "") -> FetchedFile:
        """Return what is at `url`, fetched unless it is here and still the same. Raises BuildError, OSError.

        With a `checksum` (sha256:HEX) it has to have that content; if that is here, nobody is asked.
        """
        with self.entry(url) as folder:
            found = self._files.get(url)
            if found is None:
                known = _known(folder)
                found = _kept(folder, known)
                if found is None or not checksum or found.digest != checksum:
                    found = self.run(lambda: self._download(url, folder, known))
                self._files[url] = found
        if checksum and found.digest != checksum:
            raise BuildError(
                f"{shown(url)}: digest mismatch {found.digest}: {checksum}",
                hint="it has other content than --checksum says",
            )
        return found

    def _download(self, url: str, folder: Path, known: dict[str, Any]) -> FetchedFile:
        from pycompose.engine.images.registry.transport import Cancelled, Request  # noqa: PLC0415 - seldom

        kept = _kept(folder, known)
        plain, headers = _with_credentials(url)
        if kept is not None:
            headers |= {name: str(known[key]) for name, key in _CONDITIONS.items() if known.get(key)}
        try:
            response = self._connections().send(Request("GET", plain, headers))
            try:
                if response.status == 304 and kept is not None:
                    response.drain_conn()
                    return kept
                if response.status != 200:
                    raise BuildError(f"cannot fetch {shown(url)}: {_refusal(response.status)}")
                return self._receive(url, folder, response)
            finally:
                response.release_conn()
        except PullError as exc:
            raise BuildError(
                f"cannot fetch {shown(url)}: {exc.message}",
                hint="builds fetch over this machine's network: is there a way out, or a proxy to set?",
            ) from exc
        except Cancelled as exc:
            raise BuildError(f"cannot fetch {shown(url)}: canceled") from exc

    def _receive(self, url: str, folder: Path, response: Response) -> FetchedFile:
        """Take the answer's body into the folder."""
        connections = self._connections()
        modified_s = _modified_s(response.headers.get("Last-Modified", ""))
        name = file_name(url)
        part = folder / f".{secrets.token_hex(6)}"
        digest = hashlib.sha256()
        part.mkdir(mode=0o700)
        try:
            with open(part / name, "xb", opener=_private) as file:
                for data in connections.body(response, _PIECE):
                    digest.update(data)
                    file.write(data)
            os.utime(part / name, (modified_s, modified_s))
            final = folder / digest.hexdigest()
            if not final.is_dir():
                os.rename(part, final)
            else:
                os.utime(final / name, (modified_s, modified_s))
        finally:
            remove_tree(part)
        found = FetchedFile(
            folder=final, name=name, digest=f"sha256:{digest.hexdigest()}", modified_s=modified_s
        )
        meta = {
            "url": shown(url), "etag": response.headers.get("ETag", ""), "digest": found.digest, "name": name,
            "modified": response.headers.get("Last-Modified", ""), "modified_s": modified_s,
        }  # fmt: skip
        replace_file(folder / "meta.json", json.dumps(meta).encode(), durable=False)
        _forget_others(folder, final)
        return found

    def _connections(self) -> Transport:
        from pycompose.engine.images.registry.settings import RegistrySettings  # noqa: PLC0415 - seldom
        from pycompose.engine.images.registry.transport import Transport  # noqa: PLC0415 - urllib3 takes its time

        with self._lock:
            if self._transport is None:
                self._transport = Transport(RegistrySettings.load(self.environment))
                if self.canceled.is_set():
                    self._transport.abort()
            return self._transport


def shown(url: str) -> str:
    """Return a URL for messages: without password and query."""
    from pycompose.engine.images.registry.transport import redact  # noqa: PLC0415 - seldom

    return redact(url)


def _with_credentials(url: str) -> tuple[str, dict[str, str]]:
    """Return a URL without the user and password in it, and the header that they make (RFC 7617)."""
    try:
        parts = urlsplit(url)
    except ValueError as exc:
        raise BuildError("cannot fetch: the URL is malformed") from exc
    if not parts.username:
        return url, {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host).geturl(), {
        "Authorization": "Basic " + base64.b64encode(pair.encode()).decode()
    }


def _refusal(status: int) -> str:
    words = {401: "it asks for a user and password", 403: "access denied", 404: "not found", 410: "not found"}
    return f"{words.get(status, 'unexpected answer')} (status {status})"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _modified_s(text: str) -> int:
    import email.utils  # noqa: PLC0415 - 10 ms

    try:
        return max(0, int(email.utils.parsedate_to_datetime(text).timestamp()))
    except ValueError:
        return 0


def _known(folder: Path) -> dict[str, Any]:
    try:
        value = json.loads((folder / "meta.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _kept(folder: Path, known: Mapping[str, Any]) -> FetchedFile | None:
    """Return the file that `known` describes when it is still there."""
    try:
        digest, name = str(known["digest"]), str(known["name"])
        place = folder / digest.removeprefix("sha256:")
        if not (place / name).is_file():
            return None
        return FetchedFile(folder=place, name=name, digest=digest, modified_s=int(known["modified_s"]))
    except (KeyError, ValueError):
        return None


def _forget_others(folder: Path, kept: Path) -> None:
    """Remove what the URL had before, long enough ago that no build has it in its hands."""
    for path in folder.iterdir():
        if path != kept and path.is_dir() and path.stat().st_ctime < time.time() - _OLD_S:
            with contextlib.suppress(OSError):
                remove_tree(path)


def _same_file(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold the folder against other processes; one that is removed meanwhile is made again."""
    path = folder / "fetch.lock"
    while True:
        make_directory(folder)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if _same_file(path, fd):
                yield
                return
        finally:
            os.close(fd)
