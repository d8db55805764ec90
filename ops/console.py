"""What the commands in `ops/` say at the terminal: timed steps, and one clear sentence on refusal.

Needs only the standard library, because it runs before anything is installed.
"""

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

GIB = 1024**3


class Refusal(Exception):
    """Why a command does not go on: one sentence for a person, with what to do next."""


def note(text: str) -> None:
    """Say something by the way. Goes to stderr: stdout is for what was asked for."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say what is being done while it is done, and how long it took. Goes to stderr."""
    print(f"{text} … ", end="", file=sys.stderr, flush=True)
    started = perf_counter()
    try:
        yield
    except BaseException:
        print("stopped", file=sys.stderr, flush=True)
        raise
    print(f"{perf_counter() - started:.1f} s", file=sys.stderr, flush=True)


@contextmanager
def sentences() -> Iterator[None]:
    """Turn what can go wrong on any machine into one sentence and exit code 1, without a traceback.

    Other exceptions pass: they are faults of ours and their traceback is wanted.
    """
    try:
        yield
    except Refusal as refusal:
        sys.exit(f"\n{refusal}")
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            sys.exit(f"\n{FULL_DISK}")
        if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
            sys.exit(f"\nConsentry may not write here: {error.strerror}: {error.filename}")
        raise


FULL_DISK = "The disk is full. Make room and run the same command again; nothing is lost."


def require_room(folder: Path, *, needed: int) -> None:
    """Refuse unless the disk of `folder` has `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Refusal(
            f"The disk is too full: {folder} has {free / GIB:.1f} GiB free and Consentry needs "
            f"{needed / GIB:.1f} GiB. Make room and run the same command again."
        )


def last_lines(file: Path, *, count: int = 15) -> str:
    """The end of a log, indented for the terminal; empty when there is none."""
    try:
        with file.open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - 8192))
            lines = log.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return ""
    return "\n".join(f"    {line}" for line in lines)
