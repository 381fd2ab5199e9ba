"""The specifications of this machine, read anew for each request: drivers write them when the machine starts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycompose.cdi.spec import Edits, Spec, parse_spec, split_name
from pycompose.engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable

# In the order of their priority, lowest first (the specification, "CDI JSON Specification").
DIRECTORIES = ("/etc/cdi", "/var/run/cdi")
_SUFFIXES = (".json", ".yaml")


class Registry:
    """Devices by name. A file that can't be used is no error until a device is asked for in vain: see `problems`."""

    def __init__(self, specs: Iterable[tuple[int, Spec]], problems: Iterable[str] = ()) -> None:
        """`specs` come with the priority of their directory: devices of a higher one take the place of others."""
        self._problems = list(problems)
        self._devices: dict[tuple[str, str], tuple[int, Spec]] = {}
        self._doubtful: set[tuple[str, str]] = set()
        for priority, spec in specs:
            for name in spec.devices:
                key = (spec.kind, name)
                before = self._devices.get(key)
                if before is None or before[0] < priority:
                    self._devices[key] = priority, spec
                    self._doubtful.discard(key)
                elif before[0] == priority:
                    self._doubtful.add(key)
        self._problems += [f"{kind}={name} is described twice" for kind, name in sorted(self._doubtful)]

    @property
    def problems(self) -> list[str]:
        """What is wrong with the files, a sentence each."""
        return self._problems

    def kinds(self) -> list[str]:
        """Return all kinds, sorted."""
        return sorted({kind for kind, _name in self._devices})

    def names(self, kind: str) -> list[str]:
        """Return the names of the devices of a kind, in the order of their files."""
        return [name for one, name in self._devices if one == kind]

    def has(self, qualified: str) -> bool:
        """Tell whether `vendor/class=name` is there, once."""
        key = split_name(qualified)
        return key in self._devices and key not in self._doubtful

    def edits(self, names: Iterable[str]) -> Edits:
        """Return what devices that are there change; what a file wants for all of its devices comes once."""
        found, seen = Edits(), list[Spec]()
        for qualified in dict.fromkeys(names):
            key = split_name(qualified)
            assert key is not None  # noqa: S101 - the caller has asked `has`
            spec = self._devices[key][1]
            if all(spec is not other for other in seen):
                seen.append(spec)
                found += spec.edits
            found += spec.devices[key[1]]
        return found


def read_registry(directories: Iterable[str] = DIRECTORIES) -> Registry:
    """Return what the directories have."""
    specs: list[tuple[int, Spec]] = []
    problems: list[str] = []
    for priority, directory in enumerate(directories):
        for path in _files(Path(directory)):
            try:
                specs.append((priority, parse_spec(_decode(path), str(path))))
            except EngineError as exc:
                problems.append(exc.message)
            except OSError as exc:
                problems.append(f"CDI specification {path}: {exc.strerror}")
    return Registry(specs, problems)


def _files(directory: Path) -> list[Path]:
    try:
        return sorted(directory / name for name in os.listdir(directory) if name.endswith(_SUFFIXES))
    except OSError:
        return []


def _decode(path: Path) -> Any:
    data = path.read_bytes()
    if path.suffix == ".json":
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as exc:
            raise EngineError(f"CDI specification {path}: not JSON: {exc}") from exc
    import yaml  # noqa: PLC0415 - 15 ms and a megabyte, for those who have such files

    try:
        return yaml.load(data, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except (yaml.YAMLError, RecursionError) as exc:
        raise EngineError(f"CDI specification {path}: not YAML: {' '.join(str(exc).split())}") from exc
