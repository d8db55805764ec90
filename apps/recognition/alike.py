"""Whom a face resembles that is being enrolled for the lane: a visitor who came back, or another.

Asked inside the act of enrolling only, and only in the recognizer's memory. It answers at most with
the one enrolment that is to end, which goes to the process that enrols and never to the tablet;
that there is a look-alike, but neither who nor how near.

Why a face may end an older enrolment, but never inherits from it. One person must be one visitor:
two templates of one face lack the margin that a match needs, so nobody would be greeted. So a face
that is surely the same replaces the older enrolment, and the tablet says what it says to everybody,
or holding up a photo would tell whether its person is a visitor. A look-alike at that height cannot
be ruled out by a face alone. Therefore nothing is carried over: no name, no visit, no receipt. The
older enrolment is erased with a certificate, and its receipt says why. Whoever wants to keep their
history renews it with the receipt that they hold.

Between "surely the same" and "surely another" nobody can tell. There nothing is enrolled, and the
sentence is true of both: this lane could mix you up.

What it costs grows with the gallery, as false matches do: of 19,000 pairs of two people (below)
0.6 % are within the margin of starter pack 1's threshold and 0.2 % above it. With a hundred
visitors that is every second newcomer, or every sixth, unless the threshold follows the gallery.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from apps.recognition.gallery import Neighbour

SURELY = 0.15
"""So far above the pack's threshold two templates are of one person. Measured with starter pack 1
(threshold 0.40) on the Database of Faces, AT&T Laboratories Cambridge, 20 people, each template the
mean of three photos, 50 draws of disjoint photos: of 1,000 pairs of one person 0.3 % stay below
0.55, the least is 0.543; of 19,000 pairs of two people none is above 0.444."""


@dataclass(frozen=True, slots=True)
class Alike:
    """`same`: the one visitor who is surely this person. `another`: the lane could mix them up."""

    same: UUID | None
    another: bool


def judge(neighbours: Sequence[Neighbour], *, threshold: float) -> Alike:
    """Judge the visitors within the margin of a match of a new template (`Gallery.near`).

    More than one of them, and there is one who is not this person: nobody's enrolment is ended on
    a guess.
    """
    if not neighbours:
        return Alike(None, False)
    nearest, *others = neighbours
    if not others and nearest.score >= threshold + SURELY:
        return Alike(nearest.visitor, False)
    return Alike(None, True)
