"""Compose files of tests as objects of a cluster, checked against the schemas of Kubernetes."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import kubernetes_validate
from pycompose.config.load import Loaded, load
from pycompose.config.options import LoadOptions
from pycompose.kube.convert import Conversion, convert
from referencing import Registry, Resource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycompose.kube.scope import ImageFacts, Options

VERSION = "1.32.0"
FILE = "compose.yaml"
_SCHEMAS = Path(kubernetes_validate.__path__[0]) / f"kubernetes-json-schema/v{VERSION}-local-strict"


def load_text(text: str, folder: Path, environment: Mapping[str, str] | None = None) -> Loaded:
    """Load a compose file that is written into a folder."""
    (folder / FILE).write_text(text, encoding="utf-8")
    return load(LoadOptions(working_dir=str(folder), environment={"PWD": str(folder), **(environment or {})}))


def convert_loaded(
    loaded: Loaded, images: Mapping[str, ImageFacts] | None = None, options: Options | None = None
) -> Conversion:
    """Convert what was loaded."""
    return convert(loaded.project, loaded.tree, images, options)


def convert_text(
    text: str,
    folder: Path,
    images: Mapping[str, ImageFacts] | None = None,
    options: Options | None = None,
    environment: Mapping[str, str] | None = None,
) -> Conversion:
    """Convert a compose file that is written into a folder."""
    return convert_loaded(load_text(text, folder, environment), images, options)


def invalid(item: Mapping[str, Any]) -> str:
    """Return why a cluster would refuse an object, or ""; unknown fields are refused."""
    problem = next(_validator(item["apiVersion"], item["kind"]).iter_errors(item), None)
    if problem is None:
        return ""
    return f"{item['kind']} {item['metadata']['name']}: {'.'.join(map(str, problem.path))}: {problem.message}"


@cache
def _definitions() -> Resource[Any]:
    return Resource.from_contents(json.loads((_SCHEMAS / "_definitions.json").read_text("utf-8")))


@cache
def _validator(version: str, kind: str) -> jsonschema.Draft202012Validator:
    """Return what checks objects of a kind; the package itself reads 10 MB for each object."""
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", version)
    schema = json.loads((_SCHEMAS / f"{kind.lower()}-{group}.json").read_text("utf-8"))
    registry = _definitions() @ Registry()
    return jsonschema.Draft202012Validator(schema, registry=registry)


def one(conversion: Conversion, kind: str, name: str = "") -> Any:
    """Return the only object of a kind, or of a kind and name."""
    (found,) = [
        item for item in conversion.objects if item["kind"] == kind and name in ("", item["metadata"]["name"])
    ]
    return found


def said(conversion: Conversion, path: str) -> list[str]:
    """Return what is said of an attribute: "warning: …"."""
    return [
        f"{remark.severity.value}: {remark.text}"
        for remark in conversion.remarks
        if remark.location.path == path
    ]
