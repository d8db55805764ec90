"""A pack at work: its networks, and the templates that it made, in memory.

Usually there is one. While the model is being changed there are two, side by side: a vector of one
means nothing to the other, so each has a gallery and a threshold of its own, and crops are embedded
by both. The former is asked only where somebody is still known by it alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from apps.recognition.alike import Alike, judge
from apps.recognition.briefly import briefly, cosines
from apps.recognition.engine.packs import Pack, PackBroken, load_pack
from apps.recognition.engine.types import Crops, Floats
from apps.recognition.gallery import Gallery
from apps.recognition.matching import SLACK, Verdict, decide, mean_of
from apps.recognition.services import calibrated


@dataclass(frozen=True, slots=True)
class Bench:
    """One pack and its gallery."""

    pack: Pack
    gallery: Gallery

    @classmethod
    def of(cls, pack: Pack) -> Bench:
        """A bench with nobody on it yet."""
        return cls(pack, Gallery(pack.dim))

    def threshold(self, store: UUID | None = None) -> float:
        """Least cosine of one person: among a store's templates, or of one to one.

        As recorded last. Enrolment discloses nothing, so before that it goes by the pack's own.
        """
        pack = calibrated(self.pack) or self.pack
        return pack.threshold_for(self.gallery.size(store) if store else 1)

    def embed(self, crops: Crops) -> Floats:
        """Aligned RGB uint8 (N, 112, 112, 3) to float32 (N, D), each row of length 1."""
        return self.pack.embedder.embed(crops)

    def agree(self, probes: Floats) -> bool:
        """Whether probes float32 (N, D) are all of one person."""
        return float(cosines(probes, probes).min()) >= self.threshold()

    def stayed(self, template: Floats, watched: Floats) -> bool:
        """Whether everybody in watched (M, D), also turned away, is the one of template (D,)."""
        return not len(watched) or (
            float(cosines(watched, template).min()) >= self.threshold() - SLACK
        )

    def alike(self, store: UUID, template: Floats) -> Alike:
        """Whom a template for the lane, float32 (D,), would be mixed up with."""
        near = self.gallery.near(store, template, self.threshold(store))
        return judge(near, threshold=self.threshold())


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What one pack says of some crops. probes: float32 (N, D)."""

    bench: Bench
    probes: Floats
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Benches:
    """The present pack, and the one that is being left."""

    present: Bench
    former: Bench | None = None

    def __iter__(self) -> Iterator[Bench]:
        return iter((self.present, self.former) if self.former else (self.present,))

    def __len__(self) -> int:
        """How many templates are held."""
        return sum(len(bench.gallery) for bench in self)

    def at(self, store: UUID) -> list[Bench]:
        """Who is to be asked in a store: the former only while somebody there is known by it."""
        return [b for b in self if b is self.present or b.gallery.size(store)]

    def evict(self, template: UUID) -> None:
        """Forget a template, whichever pack made it."""
        for bench in self:
            bench.gallery.evict(template)

    @contextmanager
    def looking(self, store: UUID, crops: Crops) -> Iterator[list[Look]]:
        """What each pack says of one person's crops (N, 112, 112, 3); the present one first.

        A pack without a recorded calibration says nothing, and embeds nothing. The probes are
        overwritten at the end.
        """
        looks: list[Look] = []
        with ExitStack() as stack:
            for bench in self.at(store):
                pack = calibrated(bench.pack)
                if pack is not None:
                    probes = stack.enter_context(briefly(bench.embed(crops)))
                    looks.append(Look(bench, probes, decide(pack, bench.gallery, store, probes)))
            yield looks

    def alike(self, stores: Sequence[UUID], crops: Crops, template: Floats) -> Alike:
        """Whom crops that are being enrolled for the lane resemble, in either gallery, in any of
        the stores in which they will be searched for.

        template: float32 (D,), what the present pack made of them.
        """
        found = [self.present.alike(store, template) for store in stores]
        if self.former and any(self.former.gallery.size(store) for store in stores):
            with (
                briefly(self.former.embed(crops)) as probes,
                briefly(mean_of(probes)) as mean,
            ):
                found += [self.former.alike(store, mean) for store in stores]
        same = {alike.same for alike in found if alike.same}
        if len(same) > 1 or any(alike.another for alike in found):
            return Alike(None, True)
        return Alike(next(iter(same), None), False)


def open_benches(
    present: Path, former: Path | None, *, allow_noncommercial: bool, threads: int = 1
) -> Benches:
    """Open the present pack's folder, and the former's when one is named.

    Raises PackBroken, LicenceRefused; a former pack that cannot be opened is said at the start,
    not when the first person who is known by it alone is not recognised.
    """
    if former is not None and not former.is_dir():
        raise PackBroken(
            f"CONSENTRY_FORMER_PACK_DIR names {former}, which is no folder; name the pack that is "
            "being left, or leave the setting out and set the day on which that pack ends"
        )
    new = Bench.of(load_pack(present, allow_noncommercial=allow_noncommercial, threads=threads))
    if former is None:
        return Benches(new)
    old = Bench.of(load_pack(former, allow_noncommercial=allow_noncommercial, threads=threads))
    if (old.pack.name, old.pack.version) == (new.pack.name, new.pack.version):
        raise PackBroken(
            f"{former} and {present} hold the same pack, {new.pack.name} {new.pack.version}; "
            "leave CONSENTRY_FORMER_PACK_DIR out"
        )
    return Benches(new, old)


def agreed(looks: Sequence[Look], store: UUID) -> Look | None:
    """The look that is a match, or None. The present pack's comes first.

    A match by either is a match, unless they name two people: whoever was taken anew must not be
    greeted in place of a look-alike whom the present pack does not know yet. Then the pack that
    knows both of them decides, and nobody is greeted where neither does.
    """
    named = {
        look.verdict.candidate.visitor
        for look in looks
        if look.verdict.candidate and look.verdict.candidate.score >= look.verdict.threshold
    }
    return next(
        (
            look
            for look in looks
            if look.verdict.outcome == "match"
            and (len(named) == 1 or look.bench.gallery.knows(store, named))
        ),
        None,
    )
