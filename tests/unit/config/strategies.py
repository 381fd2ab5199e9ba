"""Random compose projects for hypothesis: every attribute in its short and long forms, one or two files.

A project is mostly valid; what the oracle rejects, ours must reject too. Scalars whose spelling matters
(`0o17`, `yes`, `1.0`) are `Raw` and written as they are, strings are written in double quotes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

SERVICES = ("web", "db", "cache", "job")
NETWORKS = ("front", "back")
VOLUMES = ("data", "logs")
SECRETS = ("key", "cert")
CONFIGS = ("conf", "motd")
MODELS = ("llm", "tts")
VARIABLES = {"SET": "value", "EMPTY": "", "NUM": "7", "YES": "true", "PORT": "8080"}


@dataclass(frozen=True, slots=True)
class Raw:
    """A scalar as it is written in the file."""

    text: str


def emit(tree: Any) -> str:
    """Return `tree` as YAML in flow style."""
    if isinstance(tree, Raw):
        return tree.text
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {emit(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(emit, tree)) + "]"
    return json.dumps(tree, ensure_ascii=False)


def emit_block(tree: Any, indent: int = 0) -> str:
    """Return `tree` as YAML in block style, as people write it."""
    lead = "\n" + " " * indent
    if isinstance(tree, dict) and tree:
        return "".join(
            f"{lead}{json.dumps(key)}: {emit_block(value, indent + 2)}" for key, value in tree.items()
        )
    if isinstance(tree, list) and tree:
        return "".join(f"{lead}- {emit_block(value, indent + 2)}" for value in tree)
    return emit(tree)


def some(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return mappings with any of the keys of `parts`."""
    return st.fixed_dictionaries({}, optional=dict(parts))


def listed(*choices: Any, most: int = 3) -> st.SearchStrategy[list[Any]]:
    """Return short lists of `choices`, which may be values or strategies."""
    return st.lists(picked(*choices), min_size=1, max_size=most, unique_by=repr)


def picked(*choices: Any) -> st.SearchStrategy[Any]:
    """Return one of `choices`, which may be values or strategies."""
    values = [choice for choice in choices if not isinstance(choice, st.SearchStrategy)]
    strategies = [choice for choice in choices if isinstance(choice, st.SearchStrategy)]
    return st.one_of([st.sampled_from(values)] * bool(values) + strategies)


WORDS = st.sampled_from(
    ["a", "b c", "x=1", "", "é", "--flag", "$$HOME", "tab\there", "line\nbreak", "it's", '"q"']
)
# One a line or several, they hold no white space that matters.
WITH_VARIABLES = """
    $SET ${SET} ${EMPTY:-d} ${EMPTY-d} ${NOPE:-x} ${NOPE:+n} ${SET:+s} ${SET?m} a${NUM}b ${NOPE:-${SET}}
    $NOPE $$ ${NOPE-} ${SET+${NUM}} pre-$SET.post $1 a$ ${NOPE:-a:b-c} ${SET}${NUM}
"""
SPELLINGS = """
    1 -7 0 1.50 1.0 1e3 0o17 010 0x1F 1_000 true False yes no on ~ null 60:59 1e21 0.000001 1e-7
    12345678901234567890 +5 .5 = y n 1.10 0b11 08 -0 1E5 5. 123456789.5 NULL True OFF
"""
TEMPLATES = st.sampled_from(WITH_VARIABLES.split())
TEXT = st.one_of(WORDS, TEMPLATES)
SCALAR = st.one_of(
    TEXT,
    st.sampled_from([Raw(text) for text in SPELLINGS.split()]),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(lambda value: Raw(repr(value))),
)
BOOL = picked(True, False, "true", "false", Raw("yes"), Raw("off"), "$YES")
INTEGER = picked(0, 1, 5, "7", "$NUM", "${NOPE:-3}")
BYTES = picked("10m", "1.5g", "512k", "100b", "64mb", 1048576, "2097152", "${NUM}m", "1GiB")
DURATION = picked("10s", "1m30s", "500ms", "1h", "0s", "1d", "90s", "2h45m10s", "1.5s", "${NUM}s", "1w")
PATHS = ("./src", "../up", "/abs/x", "~/home", ".", "./a/../b", "./$SET")
KEYS = st.sampled_from(["A", "B", "LONG_KEY", "com.example.k", "lower"])


