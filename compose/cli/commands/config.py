"""`pycompose config`: the compose files as they are understood, or lists of what is in them."""

from __future__ import annotations

import contextlib
import json
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


def image_of(name: str, service: Mapping[str, Any], loaded: Loaded) -> str:
    """Return the service's image; one that is built without a name gets Compose's."""
    return str(service.get("image") or f"{loaded.name}{loaded.separator}{name}")


def _images(loaded: Loaded) -> list[str]:
    """Return the services' images, then those that they mount or that their hooks run in, each once."""
    services = loaded.tree["services"]
    own = [image_of(name, service, loaded) for name, service in services.items()]
    more = [
        str(image)
        for service in services.values()
        for image in (
            *(mount.get("source") for mount in _image_mounts(service)),
            *(hook.get("image") for hook in service.get("pre_start") or ()),
        )
        if image
    ]
    return [*own, *(image for image in dict.fromkeys(more) if image not in own)]


def _profiles(loaded: Loaded) -> list[str]:
    services = [*loaded.tree["services"].values(), *loaded.disabled.values()]
    return sorted({profile for service in services for profile in service.get("profiles") or ()})


def _services(loaded: Loaded) -> list[str]:
    """Return the services, each after those that it depends on, else by name; so are those of a cycle."""
    from graphlib import CycleError, TopologicalSorter  # noqa: PLC0415 - only for this list

    services = loaded.tree["services"]
    needs = {name: set(services[name].get("depends_on") or ()) & services.keys() for name in sorted(services)}
    sorter = TopologicalSorter(needs)
    with contextlib.suppress(CycleError):  # --no-consistency lets it through
        sorter.prepare()
    found: list[str] = []
    while sorter.is_active() and (wave := sorted(sorter.get_ready())):
        found += wave
        sorter.done(*wave)
    return [*found, *(name for name in needs if name not in found)]


