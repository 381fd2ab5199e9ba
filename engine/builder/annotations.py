"""`--annotation`: what a manifest, or the entry of an image in an index, says about itself (image-spec annotations.md).

Forms and words are those of buildx and of BuildKit's exporters. Images here are of one platform, so that there is no
index of theirs to annotate.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pycompose.engine.builder.instructions import suggestion
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import BuildError
from pycompose.engine.images.spec import Platform, machine

MANIFEST, DESCRIPTOR = "manifest", "manifest-descriptor"
_KINDS = (MANIFEST, DESCRIPTOR, "index", "index-descriptor")
_TYPE = re.compile(r"(?P<kind>[a-z-]+)(?:\[(?P<platform>[A-Za-z0-9_/-]+)\])?")
_KEY = re.compile(r"annotation(?:-(?P<kind>[a-z-]+?))?(?:\[(?P<platform>[^]]+)\])?\.(?P<key>.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotations:
    """Those of the manifest, and those of its entry in the index of an OCI layout."""

    manifest: dict[str, str] = field(default_factory=dict)
    descriptor: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, platform: str, key: str, value: str, what: str) -> None:
        """Add one, unless it is for another platform than ours. Raises BuildError."""
        if kind not in _KINDS:
            hint = suggestion(kind, list(_KINDS)) or f"known: {', '.join(_KINDS)}"
            raise BuildError(f"{what}: unknown annotation type {kind!r}", hint=hint)
        if kind not in (MANIFEST, DESCRIPTOR):
            raise BuildError(
                f"{what}: index annotations not supported for single platform export",
                hint=f"annotate the manifest: {MANIFEST}:{key}={value}",
            )
        if platform and str(Platform.parse(platform)) != str(machine()):
            return
        (self.manifest if kind == MANIFEST else self.descriptor)[key] = value


def parse_annotations(texts: Iterable[str], attributes: Iterable[tuple[str, str]] = ()) -> Annotations:
    """Return what `[TYPE[,TYPE…]:]KEY=VALUE` say, and `annotation[-TYPE].KEY` of `--output`. Raises BuildError."""
    found = Annotations()
    for name, value in attributes:
        match = _KEY.fullmatch(name)
        if match is None:
            raise BuildError(f"--output: {name}: is not of the form annotation.KEY=VALUE")
        found.add(
            match["kind"] or MANIFEST, match["platform"] or "", match["key"], value, f"--output: {name}"
        )
    for text in texts:
        what = f"--annotation {text}"
        name, equals, value = text.partition("=")
        if not equals:
            raise BuildError(f"{what}: invalid annotation {text!r}, expected key=value")
        types, colon, key = name.partition(":")
        if not colon:
            found.manifest[name] = value
            continue
        for item in types.split(","):
            match = _TYPE.fullmatch(item)
            if match is None:
                raise BuildError(
                    f"{what}: invalid annotation type {item!r},"
                    " expected type and optional platform in square brackets"
                )
            found.add(match["kind"], match["platform"] or "", key, value, what)
    return found