def pairs(values: st.SearchStrategy[Any] = SCALAR) -> st.SearchStrategy[Any]:
    """Return a mapping, or a list of `KEY=value`."""
    items = st.tuples(KEYS, TEXT).map("=".join) | KEYS
    return st.one_of(
        st.dictionaries(KEYS, values, max_size=3),
        st.lists(items, max_size=3, unique=True),
    )


NUMBER = st.integers(1, 65535).map(str)
PORT = st.one_of(
    picked(
        80, "81", "82/udp", "90-92", "[::1]:7000:70", "127.0.0.1::71", "0.0.0.0:72:72/udp", "8000-8010:73"
    ),
    picked(
        "${PORT}:80", "5000-5002:6000-6002", "127.0.0.1:4000-4001:4000-4001/udp", "[::]:9:9", Raw("22:22")
    ),
    st.tuples(NUMBER, NUMBER).map(":".join),
    st.builds(
        lambda head, rest: head | rest,
        st.fixed_dictionaries({"target": picked(80, "443", 8080)}),
        some(
            published=picked(80, "8443", "9000-9010", "$PORT"),
            host_ip=picked("127.0.0.1", "::1", "0.0.0.0"),
            protocol=picked("tcp", "udp"),
            mode=picked("host", "ingress"),
            name=picked("web", "$SET"),
            app_protocol=picked("http"),
        ),
    ),
)
SOURCES = st.sampled_from([*PATHS, *VOLUMES])
TARGETS = st.sampled_from(["/t/one", "/t/two", "/t/three/", "/t/four"])
VOLUME = st.one_of(
    TARGETS,
    st.tuples(SOURCES, TARGETS).map(":".join),
    st.tuples(SOURCES, TARGETS, picked("ro", "rw", "z", "ro,Z", "nocopy", "rslave", "cached", "odd")).map(
        ":".join
    ),
    st.builds(
        lambda target, rest: {"type": "bind", "target": target} | rest,
        TARGETS,
        st.builds(
            lambda source, rest: {"source": source} | rest,
            st.sampled_from(PATHS),
            some(
                read_only=BOOL,
                consistency=picked("cached"),
                bind=some(
                    propagation=picked("rslave", "private"),
                    create_host_path=picked(True, "true", "$YES"),  # false: newer/create-host-path-false
                    selinux=picked("z", "Z"),
                    recursive=picked("enabled", "disabled", "readonly"),
                ),
            ),
        ),
    ),
    st.builds(
        lambda target, source, rest: {"type": "volume", "target": target, "source": source} | rest,
        TARGETS,
        st.sampled_from(VOLUMES),
        some(read_only=BOOL, volume=some(nocopy=BOOL, subpath=picked("sub", "a/b"), labels=pairs())),
    ),
    st.builds(
        lambda target, rest: {"type": "tmpfs", "target": target} | rest,
        TARGETS,
        some(tmpfs=some(size=BYTES, mode=picked(Raw("0755"), Raw("0o1777"), 448))),
    ),
)


def reference(names: tuple[str, ...]) -> st.SearchStrategy[Any]:
    """Return a use of a secret or config, short or long."""
    return picked(
        *names,
        st.builds(
            lambda source, rest: {"source": source} | rest,
            st.sampled_from(names),
            some(
                target=picked("t1", "/abs/t2", "$SET"),
                uid=picked("1", "$NUM"),
                gid=picked("2"),
                mode=picked(Raw("0440"), Raw("0o400"), "0444", 256),
            ),
        ),
    )


