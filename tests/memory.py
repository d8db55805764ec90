"""What lies in another process's memory, byte by byte, as its owner can read it."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

PIECE = 16
"""Bytes that are looked for together: four numbers of a vector, half of a key. Freed memory is soon
used for something small, so whole secrets seldom stay and pieces do."""
WINDOW = 1 << 24


def found(pid: int, secrets: Mapping[str, bytes]) -> dict[str, int]:
    """How many pieces of each secret lie anywhere in a process's memory; only of those that do."""
    return found_in(_readable(pid), secrets)


def found_in(memories: Iterable[bytes], secrets: Mapping[str, bytes]) -> dict[str, int]:
    """How many pieces of each secret lie in these bytes; only of those that do."""
    pieces = {
        secret[start : start + PIECE]: name
        for name, secret in secrets.items()
        for start in range(0, len(secret) - PIECE + 1, PIECE)
    }
    firsts = np.array([int.from_bytes(piece[:4], "little") for piece in pieces], np.uint32)
    likely = np.zeros(1 << 16, bool)
    likely[firsts & 0xFFFF] = True
    count = dict.fromkeys(secrets, 0)
    for memory in memories:
        if not np.frombuffer(memory, np.uint8).any():
            continue
        for shift in range(4):
            words = np.frombuffer(memory, "<u4", (len(memory) - shift) // 4, shift)
            near = np.flatnonzero(likely[words & 0xFFFF])
            for place in near[np.isin(words[near], firsts)] * 4 + shift:
                name = pieces.get(memory[place : place + PIECE])
                if name is not None:
                    count[name] += 1
    return {name: number for name, number in count.items() if number}


def _readable(pid: int) -> Iterator[bytes]:
    """All readable memory that can hold more than its file, in windows that overlap by a piece."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            area, rights, _offset, _device, inode, *_name = line.split()
            if "r" not in rights or (inode != "0" and "w" not in rights):
                continue
            start, end = (int(number, 16) for number in area.split("-"))
            while start < end:
                try:
                    memory.seek(start)
                    part = memory.read(min(WINDOW, end - start))
                except (OSError, ValueError):
                    break  # the kernel's own pages, or given back since the list was read
                if not part:
                    break
                yield part
                whole = start + len(part) >= end or len(part) <= PIECE
                start += len(part) if whole else len(part) - PIECE
