"""What the attributes of a service make of it, seen from inside.

One project has one service per row: it starts, prints what it sees, and ends.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.scene import Scene

OUTSIDE = {"FROM_OUTSIDE": "passed through", "SECRET_FROM_OUTSIDE": "hush", "CONFIG_FROM_OUTSIDE": "words"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """`service` runs `script` (or, without one, what it says itself), and prints what matches `sees`."""

    must: str
    sees: str
    script: str = ""
    service: dict[str, Any] = field(default_factory=dict)
    difference: str = ""  # of the list, when Docker sees `docker` instead
    docker: str = ""
    bug: str = ""  # of pycompose, until it is fixed


def cgroup(one: str, two: str) -> str:
    """Return the script that prints a limit of cgroup v1 or v2."""
    return f"cat /sys/fs/cgroup/{one} 2>/dev/null || cat /sys/fs/cgroup/{two}"


ROWS: dict[str, Row] = {
    # -- process
    "environment": Row(
        must="variables of `environment` must be set, spaces and all",
        service={"environment": {"A": "1", "B": "two words", "EMPTY": ""}},
        script='echo "$A-$B-${EMPTY-unset}"',
        sees="1-two words-",
    ),
    "environment-outside": Row(
        must="a variable without a value must come from outside, and not exist when it doesn't there",
        service={"environment": ["FROM_OUTSIDE", "NOT_OUTSIDE"]},
        script='echo "$FROM_OUTSIDE-${NOT_OUTSIDE-unset}"',
        sees="passed through-unset",
    ),
    "env-file": Row(
        must="later files of `env_file` must win, and `environment` must beat them all",
        service={"env_file": ["one.env", "two.env"], "environment": {"C": "service"}},
        script='echo "$A $B $C"',
        sees="one two service",
    ),
    "env-file-raw": Row(
        must="`format: raw` must take what follows the = as it is",
        service={"env_file": [{"path": "raw.env", "format": "raw"}]},
        script='echo "$RAW"',
        sees="'quoted' \\$HOME # no comment",
    ),
    "env-file-optional": Row(
        must="a missing file that isn't required must not matter",
        service={"env_file": [{"path": "no.env", "required": False}]},
        script="echo fine",
        sees="fine",
    ),
    "defaults": Row(
        must="HOME and PATH must be there without asking",
        script='echo "$HOME $PATH"',
        sees="/root /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    "hostname-default": Row(
        must="the host name must be the short id, in HOSTNAME too",
        script='hostname; test "$(hostname)" = "$HOSTNAME" && echo same',
        sees="[0-9a-f]{12}\nsame",
    ),
    "hostname": Row(
        must="`hostname` and `domainname` must be seen by programs",
        service={"hostname": "box", "domainname": "example.org"},
        script="hostname; cat /etc/hostname; cat /proc/sys/kernel/domainname; grep -c 'box.example.org box' /etc/hosts",
        sees="box\nbox\nexample.org\n1",
    ),
    "user-number": Row(
        must="a numeric user must get its group from the image's passwd",
        service={"user": "1000"},
        script="id -u; id -g",
        sees="1000\n1000",
    ),
    "user-name": Row(
        must="a user by name must have its home, and its groups from the image",
        service={"user": "app"},
        script="id -u; id -G; echo $HOME",
        sees="1000\n1000 1001\n/home/app",
    ),
    "user-and-group": Row(
        must="`user: 1000:www` must set both",
        service={"user": "1000:www"},
        script="id -u; id -g",
        sees="1000\n1001",
    ),
    "user-unknown-number": Row(
        must="a number that the image doesn't know must run with group 0",
        service={"user": "4321"},
        script="id -u; id -g; echo $HOME",
        sees="4321\n0\n/",
    ),
    "group-add": Row(
        must="`group_add` must add groups by name and number",
        service={"group_add": ["www", 777]},
        script="id -G",
        sees="0 777 1001|0 1001 777",
    ),
    "working-dir": Row(
        must="`working_dir` must be made when it's missing",
        service={"working_dir": "/not/there/yet"},
        script="pwd",
        sees="/not/there/yet",
    ),
    "entrypoint-list": Row(
        must="the command must be the arguments of the entrypoint",
        service={"entrypoint": ["echo", "first"], "command": ["second", "third word"]},
        sees="first second third word",
    ),
    "entrypoint-string": Row(
        must="an entrypoint as a string must be split like a shell does, and not be run by one",
        service={"entrypoint": "echo 'a b' $$HOME"},
        sees=r"a b \$HOME",
    ),
    "command-string": Row(
        must="a command as a string must be split like a shell does",
        service={"command": "echo \"one  two\" 'three' four\\ five"},
        sees="one  two three four five",
    ),
    "init": Row(
        must="`init: true` must put another process before the service's",
        service={"init": True},
        script='test $$ -ne 1 && echo "not 1"',
        sees="not 1",
    ),
    "no-init": Row(must="without `init` the service must be process 1", script="echo $$", sees="1"),
    "tty": Row(
        must="`tty: true` must give it a terminal, and say so in TERM",
        service={"tty": True},
        script='test -t 0 && test -t 1 && test -t 2 && echo "terminal $TERM"',
        sees="terminal xterm",
    ),
    "no-tty": Row(
        must="without `tty` and `stdin_open` the input must be at its end, and no terminal",
        script='cat; test -t 1 || echo "none ${TERM-unset}"',
        sees="none unset",
    ),
    "ulimits": Row(
        must="`ulimits` must set soft and hard limits",
        service={"ulimits": {"nofile": {"soft": 1000, "hard": 2000}, "core": 0}},
        script="ulimit -Sn; ulimit -Hn; ulimit -Hc",
        sees="1000\n2000\n0",
    ),
    "umask": Row(must="the umask must be 0022", script="umask", sees="0022"),
    "oom-score-adj": Row(
        must="`oom_score_adj` must be handed to the kernel",
        service={"oom_score_adj": 345},
        script="cat /proc/self/oom_score_adj",
        sees="345",
    ),
    # -- rights
    "capabilities": Row(
        must="the capabilities must be Docker's fourteen",
        script="grep CapEff /proc/self/status",
        sees="CapEff:\t00000000a80425fb",
    ),
    "cap-add": Row(
        must="`cap_add` must add to them",
        service={"cap_add": ["NET_ADMIN"]},
        script="grep -E 'CapEff|CapBnd' /proc/self/status",
        sees="CapEff:\t00000000a80435fb\nCapBnd:\t00000000a80435fb",
    ),
    "cap-drop": Row(
        must="`cap_drop: [ALL]` with `cap_add` must leave just those",
        service={"cap_drop": ["ALL"], "cap_add": ["CHOWN"]},
        script="grep CapEff /proc/self/status",
        sees="CapEff:\t0000000000000001",
    ),
    "cap-user": Row(
        must="another user than root must have no effective capabilities",
        service={"user": "app"},
        script="grep CapEff /proc/self/status",
        sees="CapEff:\t0000000000000000",
    ),
    "privileged": Row(
        must="`privileged` must have all capabilities, no filter, and a writable /proc/sys",
        service={"privileged": True},
        script="grep CapEff /proc/self/status; grep Seccomp: /proc/self/status; test -w /proc/sys/kernel && echo w",
        sees="CapEff:\t0000[0-9a-f]{2}fff[ef]ffffff\nSeccomp:\t0\nw",
    ),
    "seccomp": Row(
        must="system calls must be filtered",
        script="grep Seccomp: /proc/self/status",
        sees="Seccomp:\t2",
    ),
    "seccomp-unconfined": Row(
        must="`seccomp:unconfined` must switch the filter off",
        service={"security_opt": ["seccomp:unconfined"]},
        script="grep Seccomp: /proc/self/status",
        sees="Seccomp:\t0",
    ),
    **{
        f"no-new-privileges-{number}": Row(
            must=f"`{option}` must mean what it does to Docker",
            service={"security_opt": [option]},
            script="grep NoNewPrivs /proc/self/status",
            sees=f"NoNewPrivs:\t{sees}",
        )
        for number, (option, sees) in enumerate(
            (
                ("no-new-privileges:1", 1),
                ("no-new-privileges=T", 1),
                ("no-new-privileges:True", 1),
                ("no-new-privileges", 1),
                ("no-new-privileges=False", 0),
                ("no-new-privileges:f", 0),
            )
        )
    },
    "seccomp-file": Row(
        must="a profile must be read relative to the project, and hold",
        service={"security_opt": ["seccomp=no-mkdir.json"]},
        script="mkdir /made 2>&1; touch /touched && grep Seccomp: /proc/self/status",
        sees="mkdir: can't create directory '/made': No space left on device\nSeccomp:\t2",
    ),
    "seccomp-capability": Row(
        must="a capability must bring the calls that it is for",
        service={"cap_add": ["SYS_ADMIN"]},
        script="mount -t tmpfs none /srv && unshare --uts hostname fine && echo fine; grep Seccomp: /proc/self/status",
        sees="fine\nSeccomp:\t2",
    ),
    "seccomp-namespaces": Row(
        must="new namespaces, keys and mounts must be refused",
        script="unshare -U true 2>&1; unshare -n true 2>&1; true",
        sees="unshare: unshare\\(0x10000000\\): Operation not permitted\n"
        "unshare: unshare\\(0x40000000\\): Operation not permitted",
    ),
    "seccomp-privileged": Row(
        must="a profile of one's own must hold in a privileged container too",
        service={"privileged": True, "security_opt": ["seccomp=no-mkdir.json"]},
        script="mkdir /made; grep Seccomp: /proc/self/status",
        sees="mkdir: can't create directory '/made': No space left on device\nSeccomp:\t2",
        difference="seccomp-privileged",
        docker="Seccomp:\t0",
    ),
    "no-new-privileges": Row(
        must="`no-new-privileges:true` must reach the kernel",
        service={"security_opt": ["no-new-privileges:true"]},
        script="grep NoNewPrivs /proc/self/status",
        sees="NoNewPrivs:\t1",
    ),
    "masked": Row(
        must="what tells about the machine must be hidden, and /proc/sys must be read-only",
        script="cat /proc/timer_list | wc -c; ls /proc/acpi | wc -l;"
        " (echo x >/proc/sys/kernel/domainname) 2>/dev/null || echo read-only",
        sees="0\n0\nread-only",
    ),
    "sysctls": Row(
        must="`sysctls` must hold in the service's namespaces",
        service={"sysctls": {"net.ipv4.ip_unprivileged_port_start": "77", "kernel.msgmax": 65000}},
        script="cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax",
        sees="77\n65000",
    ),
    "pid-host": Row(
        must="`pid: host` must make it one of the machine's processes",
        service={"pid": "host"},
        script="test $$ -ne 1 && grep -c . /proc/1/comm",
        sees="1",
    ),
    "modes-host": Row(
        must="`ipc`, `uts` and `userns_mode` of the host must be those of the machine's first process",
        service={"pid": "host", "ipc": "host", "uts": "host", "userns_mode": "host", "privileged": True},
        script="for n in ipc uts user;"
        ' do test "$(readlink /proc/1/ns/$n)" = "$(readlink /proc/self/ns/$n)" && echo $n; done',
        sees="ipc\nuts\nuser",
    ),
    "ipc-none": Row(
        must="`ipc: none` must have no shared memory",
        service={"ipc": "none"},
        script="grep -c ' /dev/shm ' /proc/mounts; true",
        sees="0",
    ),
    "ipc-private": Row(
        must="`ipc: private` and `shareable` must have shared memory of their own",
        service={"ipc": "shareable"},
        script="grep -c ' /dev/shm ' /proc/mounts",
        sees="1",
    ),
    "systempaths": Row(
        must="`systempaths=unconfined` must leave /proc/sys writable",
        service={"security_opt": ["systempaths=unconfined"]},
        script="test -w /proc/sys/kernel/domainname && grep -c ' /proc/sys ' /proc/mounts; true",
        sees="0",
    ),
    "device-rule": Row(
        must="`device_cgroup_rules` must allow devices by number: this one has no driver, and others are refused",
        service={"device_cgroup_rules": ["c 250:* r"]},
        script="mknod /allowed c 250 77; mknod /not c 251 77; cat /allowed /not 2>&1 | sed 's/.*: //'",
        sees="No such device or address\nOperation not permitted",
    ),
    "devices": Row(
        must="`devices` must appear under their new name, with the asked rights",
        service={"devices": ["/dev/null:/dev/nothing:rw"]},
        script="test -c /dev/nothing && echo x >/dev/nothing && echo fine",
        sees="fine",
    ),
    # -- limits
    "memory": Row(
        must="`mem_limit` must be set on the control group",
        service={"mem_limit": "64m"},
        script=cgroup("memory/memory.limit_in_bytes", "memory.max"),
        sees="67108864",
    ),
    "memory-deploy": Row(
        must="`deploy.resources.limits` must be the same as the short attributes",
        service={"deploy": {"resources": {"limits": {"memory": "32M", "pids": 50}}}},
        script=cgroup("memory/memory.limit_in_bytes", "memory.max")
        + "; "
        + cgroup("pids/pids.max", "pids.max"),
        sees="33554432\n50",
    ),
    "pids": Row(
        must="`pids_limit` must be set on the control group",
        service={"pids_limit": 33},
        script=cgroup("pids/pids.max", "pids.max"),
        sees="33",
    ),
    "cpus": Row(
        must="`cpus: 0.5` must be half of the period",
        service={"cpus": 0.5},
        script=cgroup("cpu/cpu.cfs_quota_us", "cpu.max"),
        sees="50000( 100000)?",
    ),
    "cpu-quota": Row(
        must="`cpu_quota` and `cpu_period` must be set on the control group",
        service={"cpu_quota": 30000, "cpu_period": 60000},
        script="cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us 2>/dev/null"
        " || tr ' ' '\\n' </sys/fs/cgroup/cpu.max",
        sees="30000\n60000",
    ),
    "cpu-shares": Row(
        must="`cpu_shares` must be set on the control group",
        service={"cpu_shares": 512},
        script=cgroup("cpu/cpu.shares", "cpu.weight"),
        sees="512|59|20",
    ),
    "memory-soft": Row(
        must="`mem_reservation` must be the soft limit",
        service={"mem_limit": "64m", "mem_reservation": "32m"},
        script=cgroup("memory/memory.soft_limit_in_bytes", "memory.low"),
        sees="33554432",
    ),
    "memory-reserved": Row(
        must="`deploy.resources.reservations.memory` must be the soft limit, too",
        service={"deploy": {"resources": {"reservations": {"memory": "16M"}}}},
        script=cgroup("memory/memory.soft_limit_in_bytes", "memory.low"),
        sees="16777216",
    ),
    "memory-swap": Row(
        must="`memswap_limit` must bound memory and swap together",
        service={"mem_limit": "64m", "memswap_limit": "96m"},
        script=cgroup("memory/memory.memsw.limit_in_bytes", "memory.swap.max"),
        sees="100663296|33554432",
    ),
    "memory-swappiness": Row(
        must="`mem_swappiness` must be set where the kernel has it",
        service={"mem_swappiness": 10},
        script="cat /sys/fs/cgroup/memory/memory.swappiness 2>/dev/null || echo 10",
        sees="10",
    ),
    "oom-kill-disable": Row(
        must="`oom_kill_disable` must be set where the kernel has it",
        service={"oom_kill_disable": True, "mem_limit": "64m"},
        script="grep -w oom_kill_disable /sys/fs/cgroup/memory/memory.oom_control 2>/dev/null"
        " || echo oom_kill_disable 1",
        sees="oom_kill_disable 1",
    ),
    "cpus-deploy": Row(
        must="`deploy.resources.limits.cpus` must be the same as `cpus`",
        service={"deploy": {"resources": {"limits": {"cpus": "0.25"}}}},
        script=cgroup("cpu/cpu.cfs_quota_us", "cpu.max"),
        sees="25000( 100000)?",
    ),
    "cgroup-private": Row(
        must="`cgroup: private` must make its group the root of what it sees",
        service={"cgroup": "private"},
        script="grep -cv ':/$' /proc/self/cgroup; true",
        sees="0",
    ),
    "cgroup-host": Row(
        must="`cgroup: host` must show the groups of the machine",
        service={"cgroup": "host"},
        script="grep -qv ':/$' /proc/self/cgroup && echo outside",
        sees="outside",
    ),
    "cgroup-parent": Row(
        must="`cgroup_parent` must be above its group",
        service={"cgroup": "host", "cgroup_parent": "PROJECT-above"},
        script="grep -q 'PROJECT-above/' /proc/self/cgroup && echo below",
        sees="below",
    ),
    "cpuset": Row(
        must="`cpuset` must bind to the processor",
        service={"cpuset": "0"},
        script="grep Cpus_allowed_list /proc/self/status",
        sees="Cpus_allowed_list:\t0",
    ),
    "shm-size": Row(
        must="`shm_size` must be the size of /dev/shm",
        service={"shm_size": "8m"},
        script="df -k /dev/shm | awk 'END {print $2}'",
        sees="8192",
    ),
    "shm-default": Row(
        must="/dev/shm must have 64 MiB otherwise",
        script="df -k /dev/shm | awk 'END {print $2}'",
        sees="65536",
    ),
    # -- files
    "read-only": Row(
        must="`read_only` must refuse to write, but for volumes and tmpfs",
        service={"read_only": True, "tmpfs": ["/t"], "volumes": ["data:/data"]},
        script="touch /x 2>&1 | grep -c Read-only; touch /t/x && touch /data/ro && echo fine",
        sees="1\nfine",
    ),
    "tmpfs": Row(
        must="options of `tmpfs` must hold",
        service={"tmpfs": ["/t:size=1m,mode=700"]},
        script="df -k /t | awk 'END {print $2}'; stat -c %a /t",
        sees="1024\n700",
    ),
    "tmpfs-times": Row(
        must="options of a mount must be those of mount(8)",
        service={"tmpfs": ["/t:nodiratime,norelatime,defaults"]},
        script="grep -o 'nodiratime' /proc/mounts | sort -u",
        sees="nodiratime",
    ),
    "tmpfs-long": Row(
        must="a volume of type tmpfs must have its size and mode",
        service={
            "volumes": [{"type": "tmpfs", "target": "/t", "tmpfs": {"size": "2m", "mode": 0o1770}}],
        },
        script="df -k /t | awk 'END {print $2}'; stat -c %a /t",
        sees="2048\n1770",
    ),
    "volume-copy": Row(
        must="a new named volume must get what the image has at that place",
        service={"volumes": ["fresh:/etc"]},
        script="grep -c ^app: /etc/passwd",
        sees="1",
    ),
    "volume-nocopy": Row(
        must="`nocopy` must leave it empty",
        service={
            "volumes": [{"type": "volume", "source": "empty", "target": "/srv2", "volume": {"nocopy": True}}]
        },
        script="ls /srv2 | wc -l",
        sees="0",
    ),
    "volume-read-only": Row(
        must="`:ro` must refuse to write into a volume",
        service={"volumes": ["data:/data:ro"]},
        script="touch /data/x 2>&1 | grep -c Read-only",
        sees="1",
    ),
    "bind": Row(
        must="a folder of the project must be seen, and written through",
        service={"volumes": ["./shared:/shared"]},
        script="cat /shared/in; echo written >/shared/out",
        sees="from the project",
    ),
    "bind-file": Row(
        must="one file must be mounted over one of the image",
        service={"volumes": ["./shared/in:/etc/group:ro"]},
        script="cat /etc/group; (echo x >/etc/group) 2>&1 | grep -c Read-only",
        sees="from the project\n1",
    ),
    "bind-made": Row(
        must="a missing folder of the short form must be made",
        service={"volumes": ["./made/for/it:/made"]},
        script="test -d /made && echo made",
        sees="made",
    ),
    "bind-nested": Row(
        must="mounts below mounts must all be seen, whatever their order in the file",
        service={"volumes": ["./shared/in:/a/b/in", "./shared:/a", "data:/a/b"]},
        script="cat /a/b/in; test -e /a/in && echo outer",
        sees="from the project\nouter",
    ),
    "config-content": Row(
        must="a config of `content` must stand at /NAME",
        service={"configs": ["inline"]},
        script="cat /inline; echo",
        sees="inline text",
    ),
    "config-file": Row(
        must="a config of a file must stand at its target",
        service={"configs": [{"source": "file", "target": "/etc/app/file.conf"}]},
        script="cat /etc/app/file.conf",
        sees="from the project",
    ),
    "config-environment": Row(
        must="a config of a variable must have its value",
        service={"configs": [{"source": "variable", "target": "/variable"}]},
        script="cat /variable; echo",
        sees="words",
    ),
    "secret-file": Row(
        must="a secret of a file must stand in /run/secrets",
        service={"secrets": ["file"]},
        script="cat /run/secrets/file",
        sees="from the project",
    ),
    "secret-environment": Row(
        must="a secret of a variable must have its value, under its target's name",
        service={"secrets": [{"source": "variable", "target": "renamed"}]},
        script="cat /run/secrets/renamed; echo",
        sees="hush",
    ),
    "secret-absolute": Row(
        must="a secret with an absolute target must stand there",
        service={"secrets": [{"source": "variable", "target": "/srv/secret"}]},
        script="cat /srv/secret; echo",
        sees="hush",
    ),
    "secret-owner": Row(
        must="owner and mode of a secret must be as asked",
        service={"secrets": [{"source": "file", "target": "s", "uid": "1000", "gid": "1001", "mode": 0o440}]},
        script="stat -c '%u:%g %a' /run/secrets/s",
        sees="1000:1001 440",
        difference="secret-owner",
        docker="0:0 644",
    ),
    "secret-variable-owner": Row(
        must="owner and mode of a secret from a variable must be as asked",
        service={
            "secrets": [{"source": "variable", "target": "s", "uid": "1000", "gid": "1001", "mode": 0o440}]
        },
        script="stat -c '%u:%g %a' /run/secrets/s",
        sees="1000:1001 440",
    ),
    "config-owner": Row(
        must="owner and mode of a config must be as asked",
        service={
            "configs": [{"source": "inline", "target": "/c", "uid": "1000", "gid": "1001", "mode": 0o400}]
        },
        script="stat -c '%u:%g %a' /c",
        sees="1000:1001 400",
    ),
    # -- network
    "extra-hosts": Row(
        must="`extra_hosts` must stand in /etc/hosts",
        service={"extra_hosts": ["far.example=10.1.2.3", "old.example:10.1.2.4"]},
        script="grep -E 'far|old' /etc/hosts",
        sees="10.1.2.3\tfar.example\n10.1.2.4\told.example|10.1.2.4\told.example\n10.1.2.3\tfar.example",
    ),
    "host-gateway": Row(
        must="`host-gateway` must become an address",
        service={"extra_hosts": ["host.docker.internal:host-gateway"]},
        script="grep host.docker.internal /etc/hosts",
        sees=r"[0-9.]+\thost.docker.internal",
    ),
    "dns": Row(
        must="`dns_search` and `dns_opt` must stand in resolv.conf, and the engine's own server",
        service={"dns": ["192.0.2.53"], "dns_search": ["a.example", "b.example"], "dns_opt": ["ndots:3"]},
        script="grep -E '^(search|nameserver)' /etc/resolv.conf; grep -o ndots:3 /etc/resolv.conf",
        sees="(nameserver 127.0.0.11\nsearch a.example b.example"
        "|search a.example b.example\nnameserver 127.0.0.11)\nndots:3",
    ),
    "dns-without-network": Row(
        must="`dns` must be used as it is where no network of the engine is",
        service={"dns": ["192.0.2.53"], "network_mode": "none"},
        script="grep ^nameserver /etc/resolv.conf",
        sees="nameserver 192.0.2.53",
    ),
    "hosts-own": Row(
        must="the own host name must be in /etc/hosts with the own address",
        script='set -- $(grep "$(hostname)" /etc/hosts); echo $#; ip -4 -o addr show eth0 | grep -c "$1/"',
        sees="2\n1",
    ),
    "mac": Row(
        must="`mac_address` must be the interface's",
        service={"mac_address": "02:42:ac:11:65:43"},
        script="cat /sys/class/net/eth0/address",
        sees="02:42:ac:11:65:43",
    ),
    "network-none": Row(
        must="`network_mode: none` must have the loopback only",
        service={"network_mode": "none"},
        script="ls /sys/class/net; ip -4 -o addr | wc -l",
        sees="lo\n1",
    ),
    "interface": Row(
        must="a network must be eth0 with a default route",
        script="ls /sys/class/net | tr '\\n' ' '; ip route | grep -c ^default",
        sees="eth0 lo 1",
    ),
}
NO_MKDIR = """\
{
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]
}
"""
TOP = {
    "volumes": {"data": {}, "fresh": {}, "empty": {}},
    "configs": {
        "inline": {"content": "inline text"},
        "file": {"file": "./shared/in"},
        "variable": {"environment": "CONFIG_FROM_OUTSIDE"},
    },
    "secrets": {"file": {"file": "./shared/in"}, "variable": {"environment": "SECRET_FROM_OUTSIDE"}},
}


def compose_file() -> str:
    """Return the project with one service per row."""
    services = {}
    for name, row in ROWS.items():
        command = {"command": ["sh", "-c", row.script.replace("$", "$$")]} if row.script else {}
        services[name] = {"image": "busybox", **command, **row.service}
    return json.dumps({"services": services, **TOP}, indent=1)


@pytest.fixture(scope="class")
def seen(stage: Scene) -> dict[str, str]:
    """Run the project to its end; return what each service has printed."""
    stage.file("one.env", "A=one\nB=one\nC=one\n")
    stage.file("two.env", "B=two\nC=two\n")
    stage.file("raw.env", "RAW='quoted' $HOME # no comment\n")
    stage.file("shared/in", "from the project\n")
    stage.file("no-mkdir.json", NO_MKDIR)
    stage.file("compose.yaml", compose_file())
    stage.compose("up", "-d", env=OUTSIDE, code=None, timeout_s=120)
    stage.eventually(lambda: set(stage.states().values()) == {"exited"})
    printed: dict[str, list[str]] = {}
    for line in stage.compose("logs", "--no-color", env=OUTSIDE).stdout.splitlines():
        name, separator, text = line.partition(" | ")
        if not separator:
            name, _separator, text = line.partition(" |")
        printed.setdefault(name.strip().rpartition("-")[0], []).append(text.rstrip("\r"))
    return {name: "\n".join(lines) for name, lines in printed.items()}


class TestInside:
    """All rows of one project."""

    @pytest.mark.parametrize(
        "name",
        [
            pytest.param(name, marks=pytest.mark.bug(row.bug)) if row.bug else name
            for name, row in ROWS.items()
        ],
    )
    def test_row(self, stage: Scene, seen: dict[str, str], name: str) -> None:
        """A service must see what its row says; the row has the sentence."""
        row = ROWS[name]
        wanted = row.sees
        if row.difference:
            wanted = stage.differs(row.difference, docker=row.docker, pycompose=row.sees)
        said = seen.get(name, "")

        assert re.fullmatch(wanted, said), f"{row.must}: saw {said!r}, not {wanted!r}"

    def test_bind_is_written_through(self, stage: Scene, seen: dict[str, str]) -> None:
        """What a service writes into a folder of the project must be there."""
        assert stage.read("shared/out") == "written\n", seen["bind"]

    def test_nobody_failed(self, stage: Scene, seen: dict[str, str]) -> None:
        """Every service of the project must have ended with 0."""
        codes = {item.service: item.exit_code for item in stage.containers() if item.exit_code}

        assert not codes
