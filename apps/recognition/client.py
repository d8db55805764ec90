"""Ask the recognizer: seal these crops, match these crops, this pass is shown, how are you.

Holds no key and learns no name: sealing gives back ciphertext, matching a visit's id or nothing.
Sealing for a pass gives back its share as well, which belongs to the customer and to nobody here.
"""

import base64
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from apps.recognition import protocol
from apps.recognition.passes import Pass


class RecognizerDown(ConnectionError):
    """Not reachable, or it refuses to answer because its database has been silent."""


class CropsRefused(ValueError):
    """These crops cannot be used; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class PassRefused(ValueError):
    """This pass opens nothing here and now; `code` says why (see presentation.PassInvalid)."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class SealRequest:
    """Everything that is bound into the sealed templates, so that no row can be swapped later.

    templates: the id of each, by purpose. A visitor who has a key of their own keeps it.
    watched: so many of the last crops were only watched: the same person, or nothing is sealed, and
    no part of the template. others: the other stores that the consent names.
    """

    organization: UUID
    store: UUID
    visitor: UUID
    consent: UUID
    not_after: int
    templates: Mapping[str, UUID]
    watched: int = 0
    others: Sequence[UUID] = ()


@dataclass(frozen=True, slots=True)
class Sealed:
    """Sealed templates by purpose, and the visitor's wrapped data key: nothing we can open. The key
    is empty when they have one already.

    rotation: number of the organization's rotation that turned them, to be kept with each.
    key_share: for the template of purpose "pass", to be put into the pass and forgotten.
    same: the visitor of these stores whose enrolment this one replaces (recognition.alike). It is
    for the transaction that enrols and for nobody else: no answer to a tablet depends on it.
    """

    sealed: Mapping[str, bytes]
    pack: str
    pack_version: str
    rotation: int
    wrapped_key: bytes = b""
    generation: int = 0
    same: UUID | None = None
    key_share: Pass | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RebindRequest:
    """Whose templates are to be sealed for which consent, which renews `former`.

    not_after: its hard end, Unix seconds. others: the other stores that it names. new_pass: the id
    of a template for a new pass, or None. shown: the template that a shown pass names, or None.
    """

    visitor: UUID
    former: UUID
    consent: UUID
    not_after: int
    others: Sequence[UUID]
    new_pass: UUID | None
    shown: UUID | None = None


@dataclass(frozen=True, slots=True)
class Anew:
    """A template that was sealed anew: nothing we can open."""

    template: UUID
    purpose: str
    pack: str
    pack_version: str
    rotation: int
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Rebound:
    """The templates that go on, sealed for the renewed consent; the one for a new pass, and what is
    to be put into the pass and forgotten."""

    kept: Sequence[Anew]
    new_pass: Anew | None
    key_share: Pass | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class MatchRequest:
    """A track's best crops, seen by a camera of a store at `seen_at` (Unix seconds)."""

    camera: UUID
    store: UUID
    seen_at: float


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """The best crops of the one face that was seen while the window of `nonce` was open."""

    camera: UUID
    nonce: str
    seen_at: float


@dataclass(frozen=True, slots=True)
class Decision:
    """`outcome` is "visit" (with its id), "still_here", "unknown", "unsure", "refused", or
    "uncalibrated": nothing was compared, as nothing is recorded of how often the pack errs."""

    visit: UUID | None
    outcome: str


UNCALIBRATED = Decision(None, "uncalibrated")


@dataclass(frozen=True, slots=True)
class Match:
    """What the gallery found, handed to `disclose`, which alone may make a visit of it."""

    template: UUID
    camera: UUID
    store: UUID
    score: float
    threshold: float
    seen_at: float


