"""What `logging:` means for one container: Docker's options by driver, as the engine's LogConfig."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pycompose.engine.config import LogConfig
from pycompose.engine.errors import EngineError
from pycompose.units import parse_bool, parse_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycompose.model import Service

# What docker's driver `local`, and its cache of what goes to other drivers, keep unless told otherwise.
LOCAL_DEFAULTS = ("20m", "5")
_PLACEHOLDER = re.compile(r"\{\{\s*\.(\w+)\s*\}\}")


def log_config(service: Service, tags: Mapping[str, str]) -> LogConfig:
    """Return the log of a container; `tags` are the values of the placeholders in `tag`, by name.

    The name in `syslog-address` is asked for now, which may take seconds. Raises EngineError naming the service.
    """
    if not service.logging.driver and not service.logging.options:
        return LogConfig()
    try:
        return _log_config(service.logging.driver or "json-file", service.logging.options, tags)
    except EngineError as exc:
        raise EngineError(f"service {service.name}: logging: {exc}", hint=exc.hint) from exc


def tag_values(container_id: str, name: str, image: str, image_id: str) -> dict[str, str]:
    """Return what may stand in a `tag`, by the names in Docker's templates (moby daemon/logger/loginfo.go)."""
    return {
        "ID": container_id[:12],
        "FullID": container_id,
        "Name": name,
        "ImageID": image_id[:12],
        "ImageFullID": image_id,
        "ImageName": image,
        "DaemonName": "docker",
    }


def _log_config(driver: str, options: Mapping[str, str], tags: Mapping[str, str]) -> LogConfig:
    from pycompose.engine.logs import syslog  # noqa: PLC0415 - most services leave logging alone
    from pycompose.engine.logs.driver import DRIVERS  # noqa: PLC0415 - as above

    if driver not in DRIVERS:
        raise EngineError(f"unknown driver {driver!r}", hint=f"known: {', '.join(DRIVERS)}")
    if driver == "none":
        return LogConfig(driver=driver)
    default_size, default_files = ("", "1") if driver == "json-file" else LOCAL_DEFAULTS
    size = options.get("max-size") or options.get("cache-max-size") or default_size
    files = options.get("max-file") or options.get("cache-max-file") or default_files
    if not files.isascii() or not files.isdigit() or int(files) < 1:
        raise EngineError(f"option max-file is {files!r}, not a count of at least 1")
    address = options.get("syslog-address", "") if driver == "syslog" else ""
    return LogConfig(
        driver=driver,
        max_bytes=parse_bytes(size) if size else 0,
        max_files=int(files),
        cache=not parse_bool(options.get("cache-disabled", "false")),
        tag=_tag(options.get("tag", ""), tags),
        address=syslog.resolve_address(address) if address else "",
        facility=syslog.parse_facility(options.get("syslog-facility", "")),
        format=syslog.parse_format(options.get("syslog-format", "")),
    )


def _tag(text: str, values: Mapping[str, str]) -> str:
    """Return a tag with its placeholders filled in; raises EngineError for what isn't a plain one."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise EngineError(f"tag: there is no {match[0]}", hint=f"known: {', '.join(values)}")
        return values[match[1]]

    if "{{" in _PLACEHOLDER.sub("", text):
        raise EngineError(
            f"tag: {text!r}: only names can stand between braces", hint='as in "{{.Name}}/{{.ID}}"'
        )
    return _PLACEHOLDER.sub(value, text)
