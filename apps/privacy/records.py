"""Records of processing (GDPR 30(1), PIPL 56), drawn from what the house is set up to do.

Nothing in them is typed for them: the controller, who else gets data and the retention come from
the registers and from `retention.holdings`, the purposes from the cameras that run, from the
ways to check in without a face, from the groups, and from consents that still hold.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.db.models import Model
from django.utils.translation import gettext as _

from apps.consent.models import FACE, Consent, Purpose, Receipt, Withdrawal
from apps.consent.wording import Registers
from apps.retention.holdings import HOLDINGS, periods
from apps.stores import mail
from apps.stores.models import Camera, ThirdParty
from apps.visitors.models import Card, DataKey, FaceTemplate, Note, Visitor
from apps.visits.models import Visit

RECOGNISED: tuple[type[Model], ...] = (FaceTemplate, DataKey, Visitor)
# What is held for each purpose, by the models of which `HOLDINGS` says how long.
HELD: dict[Purpose, tuple[type[Model], ...]] = {
    Purpose.LANE: RECOGNISED,
    Purpose.PASS: RECOGNISED,
    Purpose.CARD: (Card, Visitor),
    Purpose.HISTORY: (Visit,),
    Purpose.STATISTICS: (Visit, Visitor),
    Purpose.GROUP: (*RECOGNISED, Card, Visit),
    Purpose.NOTES: (Note,),
    Purpose.CONTACT: (Visitor,),
}
PROOF: tuple[type[Model], ...] = (Consent, Receipt, Withdrawal)


@dataclass(frozen=True, slots=True)
class Activity:
    """One entry of the records, in the language that is active."""

    title: str
    ground: str
    people: str
    data: list[str]
    recipients: list[ThirdParty]
    retention: list[str]

    @property
    def transfers(self) -> list[ThirdParty]:
        """Those of the recipients to whom data leaves the country, or may."""
        return [each for each in self.recipients if each.transfer != ThirdParty.Transfer.NONE]


def activities(registers: Registers) -> list[Activity]:
    """Everything that this organization does with data on people now."""
    return list(_activities(registers))


def security() -> list[str]:
    """What protects it (GDPR 32): measures that the house cannot run without."""
    return [
        _("Face templates are sealed, each person's under a key of their own (AES-256-GCM)."),
        _("Only one process holds the keys; cameras and web pages never do."),
        _("No picture of a face is stored, sent on or written to a log."),
        _("A record opens for a role and a reason only, and each look is in a signed ledger."),
        _("Erasure runs by itself, and its certificate can be checked by anyone."),
    ]


def purposes_of(registers: Registers) -> list[Purpose]:
    """What is asked for as the house is set up, and what somebody still agrees to."""
    house = registers.organization
    modes = {
        camera.mode for store in registers.stores for camera in store.cameras.all() if camera.active
    }
    asked = {purpose for purpose in FACE if purpose.value in modes}
    if any(store.non_face_check_in for store in registers.stores):
        asked.add(Purpose.CARD)
    if asked:
        asked |= {Purpose.HISTORY, Purpose.STATISTICS, Purpose.NOTES}
        asked |= {Purpose.GROUP} if registers.groups else set()
        asked |= {Purpose.CONTACT} if not mail.missing(house) else set()
    live = Consent.objects.live().filter(store__organization=house)
    held = {key for keys in live.values_list("purposes", flat=True).distinct() for key in keys}
    return [purpose for purpose in Purpose if purpose in asked or purpose.value in held]


def _activities(registers: Registers) -> Iterator[Activity]:
    if any(camera.active for store in registers.stores for camera in store.cameras.all()):
        yield Activity(
            str(Camera.Mode.COUNT.label),
            _("legitimate interest: how busy the store is; nothing of anybody is kept"),
            _("whoever walks past a camera"),
            [_("a count a quarter of an hour; the picture, in memory only")],
            [],
            [_("the picture: while it is looked at; the count names nobody and stays")],
        )
    purposes = purposes_of(registers)
    for purpose in purposes:
        recipients = [
            each
            for each in registers.third_parties
            if purpose == Purpose.CONTACT or not each.delivers_mail
        ]
        yield Activity(
            str(purpose.label),
            _("explicit consent, signed for this purpose alone"),
            _("visitors who agreed to it"),
            _words(HELD[purpose]),
            recipients,
            list(_clocks(registers, HELD[purpose])),
        )
    if purposes:
        yield Activity(
            _("Proof that people agreed"),
            _("legal obligation: to be able to show consent (GDPR 7(1))"),
            _("visitors who agreed, and who signed with them"),
            _words(PROOF),
            [each for each in registers.third_parties if not each.delivers_mail],
            list(_clocks(registers, PROOF)),
        )


def _words(models: Iterable[type[Model]]) -> list[str]:
    wanted = set(models)
    return [_(holding.what) for holding in HOLDINGS if holding.model in wanted]


def _clocks(registers: Registers, models: Iterable[type[Model]]) -> Iterator[str]:
    """How long each is kept; by store where those differ, by their laws or their policies."""
    wanted = set(models)
    for holding in (holding for holding in HOLDINGS if holding.model in wanted):
        said = {store: _(holding.clock) % periods(days) for store, days in registers.kept}
        if len(set(said.values())) == 1:
            yield f"{_(holding.what)}: {next(iter(said.values()))}"
        else:
            for store, clock in said.items():
                yield f"{_(holding.what)} ({store.name}): {clock}"
