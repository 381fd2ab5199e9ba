"""`pycompose config`: the compose files as they are understood, or lists of what is in them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click
from pycompose.cli.display import table
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import complete_services, dry_run_option
from pycompose.engine.dataclass import replace
from pycompose.errors import unknown_service

if TYPE_CHECKING:
    from pycompose.config.load import Loaded

Lister = Callable[["Loaded"], list[str]]


def image_of(name: str, service: Mapping[str, Any], project: str) -> str:
    """Return the service's image; one that is built without a name gets Compose's."""
    return str(service.get("image") or f"{project}-{name}")


def _images(loaded: Loaded) -> list[str]:
    return [image_of(name, service, loaded.name) for name, service in loaded.tree["services"].items()]


def _profiles(loaded: Loaded) -> list[str]:
    services = [*loaded.tree["services"].values(), *loaded.disabled.values()]
    return sorted({profile for service in services for profile in service.get("profiles") or ()})


LISTS: dict[str, Lister] = {
    "services": lambda loaded: sorted(loaded.tree["services"]),
    "volumes": lambda loaded: sorted(loaded.tree.get("volumes") or ()),
    "networks": lambda loaded: sorted(loaded.tree.get("networks") or ()),
    "models": lambda loaded: sorted(
        str(model["model"]) for model in (loaded.tree.get("models") or {}).values()
    ),
    "images": _images,
    "profiles": _profiles,
    "environment": lambda loaded: [f"{key}={value}" for key, value in sorted(loaded.environment.items())],
}


# Lists of the whole project: like Docker Compose they take no notice of the services that are named.
WHOLE = frozenset({"services", "volumes", "networks", "models", "profiles", "environment", "variables"})


def hashes(loaded: Loaded, wanted: str, *, interpolated: bool, resolve_env: bool) -> list[str]:
    """Return "service hash" lines for `*` or a comma-separated list; `resolve_env` reads their env files first.

    Raises UnknownService, ConfigError for an env file, and SchemaError for what isn't valid without interpolation.
    """
    from pycompose.config.envfiles import fold_environment  # noqa: PLC0415 - only for this list
    from pycompose.config.hashing import service_hash  # noqa: PLC0415 - only for this list
    from pycompose.config.marshal import marshal  # noqa: PLC0415
    from pycompose.config.select import split_by_profiles  # noqa: PLC0415
    from pycompose.config.tree import Map  # noqa: PLC0415

    if interpolated:
        services = loaded.tree["services"]
    else:
        services, _ = split_by_profiles(marshal(loaded.tree), loaded.profiles, ())
    names = sorted(services) if wanted == "*" else wanted.split(",")
    for name in names:
        if name not in services:
            raise unknown_service(name, services)
    if interpolated and resolve_env:
        chosen = Map({name: services[name] for name in names})
        fold_environment(Map({"services": chosen}), loaded.environment, loaded.directory)
    return [f"{name} {service_hash(services[name])}" for name in names]


def texts(node: Any) -> Iterator[str]:
    """Yield every string of a tree, the values only: keys are not interpolated."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)


def variables(tree: Any) -> str:
    """Return the table of the variables that an uninterpolated tree uses, each once."""
    from pycompose.config.syntax.template import Variable  # noqa: PLC0415 - only for this list
    from pycompose.config.syntax.template import variables as used  # noqa: PLC0415

    found: dict[str, Variable] = {}
    for one in (one for text in texts(tree) for one in used(text)):
        known = found.get(one.name, one)
        found[one.name] = Variable(
            one.name,
            known.required or one.required,
            known.default or one.default,
            known.alternate or one.alternate,
        )
    rows = [
        (name, "true" if one.required else "false", one.default, one.alternate)
        for name, one in sorted(found.items())
    ]
    return table.render([("NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"), *rows], minimum=table.WIDE)


