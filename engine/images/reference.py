"""What may stand after `image:`: a name in a registry, or one of the forms that need none.

```
[host[:port]/]path[:tag][@sha256:HEX]     a registry image; Docker Hub and `latest` unless said otherwise
host                                      the machine's own operating system
rootfs:DIR                                a directory as root file system
oci:DIR[:REF]                             an OCI layout
docker-archive:FILE[:REF]                 what `docker save` writes
```
Grammar: github.com/distribution/reference, reference.go.
"""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path

from pycompose.engine.dataclass import dataclass, replace
from pycompose.engine.errors import InvalidReference

HUB = "docker.io"
HUB_ALIASES = ("index.docker.io", "registry-1.docker.io")
MAX_NAME = 255

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}")


class ReferenceKind(Enum):
    """Where the image of a reference comes from."""

    REGISTRY = "registry"
    HOST = "host"
    ROOTFS = "rootfs"
    OCI = "oci"
    DOCKER_ARCHIVE = "docker-archive"


_FILE_KINDS = {
    f"{kind.value}:": kind for kind in (ReferenceKind.ROOTFS, ReferenceKind.OCI, ReferenceKind.DOCKER_ARCHIVE)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A parsed reference. Registry images use domain, path, tag and digest; files use `location` and `inner`.

    `tag` is "" when there is a digest and no tag. `location` is absolute after `anchored`.
    """

    kind: ReferenceKind
    domain: str = ""
    path: str = ""
    tag: str = ""
    digest: str = ""
    location: str = ""
    inner: str = ""

    @property
    def name(self) -> str:
        """Domain and path: `docker.io/library/busybox`."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The name as people write it: `busybox`, `user/app`, `registry.example/app`."""
        if self.domain != HUB:
            return self.name
        return self.path.removeprefix("library/")

    @property
    def familiar(self) -> str:
        """The reference as people write it."""
        return self._with(self.familiar_name)

    @property
    def key(self) -> str:
        """The canonical text, one per image, by which the store finds it."""
        return self._with(self.name)

    def _with(self, name: str) -> str:
        if self.kind is ReferenceKind.HOST:
            return "host"
        if self.kind is not ReferenceKind.REGISTRY:
            return f"{self.kind.value}:{self.location}" + (f":{self.inner}" if self.inner else "")
        return name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def anchored(self, base_dir: Path) -> Reference:
        """Return the same reference with `location` absolute: relative ones start at `base_dir`."""
        if not self.location:
            return self
        return replace(self, location=str((base_dir / Path(self.location).expanduser()).absolute()))

    def __str__(self) -> str:
        return self.familiar


def parse(text: str) -> Reference:
    """Return the reference that `text` means. Raises InvalidReference with the reason."""
    if text == "host":
        return Reference(kind=ReferenceKind.HOST)
    for prefix, kind in _FILE_KINDS.items():
        if text.startswith(prefix):
            return _parse_file(text, kind, text.removeprefix(prefix))
    if _ID.fullmatch(text):
        raise _invalid(text, "is an image id, not a name", "use the name that `pycompose image ls` shows")
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _invalid(text, f"{digest!r} is not a digest", "a digest is sha256: and 64 hexadecimal digits")
    domain, path = _split_domain(rest)
    path, colon, tag = path.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise _invalid(text, f"{tag!r} is not a tag", "a tag has up to 128 letters, digits, '_', '.' and '-'")
    if not _DOMAIN.fullmatch(domain):
        raise _invalid(text, f"{domain!r} is not a registry's host name", None)
    if not _PATH.fullmatch(path):
        hint = f"write it in lower case: {path.lower()}" if _PATH.fullmatch(path.lower()) else None
        raise _invalid(text, f"{path!r} is not an image name", hint)
    if domain == HUB and "/" not in path:
        path = f"library/{path}"
    if len(domain) + 1 + len(path) > MAX_NAME:
        raise _invalid(text[:40] + "…", f"the name is longer than {MAX_NAME} characters", None)
    return Reference(
        kind=ReferenceKind.REGISTRY,
        domain=domain,
        path=path,
        tag=tag or ("" if digest else "latest"),
        digest=digest,
    )


def _split_domain(rest: str) -> tuple[str, str]:
    """Return (host, path): the first component is a host only with a dot, a colon.

    Or when it is localhost.
    """
    first, slash, remainder = rest.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return (HUB if first in HUB_ALIASES else first), remainder
    return HUB, rest


def _parse_file(text: str, kind: ReferenceKind, rest: str) -> Reference:
    location, inner = rest, ""
    if kind is not ReferenceKind.ROOTFS:
        location, _, inner = rest.partition(":")
    if not location or "\0" in rest:
        raise _invalid(text, "names no path", f"for example {kind.value}:./path")
    return Reference(kind=kind, location=location, inner=inner)


def _invalid(text: str, reason: str, hint: str | None) -> InvalidReference:
    return InvalidReference(f"image {text!r}: invalid reference: {reason}", hint=hint)
