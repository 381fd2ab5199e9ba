"""Makes engine/seccomp/syscalls.py out of the kernel's headers.

    python -m tests.support.syscall_tables >engine/seccomp/syscalls.py

It needs gcc, linux-libc-dev, linux-libc-dev-arm64-cross and linux-libc-dev-armhf-cross (Debian). What is newer than
those headers stands in NEWER: such a call has one number on every machine.
"""

from __future__ import annotations

import re
import subprocess
import textwrap
from pathlib import Path

# Name of the table → where its headers are, what the compiler has to pretend, the header.
MACHINES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "X86_64": ("/usr/include/x86_64-linux-gnu", (), "asm/unistd_64.h"),
    "X86": ("/usr/include/x86_64-linux-gnu", (), "asm/unistd_32.h"),
    "X32": ("/usr/include/x86_64-linux-gnu", ("-D__X32_SYSCALL_BIT=0",), "asm/unistd_x32.h"),
    "AARCH64": ("/usr/aarch64-linux-gnu/include", ("-U__x86_64__", "-D__aarch64__"), "asm/unistd.h"),
    "ARM": (
        "/usr/arm-linux-gnueabihf/include",
        ("-U__x86_64__", "-D__arm__", "-D__ARM_EABI__"),
        "asm/unistd.h",
    ),
}
# The first call that got the same number everywhere.
FIRST_COMMON = 424
NEWER = {
    451: "cachestat", 452: "fchmodat2", 453: "map_shadow_stack", 454: "futex_wake", 455: "futex_wait",
    456: "futex_requeue", 457: "statmount", 458: "listmount", 459: "lsm_get_self_attr", 460: "lsm_set_self_attr",
    461: "lsm_list_modules", 462: "mseal", 463: "setxattrat", 464: "getxattrat", 465: "listxattrat",
    466: "removexattrat", 467: "open_tree_attr", 468: "file_getattr", 469: "file_setattr", 470: "listns",
    471: "rseq_slice_yield",
}  # fmt: skip
NEWER_ON_X86_64 = {335: "uretprobe", 336: "uprobe"}
# Names in the headers that are no calls.
NO_CALLS = frozenset(
    {"syscalls", "arch_specific_syscall", "SYSCALL_MASK", "SYSCALL_BASE", "OABI_SYSCALL_BASE", "BASE"}
)
TOP = '''\
"""The numbers of the system calls, per machine; made by tests/support/syscall_tables.py, don't edit.

A number stands before the name that has it; the names behind it have the numbers that follow.
"""

# Since Linux 5.1 a call has one number everywhere.
'''


def numbers(name: str) -> dict[str, int]:
    """Return what the headers of a machine say; raises FileNotFoundError, CalledProcessError without them."""
    include, defines, header = MACHINES[name]
    command = ["gcc", "-E", "-nostdinc", f"-I{include}", *defines, "-include", header]
    found = re.findall(r"#define (__(?:ARM_)?NR_(\w+)) ", _preprocessed([*command, "-dM", "-"], ""))
    known = [(macro, call) for macro, call in found if call not in NO_CALLS]
    source = "\n".join(f'"{call}" {macro}' for macro, call in known)
    lines = re.findall(
        r'^"(\w+)" ([0-9a-fx()+ ]+)$', _preprocessed([*command, "-P", "-"], source), re.MULTILINE
    )
    return {call: sum(int(part.strip("() "), 0) for part in value.split("+")) for call, value in lines}


def _preprocessed(command: list[str], source: str) -> str:
    return subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout


def render(table: dict[int, str]) -> str:
    """Return a table as text."""
    words = []
    expected = -1
    for number in sorted(table):
        if number != expected:
            words.append(str(number))
        words.append(table[number])
        expected = number + 1
    return "\n".join(textwrap.wrap(" ".join(words), 108, break_long_words=False, break_on_hyphens=False))


def by_number(table: dict[str, int]) -> dict[int, str]:
    """Return a table by number; of two names for one number the one that belongs to the machine wins."""
    return {
        number: name for name, number in sorted(table.items(), key=lambda item: item[0].startswith("arm_"))
    }


def main() -> None:
    """Print the module."""
    tables = {name: by_number(numbers(name)) for name in MACHINES}
    tables["X86_64"] |= NEWER_ON_X86_64
    tables["X32"] |= NEWER_ON_X86_64
    common = {number: name for number, name in tables["X86_64"].items() if number >= FIRST_COMMON} | NEWER
    print(f'{TOP}COMMON = """\n{render(common)}\n"""')
    for name, table in tables.items():
        own = {number: call for number, call in table.items() if common.get(number) != call}
        print(f'{name} = """\n{render(own)}\n"""')


if __name__ == "__main__":
    assert Path("/usr/aarch64-linux-gnu/include/asm/unistd.h").exists(), "needs linux-libc-dev-arm64-cross"
    main()
