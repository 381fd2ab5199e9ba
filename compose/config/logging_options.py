"""`logging:`: the drivers that there are, their options, and what the values of these may be.

Docker documentation, "Configure logging drivers" and the page of each driver; which texts are refused was tried with
Docker Engine 26.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pycompose.config.tree import Path
from pycompose.units import parse_bool, parse_bytes

DEFAULT_DRIVER = "json-file"
Finding = tuple[Path, str, str | None]
OptionCheck = Callable[[str], object]


def _text(_text: str) -> None:
    """Accept anything."""


def _positive_size(text: str) -> None:
    if parse_bytes(text) <= 0:
        raise ValueError(f'"{text}" is not a size above 0')


def _file_count(text: str) -> None:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise ValueError(f'"{text}" is not a number of files of at least 1')


def _one_of(*words: str) -> OptionCheck:
    def check(text: str) -> None:
        if text not in words:
            raise ValueError(f'"{text}" is not one of {", ".join(words)}')

    return check


def _pattern(text: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f'"{text}" is not a regular expression: {error}') from None


def _syslog_address(text: str) -> None:
    scheme, separator, _ = text.partition("://")
    if not separator or scheme not in ("udp", "tcp", "tcp+tls", "unix", "unixgram"):
        raise ValueError(f'"{text}" is not udp://, tcp://, tcp+tls://, unix:// or unixgram://')


def _syslog_facility(text: str) -> None:
    if text and not _FACILITY.fullmatch(text):
        raise ValueError(f'"{text}" is not a facility: such as daemon, user, local0 to local7, or 0 to 23')


_FACILITY = re.compile(
    "kern|user|mail|daemon|auth|syslog|lpr|news|uucp|cron|authpriv|ftp|local[0-7]|[01]?[0-9]|2[0-3]"
)
_CACHE: dict[str, OptionCheck] = {
    "cache-disabled": parse_bool,
    "cache-max-size": _positive_size,
    "cache-max-file": _file_count,
    "cache-compress": parse_bool,
}
_ANY_DRIVER: dict[str, OptionCheck] = {
    "mode": _one_of("blocking", "non-blocking"),
    "max-buffer-size": parse_bytes,
    **_CACHE,
}
_FILES: dict[str, OptionCheck] = {"max-size": _positive_size, "max-file": _file_count, "compress": parse_bool}
_ATTRIBUTES: dict[str, OptionCheck] = {
    "env": _text,
    "env-regex": _pattern,
    "labels": _text,
    "labels-regex": _pattern,
    "tag": _text,
}
# Driver → option → what raises ValueError for a value that is none. `none` takes any option.
OPTIONS: dict[str, Mapping[str, OptionCheck]] = {
    "json-file": {**_ANY_DRIVER, **_FILES, **_ATTRIBUTES},
    "local": {**_ANY_DRIVER, **_FILES, "max-size": parse_bytes},  # 0 is no limit
    "none": {},
    "journald": {**_ANY_DRIVER, **_ATTRIBUTES},
    "syslog": {
        **_ANY_DRIVER,
        **_ATTRIBUTES,
        "syslog-address": _syslog_address,
        "syslog-facility": _syslog_facility,
        "syslog-format": _one_of("", "rfc3164", "rfc5424", "rfc5424micro"),
        "syslog-tls-ca-cert": _text,
        "syslog-tls-cert": _text,
        "syslog-tls-key": _text,
        "syslog-tls-skip-verify": _text,
    },
}
# Options that do something here; of the others of a driver there is a warning.
EFFECTIVE: dict[str, frozenset[str]] = {
    "json-file": frozenset({"max-size", "max-file"} | _ATTRIBUTES.keys()),  # `container logs --details`
    "local": frozenset({"max-size", "max-file"}),
    "journald": frozenset({"tag"} | _CACHE.keys() - {"cache-compress"}),
    "syslog": frozenset(
        {"tag", "syslog-address", "syslog-facility", "syslog-format"} | _CACHE.keys() - {"cache-compress"}
    ),
}


def logging_findings(node: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what is wrong with the `logging:` of a service: path below it, reason, hint."""
    driver = node.get("driver") or DEFAULT_DRIVER
    options: Mapping[str, str] = node.get("options") or {}
    if driver not in OPTIONS:
        yield ("driver",), f'there is no log driver "{driver}"', f"known: {', '.join(OPTIONS)}"
        return
    known = OPTIONS[driver]
    for key, value in options.items() if known else ():
        path = ("options", key)
        if key not in known:
            yield (
                path,
                f'unknown log opt "{key}" for {driver} log driver',
                f"known: {', '.join(sorted(known))}",
            )
            continue
        try:
            known[key](value)
        except ValueError as error:
            yield path, str(error), None
    if driver == "json-file" and _compresses(options) and ("max-size" not in options or _files(options) < 2):
        yield ("options", "compress"), "compress needs max-size, and a max-file of at least 2", None
    if known and "max-buffer-size" in options and options.get("mode") != "non-blocking":
        yield (
            ("options", "max-buffer-size"),
            "max-buffer-size is only supported with mode: non-blocking",
            None,
        )


def _compresses(options: Mapping[str, str]) -> bool:
    return options.get("compress", "") in ("1", "t", "T", "true", "TRUE", "True")


def _files(options: Mapping[str, str]) -> int:
    count = options.get("max-file", "1")
    return int(count) if count.isdecimal() else 1


def without_effect(node: Mapping[str, Any]) -> list[str]:
    """Return the options of the `logging:` of a service that its driver knows and that do nothing here."""
    driver = node.get("driver") or DEFAULT_DRIVER
    known, effective = OPTIONS.get(driver, {}), EFFECTIVE.get(driver, frozenset())
    return [key for key in node.get("options") or () if key in known and key not in effective]
