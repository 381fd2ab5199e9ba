"""What has to do with registries: a client's credentials for one request, trying them, looking at an image there."""

# ruff: noqa: PLC0415 - few ask, and HTTP is imported for those

from __future__ import annotations

import base64
import contextlib
import json
import os
import tempfile
from typing import TYPE_CHECKING, Any

from pycompose.api.errors import ApiError
from pycompose.api.http import ApiAnswer, ApiCall, answer
from pycompose.api.shapes import AUTH, checked
from pycompose.engine.dataclass import replace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.client.context import Context

Json = dict[str, Any]
_HUB = "https://index.docker.io/v1/"


def _decoded(call: ApiCall, header: str) -> Json:
    """Return the object in a header (base64url of JSON, with padding or without), {} for none that can be read."""
    given = call.headers.get(header, "")
    try:
        found = json.loads(base64.urlsafe_b64decode(given + "=" * (-len(given) % 4))) if given else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _entry(found: Json) -> Json | None:
    """Return credentials as config.json has them, None for none."""
    if found.get("identitytoken"):
        return {"identitytoken": found["identitytoken"]}
    if found.get("username"):
        user = f"{found['username']}:{found.get('password') or ''}"
        return {"auth": base64.b64encode(user.encode()).decode()}
    return {"auth": found["auth"]} if found.get("auth") else None


@contextlib.contextmanager
def credentials(call: ApiCall, context: Context, domain: str = "") -> Iterator[Context]:
    """Yield the context with what the client sends along, for as long as the block.

    X-Registry-Auth is for one registry, by default that of `domain`; X-Registry-Config (of builds) has several.
    """
    one = _decoded(call, "x-registry-auth")
    given = {one.get("serveraddress") or domain: one, **_decoded(call, "x-registry-config")}
    auths = {
        server: entry
        for server, found in given.items()
        if server and isinstance(found, dict) and (entry := _entry(found)) is not None
    }
    if not auths:
        yield context
        return
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
            json.dump({"auths": auths}, file)
        yield replace(context, environment={**context.environment, "DOCKER_CONFIG": folder})


def server_of(domain: str) -> str:
    """Return the key of a registry in config.json."""
    from pycompose.engine.images.registry.auth import server_key

    return server_key(domain)


@contextlib.contextmanager
def refusals(name: str = "") -> Iterator[None]:
    """Raise what a registry refuses in the block: with dockerd's status, and behind our words those that clients know.

    An image that it doesn't have is 404. Credentials that are missing are 500: of 401 docker's command line makes a
    question for a user name, which in a script nobody answers.
    """
    from pycompose.engine.errors import AuthError
    from pycompose.engine.images.registry.registry import NotInRegistry

    try:
        yield
    except NotInRegistry as exc:
        raise ApiError(404, f"manifest for {name} not found: manifest unknown: {exc.message}") from exc
    except AuthError as exc:
        if "asks for a user and password" in exc.message:
            raise ApiError(500, f"{exc.message}: no basic auth credentials") from exc
        raise AuthError(f"{exc.message} (unauthorized: authentication required)") from exc


def auth(call: ApiCall) -> ApiAnswer:
    """POST /auth: try credentials at a registry."""
    from pycompose.engine.errors import AuthError
    from pycompose.engine.images.registry.auth import Credentials
    from pycompose.engine.images.registry.login import login, registry_domain
    from pycompose.engine.images.registry.settings import RegistrySettings

    body = checked(call.document(), AUTH)
    server = body.get("serveraddress") or _HUB
    given = Credentials(username=body.get("username") or "", password=body.get("password") or "")
    domain = registry_domain(server)
    try:
        login(RegistrySettings.load(call.context.environment), domain, given)
    except AuthError as exc:
        if "token service" in exc.message:  # the only case in which moby knows what a 401 means
            raise ApiError(401, f"{exc.message}: unauthorized: incorrect username or password") from exc
        if "asks for a user and password" in exc.message:
            raise ApiError(500, f"{exc.message}: no basic auth credentials") from exc
        words = f"login attempt to https://{domain}/v2/ failed with status: 401 Unauthorized"
        raise ApiError(500, f"{words} ({exc.message})") from exc
    return answer({"Status": "Login Succeeded", "IdentityToken": ""})


def distribution(call: ApiCall) -> ApiAnswer:
    """GET /distribution/NAME/json: what a registry says of an image, none of which is fetched."""
    from pycompose.engine.images.reference import ReferenceKind, parse

    reference = parse(call.names[0])
    if reference.kind is not ReferenceKind.REGISTRY:
        raise ApiError(400, f"{call.names[0]}: is no name in a registry")
    with refusals(call.names[0]), credentials(call, call.context, server_of(reference.domain)) as context:
        from pycompose.machine.distribution import distribution as asked

        found = asked(context, reference)
    descriptor = {"mediaType": found.media_type, "digest": found.digest, "size": found.size_bytes}
    platforms = [
        {"architecture": one.architecture, "os": one.os, **({"variant": one.variant} if one.variant else {})}
        for one in found.platforms
    ]
    return answer({"Descriptor": descriptor, "Platforms": platforms})