ULIMIT = picked(1, -1, "5", "$NUM", {"soft": 1, "hard": 2}, {"soft": -1, "hard": "$NUM"})
BUILD = st.one_of(
    st.sampled_from([".", "./ctx", "../up", "https://example.org/a.git#main"]),
    some(
        context=st.sampled_from([".", "./ctx", "$SET"]),
        dockerfile=picked("Dockerfile.dev", "../D", "/abs/D"),
        args=pairs(),
        target=TEXT,
        labels=pairs(),
        additional_contexts=picked({"b": "docker-image://x", "s": "./s"}, ["b=./b"]),
        cache_from=listed("a", "type=local,src=p"),
        cache_to=listed("a", "b"),
        tags=listed("r/a:1", "r/b:$NUM"),
        network=picked("host", "none"),
        no_cache=BOOL,
        pull=BOOL,
        extra_hosts=picked(["h=1.2.3.4"], {"h": "::1"}),
        shm_size=BYTES,
        ulimits=some(nofile=picked(1, 2), nproc=picked({"soft": 1, "hard": 2})),
        privileged=BOOL,
        entitlements=listed("network.host"),
        platforms=listed("linux/amd64", "linux/arm64"),
        secrets=listed(*SECRETS),
        ssh=picked(["default"]),
        provenance=picked("true", "mode=max", True),
        sbom=picked("false", False),
    ),
)
HEALTH = some(
    test=picked("curl x || exit 1", ["CMD", "a", "$SET"], ["CMD-SHELL", "a | b"], ["NONE"]),
    interval=DURATION,
    timeout=DURATION,
    start_period=DURATION,
    start_interval=DURATION,
    retries=INTEGER,
    disable=BOOL,
)
DEPLOY = some(
    mode=picked("replicated", "global"),
    replicas=INTEGER,
    labels=pairs(),
    endpoint_mode=picked("vip"),
    resources=some(
        limits=some(cpus=picked("0.5", "2", 1), memory=picked("10m", "1g"), pids=INTEGER),
        reservations=some(
            cpus=picked("0.25"),
            memory=picked("5m"),
            devices=listed(
                {"capabilities": ["gpu"]}, {"capabilities": ["a"], "count": 2, "options": {"k": 1}}
            ),
        ),
    ),
    restart_policy=some(
        condition=picked("none", "on-failure", "any"), delay=DURATION, max_attempts=INTEGER, window=DURATION
    ),
    update_config=some(
        parallelism=INTEGER,
        delay=DURATION,
        failure_action=picked("pause", "rollback"),
        monitor=DURATION,
        max_failure_ratio=picked(0.5, "0.25", 1),
        order=picked("start-first", "stop-first"),
    ),
    placement=some(constraints=listed("node.role==manager"), preferences=listed({"spread": "x"})),
)
ATTACHMENT = some(
    aliases=listed("a1", "a2", "$SET"),
    ipv4_address=picked("10.5.0.4"),
    ipv6_address=picked("fd00::4"),
    priority=picked(1, 100),
    gw_priority=picked(-1, 5),
    mac_address=picked("02:42:ac:11:65:43"),
    interface_name=picked("eth7"),
    driver_opts=st.dictionaries(KEYS, picked("v", 1), max_size=2),
    link_local_ips=listed("169.254.1.1", most=1),
)
CONDITIONS = picked("service_started", "service_healthy", "service_completed_successfully")
WATCH = st.builds(
    lambda path, action, rest: {"path": path, "action": action, "target": "/w"} | rest,
    st.sampled_from(PATHS),
    picked("rebuild", "sync", "restart", "sync+restart", "sync+exec"),
    some(
        ignore=listed("*.tmp", "node_modules/"),
        include=picked(["*.py"], "one"),
        initial_sync=st.booleans(),
        exec=some(user=picked("u"), environment=pairs()).map(lambda rest: {"command": "a b"} | rest),
    ),
)
HOOK = st.builds(
    lambda command, rest: {"command": command} | rest,
    picked("a 'b c'", ["a", "$SET"]),
    some(user=picked("u"), privileged=BOOL, working_dir=picked("/w"), environment=pairs()),
)
EXTENSION = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2)
)
COMMAND = picked(
    None,
    "a b 'c d'",
    "echo $SET; ls",
    ["a", "b c"],
    [],
    "",
    "sh -c \"echo '$$X'\"",
    "a | b",
    "x \\\n y",
    "a > b",
)

