"""The schema of `x-test` as a part of that of compose files (config/json_schema.py)."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

FILE = "x-test.schema.json"


def extension() -> dict[str, dict[str, Any]]:
    """Return the schema of `x-test` by structure and key; its references are to itself as it stands there."""
    text = resources.files(__package__ or "").joinpath(FILE).read_text("utf-8")
    found = json.loads(text.replace('"#/', '"#/$defs/service/properties/x-test/'))
    del found["$schema"], found["title"]
    return {"service": {"x-test": found}}
