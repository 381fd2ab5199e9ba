"""The attributes of the compose file format, one row each: what may be written, how it is printed, what else is done.

    key: (type, printed, "phase:rule phase:rule …")

**type** is what the value may be as it is written, alternatives separated by `|`; `required` stands before it:
    string integer number boolean null any    scalars (an integer is a number too)
    'a','b'       one of these strings         @name    a structure of ATTRIBUTES, or an alias of ALIASES
    [T]           list of T                    [T]!     list of T without duplicates
    {T}           mapping of any name → T      {T}!     the same with names out of letters, digits and . _ -
    {T}+          mapping of any name but ""   /RE/     a string that contains a match of RE
    integer:0:100 with limits
**printed** is how `config` prints the canonical value: a word of marshal.py, `=NAME` a structure, `[NAME]` a list and
`{NAME}` a mapping of them; "" is never printed. A trailing `?` keeps a value that would be omitted because it is zero.
The order of the rows is the order of printing: Docker Compose prints structures, so it is part of the format.
**phase:rule** names what a phase of load.py does at this path, by the name that the rule has in the phase's module:
    cast        interpolate.py    what the text becomes after its variables are replaced
    canonical   canonical.py      short form → long form
    merge       merge.py          how a later file changes an earlier one, where it isn't the general rule
    unique      unique.py         what tells the items of a list apart: the last one of each is kept
    paths       paths.py          how a relative path becomes an absolute one
`phase.[]:rule` is for each item of a list, `phase.*:rule` for each value of a mapping.

Compose specification, 04-version-and-name.md to 09-secrets.md, build.md, deploy.md and develop.md; types and printing
are those of Docker Compose 2.40.3. A new row: HACKING.md, "Recipes".
"""

from __future__ import annotations

from functools import cache

Row = tuple[str, ...]

ALIASES = {
    "command": "null|string|[string]",
    "condition": "'service_started','service_healthy','service_completed_successfully'",
    "device_requests": "[@device_request]",
    "env_files": "string|[string|@env_file]",
    "external": "boolean|string|@external_name",
    "hosts": "{string|[string]}+|[string]!",
    "list_or_dict": "{string|number|boolean|null}+|[string]!",
    "mount_type": "'bind','volume','tmpfs','cluster','npipe','image'",
    "options": "{string|number}",
    "provider_options": "{string|number|boolean|[string|number|boolean]}",
    "pull_policy": "/always|never|build|if_not_present|missing|refresh|daily|weekly|every_([0-9]+[wdhms])+/",
    "recursion": "'enabled','disabled','writable','readonly'",
    "string_or_list": "string|[string]!",
    "strings": "[string]!",
    "ulimits": "{integer|string|@ulimit}",
    "watch_action": "'rebuild','sync','restart','sync+restart','sync+exec'",
}