ATTRIBUTES: dict[str, st.SearchStrategy[Any]] = {
    "annotations": pairs(),
    "attach": BOOL,
    "blkio_config": some(
        weight=picked(10, 300),
        weight_device=listed({"path": "/dev/a", "weight": 5}),
        device_read_bps=listed({"path": "/dev/a", "rate": "1mb"}, {"path": "/dev/b", "rate": 100}),
        device_write_iops=listed({"path": "/dev/a", "rate": 7}),
    ),
    "build": BUILD,
    "cap_add": listed("NET_ADMIN", "ALL", "SYS_TIME"),
    "cap_drop": listed("MKNOD", "KILL"),
    "cgroup": picked("host", "private"),
    "cgroup_parent": TEXT,
    "command": COMMAND,
    "configs": listed(reference(CONFIGS)),
    "cpu_quota": INTEGER,
    "cpu_period": INTEGER,
    "cpu_shares": INTEGER,
    "cpus": picked(0.5, "1.5", 2, Raw("1e0"), "${NUM}"),
    "cpuset": picked("0-1", "0,2"),
    "depends_on": st.lists(st.sampled_from(SERVICES), max_size=2, unique=True)
    | st.dictionaries(
        st.sampled_from(SERVICES),
        st.builds(
            lambda condition, rest: {"condition": condition} | rest,
            CONDITIONS,
            some(restart=BOOL, required=st.booleans()),
        ),
        max_size=2,
    ),
    "deploy": DEPLOY,
    "develop": some(watch=st.lists(WATCH, max_size=2)),
    "device_cgroup_rules": listed("c 1:3 mr", "a 7:* rmw"),
    "devices": listed(
        "/dev/null",
        "/dev/a:/dev/b",
        "/dev/a:/dev/c:r",
        "vendor.com/class=x",
        {"source": "/dev/q", "target": "/dev/r"},
    ),
    "dns": picked("8.8.8.8", ["8.8.8.8", "1.1.1.1"]),
    "dns_opt": listed("use-vc", "ndots:1"),
    "dns_search": picked("a.example", ["a.example", "b.example"]),
    "domainname": TEXT,
    "entrypoint": COMMAND,
    "environment": pairs(),
    "expose": listed(80, "81", "90-92", "53/udp"),
    "external_links": listed("x", "y:z"),
    "extra_hosts": picked(
        ["a=1.1.1.1", "b:2.2.2.2"], {"a": "3.3.3.3", "c": "::1"}, {"a": ["1.1.1.1", "4.4.4.4"]}
    ),
    "gpus": picked("all", [{"count": 1}], [{"driver": "d", "device_ids": ["0"]}]),
    "group_add": listed("mail", 100, "200"),
    "healthcheck": HEALTH,
    "hostname": TEXT,
    "init": BOOL,
    "ipc": picked("host", "shareable", "service:job"),
    "isolation": picked("default"),
    "labels": pairs(),
    "links": listed("job", "job:redis"),
    "logging": some(
        driver=picked("json-file", "none"), options=st.dictionaries(KEYS, picked("1", 2, None), max_size=2)
    ),
    "mac_address": picked("02:42:ac:11:65:44"),
    "mem_limit": BYTES,
    "mem_reservation": BYTES,
    "mem_swappiness": INTEGER,
    "memswap_limit": picked("1g", -1),
    "models": picked(["llm"], {"llm": {"endpoint_var": "U"}, "tts": None}),
    "network_mode": picked("host", "none", "service:job", "bridge"),
    "networks": st.lists(st.sampled_from(NETWORKS), max_size=2, unique=True)
    | st.dictionaries(st.sampled_from(NETWORKS), st.none() | ATTACHMENT, max_size=2),
    "oom_kill_disable": BOOL,
    "oom_score_adj": picked(-100, "100", "$NUM"),
    "pid": picked("host", "service:job"),
    "pids_limit": picked(-1, 10, "$NUM"),
    "platform": picked("linux/amd64"),
    "ports": st.lists(PORT, max_size=3, unique_by=repr),
    "post_start": st.lists(HOOK, max_size=2),
    "pre_stop": st.lists(HOOK, max_size=1),
    "privileged": BOOL,
    "profiles": st.lists(picked("dev", "test"), max_size=2, unique=True),
    "pull_policy": picked("always", "missing", "never", "build", "daily", "every_2h"),
    "read_only": BOOL,
    "restart": picked("no", Raw("no"), "always", "on-failure:3", "unless-stopped"),
    "runtime": picked("runc"),
    "scale": INTEGER,
    "secrets": listed(reference(SECRETS)),
    "security_opt": listed("no-new-privileges:true", "seccomp=unconfined"),
    "shm_size": BYTES,
    "stdin_open": BOOL,
    "stop_grace_period": DURATION,
    "stop_signal": picked("SIGUSR1", "$SET"),
    "storage_opt": picked({"size": "1G"}),
    "sysctls": picked({"net.core.somaxconn": 1024}, ["net.core.somaxconn=1", "a.b=c"], {"a": "$NUM"}),
    "tmpfs": picked("/run", ["/run", "/tmp:size=1m"]),
    "tty": BOOL,
    "ulimits": some(nofile=ULIMIT, nproc=ULIMIT, core=ULIMIT),
    "use_api_socket": st.just(False),
    "user": TEXT,
    "userns_mode": picked("host"),
    "uts": picked("host"),
    "volumes": st.lists(VOLUME, max_size=3, unique_by=repr),
    "volumes_from": listed("job:ro", "container:x"),
    "working_dir": TEXT,
    "x-note": EXTENSION,
}
# These name the service `job`, which therefore can't have them.
NEEDS_JOB = {"network_mode", "ipc", "pid", "links", "volumes_from"}
NETWORK = some(
    name=TEXT,
    driver=picked("bridge", "macvlan"),
    driver_opts=st.dictionaries(KEYS, picked("v", 5), max_size=2),
    internal=BOOL,
    attachable=BOOL,
    enable_ipv6=BOOL,
    enable_ipv4=BOOL,
    labels=pairs(),
    ipam=some(
        driver=picked("default"),
        config=listed({"subnet": "10.5.0.0/16", "gateway": "10.5.0.1"}, {"subnet": "fd00::/64"}),
    ),
)
VOLUME_DEFINITION = some(
    name=TEXT,
    driver=picked("local"),
    driver_opts=st.dictionaries(KEYS, picked("v", 5), max_size=2),
    labels=pairs(),
)
SECRET = picked({"file": "./f"}, {"environment": "SET"}, {"file": "/abs/f", "name": "n", "labels": ["a=b"]})
CONFIG = picked(
    {"file": "../f"}, {"environment": "NOPE"}, {"content": "a $SET\nb"}, {"content": "x", "name": "$SET"}
)
EXTERNAL = picked({"external": True}, {"external": "true", "name": "real"})
MODEL = some(context_size=picked(10), runtime_flags=listed("--a", "--b=1"), name=picked("n")).map(
    lambda rest: {"model": "ai/m"} | rest
)