@dataclass(frozen=True, slots=True)
class Recognizer:
    """A client of one recognizer's unix socket, or of the first of several that answers.

    Opens one connection a call; `timeout`, in seconds, is for each that is asked.
    """

    path: Path
    timeout: float = 5.0
    others: Sequence[Path] = ()

    @classmethod
    def any_of(cls, paths: Sequence[Path]) -> "Recognizer":
        """Ask these in turn, until one answers."""
        return cls(paths[0], others=tuple(paths[1:]))

    def seal(self, request: SealRequest, crops: NDArray[np.uint8]) -> Sealed:
        """Embed and seal crops (N, 112, 112, 3). Raises RecognizerDown, CropsRefused: with the code
        "too_alike" when a lane could mix this person up with a visitor of one of the stores."""
        header = {
            "op": "seal",
            "organization": str(request.organization),
            "store": str(request.store),
            "visitor": str(request.visitor),
            "consent": str(request.consent),
            "not_after": request.not_after,
            "templates": {purpose: str(one) for purpose, one in request.templates.items()},
            "watched": request.watched,
            "others": [str(store) for store in request.others],
        }
        reply, body = self._ask(header, protocol.pack_crops(crops))
        sealed, start = {}, 0
        for purpose, size in reply["sealed"].items():
            sealed[purpose] = bytes(body[start : start + size])
            start += size
        return Sealed(
            wrapped_key=base64.b64decode(reply["wrapped_key"]),
            generation=reply["generation"],
            sealed=sealed,
            pack=reply["pack"],
            pack_version=reply["pack_version"],
            rotation=reply["rotation"],
            same=UUID(reply["same"]) if reply["same"] else None,
            key_share=Pass(request.templates["pass"], bytes(body[start:]))
            if body[start:]
            else None,
        )

    def reissue(self, *, visitor: UUID, template: UUID) -> Sealed:
        """Seal the lane template of a visitor who agreed to a pass too as `template`, for a new
        pass. Raises RecognizerDown; PassRefused when there is none to make it of."""
        header = {"op": "reissue", "visitor": str(visitor), "template": str(template)}
        reply, body = self._ask(header)
        size = reply["sealed"]
        return Sealed(
            sealed={"pass": bytes(body[:size])},
            pack=reply["pack"],
            pack_version=reply["pack_version"],
            rotation=reply["rotation"],
            key_share=Pass(template, bytes(body[size:])),
        )

    def rebind(self, request: RebindRequest, share: bytes = b"") -> Rebound:
        """Seal a person's templates for the consent that renews theirs. share: of the shown pass.
        Raises RecognizerDown; PassRefused when there is no template, or it does not open."""
        others = [str(store) for store in request.others]
        reply, body = self._ask({"op": "rebind", **_plain(request), "others": others}, share)
        made, start = [], 0
        for template, purpose, pack, version, rotation, size in reply["sealed"]:
            sealed = bytes(body[start : start + size])
            made.append(Anew(UUID(template), purpose, pack, version, rotation, sealed))
            start += size
        count = reply["kept"]
        new_pass = made[count] if made[count:] else None
        new_share = Pass(new_pass.template, bytes(body[start:])) if new_pass else None
        return Rebound(made[:count], new_pass, new_share)

    def match(self, request: MatchRequest, crops: NDArray[np.uint8]) -> Decision:
        """Decide whether these crops (N, 112, 112, 3) are a visitor. Raises RecognizerDown."""
        reply, _ = self._ask({"op": "match", **_plain(request)}, protocol.pack_crops(crops))
        return Decision(UUID(reply["visit"]) if reply["visit"] else None, reply["outcome"])

    def present(self, *, camera: UUID, shown: Pass) -> str:
        """Return the single-use nonce of a window for this pass at this camera.

        Raises RecognizerDown, PassRefused.
        """
        header = {"op": "present", "camera": str(camera), "template": str(shown.template)}
        return str(self._ask(header, shown.share)[0]["nonce"])

    def verify(self, request: VerifyRequest, crops: NDArray[np.uint8]) -> Decision:
        """Decide whether these crops (N ≥ 3, 112, 112, 3) are whom the pass was given to.

        Raises RecognizerDown, PassRefused, CropsRefused. The nonce is used up in every case but
        RecognizerDown.
        """
        reply, _ = self._ask({"op": "verify", **_plain(request)}, protocol.pack_crops(crops))
        return Decision(UUID(reply["visit"]) if reply["visit"] else None, reply["outcome"])

    def closest(self, store: UUID) -> float | None:
        """Highest cosine between the templates of two visitors of a store; see closest.Closest.

        Raises RecognizerDown.
        """
        score = self._ask({"op": "closest", "store": str(store)})[0]["closest"]
        return None if score is None else float(score)

    def status(self) -> dict[str, Any]:
        """Return pack, licence, number of templates and whether it answers."""
        return self._ask({"op": "status"})[0]

    def _ask(
        self, header: dict[str, Any], payload: bytes = b""
    ) -> tuple[dict[str, Any], bytearray]:
        """The first answer. A window is known to the one recognizer that opened it, so one that
        does not know it is not the last to be asked.
        """
        *first, last = (self.path, *self.others)
        for path in first:
            try:
                return self._ask_at(path, header, payload)
            except RecognizerDown:
                continue
            except PassRefused as refusal:
                if refusal.code != "pass_replayed":
                    raise
        return self._ask_at(last, header, payload)

    def _ask_at(
        self, path: Path, header: dict[str, Any], payload: bytes
    ) -> tuple[dict[str, Any], bytearray]:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(self.timeout)
                connection.connect(str(path))
                protocol.send(connection, header, payload)
                answer = protocol.receive(connection)
        except OSError as error:
            raise RecognizerDown("The recognizer does not answer.") from error
        if answer is None:
            raise RecognizerDown("The recognizer hung up.")
        reply, body = answer
        if reply.get("error") == "silent":
            raise RecognizerDown("The recognizer has lost its database and refuses to answer.")
        if str(reply.get("error")).startswith("pass_"):
            raise PassRefused(str(reply["error"]))
        if "error" in reply:
            raise CropsRefused(str(reply["error"]))
        return reply, body


def _plain(request: MatchRequest | VerifyRequest | RebindRequest) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, UUID) else value
        for name, value in asdict(request).items()
    }
