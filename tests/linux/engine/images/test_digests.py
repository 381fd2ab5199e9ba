"""What `config --resolve-image-digests` asks a registry."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from pycompose.client.digests import pinned
from pycompose.engine.errors import PullError

from tests.linux.engine.images.conftest import make_layout
from tests.support.layers import file, tar
from tests.support.registry import RunningRegistry, skopeo
from tests.support.requires import requires

pytestmark = requires("root", "docker-registry", "skopeo")


def test_a_tag_becomes_the_digest_that_the_registry_names(
    plain_registry: RunningRegistry, tmp_path: Path
) -> None:
    """The digest is that of the manifest as it was pushed; images of no registry stay as they are."""
    plain = tar(file("etc/motd", "hello"))
    layout = make_layout(tmp_path / "oci", [(gzip.compress(plain, mtime=0), plain, "gzip")], Cmd=["sh"])
    digest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    image = f"{plain_registry.host}/team/pinned:1"
    skopeo("copy", "--preserve-digests", "--dest-tls-verify=false", f"oci:{layout}", f"docker://{image}")

    assert pinned([image, "host", image], {"HOME": str(tmp_path)}) == {
        image: f"{plain_registry.host}/team/pinned@{digest}",
        "host": "host",
    }


def test_a_tag_that_is_not_there_is_named(plain_registry: RunningRegistry, tmp_path: Path) -> None:
    """The error says which image, and why."""
    with pytest.raises(PullError, match=r"image .*/team/none:7: cannot find its digest"):
        pinned([f"{plain_registry.host}/team/none:7"], {"HOME": str(tmp_path)})
