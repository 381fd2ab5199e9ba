"""Health checks as probes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pycompose.kube.scope import KubeScope, Object, place
from pycompose.kube.values import literal, seconds

if TYPE_CHECKING:
    from pycompose.model import Service

# Compose's defaults; Kubernetes' are 10 s, 1 s and 3.
INTERVAL_S = 30.0
TIMEOUT_S = 30.0
START_INTERVAL_S = 5.0
RETRIES = 3


def probes(scope: KubeScope, service: Service) -> Object:
    """Return the probes of a container: what Docker only marks as unhealthy is only kept from traffic here.

    The image's health check counts where the service says nothing. A grace period (`start_period`) becomes a startup
    probe, during which failures don't count. A liveness probe, which restarts, is made with `x-kube.liveness` only.
    """
    health = service.health
    facts = scope.image(service)
    image = facts.config.healthcheck if facts else None
    if health and (health.disable or health.test == ("NONE",)):
        return {}
    test = (health.test if health else None) or (tuple(image.test) if image and image.test else None)
    command = _command(test)
    if command is None:
        return {}

    def pick(name: str, default: float) -> float:
        own = getattr(health, name, None)
        found = own if own is not None else getattr(image, name, None)
        return default if found is None else found

    # In Docker a zero is "not said".
    base = {
        "exec": {"command": command},
        "timeoutSeconds": seconds(pick("timeout_s", TIMEOUT_S) or TIMEOUT_S),
    }
    retries = int(pick("retries", RETRIES)) or RETRIES
    steady = {
        **base,
        "periodSeconds": seconds(pick("interval_s", INTERVAL_S) or INTERVAL_S),
        "failureThreshold": retries,
    }
    found: Object = {"readinessProbe": steady}
    if scope.of(service).liveness:
        found["livenessProbe"] = steady
    start_s = pick("start_period_s", 0.0)
    if start_s > 0:
        period = seconds(pick("start_interval_s", START_INTERVAL_S) or START_INTERVAL_S)
        found["startupProbe"] = {
            **base,
            "periodSeconds": period,
            "failureThreshold": math.ceil(start_s / period) + retries,
        }
    if service.name in scope.jobs:
        scope.remarks.note(
            place(service, "healthcheck"), "nothing asks for the health of what runs to its end there"
        )
        return {}
    return found


def _command(test: tuple[str, ...] | None) -> list[str] | None:
    """Return the command of a probe, in which the kubelet expands variables as in a container's command."""
    if not test or test[0] == "NONE":
        return None
    if test[0] == "CMD":
        return [literal(word) for word in test[1:]]
    return ["/bin/sh", "-c", literal(test[1] if len(test) > 1 else "")]
