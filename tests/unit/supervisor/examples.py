"""An image and a project for the tests of what becomes of them."""

from __future__ import annotations

from typing import Any

from pycompose.engine.config import RootfsTree
from pycompose.engine.images.spec import Image, ImageConfig
from pycompose.model import Project, Service

IMAGE_ID = f"sha256:{'a' * 64}"


def image(**config: Any) -> Image:
    """Return an image of one layer with this configuration, `cmd` true unless it says otherwise."""
    return Image(
        reference="busybox",
        id=IMAGE_ID,
        trees=(RootfsTree(lowers=("/layer",)),),
        config=ImageConfig(**{"cmd": ("true",), **config}),
    )


def project(*services: Service, **more: Any) -> Project:
    """Return a project of these services."""
    return Project(
        name="demo", directory="/srv/demo", services={item.name: item for item in services}, **more
    )
