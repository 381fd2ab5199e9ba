"""Pushing to Debian's docker-registry, and reading back with skopeo."""

from __future__ import annotations

import io
import json
import random
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.errors import AuthError, ImageError
from pycompose.engine.images.archives.importer import import_rootfs
from pycompose.engine.images.reference import parse
from pycompose.engine.images.registry.auth import Credentials
from pycompose.engine.images.registry.login import login, registry_domain
from pycompose.engine.images.registry.pull import Progress, Puller
from pycompose.engine.images.registry.push import push
from pycompose.engine.images.registry.upload import CHUNK
from pycompose.engine.images.spec import ImageConfig

from tests.support.faults import Fault, Tokens, faulty
from tests.support.layers import file, tar
from tests.support.registry import RunningRegistry, skopeo
from tests.support.requires import requires

if TYPE_CHECKING:
    from pycompose.engine.images.registry.settings import RegistrySettings
    from pycompose.engine.images.store import ImageStore

pytestmark = requires("root", "docker-registry", "skopeo")

BIG = random.Random(5).randbytes(CHUNK + 1000)  # noqa: S311 - the same every time


def add(store: ImageStore, name: str, content: bytes) -> str:
    """Put an image with one file into the store; return its id."""
    return import_rootfs(store, io.BytesIO(tar(file("f", content))), name, config=ImageConfig(cmd=("f",))).id


def test_an_image_goes_and_comes_back(
    store: ImageStore, settings: RegistrySettings, plain_registry: RunningRegistry
) -> None:
    """Skopeo sees the digest that push returned; a pull gives the same id."""
    name = f"{plain_registry.host}/push/small:1"
    image_id = add(store, name, b"small")

    digest = push(store, settings, parse(name), lambda _: None)

    seen = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{name}"))
    assert seen["Digest"] == digest
    assert store.resolve(name).digests == (f"{plain_registry.host}/push/small@{digest}",)
    store.prune(everything=True)
    with Puller(store, settings) as puller:
        assert puller.pull(parse(name), lambda _: None).id == image_id


def test_blobs_are_mounted_or_there(
    store: ImageStore, settings: RegistrySettings, plain_registry: RunningRegistry
) -> None:
    """The same layer for another repository isn't sent again, and not twice to one."""
    first, second = (f"{plain_registry.host}/push/{name}:1" for name in ("from", "to"))
    add(store, first, b"shared")
    push(store, settings, parse(first), lambda _: None)
    store.tag(first, second)
    told: list[Progress] = []

    push(store, settings, parse(second), told.append)
    push(store, settings, parse(second), told.append)

    texts = [event.text for event in told]
    assert texts.count("Mounted") == 1
    assert texts.count("Layer already exists") == 2


def test_a_broken_upload_goes_on(
    store: ImageStore, settings: RegistrySettings, plain_registry: RunningRegistry
) -> None:
    """A large blob goes in chunks; a registry that stumbles is asked how far it is."""
    with faulty(plain_registry.host) as proxy:
        name = f"{proxy.host}/push/big:1"
        add(store, name, BIG)
        proxy.faults.append(Fault("^PATCH ", times=1, status=416))
        proxy.faults.append(Fault("^PATCH ", times=2, status=503))

        digest = push(store, settings, parse(name), lambda _: None)

        assert proxy.requests("^GET .*/uploads/")
        assert len(proxy.requests("^PATCH ")) >= 4
    direct = f"docker://{plain_registry.host}/push/big:1"
    assert json.loads(skopeo("inspect", "--tls-verify=false", direct))["Digest"] == digest


def test_a_token_for_pushing_has_that_scope(
    store: ImageStore, settings: RegistrySettings, plain_registry: RunningRegistry
) -> None:
    """Pull and push of this repository."""
    with faulty(plain_registry.host, tokens=Tokens()) as proxy:
        name = f"{proxy.host}/push/token:1"
        add(store, name, b"token")
        push(store, settings, parse(name), lambda _: None)

        assert proxy.tokens is not None
        assert proxy.tokens.scopes[0] == "repository:push/token:pull,push"


def test_what_cannot_be_pushed(
    store: ImageStore, settings: RegistrySettings, plain_registry: RunningRegistry
) -> None:
    """No such image, a digest as name, a registry that refuses."""
    name = f"{plain_registry.host}/push/no:1"
    with pytest.raises(ImageError, match=r"no such image in the local store"):
        push(store, settings, parse(name), lambda _: None)
    add(store, name, b"x")
    with pytest.raises(ImageError, match=r"cannot be pushed"):
        push(store, settings, parse(f"{name}@sha256:{'a' * 64}"), lambda _: None)
    with faulty(plain_registry.host, Fault("POST", times=9, status=403)) as proxy:
        other = f"{proxy.host}/push/no:1"
        store.tag(name, other)
        with pytest.raises(AuthError, match=r"access denied"):
            push(store, settings, parse(other), lambda _: None)


def test_login_tries_the_credentials(settings: RegistrySettings, plain_registry: RunningRegistry) -> None:
    """Right ones pass, wrong ones don't."""
    with faulty(plain_registry.host, tokens=Tokens(user="u", password="p")) as proxy:
        login(settings, proxy.host, Credentials(username="u", password="p"))
        with pytest.raises(AuthError, match=r"refused"):
            login(settings, proxy.host, Credentials(username="u", password="q"))


def test_which_registry_a_name_means() -> None:
    """URLs of old, and Docker Hub by default."""
    assert [registry_domain(text) for text in ("", "docker.io", "https://r.example/v2/", "r.example:5000")] == [
        "docker.io", "docker.io", "r.example", "r.example:5000",
    ]  # fmt: skip
