"""The recognizer's door, a unix socket for its owner and their group: seal, match, present, verify.

The one process that holds keys and vectors. It parses no image file, logs no result, and answers
nobody while its keeper does not trust the gallery.
"""

import base64
import logging
import os
import socket
import socketserver
from collections.abc import Callable, Sequence
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
from apps.recognition.alike import Alike, judge
from apps.recognition.briefly import briefly, cosines
from apps.recognition.client import Decision, Match
from apps.recognition.engine.packs import Pack, load_pack
from apps.recognition.gallery import Gallery
from apps.recognition.keeper import Keeper
from apps.recognition.matching import SLACK, decide, mean_of
from apps.recognition.presentation import PassInvalid, Windows, open_shown
from apps.recognition.sealed import binding_of
from apps.recognition.spaces import Space
from apps.visitors.models import FaceTemplate
from apps.visitors.vault import (
    FileKeyring,
    SealBroken,
    Share,
    UnknownGeneration,
    generation_of,
    new_data_key,
    new_share,
    seal,
    seal_for_pass,
    unwrap,
    wrap,
)

log = logging.getLogger(__name__)

WORKERS = 2
# A pass is believed for no fewer good pictures than a lane is.
MIN_CROPS = 3


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
    windows: Windows

    def answer(
        self, header: dict[str, Any], payload: bytearray
    ) -> tuple[dict[str, Any], bytearray]:
        """Return reply header and payload for one request; the caller overwrites both payloads."""
        try:
            match header.get("op"):
                case "status":
                    return self._status(), bytearray()
                case "seal":
                    with briefly(self._embed(payload)) as probes:
                        return self._seal(header, probes)
                case "match":
                    with briefly(self._embed(payload)) as probes:
                        decision = self._match(header, probes)
                    visit = str(decision.visit) if decision.visit else None
                    return {"visit": visit, "outcome": decision.outcome}, bytearray()
                case "present":
                    return {"nonce": self._present(header, payload)}, bytearray()
                case "verify":
                    decision = self._verify(header, payload)
                    visit = str(decision.visit) if decision.visit else None
                    return {"visit": visit, "outcome": decision.outcome}, bytearray()
        except Refused as refusal:
            return {"error": str(refusal)}, bytearray()
        except PassInvalid as invalid:
            return {"error": invalid.code}, bytearray()
        except DatabaseError:
            return {"error": "silent"}, bytearray()
        return {"error": "unknown_request"}, bytearray()

    def _status(self) -> dict[str, Any]:
        return {
            "pack": self.pack.name,
            "licence": self.pack.licence,
            "commercial": self.pack.commercial,
            "threshold": self.pack.threshold,
            "templates": len(self.gallery),
            "trusted": self.keeper.trusted,
        }

    def _embed(self, payload: bytearray) -> NDArray[np.float32]:
        if not self.keeper.trusted:
            raise Refused("silent")
        try:
            crops = protocol.unpack_crops(payload)
        except ValueError as error:
            raise Refused("bad_crop") from error
        return self.pack.embedder.embed(crops)

    def _seal(
        self, header: dict[str, Any], probes: NDArray[np.float32]
    ) -> tuple[dict[str, Any], bytearray]:
        if float(cosines(probes, probes).min()) < self.pack.threshold:
            raise Refused("different_faces")
        with briefly(mean_of(probes)) as template:
            return self._sealed(header, template)

    def _sealed(
        self, header: dict[str, Any], mean: NDArray[np.float32]
    ) -> tuple[dict[str, Any], bytearray]:
        templates = {str(key): UUID(value) for key, value in header["templates"].items()}
        if not templates or set(templates) - {"lane", "pass"}:
            raise Refused("unknown_purpose")
        alike = self._alike(header, mean) if "lane" in templates else Alike(None, False)
        if alike.another:
            raise Refused("too_alike")
        visitor, organization = UUID(header["visitor"]), UUID(header["organization"])
        who: Any = {"visitor": visitor, "organization": organization, "keyring": self.keyring}
        wrapped = base64.b64decode(header["wrapped_key"])
        try:
            data_key = unwrap(wrapped, **who) if wrapped else new_data_key()
        except (SealBroken, UnknownGeneration):
            raise Refused("unknown_key") from None
        wrapped = wrapped or wrap(data_key, **who)
        share = new_share() if "pass" in templates else None
        space, sealed = self._newest_space(organization), {}
        for purpose, template in templates.items():
            binding = binding_of(
                organization=organization,
                store=UUID(header["store"]),
                visitor=visitor,
                template=template,
                consent=UUID(header["consent"]),
                purpose=purpose,
                not_after=int(header["not_after"]),
                pack=self.pack,
                rotation=space.number,
            )
            with briefly(space.enter(mean)) as vector:
                sealed[purpose] = (
                    seal_for_pass(vector, data_key, share, binding)
                    if purpose == "pass" and share is not None
                    else seal(vector, data_key, binding)
                )
        reply = {
            "wrapped_key": base64.b64encode(wrapped).decode(),
            "generation": generation_of(wrapped),
            "pack": self.pack.name,
            "pack_version": self.pack.version,
            "rotation": space.number,
            "same": str(alike.same) if alike.same else None,
            "sealed": {purpose: len(each) for purpose, each in sealed.items()},
        }
        # The share goes out here, once, for the pass; nothing in this process remembers it.
        parts: list[bytes | memoryview] = [*sealed.values()]
        if share is not None:
            parts.append(share.reveal())
        return reply, bytearray().join(parts)

    def _present(self, header: dict[str, Any], payload: bytearray) -> str:
        """Open a window for a pass that is good here and now."""
        if not self.keeper.trusted:
            raise Refused("silent")
        camera, template = UUID(header["camera"]), UUID(header["template"])
        try:
            share = Share(bytearray(payload))
        except SealBroken:
            raise PassInvalid("pass_broken") from None
        _store, opened = open_shown(
            camera=camera,
            template=template,
            share=share,
            pack=self.pack,
            keyring=self.keyring,
            rotations=self.keeper.rotations,
        )
        opened.fill(0)
        return self.windows.open(camera=camera, template=template, share=share)

    def _verify(self, header: dict[str, Any], payload: bytearray) -> Decision:
        """Compare one face with the one template of a window; the window closes either way."""
        if not self.keeper.trusted:
            raise Refused("silent")
        camera = UUID(header["camera"])
        # Before anything is embedded: a nonce that is used up must cost nobody a template.
        window = self.windows.take(str(header["nonce"]), camera=camera)
        if len(payload) < MIN_CROPS * protocol.CROP_BYTES:
            raise Refused("bad_crop")
        store, opened = open_shown(
            camera=camera,
            template=window.template,
            share=window.share,
            pack=self.pack,
            keyring=self.keyring,
            rotations=self.keeper.rotations,
        )
        with briefly(opened) as mine, briefly(self._embed(payload)) as probes:
            with briefly(mean_of(probes)) as mean:
                score = float(cosines(mean[None], mine)[0])
            # Not two people in turn: no picture may be clearly somebody else's.
            agreed = bool((cosines(probes, mine) >= self.pack.threshold - SLACK).all())
        if score < self.pack.threshold or not agreed:
            return Decision(None, "unknown")
        if not self.keeper.trusted:
            raise Refused("silent")
        return self.disclose(
            Match(
                template=window.template,
                camera=camera,
                store=store,
                score=score,
                threshold=self.pack.threshold,
                seen_at=float(header["seen_at"]),
            )
        )

    def _newest_space(self, organization: UUID) -> Space:
        try:
            return self.keeper.rotations.newest(organization, self.pack.dim)
        except (SealBroken, UnknownGeneration):
            raise Refused("unknown_key") from None

    def _alike(self, header: dict[str, Any], template: NDArray[np.float32]) -> Alike:
        """Whom a template for the lane would be mixed up with."""
        store = UUID(header["store"])
        least = self.pack.threshold_for(self.gallery.size(store))
        near = self.gallery.near(store, template, least)
        return judge(near, threshold=self.pack.threshold)

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
        if decision.outcome == "refused" and not _live(verdict.candidate.template):
            # Past its time, which nobody announces. A camera that may not ask ends nobody's.
            self.gallery.evict(verdict.candidate.template)
        return decision


