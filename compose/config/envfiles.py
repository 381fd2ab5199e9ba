"""`env_file` and `label_file` of services, folded into `environment` and `labels` of the marshalled model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pycompose.config.attributes import ATTRIBUTES
from pycompose.config.files import display, note, read_text
from pycompose.config.syntax import dotenv
from pycompose.config.tree import Map, locate
from pycompose.config.warnings import Warnings
from pycompose.errors import ConfigError, Location

FORMATS = ("", "raw")


def fold_environment(
    root: Map,
    environment: Mapping[str, str],
    working_dir: str,
    warnings: Warnings | None = None,
    *,
    required: bool = True,
) -> None:
    """Replace `env_file` by what the files say, in place; `environment:` wins, a later file beats an earlier one.

    Raises ConfigError for a missing file that is required, and for what a file contains.
    """
    for name, service in root["services"].items():
        own: Map = service.get("environment") or Map()
        for key, value in own.items():
            if value is None and key in environment:
                own[key] = environment[key]
        merged: dict[str, Any] = {}
        for index, entry in enumerate(service.get("env_file", ())):
            where = locate(root, ("services", name, "env_file", index))
            known = {**{key: value for key, value in own.items() if value is not None}, **environment}
            text, shown = _read(entry, working_dir, where, required=required)
            if entry.get("format") == "raw":
                merged.update(dotenv.parse_raw(text, shown, known.get))
            else:
                merged.update(dotenv.parse(text, shown, known.get, merged, warnings))
        service.pop("env_file", None)
        if merged:
            out = Map({**merged, **own})
            out.at = own.at
            _insert(service, "environment", out)


def _read(entry: Map, working_dir: str, where: Location, *, required: bool) -> tuple[str, str]:
    """Return the text of an env file and its name as messages show it."""
    path = os.path.join(working_dir, entry.get("path", ""))
    shown = display(path, working_dir)
    kind = entry.get("format", "")
    if kind not in FORMATS:
        raise ConfigError(
            f"unsupported env_file format {kind!r}", location=where, hint="the only other format is raw"
        )
    note(path)
    if not os.path.exists(path):
        if not (required and entry.get("required", True)):
            return "", shown
        raise ConfigError(
            f"env file {shown} not found",
            location=where,
            hint="create it, or write {path: …, required: false}",
        )
    return read_text(path, shown, where=where, what="env file"), shown


def fold_labels(root: Map, working_dir: str) -> None:
    """Replace `label_file` by the labels in the files, in place; `labels:` wins. Raises ConfigError."""
    for name, service in root["services"].items():
        files = service.get("label_file", ())
        merged: dict[str, str] = {}
        for index, file in enumerate(files):
            path = os.path.join(working_dir, file)
            shown = display(path, working_dir)
            where = locate(root, ("services", name, "label_file", index))
            if not os.path.exists(path):
                raise ConfigError(f"label file {shown} not found", location=where)
            merged.update(
                dotenv.parse(read_text(path, shown, where=where, what="label file"), shown, lambda _n: None)
            )
        service.pop("label_file", None)
        if merged:
            _insert(service, "labels", Map({**merged, **(service.get("labels") or {})}))


def _insert(service: Map, key: str, value: Map) -> None:
    """Set a key of a marshalled service at its place in the order of printing."""
    if key in service:
        service[key] = value
        return
    order = list(ATTRIBUTES["service"])
    later = {name: service.pop(name) for name in list(service) if name not in order[: order.index(key)]}
    service[key] = value
    for name, old in later.items():
        service[name] = old
