"""Where ports are published, for programs: `up --write-ports FILE`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pycompose.client.listings import container_view
from pycompose.engine.errors import PycomposeError
from pycompose.engine.statefiles import whole_file
from pycompose.state.snapshot import observe_containers

if TYPE_CHECKING:
    from pycompose.client.context import Context
    from pycompose.client.views import ContainerView


def write_ports(context: Context, project_name: str, path: str) -> None:
    """Write the published ports of all containers: as JSON to a name in `.json`, else as variables of an env file.

    The variables are those of `pycompose.testing`: DB_5432_TCP_HOST and DB_5432_TCP_HOST_PORT, of the first container
    of a service. Raises PycomposeError.
    """
    found, _ = observe_containers(context.paths, project_name)
    views = [container_view(context, container) for container in found if not container.oneoff]
    views.sort(key=lambda view: (view.service, view.number))
    text = _json(project_name, views) if path.endswith(".json") else _variables(project_name, views)
    try:
        with whole_file(path) as file:
            file.write(text.encode())
    except OSError as exc:
        raise PycomposeError(f"--write-ports {path}: cannot write: {exc.strerror}") from exc


def _json(project_name: str, views: list[ContainerView]) -> str:
    services: dict[str, list[dict[str, object]]] = {}
    for view in views:
        for port in view.ports:
            if port.host_port:
                services.setdefault(view.service, []).append(
                    {
                        "container": view.name,
                        "target": port.target,
                        "protocol": port.protocol,
                        "host_ip": port.host_ip,
                        "host_port": port.host_port,
                    }
                )
    return json.dumps({"project": project_name, "services": services}, indent=2) + "\n"


def _variables(project_name: str, views: list[ContainerView]) -> str:
    variables = {"COMPOSE_PROJECT_NAME": project_name}
    for view in views:
        prefix = "".join(char if char.isalnum() else "_" for char in view.service.upper())
        for port in view.ports:
            if port.host_port:
                key = f"{prefix}_{port.target}_{port.protocol.upper()}"
                variables.setdefault(f"{key}_HOST", port.host_ip)
                variables.setdefault(f"{key}_HOST_PORT", str(port.host_port))
    return "".join(f"{key}={value}\n" for key, value in variables.items())
