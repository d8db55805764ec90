"""The recognizer's door: seal, match, status, over a unix socket that only its owner may open.

The one process that holds keys and vectors. It parses no image file, logs no result, and answers
nobody while its keeper does not trust the gallery.
"""

import base64
import logging
import os
import socket
import socketserver
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from django.conf import settings
from django.db import DatabaseError, close_old_connections
from numpy.typing import NDArray

from apps.recognition import protocol
from apps.recognition.client import Decision, Match
from apps.recognition.engine.packs import Pack, load_pack
from apps.recognition.gallery import Gallery
from apps.recognition.keeper import Keeper, binding_of
from apps.recognition.matching import decide, mean_of
from apps.visitors.vault import FileKeyring, generation_of, new_data_key, seal, wrap

log = logging.getLogger(__name__)

WORKERS = 2


class SocketTaken(OSError):
    """Another recognizer answers at this socket."""


Disclose = Callable[[Match], Decision]


class Refused(Exception):
    """An answer to the asking process, by code."""


@dataclass(slots=True)
class Desk:
    """Answers one request at a time per worker."""

    pack: Pack
    keyring: FileKeyring
    gallery: Gallery
    keeper: Keeper
    disclose: Disclose

    def answer(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Return reply header and payload for one request."""
        try:
            match header.get("op"):
                case "status":
                    return self._status(), b""
                case "seal":
                    return self._seal(header, self._embed(payload))
                case "match":
                    decision = self._match(header, self._embed(payload))
                    visit = str(decision.visit) if decision.visit else None
                    return {"visit": visit, "outcome": decision.outcome}, b""
        except Refused as refusal:
            return {"error": str(refusal)}, b""
        except DatabaseError:
            return {"error": "silent"}, b""
        return {"error": "unknown_request"}, b""

    def _status(self) -> dict[str, Any]:
        return {
            "pack": self.pack.name,
            "licence": self.pack.licence,
            "commercial": self.pack.commercial,
            "threshold": self.pack.threshold,
            "templates": len(self.gallery),
            "trusted": self.keeper.trusted,
        }

    def _embed(self, payload: bytes) -> NDArray[np.float32]:
        if not self.keeper.trusted:
            raise Refused("silent")
        try:
            crops = protocol.unpack_crops(payload)
        except ValueError as error:
            raise Refused("bad_crop") from error
        return self.pack.embedder.embed(crops)

    def _seal(
        self, header: dict[str, Any], probes: NDArray[np.float32]
    ) -> tuple[dict[str, Any], bytes]:
        if float((probes @ probes.T).min()) < self.pack.threshold:
            raise Refused("different_faces")
        visitor, organization = UUID(header["visitor"]), UUID(header["organization"])
        binding = binding_of(
            organization=organization,
            store=UUID(header["store"]),
            visitor=visitor,
            template=UUID(header["template"]),
            consent=UUID(header["consent"]),
            purpose=header["purpose"],
            not_after=int(header["not_after"]),
            pack=self.pack,
        )
        data_key = new_data_key()
        wrapped = wrap(data_key, visitor=visitor, organization=organization, keyring=self.keyring)
        reply = {
            "wrapped_key": base64.b64encode(wrapped).decode(),
            "generation": generation_of(wrapped),
            "pack": self.pack.name,
            "pack_version": self.pack.version,
        }
        return reply, seal(mean_of(probes), data_key, binding)

    def _match(self, header: dict[str, Any], probes: NDArray[np.float32]) -> Decision:
        store = UUID(header["store"])
        verdict = decide(self.pack, self.gallery, store, probes)
        if verdict.outcome != "match" or verdict.candidate is None:
            return Decision(None, verdict.outcome)
        # Asked again here: the time that embedding took must not make a stale gallery speak.
        if not self.keeper.trusted:
            raise Refused("silent")
        decision = self.disclose(
            Match(
                template=verdict.candidate.template,
                camera=UUID(header["camera"]),
                store=store,
                score=verdict.candidate.score,
                threshold=verdict.threshold,
                seen_at=float(header["seen_at"]),
            )
        )
        if decision.outcome == "refused":
            self.gallery.evict(verdict.candidate.template)
        return decision


class Server(socketserver.UnixStreamServer):
    """A unix socket served by a few lasting threads, each with its own database connection."""

    def __init__(self, path: Path, desk: Desk) -> None:
        self.desk = desk
        self.path = path
        self.pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="desk")
        _clear(path)
        before = os.umask(0o177)
        try:
            super().__init__(str(path), socketserver.BaseRequestHandler)
        finally:
            os.umask(before)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Hand a connection to a worker."""
        self.pool.submit(self._serve, request)

    def server_close(self) -> None:
        """Finish what is being answered and remove the socket."""
        super().server_close()
        self.pool.shutdown(wait=True, cancel_futures=True)
        self.path.unlink(missing_ok=True)

    def _serve(self, request: socket.socket) -> None:
        close_old_connections()
        with request:
            request.settimeout(5)
            try:
                frame = protocol.receive(request)
                if frame:
                    protocol.send(request, *self.desk.answer(*frame))
            except OSError:
                log.info("an asking process hung up")
            except Exception as error:
                # The message of an exception may quote what was sent; its type may not.
                log.error("a request failed (%s)", type(error).__name__)


def open_recognizer(disclose: Disclose, *, threads: int) -> tuple[Server, Keeper]:
    """Open keyring, pack and socket as the settings name them; the keeper is not started yet.

    Raises KeyFileError, PackBroken, LicenceRefused, SocketTaken.
    """
    env = settings.CONSENTRY
    keyring = FileKeyring.load(env.keyring_path)
    pack = load_pack(env.packs, allow_noncommercial=env.allow_noncommercial, threads=threads)
    gallery = Gallery(pack.dim)
    keeper = Keeper(
        database=env.database_url.get_secret_value(), pack=pack, keyring=keyring, gallery=gallery
    )
    return Server(env.socket, Desk(pack, keyring, gallery, keeper, disclose)), keeper


def _clear(path: Path) -> None:
    """Remove the socket that a killed recognizer left; refuse one that still answers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink()
            return
    raise SocketTaken(f"Another recognizer answers at {path}; stop it first.")
