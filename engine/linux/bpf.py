"""Bpf(2), the two commands that a device filter of a control group needs."""

from __future__ import annotations

import ctypes

from pycompose.engine.linux.libc import syscall

BPF_PROG_LOAD = 5
BPF_PROG_ATTACH = 8
BPF_PROG_TYPE_CGROUP_DEVICE = 15
BPF_CGROUP_DEVICE = 6
BPF_F_ALLOW_MULTI = 2
INSTRUCTION_BYTES = 8


class _Load(ctypes.Structure):
    """The beginning of union bpf_attr for BPF_PROG_LOAD."""

    _fields_ = (
        ("prog_type", ctypes.c_uint32),
        ("insn_cnt", ctypes.c_uint32),
        ("insns", ctypes.c_uint64),
        ("license", ctypes.c_uint64),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_uint64),
        ("kern_version", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
    )


class _Attach(ctypes.Structure):
    """The beginning of union bpf_attr for BPF_PROG_ATTACH."""

    _fields_ = (
        ("target_fd", ctypes.c_uint32),
        ("attach_bpf_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("attach_flags", ctypes.c_uint32),
    )


def load_device_program(instructions: bytes) -> int:
    """Return a descriptor of the loaded program; raises OSError (EINVAL, EACCES: the verifier)."""
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    attributes = _Load(
        prog_type=BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt=len(instructions) // INSTRUCTION_BYTES,
        insns=ctypes.addressof(code),
        license=ctypes.addressof(licence),
    )
    return syscall("bpf", BPF_PROG_LOAD, ctypes.byref(attributes), ctypes.sizeof(attributes))


def attach_device_program(cgroup_fd: int, program_fd: int) -> None:
    """Attach a program to a cgroup2 directory; it lives as long as the group. Raises OSError."""
    attributes = _Attach(
        target_fd=cgroup_fd,
        attach_bpf_fd=program_fd,
        attach_type=BPF_CGROUP_DEVICE,
        attach_flags=BPF_F_ALLOW_MULTI,
    )
    syscall("bpf", BPF_PROG_ATTACH, ctypes.byref(attributes), ctypes.sizeof(attributes))
