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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from django.conf import settings
from django.db import DatabaseError, close_old_connections
from numpy.typing import NDArray

from apps.recognition import protocol
from apps.recognition.alike import Alike
from apps.recognition.benches import Bench, Benches, Look, agreed, open_benches
from apps.recognition.briefly import briefly, cosines
from apps.recognition.client import UNCALIBRATED, Decision, Match
from apps.recognition.closest import Closest
from apps.recognition.keeper import Keeper
from apps.recognition.matching import SLACK, mean_of
from apps.recognition.presentation import PassInvalid, Windows, open_shown
from apps.recognition.rebind import rebind
from apps.recognition.recapture import MIN_CROPS, recapture, sure
from apps.recognition.reissue import reissue
from apps.recognition.sealed import binding_of, seal_vector
from apps.recognition.services import calibrated
from apps.recognition.spaces import Space
from apps.visitors.models import DataKey, FaceTemplate
from apps.visitors.vault import (
    FileKeyring,
    SealBroken,
    Share,
    UnknownGeneration,
    generation_of,
    new_data_key,
    new_share,
    open_keyring,
    unwrap,
    wrap,
)

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

    benches: Benches
    keyring: FileKeyring
    keeper: Keeper
    disclose: Disclose
    windows: Windows
    closest: Closest = field(default_factory=Closest)

    def answer(
        self, header: dict[str, Any], payload: bytearray
    ) -> tuple[dict[str, Any], bytearray]:
        """Return reply header and payload for one request; the caller overwrites both payloads."""
        try:
            match header.get("op"):
                case "status":
                    return self._status(), bytearray()
                case "seal":
                    return self._seal(header, self._crops(payload))
                case "reissue":
                    return self._reissue(header)
                case "rebind":
                    return self._rebind(header, payload)
                case "match":
                    return _told(self._match(header, self._crops(payload))), bytearray()
                case "present":
                    return {"nonce": self._present(header, payload)}, bytearray()
                case "closest":
                    return {"closest": self._closest(UUID(header["store"]))}, bytearray()
                case "verify":
                    return _told(self._verify(header, payload)), bytearray()
        except Refused as refusal:
            return {"error": str(refusal)}, bytearray()
        except PassInvalid as invalid:
            return {"error": invalid.code}, bytearray()
        except DatabaseError:
            return {"error": "silent"}, bytearray()
        return {"error": "unknown_request"}, bytearray()

    def _status(self) -> dict[str, Any]:
        pack, former = self.benches.present.pack, self.benches.former
        return {
            "pack": pack.name,
            "former": former.pack.name if former else None,
            "licence": pack.licence,
            "commercial": pack.commercial,
            "templates": len(self.benches),
            "trusted": self.keeper.trusted,
        }

    def _closest(self, store: UUID) -> float | None:
        if not self.keeper.trusted:
            raise Refused("silent")
        return self.closest.of(self.benches.present.gallery, store)

    def _crops(self, payload: bytearray) -> NDArray[np.uint8]:
        if not self.keeper.trusted:
            raise Refused("silent")
        try:
            return protocol.unpack_crops(payload)
        except ValueError as error:
            raise Refused("bad_crop") from error

    def _seal(
        self, header: dict[str, Any], crops: NDArray[np.uint8]
    ) -> tuple[dict[str, Any], bytearray]:
        present, count = self.benches.present, len(crops) - int(header.get("watched", 0))
        if not 0 < count <= len(crops):
            raise Refused("bad_crop")
        with briefly(present.embed(crops)) as probes:
            if not present.agree(probes[:count]):
                raise Refused("different_faces")
            with briefly(mean_of(probes[:count])) as template:
                if not present.stayed(template, probes[count:]):
                    raise Refused("different_faces")
                return self._sealed(header, crops[:count], template)

    def _sealed(
        self, header: dict[str, Any], crops: NDArray[np.uint8], mean: NDArray[np.float32]
    ) -> tuple[dict[str, Any], bytearray]:
        present = self.benches.present
        templates = {str(key): UUID(value) for key, value in header["templates"].items()}
        if not templates or set(templates) - {"lane", "pass"}:
            raise Refused("unknown_purpose")
        store, others = UUID(header["store"]), [UUID(each) for each in header.get("others", ())]
        alike = Alike(None, False)
        if "lane" in templates:
            alike = self.benches.alike([store, *others], crops, mean)
        if alike.another:
            raise Refused("too_alike")
        visitor, organization = UUID(header["visitor"]), UUID(header["organization"])
        who: Any = {"visitor": visitor, "organization": organization, "keyring": self.keyring}
        # Read here: who asks names a person, never a key.
        own = DataKey.objects.filter(visitor=visitor).values_list("wrapped", flat=True).first()
        try:
            data_key = unwrap(bytes(own), **who) if own else new_data_key()
        except (SealBroken, UnknownGeneration):
            raise Refused("unknown_key") from None
        wrapped = bytes(own) if own else wrap(data_key, **who)
        share = new_share() if "pass" in templates else None
        space, sealed = self._newest_space(organization), {}
        for purpose, template in templates.items():
            binding = binding_of(
                organization=organization,
                store=store,
                others=others,
                visitor=visitor,
                template=template,
                consent=UUID(header["consent"]),
                purpose=purpose,
                not_after=int(header["not_after"]),
                pack=present.pack,
                rotation=space.number,
            )
            half = share if purpose == "pass" else None
            with briefly(space.enter(mean)) as vector:
                sealed[purpose] = seal_vector(vector, data_key, binding, share=half)
        reply = {
            "wrapped_key": "" if own else base64.b64encode(wrapped).decode(),
            "generation": generation_of(wrapped),
            "pack": present.pack.name,
            "pack_version": present.pack.version,
            "rotation": space.number,
            "same": str(alike.same) if alike.same else None,
            "sealed": {purpose: len(each) for purpose, each in sealed.items()},
        }
        # The share goes out here, once, for the pass; nothing in this process remembers it.
        parts: list[bytes | memoryview] = [*sealed.values()]
        if share is not None:
            parts.append(share.reveal())
        return reply, bytearray().join(parts)

    def _reissue(self, header: dict[str, Any]) -> tuple[dict[str, Any], bytearray]:
        """Seal a lane's template for a new pass; its share goes out here, once."""
        if not self.keeper.trusted:
            raise Refused("silent")
        pack = self.benches.present.pack
        made = reissue(
            visitor=UUID(header["visitor"]),
            template=UUID(header["template"]),
            pack=pack,
            keyring=self.keyring,
            rotations=self.keeper.rotations,
        )
        reply = {
            "pack": pack.name,
            "pack_version": pack.version,
            "rotation": made.rotation,
            "sealed": len(made.sealed),
        }
        return reply, bytearray().join([made.sealed, made.share.reveal()])

    def _rebind(
        self, header: dict[str, Any], payload: bytearray
    ) -> tuple[dict[str, Any], bytearray]:
        """Seal a person's templates for a renewed consent; a new pass' share goes out, once."""
        if not self.keeper.trusted:
            raise Refused("silent")
        shown = UUID(header["shown"]) if header["shown"] else None
        made = rebind(
            visitor=UUID(header["visitor"]),
            former=UUID(header["former"]),
            consent=UUID(header["consent"]),
            not_after=int(header["not_after"]),
            others=[UUID(each) for each in header["others"]],
            new_pass=UUID(header["new_pass"]) if header["new_pass"] else None,
            shown=shown,
            shown_share=_share(payload) if shown else None,
            pack=self.benches.present.pack,
            keyring=self.keyring,
        )
        all_ = [*made.kept, *([made.new_pass] if made.new_pass else [])]
        reply = {
            "kept": len(made.kept),
            "sealed": [
                [str(each.template), each.purpose, *each.pack, each.rotation, len(each.sealed)]
                for each in all_
            ],
        }
        parts: list[bytes | memoryview] = [each.sealed for each in all_]
        if made.share is not None:
            parts.append(made.share.reveal())
        return reply, bytearray().join(parts)

    def _present(self, header: dict[str, Any], payload: bytearray) -> str:
        """Open a window for a pass that is good here and now."""
        if not self.keeper.trusted:
            raise Refused("silent")
        camera, template = UUID(header["camera"]), UUID(header["template"])
        share = _share(payload)
        shown = open_shown(
            camera=camera,
            template=template,
            share=share,
            benches=self.benches,
            keyring=self.keyring,
            rotations=self.keeper.rotations,
        )
        shown.vector.fill(0)
        return self.windows.open(camera=camera, template=shown.template, share=share)

    def _verify(self, header: dict[str, Any], payload: bytearray) -> Decision:
        """Compare one face with the one template of a window; the window closes either way."""
        if not self.keeper.trusted:
            raise Refused("silent")
        camera = UUID(header["camera"])
        # Before anything is embedded: a nonce that is used up must cost nobody a template.
        window = self.windows.take(str(header["nonce"]), camera=camera)
        if len(payload) < MIN_CROPS * protocol.CROP_BYTES:
            raise Refused("bad_crop")
        shown = open_shown(
            camera=camera,
            template=window.template,
            share=window.share,
            benches=self.benches,
            keyring=self.keyring,
            rotations=self.keeper.rotations,
        )
        with briefly(shown.vector) as mine:
            pack = calibrated(shown.bench.pack)
            if pack is None:
                return UNCALIBRATED
            crops, threshold = self._crops(payload), pack.threshold_for(1)
            with briefly(shown.bench.embed(crops)) as probes:
                with briefly(mean_of(probes)) as mean:
                    score = float(cosines(mean[None], mine)[0])
                # Not two people in turn: no picture may be clearly somebody else's.
                alone = bool((cosines(probes, mine) >= threshold - SLACK).all())
                if score < threshold or not alone:
                    return Decision(None, "unknown")
                match = Match(
                    template=shown.template,
                    camera=camera,
                    store=shown.store,
                    score=score,
                    threshold=threshold,
                    seen_at=float(header["seen_at"]),
                )
                return self._disclosed(match, crops, shown.bench, probes, share=window.share)

    def _newest_space(self, organization: UUID) -> Space:
        try:
            return self.keeper.rotations.newest(organization, self.benches.present.pack.dim)
        except (SealBroken, UnknownGeneration):
            raise Refused("unknown_key") from None

    def _match(self, header: dict[str, Any], crops: NDArray[np.uint8]) -> Decision:
        with self.benches.looking(UUID(header["store"]), crops) as looks:
            return self._decided(header, crops, looks)

    def _decided(
        self, header: dict[str, Any], crops: NDArray[np.uint8], looks: Sequence[Look]
    ) -> Decision:
        if not looks:
            return UNCALIBRATED
        store = UUID(header["store"])
        look = agreed(looks, store)
        if look is None or look.verdict.candidate is None:
            unsure = any(look.verdict.outcome != "unknown" for look in looks)
            return Decision(None, "unsure" if unsure else "unknown")
        match = Match(
            template=look.verdict.candidate.template,
            camera=UUID(header["camera"]),
            store=store,
            score=look.verdict.candidate.score,
            threshold=look.verdict.threshold,
            seen_at=float(header["seen_at"]),
        )
        decision = self._disclosed(match, crops, look.bench, look.probes)
        if decision.outcome == "refused" and not _live(match.template):
            # Past its time, which nobody announces. A camera that may not ask ends nobody's.
            self.benches.evict(match.template)
        return decision

    def _disclosed(
        self,
        match: Match,
        crops: NDArray[np.uint8],
        bench: Bench,
        probes: NDArray[np.float32],
        *,
        share: Share | None = None,
    ) -> Decision:
        """Disclose a match by a pack; at a visit by the former one, take the template anew."""
        # Asked again here: the time that embedding took must not make a stale gallery speak.
        if not self.keeper.trusted:
            raise Refused("silent")
        decision = self.disclose(match)
        present = self.benches.present
        if decision.visit is None or bench is present:
            return decision
        # Asked first of what is at hand: embedding is the dear part.
        if not sure(match.score, match.threshold, (bench, probes)):
            return decision
        with briefly(present.embed(crops)) as anew:
            if sure(match.score, match.threshold, (present, anew)):
                recapture(
                    former=match.template,
                    visit=decision.visit,
                    camera=match.camera,
                    crops=crops,
                    probes=anew,
                    present=present,
                    keyring=self.keyring,
                    rotations=self.keeper.rotations,
                    share=share,
                )
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
    """Open keyring, packs and socket as the settings name them; the keeper is not started yet.

    Of several sockets it takes the first at which nobody answers.

    Raises KeyFileError, PackBroken, LicenceRefused, SocketTaken.
    """
    env = settings.CONSENTRY
    path = _free(env.sockets)  # rather now than after the packs were loaded
    keyring = open_keyring(env)
    benches = open_benches(
        env.packs,
        env.former_pack_dir,
        allow_noncommercial=env.allow_noncommercial,
        threads=threads,
    )
    windows = Windows()
    keeper = Keeper(
        database=env.database_url.get_secret_value(),
        benches=benches,
        keyring=keyring,
        windows=windows,
    )
    return Server(path, Desk(benches, keyring, keeper, disclose, windows)), keeper


def _share(payload: bytearray) -> Share:
    """The share of a shown pass. Raises PassInvalid."""
    try:
        return Share(bytearray(payload))
    except SealBroken:
        raise PassInvalid("pass_broken") from None


def _told(decision: Decision) -> dict[str, Any]:
    return {
        "visit": str(decision.visit) if decision.visit else None,
        "outcome": decision.outcome,
    }


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