@st.composite
def services(draw: st.DrawFn, name: str, *, base: bool) -> dict[str, Any]:
    """Return one service; without `base` it is an override, which needs no image.

    Services depend on later ones only, so that most projects have no cycle.
    """
    known = sorted(set(ATTRIBUTES) - (NEEDS_JOB if name == "job" else set()))
    names = draw(st.lists(st.sampled_from(known), min_size=int(not base), max_size=5, unique=True))
    image = picked("busybox", "img:${NUM}", "r:5000/x@sha256:" + "a" * 64)
    service: dict[str, Any] = {"image": draw(image)} if base else {}
    for attribute in names:
        service[attribute] = draw(ATTRIBUTES[attribute])
    later = SERVICES[SERVICES.index(name) + 1 :]
    if isinstance(wanted := service.get("depends_on"), dict):
        service["depends_on"] = {key: value for key, value in wanted.items() if key in later}
    elif wanted:
        service["depends_on"] = [key for key in wanted if key in later]
    return service


def definitions(names: tuple[str, ...], value: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return a top-level mapping that defines all of `names`."""
    return st.fixed_dictionaries(dict.fromkeys(names, value))


@st.composite
def projects(draw: st.DrawFn) -> dict[str, Any]:
    """Return file name → tree of one random project.

    `a.yaml`, perhaps with an override `b.yaml`, and with files in folders of their own that it includes
    (`inc/c.yaml`) or extends (`ext/d.yaml`).
    """
    base: dict[str, Any] = {"services": {name: draw(services(name, base=True)) for name in SERVICES}}
    if draw(st.booleans()):
        base["name"] = draw(picked("named", "from-$SET"))
    if draw(st.integers(0, 3)) == 0:
        child = draw(services("cache", base=False))
        child["extends"] = draw(picked("web", "db", {"service": "cache"}))
        base["services"]["child"] = child
    base["networks"] = draw(definitions(NETWORKS, st.none() | NETWORK | EXTERNAL))
    base["volumes"] = draw(definitions(VOLUMES, st.none() | VOLUME_DEFINITION | EXTERNAL))
    base["secrets"] = draw(definitions(SECRETS, SECRET | EXTERNAL))
    base["configs"] = draw(definitions(CONFIGS, CONFIG | EXTERNAL))
    base["models"] = draw(definitions(MODELS, MODEL))
    files = {"a.yaml": base}
    if draw(st.integers(0, 3)) == 0:
        base["include"] = [draw(picked("inc/c.yaml", {"path": "inc/c.yaml", "env_file": "inc/e.env"}))]
        files["inc/c.yaml"] = {"services": {"included": draw(services("job", base=True))}}
    if draw(st.integers(0, 3)) == 0:
        far = draw(services("cache", base=False)) | {"extends": {"file": "ext/d.yaml", "service": "base"}}
        base["services"]["far"] = far
        files["ext/d.yaml"] = {"services": {"base": draw(services("job", base=True))}}
    if draw(st.booleans()):
        changed = draw(st.lists(st.sampled_from(SERVICES), max_size=2, unique=True))
        over = {name: draw(services(name, base=False)) for name in changed}
        files["b.yaml"] = {"services": over} | draw(some(**{"x-top": EXTENSION}))
    return files