LISTS: dict[str, Lister] = {
    "services": _services,
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


def hashes(loaded: Loaded, wanted: str, *, interpolated: bool) -> list[str]:
    """Return "service hash" lines for `*` or a comma-separated list; of env files the names count, not the content.

    Raises UnknownService, and SchemaError for what isn't valid without interpolation.
    """
    from pycompose.config.hashing import service_hash  # noqa: PLC0415 - only for this list
    from pycompose.config.marshal import marshal  # noqa: PLC0415
    from pycompose.config.select import split_by_profiles  # noqa: PLC0415

    if interpolated:
        services = loaded.tree["services"]
    else:
        services, _ = split_by_profiles(marshal(loaded.tree), loaded.profiles, ())
    names = sorted(services) if wanted == "*" else wanted.split(",")
    for name in names:
        if name not in services:
            raise unknown_service(name, services)
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


def variables(tree: Any, how: str = "yaml") -> str:
    """Return the table of the variables that an uninterpolated tree uses, each once; with "json" as an object."""
    from pycompose.config.syntax.template import TemplateError, Variable  # noqa: PLC0415 - only for this list
    from pycompose.config.syntax.template import variables as used  # noqa: PLC0415

    found: dict[str, Variable] = {}

    def all_used() -> Iterator[Variable]:
        for text in texts(tree):
            with contextlib.suppress(TemplateError):  # as in Compose: a list, not a check
                yield from used(text)

    for one in all_used():
        known = found.get(one.name, one)
        found[one.name] = Variable(
            one.name,
            known.required or one.required,
            known.default or one.default,
            known.alternate or one.alternate,
        )
    if how == "json":
        objects = {
            name: {
                "Name": name,
                "DefaultValue": one.default,
                "PresenceValue": one.alternate,
                "Required": one.required,
            }
            for name, one in sorted(found.items())
        }
        return json.dumps(objects, indent=4, ensure_ascii=False) + "\n\n"
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
@click.option("--schema", is_flag=True, help="Print a JSON schema of compose files, for editors.")
@click.option("-o", "--output", default="", metavar="FILE", help="Write to a file.")
@click.option("-q", "--quiet", is_flag=True, help="Only check.")
@dry_run_option()
@click.pass_obj
def command(invocation: Invocation, /, **args: Any) -> None:
    """Load, and print what is asked for."""
    if args["schema"]:
        import json  # noqa: PLC0415 - only here

        from pycompose.config.json_schema import schema  # noqa: PLC0415 - as above
        from pycompose.kube.settings import schemas  # noqa: PLC0415 - as above
        from pycompose.testing.schema import extension  # noqa: PLC0415 - as above

        _write(json.dumps(schema(extension(), schemas()), indent=2) + "\n", args)
        return
    from pycompose.config.load import load  # noqa: PLC0415 - --help doesn't need it

    invocation.json_errors = args["how"] == "json"
    selecting = args["listed"] not in WHOLE and not args["hashed"]
    options = replace(
        invocation.load_options(args["services"] if selecting else ()),
        interpolate=not args["no_interpolate"] and args["listed"] != "variables",
        normalize=not args["no_normalize"] and args["listed"] != "variables",
        resolve_paths=not args["no_path_resolution"],
        consistency=not args["no_consistency"],
        # Lists and hashes are made without the services' env files, which may be missing.
        resolve_env=not (args["no_env_resolution"] or args["hashed"])
        and args["listed"] in (None, "environment"),
    )
    loaded = load(options)
    invocation.show_warnings(loaded.warnings)
    _warn_of_unused(invocation, args)
    _write(_text(invocation, loaded, args), args)


def _write(text: str, args: dict[str, Any]) -> None:
    if args["output"]:
        with open(args["output"], "w", encoding="utf-8") as file:
            file.write(text)
    elif not args["quiet"]:
        sys.stdout.write(text)


def _warn_of_unused(invocation: Invocation, args: dict[str, Any]) -> None:
    """Warn, in Compose's words, that the services named choose nothing here."""
    start = "service filtering is not applied when"
    if not args["services"] or args["quiet"]:
        return
    if args["listed"] == "variables":
        invocation.warn(f"{start} --variables is set, variables from the full model will be rendered")
    elif args["no_interpolate"] and args["listed"] is None and not args["hashed"]:
        invocation.warn(f"{start} --no-interpolate is set, the full model will be rendered")


def _pin(invocation: Invocation, loaded: Loaded, *, lock: bool, named: bool) -> None:
    """Replace every image by its digest; with `lock` nothing else stays, but an empty name if `named`.

    Hooks of several files are put one behind the other, so a lock file would double them: it leaves them out, with a
    warning. Raises PullError, AuthError.
    """
    from pycompose.client.digests import pinned  # noqa: PLC0415 - only for these two flags

    services = loaded.tree["services"]
    places = [(service, "image") for service in services.values()]
    for service in services.values():
        places += [(mount, "source") for mount in _image_mounts(service)]
        places += [(hook, "image") for hook in service.get("pre_start") or ()]
    places = [(node, key) for node, key in places if node.get(key)]
    images = pinned((node[key] for node, key in places), loaded.environment)
    for node, key in places:
        node[key] = images[node[key]]
    if lock:
        _lock(invocation, loaded.tree, named=named)


def _lock(invocation: Invocation, tree: Any, *, named: bool) -> None:
    """Leave of a model only its images; of the name an empty one, if it is to be there at all."""
    for name, service in tree["services"].items():
        if any(hook.get("image") for hook in service.get("pre_start") or ()):
            invocation.warn(
                f"service {name}: the images of its pre_start hooks can't be locked, and stay as they are"
            )
        mounts = _image_mounts(service)
        for key in [key for key in service if key != "image" and not (key == "volumes" and mounts)]:
            del service[key]
        if mounts:
            service["volumes"] = mounts
    for key in [key for key in tree if key not in ("services", "name")]:
        del tree[key]
    if "name" in tree:
        if named:
            tree["name"] = ""
        else:
            del tree["name"]


def _image_mounts(service: Mapping[str, Any]) -> list[Any]:
    return [mount for mount in service.get("volumes") or () if mount["type"] == "image"]


def _text(invocation: Invocation, loaded: Loaded, args: dict[str, Any]) -> str:
    from pycompose.config.render import (  # noqa: PLC0415 - --help doesn't need it
        leave_out_defaults,
        render_json,
        render_yaml,
    )

    if args["listed"] == "variables":
        return variables(loaded.tree, args["how"])
    if args["listed"]:
        return "".join(f"{line}\n" for line in LISTS[args["listed"]](loaded))
    if args["hashed"]:
        lines = hashes(loaded, args["hashed"], interpolated=not args["no_interpolate"])
        return "".join(f"{line}\n" for line in lines)
    if args["resolve"] or args["lock"]:
        # The JSON of an interpolated project always has a name.
        named = args["how"] == "json" and not args["no_interpolate"]
        _pin(invocation, loaded, lock=args["lock"], named=named)
    if args["quiet"] and not args["output"]:
        return ""
    # What was not interpolated is printed as it was written: its dollars are not values.
    escape = not args["no_interpolate"]
    if escape:
        leave_out_defaults(loaded.tree)
    if args["how"] == "json":
        return render_json(loaded.tree, escape=escape)  # without a last line break, as Docker Compose
    return render_yaml(loaded.tree, escape=escape)