@click.command(help="Parse, resolve and render the compose file in canonical format.")
@click.argument("services", nargs=-1, metavar="[SERVICE]...", shell_complete=complete_services)
@click.option("--environment", "listed", flag_value="environment", help="Print what interpolation sees.")
@click.option("--images", "listed", flag_value="images", help="Print the images.")
@click.option("--models", "listed", flag_value="models", help="Print the models.")
@click.option("--networks", "listed", flag_value="networks", help="Print the networks.")
@click.option("--profiles", "listed", flag_value="profiles", help="Print the profiles.")
@click.option("--services", "listed", flag_value="services", help="Print the services.")
@click.option("--volumes", "listed", flag_value="volumes", help="Print the volumes.")
@click.option("--variables", "listed", flag_value="variables", help="Print the variables that are used.")
@click.option("--hash", "hashed", default="", metavar="SERVICE,...|*", help="Print the services' hashes.")
@click.option("--format", "how", type=click.Choice(["yaml", "json"]), default="yaml", help="The notation.")
@click.option("--resolve-image-digests", "resolve", is_flag=True, help="Pin image tags to digests.")
@click.option("--lock-image-digests", "lock", is_flag=True, help="Print an override file with digests.")
@click.option("--no-consistency", is_flag=True, help="Don't check references.")
@click.option("--no-env-resolution", is_flag=True, help="Don't read the services' env_file.")
@click.option("--no-interpolate", is_flag=True, help="Leave ${VARIABLES} as they are.")
@click.option("--no-normalize", is_flag=True, help="Don't add defaults.")
@click.option("--no-path-resolution", is_flag=True, help="Leave relative paths as they are.")
@click.option("-o", "--output", default="", metavar="FILE", help="Write to a file.")
@click.option("-q", "--quiet", is_flag=True, help="Only check.")
@dry_run_option()
@click.pass_obj
def command(invocation: Invocation, /, **args: Any) -> None:
    """Load, and print what is asked for."""
    from pycompose.config.load import load  # noqa: PLC0415 - --help doesn't need it

    invocation.json_errors = args["how"] == "json"
    selecting = args["listed"] not in WHOLE and not args["hashed"]
    options = replace(
        invocation.load_options(args["services"] if selecting else ()),
        interpolate=not args["no_interpolate"] and args["listed"] != "variables",
        normalize=not args["no_normalize"] and args["listed"] != "variables",
        resolve_paths=not args["no_path_resolution"],
        consistency=not args["no_consistency"],
        # Lists are made without the services' env files, which may be missing; hashes read what they need.
        resolve_env=not (args["no_env_resolution"] or args["hashed"])
        and args["listed"] in (None, "environment"),
    )
    loaded = load(options)
    invocation.show_warnings(loaded.warnings)
    text = _text(loaded, args)
    if args["output"]:
        with open(args["output"], "w", encoding="utf-8") as file:
            file.write(text)
    elif not args["quiet"]:
        sys.stdout.write(text)


def _pin(loaded: Loaded, *, lock: bool, named: bool) -> None:
    """Replace every image by its digest; with `lock` nothing else stays, but an empty name if `named`.

    Raises PullError, AuthError.
    """
    from pycompose.client.digests import pinned  # noqa: PLC0415 - only for these two flags

    services = loaded.tree["services"]
    images = pinned((one["image"] for one in services.values() if one.get("image")), loaded.environment)
    for service in services.values():
        if image := service.get("image"):
            service["image"] = images[image]
        for key in [key for key in service if lock and key != "image"]:
            del service[key]
    for key in [key for key in loaded.tree if lock and key not in ("services", "name")]:
        del loaded.tree[key]
    if lock and "name" in loaded.tree:
        if named:
            loaded.tree["name"] = ""
        else:
            del loaded.tree["name"]


def _text(loaded: Loaded, args: dict[str, Any]) -> str:
    from pycompose.config.render import render_json, render_yaml  # noqa: PLC0415 - --help doesn't need it

    if args["listed"] == "variables":
        return variables(loaded.tree)
    if args["listed"]:
        return "".join(f"{line}\n" for line in LISTS[args["listed"]](loaded))
    if args["hashed"]:
        lines = hashes(
            loaded,
            args["hashed"],
            interpolated=not args["no_interpolate"],
            resolve_env=not args["no_env_resolution"],
        )
        return "".join(f"{line}\n" for line in lines)
    if args["resolve"] or args["lock"]:
        # The JSON of an interpolated project always has a name.
        _pin(loaded, lock=args["lock"], named=args["how"] == "json" and not args["no_interpolate"])
    if args["quiet"] and not args["output"]:
        return ""
    # What was not interpolated is printed as it was written: its dollars are not values.
    escape = not args["no_interpolate"]
    if args["how"] == "json":
        return render_json(loaded.tree, escape=escape) + "\n"
    return render_yaml(loaded.tree, escape=escape)