# fmt: off
ATTRIBUTES: dict[str, dict[str, Row]] = {
    "project": {
        "name":                ("string",                   "str"),
        "services":            ("{@service}!",              "{service}"),
        "networks":            ("{@network|null}",          "{network}"),
        "volumes":             ("{@volume|null}!",          "{volume}",   "paths.*:volume"),
        "secrets":             ("{@secret}!",               "{secret}"),
        "configs":             ("{@config}!",               "{config}"),
        "models":              ("{@model}",                 "{model}"),
        "version":             ("string",                   ""),
        "include":             ("[string|@include]",        ""),
    },
    "include": {
        "path":                ("@string_or_list",          ""),
        "env_file":            ("@string_or_list",          ""),
        "project_directory":   ("string",                   ""),
    },
    "service": {
        "profiles":            ("@strings",                 "strs",       "unique:name"),
        "annotations":         ("@list_or_dict",            "mapping",    "merge:pairs unique:name"),
        "attach":              ("boolean|string",           "bool?"),
        "build":               ("string|@build",            "=build",     "canonical:build merge:build"),
        "develop":             ("@develop|null",            "=develop"),
        "blkio_config":        ("@blkio",                   "=blkio"),
        "cap_add":             ("@strings",                 "strs",       "unique:name"),
        "cap_drop":            ("@strings",                 "strs",       "unique:name"),
        "cgroup_parent":       ("string",                   "str"),
        "cgroup":              ("'host','private'",         "str"),
        "cpu_count":           ("string|integer:0:",        "int",        "cast:int"),
        "cpu_percent":         ("string|number:0:100",      "float32",    "cast:float"),
        "cpu_period":          ("number|string",            "int",        "cast:int"),
        "cpu_quota":           ("number|string",            "int",        "cast:int"),
        "cpu_rt_period":       ("number|string",            "int",        "cast:int"),
        "cpu_rt_runtime":      ("number|string",            "int",        "cast:int"),
        "cpus":                ("number|string",            "float32",    "cast:float"),
        "cpuset":              ("string",                   "str"),
        "cpu_shares":          ("number|string",            "int",        "cast:int"),
        "command":             ("@command",                 "command",    "merge:replace"),
        "configs":             ("[string|@file_reference]", "[file_reference]", "canonical.[]:file unique:config"),
        "container_name":      ("/[a-zA-Z0-9][a-zA-Z0-9_.-]+/", "str"),
        "credential_spec":     ("@credential_spec",         "=credential_spec"),
        "depends_on":          ("@strings|{@dependency}!",  "{dependency}", "canonical:depends_on merge:depends_on"),
        "deploy":              ("@deploy|null",             "=deploy"),
        "device_cgroup_rules": ("@strings",                 "strs"),
        "devices":             ("[string|@device]",         "[device]",   "canonical.[]:device unique:device"),
        "dns":                 ("@string_or_list",          "strs",       "canonical:list merge:pairs unique:name"),
        "dns_opt":             ("@strings",                 "strs",       "merge:pairs unique:name"),
        "dns_search":          ("@string_or_list",          "strs",       "canonical:list merge:pairs unique:name"),
        "domainname":          ("string",                   "str"),
        "entrypoint":          ("@command",                 "command",    "merge:replace"),
        "provider":            ("@provider",                "=provider"),
        "environment":         ("@list_or_dict",            "environment", "merge:pairs unique:name"),
        "env_file":            ("@env_files",               "[env_file]", "canonical:env_file merge:pairs unique:path"),
        "expose":              ("[string|number]!",         "strs",       "unique:expose"),
        "extends":             ("string|@extends",          "=extends",   "canonical:extends"),
        "external_links":      ("@strings",                 "strs"),
        "extra_hosts":         ("@hosts",                   "hosts",      "merge:hosts"),
        "group_add":           ("[string|number]!",         "strs"),
        "gpus":                ("'all'|[@gpu]",             "[gpu]",      "canonical:gpus"),
        "hostname":            ("string",                   "str"),
        "healthcheck":         ("@healthcheck",             "=healthcheck"),
        "image":               ("string",                   "str"),
        "init":                ("boolean|string",           "bool?",      "cast:bool"),
        "ipc":                 ("string",                   "str"),
        "isolation":           ("string",                   "str"),
        "labels":              ("@list_or_dict",            "labels",     "merge:pairs unique:name"),
        "label_file":          ("string|[string]",          "strs",       "canonical:list merge:pairs paths.[]:file"),
        "links":               ("@strings",                 "strs",       "unique:name"),
        "logging":             ("@logging",                 "=logging",   "merge:logging"),
        "mem_limit":           ("number|string",            "bytes"),
        "mem_reservation":     ("integer|string",           "bytes"),
        "memswap_limit":       ("number|string",            "swap"),
        "mem_swappiness":      ("integer|string",           "bytes"),
        "mac_address":         ("string",                   "str"),
        "models":              ("@strings|{@service_model|null}", "{service_model}", "canonical:names merge:names"),
        "network_mode":        ("string",                   "str"),
        "networks":            ("@strings|{@endpoint|null}!", "{endpoint}", "canonical:names merge:names"),
        "oom_kill_disable":    ("boolean|string",           "bool",       "cast:bool"),
        "oom_score_adj":       ("string|integer:-1000:1000", "int",        "cast:int"),
        "pid":                 ("string|null",              "str"),
        "pids_limit":          ("number|string",            "int",        "cast:int"),
        "platform":            ("string",                   "str"),
        "ports":               ("[number|string|@port]!",   "[port]",     "canonical:ports unique:port"),
        "privileged":          ("boolean|string",           "bool",       "cast:bool"),
        "pull_policy":         ("@pull_policy",             "str"),
        "read_only":           ("boolean|string",           "bool",       "cast:bool"),
        "restart":             ("string",                   "str"),
        "runtime":             ("string",                   "str"),
        "scale":               ("integer|string",           "int?",       "cast:int"),
        "secrets":             ("[string|@file_reference]", "[file_reference]", "canonical.[]:file unique:secret"),
        "security_opt":        ("@strings",                 "strs"),
        "shm_size":            ("number|string",            "bytes"),
        "stdin_open":          ("boolean|string",           "bool",       "cast:bool"),
        "stop_grace_period":   ("string",                   "duration"),
        "stop_signal":         ("string",                   "str"),
        "storage_opt":         ("{any}",                    "literals"),
        "sysctls":             ("@list_or_dict",            "mapping",    "merge:pairs unique:name"),
        "tmpfs":               ("@string_or_list",          "strs",       "canonical:list merge:pairs unique:name"),
        "tty":                 ("boolean|string",           "bool",       "cast:bool"),
        "ulimits":             ("@ulimits",                 "{ulimit}",   "cast.*:int merge.*:ulimit"),
        "use_api_socket":      ("boolean",                  "bool"),
        "user":                ("string",                   "str"),
        "userns_mode":         ("string",                   "str"),
        "uts":                 ("string",                   "str"),
        "volumes":             ("[string|@mount]!", "[mount]", "canonical.[]:volume unique:volume paths.[]:mount"),
        "volumes_from":        ("@strings",                 "strs"),
        "working_dir":         ("string",                   "str"),
        "pre_start":           ("[@init_hook]",             "[init_hook]"),
        "post_start":          ("[@hook]",                  "[hook]"),
        "pre_stop":            ("[@hook]",                  "[hook]"),
        "pull_refresh_after":  ("string",                   ""),
    },
    "build": {
        "context":             ("string",                   "str",        "paths:context"),
        "dockerfile":          ("string",                   "str"),
        "dockerfile_inline":   ("string",                   "str"),
        "entitlements":        ("[string]",                 "strs"),
        "args":                ("@list_or_dict",            "environment", "merge:pairs unique:name"),
        "provenance":          ("boolean|string",           "str"),
        "sbom":                ("boolean|string",           "str"),
        "ssh":                 ("@list_or_dict",            "ssh",        "canonical:ssh paths.*:host"),
        "labels":              ("@list_or_dict",            "labels",     "merge:pairs unique:name"),
        "cache_from":          ("[string]",                 "strs"),
        "cache_to":            ("[string]",                 "strs"),
        "no_cache":            ("boolean|string",           "bool"),
        "no_cache_filter":     ("@string_or_list",          "strs"),
        "additional_contexts": ("@list_or_dict", "mapping", "canonical:pairs merge:pairs unique:name paths.*:context"),
        "pull":                ("boolean|string",           "bool"),
        "extra_hosts":         ("@hosts",                   "hosts",      "merge:hosts"),
        "isolation":           ("string",                   "str"),
        "network":             ("string",                   "str"),
        "target":              ("string",                   "str"),
        "secrets":             ("[string|@file_reference]", "[file_reference]", "canonical.[]:file"),
        "shm_size":            ("integer|string",           "bytes"),
        "tags":                ("[string]",                 "strs",       "unique:name"),
        "ulimits":             ("@ulimits",                 "{ulimit}"),
        "platforms":           ("[string]",                 "strs"),
        "privileged":          ("boolean|string",           "bool"),
    },
    "blkio": {
        "weight":              ("integer|string",           "uint16"),
        "weight_device":       ("[@blkio_weight]",          "[blkio_weight]"),
        "device_read_bps":     ("[@blkio_limit]",           "[blkio_limit]"),
        "device_read_iops":    ("[@blkio_limit]",           "[blkio_limit]"),
        "device_write_bps":    ("[@blkio_limit]",           "[blkio_limit]"),
        "device_write_iops":   ("[@blkio_limit]",           "[blkio_limit]"),
    },
    "blkio_weight": {
        "path":                ("string",                   "str?"),
        "weight":              ("integer|string",           "uint16?"),
    },
    "blkio_limit": {
        "path":                ("string",                   "str?"),
        "rate":                ("integer|string",           "bytes?"),
    },
    "credential_spec": {
        "config":              ("string",                   "str"),
        "file":                ("string",                   "str"),
        "registry":            ("string",                   "str"),
    },
    "dependency": {
        "condition":           ("required @condition",      "str"),
        "restart":             ("boolean|string",           "bool",       "cast:bool"),
        "required":            ("boolean",                  "bool?",      "cast:bool"),
    },
    "deploy": {
        "mode":                ("string",                   "str"),
        "replicas":            ("integer|string",           "int?",       "cast:int"),
        "labels":              ("@list_or_dict",            "labels",     "merge:pairs unique:name"),
        "update_config":       ("@update_config",           "=update_config"),
        "rollback_config":     ("@update_config",           "=update_config"),
        "resources":           ("@resources",               "=resources"),
        "restart_policy":      ("@restart_policy",          "=restart_policy"),
        "placement":           ("@placement",               "=placement"),
        "endpoint_mode":       ("string",                   "str"),
    },
    "update_config": {
        "parallelism":         ("integer|string",           "uint?",      "cast:int"),
        "delay":               ("string",                   "duration0"),
        "failure_action":      ("string",                   "str"),
        "monitor":             ("string",                   "duration0"),
        "max_failure_ratio":   ("number|string",            "float32",    "cast:float"),
        "order":               ("'start-first','stop-first'", "str"),
    },
    "resources": {
        "limits":              ("@limits",                  "=limits"),
        "reservations":        ("@reservations",            "=reservations"),
    },
    "limits": {
        "cpus":                ("number|string",            "cpus"),
        "memory":              ("string",                   "bytes"),
        "pids":                ("integer|string",           "int"),
    },
    "reservations": {
        "cpus":                ("number|string",            "cpus"),
        "memory":              ("string",                   "bytes"),
        "devices":             ("@device_requests",         "[device_request]"),
        "generic_resources":   ("[@generic_resource]",      "[generic_resource]"),
    },
    "generic_resource": {
        "discrete_resource_spec": ("@discrete",                "=discrete"),
    },
    "discrete": {
        "kind":                ("string",                   "str?"),
        "value":               ("number|string",            "int?"),
    },
    "restart_policy": {
        "condition":           ("string",                   "str"),
        "delay":               ("string",                   "duration"),
        "max_attempts":        ("integer|string",           "uint?",      "cast:int"),
        "window":              ("string",                   "duration"),
    },
    "placement": {
        "constraints":         ("[string]",                 "strs"),
        "preferences":         ("[@preference]",            "[preference]"),
        "max_replicas_per_node": ("integer|string",           "uint",       "cast:int"),
    },
    "preference": {
        "spread":              ("string",                   "str"),
    },
    "develop": {
        "watch":               ("[@watch]",                 "[watch]"),
    },
    "watch": {
        "path":                ("required string",          "str",        "paths:watch"),
        "action":              ("required @watch_action",   "str"),
        "target":              ("string",                   "str"),
        "exec":                ("@hook",                    "=hook"),
        "include":             ("@string_or_list",          "strs",       "canonical:list"),
        "ignore":              ("@string_or_list",          "strs",       "canonical:list"),
        "initial_sync":        ("boolean",                  "bool?"),
    },
    "device": {
        "source":              ("required string",          "str"),
        "target":              ("string",                   "str"),
        "permissions":         ("string",                   "str"),
    },
    "device_request": {
        "capabilities":        ("required @strings",        "strs"),
        "driver":              ("string",                   "str"),
        "count":               ("string|integer",           "count"),
        "device_ids":          ("@strings",                 "strs"),
        "options":             ("@list_or_dict",            "mapping"),
    },
    "gpu": {
        "capabilities":        ("@strings",                 "strs"),
        "driver":              ("string",                   "str"),
        "count":               ("string|integer",           "count"),
        "device_ids":          ("@strings",                 "strs"),
        "options":             ("@list_or_dict",            "mapping"),
    },
    "endpoint": {
        "aliases":             ("@strings",                 "strs",       "unique:name"),
        "driver_opts":         ("@options",                 "options"),
        "gw_priority":         ("number",                   "int"),
        "interface_name":      ("string",                   "str"),
        "ipv4_address":        ("string",                   "str"),
        "ipv6_address":        ("string",                   "str"),
        "link_local_ips":      ("@strings",                 "strs",       "unique:name"),
        "mac_address":         ("string",                   "str"),
        "priority":            ("number",                   "int"),
    },
    "env_file": {
        "path":                ("required string",          "str",        "paths:file"),
        "required":            ("boolean|string",           "bool?"),
        "format":              ("string",                   "str"),
    },
    "extends": {
        "file":                ("string",                   "str",        "paths:file"),
        "service":             ("required string",          "str"),
    },
    "file_reference": {
        "source":              ("string",                   "str"),
        "target":              ("string",                   "str"),
        "uid":                 ("string",                   "str"),
        "gid":                 ("string",                   "str"),
        "mode":                ("number|string",            "octal?"),
    },
    "healthcheck": {
        "test":                ("string|[string]",          "test",       "merge:replace"),
        "timeout":             ("string",                   "duration"),
        "interval":            ("string",                   "duration"),
        "retries":             ("number|string",            "uint?",      "cast:int"),
        "start_period":        ("string",                   "duration"),
        "start_interval":      ("string",                   "duration"),
        "disable":             ("boolean|string",           "bool",       "cast:bool"),
    },
    "hook": {
        "command":             ("required @command",        "command"),
        "user":                ("string",                   "str"),
        "privileged":          ("boolean|string",           "bool"),
        "working_dir":         ("string",                   "str"),
        "environment":         ("@list_or_dict",            "environment"),
    },
    "init_hook": {
        "command":             ("@command",                 "command"),
        "image":               ("string",                   "str"),
        "user":                ("string",                   "str"),
        "privileged":          ("boolean|string",           "bool"),
        "working_dir":         ("string",                   "str"),
        "environment":         ("@list_or_dict",            "environment"),
        "per_replica":         ("boolean|string",           "bool"),
    },
    "logging": {
        "driver":              ("string",                   "str"),
        "options":             ("{string|number|null}",     "options"),
    },
    "mount": {
        "type":                ("required @mount_type",     "str"),
        "source":              ("string",                   "str"),
        "target":              ("string",                   "str"),
        "read_only":           ("boolean|string",           "bool",       "cast:bool"),
        "consistency":         ("string",                   "str"),
        "bind":                ("@mount_bind",              "=mount_bind"),
        "volume":              ("@mount_volume",            "=mount_volume"),
        "tmpfs":               ("@mount_tmpfs",             "=mount_tmpfs"),
        "image":               ("@mount_image",             "=mount_image"),
    },
    "mount_bind": {
        "selinux":             ("'z','Z'",                  "str"),
        "propagation":         ("string",                   "str"),
        "create_host_path":    ("boolean|string",           "bool?"),
        "recursive":           ("@recursion",               "str"),
    },
    "mount_volume": {
        "labels":              ("@list_or_dict",            "mapping"),
        "nocopy":              ("boolean|string",           "bool",       "cast:bool"),
        "subpath":             ("string",                   "str"),
    },
    "mount_tmpfs": {
        "size":                ("string|integer:0:",        "bytes"),
        "mode":                ("number|string",            "uint32"),
    },
    "mount_image": {
        "subpath":             ("string",                   "str"),
    },
    "port": {
        "name":                ("string",                   "str"),
        "mode":                ("string",                   "str"),
        "host_ip":             ("string",                   "str"),
        "target":              ("integer|string",           "uint32",     "cast:int"),
        "published":           ("integer|string",           "str"),
        "protocol":            ("string",                   "str"),
        "app_protocol":        ("string",                   "str"),
    },
    "provider": {
        "type":                ("required string",          "str"),
        "options":             ("@provider_options",        "multi"),
    },
    "service_model": {
        "endpoint_var":        ("string",                   "str"),
        "model_var":           ("string",                   "str"),
    },
    "ulimit": {
        "soft":                ("required integer|string",  "int",        "cast:int"),
        "hard":                ("required integer|string",  "int",        "cast:int"),
    },
    "network": {
        "name":                ("string",                   "str"),
        "driver":              ("string",                   "str"),
        "driver_opts":         ("@options",                 "options"),
        "ipam":                ("@ipam",                    "=ipam"),
        "external":            ("@external",                "bool",       "cast:bool"),
        "internal":            ("boolean|string",           "bool",       "cast:bool"),
        "attachable":          ("boolean|string",           "bool",       "cast:bool"),
        "labels":              ("@list_or_dict",            "labels",     "merge:pairs unique:name"),
        "enable_ipv4":         ("boolean|string",           "bool?",      "cast:bool"),
        "enable_ipv6":         ("boolean|string",           "bool?",      "cast:bool"),
    },
    "ipam": {
        "driver":              ("string",                   "str"),
        "config":              ("[@pool]",                  "[pool]",     "merge:pools"),
        "options":             ("{string}+",                "options",    "unique:name"),
    },
    "pool": {
        "subnet":              ("string",                   "str"),
        "gateway":             ("string",                   "str"),
        "ip_range":            ("string",                   "str"),
        "aux_addresses":       ("{string}+",                "options"),
    },
    "volume": {
        "name":                ("string",                   "str"),
        "driver":              ("string",                   "str"),
        "driver_opts":         ("@options",                 "options"),
        "external":            ("@external",                "bool",       "cast:bool"),
        "labels":              ("@list_or_dict",            "labels",     "merge:pairs"),
    },
    "secret": {
        "name":                ("string",                   "str"),
        "file":                ("string",                   "str",        "paths:host"),
        "environment":         ("string",                   "str"),
        "external":            ("@external",                "bool",       "cast:bool"),
        "labels":              ("@list_or_dict",            "labels"),
        "driver":              ("string",                   "str"),
        "driver_opts":         ("@options",                 "literals"),
        "template_driver":     ("string",                   "str"),
    },
    "config": {
        "name":                ("string",                   "str"),
        "file":                ("string",                   "str",        "paths:host"),
        "environment":         ("string",                   "str"),
        "content":             ("string",                   "str"),
        "external":            ("@external",                "bool",       "cast:bool"),
        "labels":              ("@list_or_dict",            "labels"),
        "template_driver":     ("string",                   "str"),
    },
    "external_name": {
        "name":                ("string",                   ""),
    },
    "model": {
        "name":                ("string",                   "str"),
        "model":               ("required string",          "str"),
        "context_size":        ("integer",                  "int"),
        "runtime_flags":       ("[string]",                 "strs"),
    },
}
# fmt: on

# Structures that take no `x-*` keys, and the one that takes any key.
WITHOUT_EXTENSIONS = frozenset({"blkio", "blkio_limit", "blkio_weight", "env_file", "extends", "include"})
WITH_ANY_KEY = frozenset({"gpu"})

_BELOW = {"=": ".", "[": ".[].", "{": ".*."}


@cache
def rules_by_path() -> dict[str, dict[str, str]]:
    """Return phase → path pattern (`services.*.dns`) → name of the rule."""
    found: dict[str, dict[str, str]] = {}
    todo = [("project", "")]
    while todo:
        structure, prefix = todo.pop()
        for key, (_type, printed, *rules) in ATTRIBUTES[structure].items():
            for rule in rules[0].split() if rules else ():
                place, _, name = rule.partition(":")
                phase, dot, step = place.partition(".")
                found.setdefault(phase, {})[f"{prefix}{key}{dot}{step}"] = name
            if printed[:1] in _BELOW:
                todo.append((printed.strip("=[]{}?"), f"{prefix}{key}{_BELOW[printed[0]]}"))
    return found
