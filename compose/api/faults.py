"""Which status of HTTP an error of ours is, and in which words Docker's clients know it."""

from __future__ import annotations

from pycompose.api.errors import ApiError
from pycompose.api.http import ApiAnswer, failure
from pycompose.engine.errors import (
    AlreadyExists,
    AuthError,
    DockerfileError,
    ExecError,
    ImageError,
    InvalidChange,
    InvalidReference,
    NetworkError,
    NetworkInUse,
    NoSuchContainer,
    NoSuchImage,
    PycomposeError,
    StateError,
    VolumeError,
    VolumeInUse,
)
from pycompose.errors import ConfigError

# What is said of a request's own words.
_WRONG = ("cannot be used", "invalid filter", "not a ", "cannot set", "its own name")
# The same, of volumes and networks.
_WRONG_RESOURCE = (
    ": not a ", "not a valid name", "too short", "invalid option", "missing required option", ": ipam: ",
    "no matching subnet", "no container can be connected",
)  # fmt: skip
# The first that fits decides (moby errdefs/http_helpers.go).
_STATUSES: tuple[tuple[type[PycomposeError], int], ...] = (
    (NoSuchContainer, 404),
    (NoSuchImage, 404),
    (InvalidChange, 400),
    (InvalidReference, 400),
    (DockerfileError, 400),
    (AlreadyExists, 409),
    (VolumeInUse, 409),
    (NetworkInUse, 409),
    (StateError, 409),
    (AuthError, 401),
    (ConfigError, 400),
    (ExecError, 400),
)


def status_of(error: PycomposeError) -> int:
    """Return the status that Docker has for such an error."""
    if isinstance(error, ApiError):
        return error.status
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return status
    text = error.message
    if isinstance(error, ImageError) and "uses it" in text:
        return 409
    if isinstance(error, VolumeError | NetworkError):
        if any(word in text for word in _WRONG_RESOURCE):
            return 400
        if "driver '" in text and ("unknown" in text or "not supported" in text):
            return 404
        if "no such" in text or "not found" in text:
            return 404
        return 403 if "pre-defined" in text or "in use" in text or "predefined" in text else 500
    return 400 if text.startswith("unknown signal") or any(word in text for word in _WRONG) else 500


def fault(error: PycomposeError) -> ApiAnswer:
    """Return an error as an answer; some messages are matched by clients, and begin as Docker's do."""
    text = error.message
    if isinstance(error, NoSuchContainer) and text.startswith("container "):
        text = f"No such container: {text.removeprefix('container ').partition(':')[0]}"
    elif isinstance(error, NoSuchImage):
        text = f"No such image: {text.removeprefix('image ').partition(': ')[0]}"
    else:
        if text.startswith("--filter "):  # who asks has given no flags, nor has commands of ours
            text = f"invalid filter '{text.removeprefix('--filter ').partition(': ')[0]}'"
        if error.hint and not isinstance(error, ApiError) and not error.hint.startswith("see: pycompose "):
            text = f"{text} ({error.hint})"
    return failure(status_of(error), text)
