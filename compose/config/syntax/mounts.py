"""The short forms of `volumes:`, `devices:` and of the files that secrets and configs are."""

from __future__ import annotations

import posixpath
from typing import Any

PROPAGATION = frozenset({"private", "rprivate", "shared", "rshared", "slave", "rslave"})


def parse_volume(text: str) -> dict[str, Any]:
    """Return the long form of `SRC:DST[:opts]` or `DST`; unknown options are dropped as Compose does.

    Raises ValueError.
    """
    volume = parse_uncleaned(text)
    if len(text) > 2:
        volume["target"] = clean(volume["target"])
    return volume


def parse_uncleaned(text: str) -> dict[str, Any]:
    """Return what `parse_volume` does, with the target as it is spelled: `/t/` isn't `/t`. Raises ValueError."""
    if not text:
        raise ValueError("empty volume")
    if len(text) <= 2:
        return {"type": "volume", "target": text}
    sections = split_colons(text, drives=True)
    if "" in sections:
        raise ValueError(f"volume {text!r} has an empty section between colons")
    if len(sections) > 3:
        raise ValueError(f"volume {text!r} has too many colons: SOURCE:TARGET[:OPTIONS]")
    volume: dict[str, Any] = {}
    if len(sections) == 1:
        volume["target"] = sections[0]
    else:
        volume["source"], volume["target"] = sections[0], sections[1]
    bind: dict[str, Any] = {}
    named: dict[str, Any] = {}
    for option in sections[2].split(",") if len(sections) == 3 else ():
        if option == "ro":
            volume["read_only"] = True
        elif option == "rw":
            volume.pop("read_only", None)
        elif option == "nocopy":
            named["nocopy"] = True
        elif option in ("z", "Z"):
            bind["selinux"] = option
        elif option in PROPAGATION:
            bind["propagation"] = option
    if is_path(str(volume.get("source", ""))):
        volume["type"] = "bind"
        bind["create_host_path"] = True
        volume["bind"] = bind
        if named:
            volume["volume"] = named
    else:
        volume["type"] = "volume"
        volume["volume"] = named
        if bind:
            volume["bind"] = bind
    return volume


def clean(path: str) -> str:
    """Return Go's path.Clean of a target: an empty one is `.`."""
    cleaned = posixpath.normpath(path)
    return "/" + cleaned.lstrip("/") if cleaned.startswith("//") else cleaned


def is_path(source: str) -> bool:
    """Tell a host path from the name of a volume."""
    if not source:
        return False
    return source[0] in "./~" or source.startswith("\\\\") or _is_drive(source)


def _is_drive(text: str) -> bool:
    return len(text) > 1 and text[0].isalpha() and text[1] == ":"


def split_colons(text: str, *, drives: bool = False) -> list[str]:
    """Split at colons, but not inside of `${…}`, nor with `drives` at the colon of a Windows drive."""
    sections, start, braces = [], 0, 0
    for position, character in enumerate(text):
        if character == "{" and (braces or text[position - 1 : position] == "$"):
            braces += 1
        elif character == "}" and braces:
            braces -= 1
        elif character == ":" and not braces:
            if drives and position - start == 1 and text[start].isalpha():
                continue
            sections.append(text[start:position])
            start = position + 1
    sections.append(text[start:])
    return sections


def parse_device(text: str) -> dict[str, Any]:
    """Return the long form of `SRC[:DST[:PERMISSIONS]]`. Raises ValueError."""
    parts = split_colons(text)
    if len(parts) > 3:
        raise ValueError(f"invalid device {text!r}: SOURCE[:TARGET[:PERMISSIONS]]")
    source = parts[0]
    return {
        "source": source,
        "target": (parts[1] if len(parts) > 1 else "") or source,
        "permissions": parts[2] if len(parts) > 2 else "rwm",
    }
