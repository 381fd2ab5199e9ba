"""What an image is to the rest of the engine, and how it is read from an OCI image configuration.

Only the documented fields of a configuration count (image-spec config.md); labels and annotations are data
and never change what the engine does (CVE-2022-23648, CVE-2026-53488 came from the opposite).
"""

from __future__ import annotations

import time
from typing import Any

from pycompose.engine.config import RootfsTree
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import ImageError
from pycompose.engine.machine import machine_name

_ARCHITECTURES = {
    "x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm",
    "armhf": "arm", "armel": "arm", "i386": "386", "i686": "386", "ppc64el": "ppc64le",
    "loongarch64": "loong64",
}  # fmt: skip
_VARIANTS = {"armv7l": "v7", "armv6l": "v6", "armhf": "v7", "armel": "v6"}
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Operating system, architecture and variant by their Go names (image-spec image-index.md)."""

    os: str = "linux"
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Return the platform that `os[/arch[/variant]]` or a lone architecture means. Raises ImageError."""
        parts = text.lower().split("/")
        if not 1 <= len(parts) <= 3 or not all(
            part.replace("_", "").replace("-", "").isalnum() for part in parts
        ):
            raise ImageError(
                f"platform {text!r}: not of the form os/arch/variant", hint="for example linux/arm64"
            )
        if len(parts) == 1:
            parts = [parts[0], machine().architecture] if parts[0] == "linux" else ["linux", parts[0]]
        raw = parts[1]
        variant = parts[2] if len(parts) == 3 else _VARIANTS.get(raw, "")
        architecture = _ARCHITECTURES.get(raw, raw)
        if (architecture, variant) in (("arm64", "v8"), ("amd64", "v1")):
            variant = ""
        return cls(os=parts[0], architecture=architecture, variant=variant)


def machine() -> Platform:
    """Return the platform of this machine."""
    name = machine_name().lower()
    return Platform(architecture=_ARCHITECTURES.get(name, name), variant=_VARIANTS.get(name, ""))


def created_now() -> str:
    """Return this moment as an image's `created` (RFC 3339), in nanoseconds: who was first is asked by `since`."""
    seconds, rest = divmod(time.time_ns(), _NS)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck:
    """The image's HEALTHCHECK; None is "not said". `test` is ("CMD", …), ("CMD-SHELL", text) or ("NONE",)."""

    test: tuple[str, ...] = ()
    interval_s: float | None = None
    timeout_s: float | None = None
    start_period_s: float | None = None
    start_interval_s: float | None = None
    retries: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """The run-time defaults an image brings along.

    `exposed_ports` are "80/tcp", `volumes` container paths. `args_escaped` means something to Windows; BuildKit's
    images with a CMD have it.
    """

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    healthcheck: Healthcheck | None = None
    labels: dict[str, str] = field(default_factory=dict)
    shell: tuple[str, ...] = ()
    args_escaped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A local image, ready to be started.

    `id` is the digest of the configuration; for `host` and directories a stable id of what they are. `trees`
    are absolute and topmost first. `size_bytes` counts unpacked files. `created` is RFC 3339 or "". `digests`
    are `name@sha256:…` as registries know the image.
    """

    reference: str
    id: str
    trees: tuple[RootfsTree, ...]
    config: ImageConfig = field(default_factory=ImageConfig)
    size_bytes: int = 0
    created: str = ""
    platform: str = ""
    digests: tuple[str, ...] = ()


class _Reader:
    """Typed look-ups in the JSON object of one image; a wrong type names the field."""

    def __init__(self, value: dict[str, Any], what: str) -> None:
        self._value = value
        self._what = what

    def get(self, key: str, kind: type, default: Any) -> Any:
        """Return the value at `key`, `default` for null or missing."""
        value = self._value.get(key)
        if value is None:
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ImageError(f"{self._what}: {key}: expected {kind.__name__}, found {type(value).__name__}")
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        value = self._value.get(key)
        items = self.get(key, list, []) if not isinstance(value, str) else [value]
        if not all(isinstance(item, str) and "\0" not in item for item in items):
            raise ImageError(f"{self._what}: {key}: expected strings without NUL")
        return tuple(items)

    def seconds(self, key: str) -> float | None:
        """Return a duration, which is stored in nanoseconds; 0 is "not said"."""
        value = self.get(key, int, 0)
        return value / _NS if value > 0 else None


def config_from_oci(document: dict[str, Any], what: str) -> ImageConfig:
    """Return the run-time part of the image configuration `document`.

    image-spec config.md, and Docker's fields. `what` begins error messages. Raises ImageError for a field of
    the wrong type.
    """
    outer = _Reader(document, what)
    reader = _Reader(outer.get("config", dict, {}), f"{what}: config")
    labels = reader.get("Labels", dict, {})
    if not all(isinstance(item, str) for item in labels.values()):
        raise ImageError(f"{what}: config: Labels: expected strings")
    env = reader.strings("Env")
    return ImageConfig(
        entrypoint=reader.strings("Entrypoint"),
        cmd=reader.strings("Cmd"),
        env=tuple(item for item in env if not item.startswith("=") and "=" in item),
        user=reader.get("User", str, ""),
        working_dir=reader.get("WorkingDir", str, ""),
        exposed_ports=tuple(sorted(reader.get("ExposedPorts", dict, {}))),
        volumes=tuple(sorted(reader.get("Volumes", dict, {}))),
        stop_signal=reader.get("StopSignal", str, ""),
        healthcheck=_healthcheck(reader.get("Healthcheck", dict, None), what),
        labels=labels,
        shell=reader.strings("Shell"),
        args_escaped=reader.get("ArgsEscaped", bool, default=False),
    )


def _healthcheck(value: dict[str, Any] | None, what: str) -> Healthcheck | None:
    if value is None:
        return None
    reader = _Reader(value, f"{what}: config: Healthcheck")
    return Healthcheck(
        test=reader.strings("Test"),
        interval_s=reader.seconds("Interval"),
        timeout_s=reader.seconds("Timeout"),
        start_period_s=reader.seconds("StartPeriod"),
        start_interval_s=reader.seconds("StartInterval"),
        retries=reader.get("Retries", int, 0) or None,
    )


def config_to_oci(config: ImageConfig) -> dict[str, Any]:
    """Return `config` as the "config" object of an image configuration; the inverse of `config_from_oci`."""
    out: dict[str, Any] = {
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.cmd),
        "Env": list(config.env),
        "User": config.user,
        "WorkingDir": config.working_dir,
        "ExposedPorts": {port: {} for port in config.exposed_ports},
        "Volumes": {path: {} for path in config.volumes},
        "StopSignal": config.stop_signal,
        "Labels": dict(config.labels),
        "Shell": list(config.shell),
        "ArgsEscaped": config.args_escaped,
    }
    if (check := config.healthcheck) is not None:
        times = {
            "Interval": check.interval_s,
            "Timeout": check.timeout_s,
            "StartPeriod": check.start_period_s,
            "StartInterval": check.start_interval_s,
        }
        out["Healthcheck"] = {
            "Test": list(check.test),
            **{key: round(value * _NS) for key, value in times.items() if value},
            **({"Retries": check.retries} if check.retries else {}),
        }
    return {key: value for key, value in out.items() if value}
