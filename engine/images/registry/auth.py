"""Credentials for registries, where Docker keeps them: config.json and the credential helpers it names.

`$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`; `credHelpers[host]`, then `credsStore`, then
`auths`. Helper protocol: github.com/docker/docker-credential-helpers, README "Development". Secrets appear
in no message.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import AuthError
from pycompose.engine.images.layout import replace_file
from pycompose.engine.images.reference import HUB
from pycompose.engine.paths import docker_config_path
from pycompose.engine.statefiles import locked

if TYPE_CHECKING:
    from collections.abc import Mapping

HUB_KEY = "https://index.docker.io/v1/"
TOKEN_USER = "<token>"  # noqa: S105 - the word by which helpers mark an identity token
_HELPER_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_HELPER_TIMEOUT_S = 60
_NOT_FOUND = "credentials not found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """User and password, or an identity token that is exchanged for access tokens."""

    username: str = ""
    password: str = field(default_factory=str, repr=False)
    identity_token: str = field(default_factory=str, repr=False)

    def basic(self) -> str:
        """Return the value of a Basic Authorization header (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def server_key(domain: str) -> str:
    """Return the key of a registry in config.json: the domain, for Docker Hub a URL of old."""
    return HUB_KEY if domain == HUB else domain


def _host_of(key: str) -> str:
    """Return the host of a key as older clients wrote it: `https://host/v1/`."""
    return key.removeprefix("https://").removeprefix("http://").partition("/")[0]


class CredentialStore:
    """Docker's config.json and its helpers."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self.path = docker_config_path(environment)

    def get(self, domain: str) -> Credentials | None:
        """Return the credentials for a registry, None when there are none. Raises AuthError."""
        config = self._read()
        key = server_key(domain)
        if helper := self._helper(config, domain):
            return self._ask(helper, key)
        auths = _objects(config, "auths")
        entry = auths.get(key)
        if entry is None:
            entry = next((value for other, value in auths.items() if _host_of(other) == _host_of(key)), None)
        return _decode(entry, self.path, key) if isinstance(entry, dict) else None

    def put(self, domain: str, credentials: Credentials) -> str:
        """Keep credentials for a registry; return where. Raises AuthError."""
        key = server_key(domain)
        if helper := self._helper(self._read(), domain):
            user = TOKEN_USER if credentials.identity_token else credentials.username
            secret = credentials.identity_token or credentials.password
            self._run(helper, "store", json.dumps({"ServerURL": key, "Username": user, "Secret": secret}))
            return f"credential helper {helper}"
        text = f"{credentials.username}:{credentials.password}"
        entry: dict[str, str] = {"auth": base64.b64encode(text.encode()).decode()}
        if credentials.identity_token:
            entry["identitytoken"] = credentials.identity_token
        self._change(lambda auths: auths.__setitem__(key, entry))
        return str(self.path)

    def erase(self, domain: str) -> bool:
        """Forget the credentials of a registry; False when there were none. Raises AuthError."""
        config = self._read()
        key = server_key(domain)
        if helper := self._helper(config, domain):
            if self._ask(helper, key) is None:
                return False
            self._run(helper, "erase", key)
            return True
        known = [other for other in _objects(config, "auths") if _host_of(other) == _host_of(key)]
        if not known:
            return False

        def drop(auths: dict[str, Any]) -> None:
            for other in known:
                auths.pop(other, None)

        self._change(drop)
        return True

    def _read(self) -> dict[str, Any]:
        try:
            value = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as exc:
            raise AuthError(
                f"{self.path}: cannot read credentials: {exc}", hint="repair or remove the file"
            ) from exc
        return value if isinstance(value, dict) else {}

    def _change(self, change: Any) -> None:
        """Change `auths` in the file, keeping everything else in it."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(self.path.parent):
                config = self._read()
                auths = _objects(config, "auths")
                change(auths)
                config["auths"] = auths
                replace_file(self.path, json.dumps(config, indent="\t").encode() + b"\n", mode=0o600)
        except OSError as exc:
            raise AuthError(f"{self.path}: cannot write credentials: {exc.strerror}") from exc

    def _helper(self, config: dict[str, Any], domain: str) -> str:
        helpers = _objects(config, "credHelpers")
        name = helpers.get(domain) or helpers.get(server_key(domain)) or config.get("credsStore") or ""
        if name and (not isinstance(name, str) or not _HELPER_NAME.fullmatch(name)):
            raise AuthError(f"{self.path}: {name!r} is not the name of a credential helper")
        return str(name)

    def _ask(self, helper: str, key: str) -> Credentials | None:
        output = self._run(helper, "get", key, missing_is_fine=True)
        if output is None:
            return None
        try:
            value = json.loads(output)
            user, secret = value["Username"], value["Secret"]
        except (ValueError, KeyError, TypeError) as exc:
            raise AuthError(
                f"credential helper {helper}: it answered something else than credentials"
            ) from exc
        if user == TOKEN_USER:
            return Credentials(identity_token=secret)
        return Credentials(username=user, password=secret)

    def _run(self, helper: str, verb: str, text: str, *, missing_is_fine: bool = False) -> str | None:
        program = shutil.which(f"docker-credential-{helper}", path=self._environment.get("PATH"))
        if program is None:
            raise AuthError(
                f"credential helper {helper}: docker-credential-{helper} is not installed",
                hint=f"install it, or remove it from {self.path}",
            )
        try:
            done = subprocess.run(
                [program, verb],
                input=text,
                capture_output=True,
                text=True,
                timeout=_HELPER_TIMEOUT_S,
                check=False,
                env=self._environment,
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise AuthError(f"credential helper {helper}: {type(exc).__name__}") from exc
        if done.returncode == 0:
            return done.stdout
        if missing_is_fine and _NOT_FOUND in done.stdout:
            return None
        reason = (done.stdout.strip() or done.stderr.strip()).partition("\n")[0][:200]
        raise AuthError(f"credential helper {helper}: {verb}: {reason or 'it failed'}")


def _objects(config: dict[str, Any], key: str) -> dict[str, Any]:
    value = config.get(key)
    return value if isinstance(value, dict) else {}


def _decode(entry: dict[str, Any], path: Path, key: str) -> Credentials | None:
    if token := entry.get("identitytoken"):
        return Credentials(identity_token=str(token))
    if entry.get("username"):
        return Credentials(username=str(entry["username"]), password=str(entry.get("password", "")))
    if not entry.get("auth"):
        return None
    try:
        user, colon, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, TypeError) as exc:
        raise AuthError(f"{path}: auths: {key}: not base64", hint="log in again: pycompose login") from exc
    if not colon:
        raise AuthError(f"{path}: auths: {key}: no user and password", hint="log in again: pycompose login")
    return Credentials(username=user, password=password.rstrip("\0"))


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge of a WWW-Authenticate header; scheme and parameter names are in lower case."""

    scheme: str
    parameters: dict[str, str]


_PARAMETER = re.compile(r'\s*([A-Za-z0-9!#$%&\'*+.^_`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))\s*(,|$)')
_SCHEME = re.compile(r"\s*,*\s*([A-Za-z][A-Za-z0-9!#$%&'*+.^_`|~-]*)(?:\s+|\s*(?=,|$))")


def parse_challenges(header: str) -> list[Challenge]:
    """Return the challenges of a WWW-Authenticate header (RFC 7235 4.1); what can't be read is left out.

    Several may stand in one header, and quoted parameters hold commas.
    """
    challenges: list[Challenge] = []
    position = 0
    while position < len(header):
        parameter = _PARAMETER.match(header, position)
        if parameter is not None and challenges:
            value = re.sub(r"\\(.)", r"\1", parameter[2]) if parameter[2] is not None else parameter[3]
            challenges[-1].parameters[parameter[1].lower()] = value
            position = parameter.end()
            continue
        scheme = _SCHEME.match(header, position)
        if scheme is None:
            break
        challenges.append(Challenge(scheme[1].lower(), {}))
        position = scheme.end()
    return challenges
