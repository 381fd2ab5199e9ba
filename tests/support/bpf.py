"""A machine for classic BPF as seccomp(2) has it: what a filter decides, without a kernel."""

from __future__ import annotations

import struct

INSTRUCTION = struct.Struct("=HBBI")
DATA = struct.Struct("=IIQ6Q")  # struct seccomp_data: number, architecture, instruction pointer, arguments
_WORD = struct.Struct("=I")


def run(program: bytes, audit: int, number: int, arguments: tuple[int, ...] = ()) -> int:
    """Return what the filter returns for one call; the rest of the six arguments are 0."""
    code = list(INSTRUCTION.iter_unpack(program))
    data = DATA.pack(number, audit, 0, *arguments, *(0,) * (6 - len(arguments)))
    accumulator = at = 0
    while True:
        operation, taken, missed, constant = code[at]
        at += 1
        match operation:
            case 0x20:  # ld [k]
                assert constant % 4 == 0
                (accumulator,) = _WORD.unpack_from(data, constant)
            case 0x54:  # and #k
                accumulator &= constant
            case 0x05:  # ja
                at += constant
            case 0x15:  # jeq #k
                at += taken if accumulator == constant else missed
            case 0x25:  # jgt #k
                at += taken if accumulator > constant else missed
            case 0x35:  # jge #k
                at += taken if accumulator >= constant else missed
            case 0x06:  # ret #k
                return constant
            case _:
                raise AssertionError(f"instruction {at - 1}: unknown operation {operation:#x}")