class Server(socketserver.UnixStreamServer):
    """A unix socket served by a few lasting threads, each with its own database connection."""

    def __init__(self, path: Path, desk: Desk) -> None:
        self.desk = desk
        self.path = path
        self.pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="desk")
        _clear(path)
        before = os.umask(0o117)
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
                if frame := protocol.receive(request):
                    self._reply(request, *frame)
            except OSError:
                log.info("an asking process hung up")
            except Exception as error:
                # The message of an exception may quote what was sent; its type may not.
                log.error("a request failed (%s)", type(error).__name__)

    def _reply(self, request: socket.socket, header: dict[str, Any], payload: bytearray) -> None:
        """Answer, and leave neither the face that came nor the share that goes in memory."""
        body = bytearray()
        try:
            reply, body = self.desk.answer(header, payload)
            protocol.send(request, reply, body)
        finally:
            payload[:] = bytes(len(payload))
            body[:] = bytes(len(body))


def open_recognizer(disclose: Disclose, *, threads: int) -> tuple[Server, Keeper]:
    """Open keyring, pack and socket as the settings name them; the keeper is not started yet.

    Of several sockets it takes the first at which nobody answers.

    Raises KeyFileError, PackBroken, LicenceRefused, SocketTaken.
    """
    env = settings.CONSENTRY
    path = _free(env.sockets)  # rather now than after the pack was loaded
    keyring = FileKeyring.load(env.keyring_path)
    pack = load_pack(env.packs, allow_noncommercial=env.allow_noncommercial, threads=threads)
    gallery = Gallery(pack.dim)
    windows = Windows()
    keeper = Keeper(
        database=env.database_url.get_secret_value(),
        pack=pack,
        keyring=keyring,
        gallery=gallery,
        windows=windows,
    )
    return Server(path, Desk(pack, keyring, gallery, keeper, disclose, windows)), keeper


def _live(template: UUID) -> bool:
    return FaceTemplate.objects.live().filter(pk=template).exists()


def _free(paths: Sequence[Path]) -> Path:
    """The first socket at which nobody answers, cleared. Raises SocketTaken."""
    for path in paths[:-1]:
        try:
            _clear(path)
        except SocketTaken:
            continue
        return path
    _clear(paths[-1])
    return paths[-1]


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
