"""Look for a face in everything that is kept: tables, Redis, files, logs."""

import base64
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from apps.stores.devices import live_events

PIECE = 24


class Traces:
    """Pieces of pictures, crops and vectors, as bytes, hexadecimal and base64."""

    def __init__(
        self, photos: Iterable[bytes], crops: NDArray[np.uint8], vectors: NDArray[np.float32]
    ) -> None:
        self._pieces: list[bytes] = []
        for photo in photos:
            self._add(photo)
            self._pieces += _varied(base64.b64encode(photo), 2 * PIECE)
        for crop in crops:
            self._add(crop.tobytes())
        for vector in vectors:
            self._add(vector.tobytes())

    def _add(self, secret: bytes) -> None:
        for piece in _varied(secret, PIECE):
            self._pieces += [piece, piece.hex().encode()]

    def within(self, data: bytes) -> bool:
        return any(piece in data for piece in self._pieces)

    def in_database(self) -> Iterator[str]:
        """Names of tables that hold any of it. PostgreSQL writes bytes as hexadecimal."""
        with connection.cursor() as cursor:
            cursor.execute(
                """SELECT n.nspname, c.relname FROM pg_class c
                     JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE c.relkind IN ('r', 'p', 'm')
                      AND n.nspname NOT IN ('information_schema', 'pg_catalog')
                   UNION ALL VALUES ('pg_catalog', 'pg_largeobject_metadata')"""
            )
            for schema, table in cursor.fetchall():
                cursor.execute(f'SELECT t::text FROM "{schema}"."{table}" t')  # noqa: S608
                if self.within("\n".join(row for (row,) in cursor.fetchall()).encode()):
                    yield table

    def in_redis(self) -> Iterator[str]:
        redis = live_events()
        for key in redis.scan_iter():
            value = redis.get(key) if redis.type(key) == b"string" else redis.dump(key)
            if self.within(key + b"\n" + (value or b"")):
                yield key.decode(errors="replace")

    def in_files(self, folder: Path) -> Iterator[str]:
        """The database's own files and its write-ahead log are among them."""
        for path in folder.rglob("*"):
            # PostgreSQL removes files of its own at any moment.
            with suppress(FileNotFoundError):
                if path.is_file() and self.within(path.read_bytes()):
                    yield path.name


def _varied(secret: bytes, size: int) -> list[bytes]:
    """A few pieces from all over; an even one could come from anywhere."""
    starts = range(size, len(secret) - size, max(1, len(secret) // 40))
    pieces = [secret[start : start + size] for start in starts]
    varied = [piece for piece in pieces if len(set(piece)) > PIECE // 2]
    assert len(varied) >= 3, "too few pieces to recognise it by"
    return [varied[0], varied[len(varied) // 2], varied[-1]]
