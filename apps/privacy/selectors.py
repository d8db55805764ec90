"""What is held about one person and who looked, in words that the person understands."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.audit.models import Entry
from apps.consent import coverage, notices, wording
from apps.consent.models import FACE, Consent, Notice, Purpose, Receipt
from apps.consent.services import secret_digest
from apps.consent.wording import Registers
from apps.retention.holdings import CARD, TEMPLATE
from apps.retention.models import Erasure, Package, Request
from apps.retention.services.withdraw import is_last
from apps.stores.models import Organization, Store, User
from apps.visitors.models import Card, FaceTemplate, Visitor, cards_held, left
from apps.visits.services import KEEPS_VISITS


@dataclass(frozen=True, slots=True)
class Hold:
    """One thing that is held: what, in short, until when."""

    what: str
    detail: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class LookedAt:
    """One look at or act on the person's record."""

    at: datetime
    who: str
    what: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A request on its person's receipt page. `package`: whether it can be fetched there."""

    request: Request
    package: bool


@dataclass(frozen=True, slots=True)
class InForce:
    """An organization's notice: the one in force, what of it is no longer true, and what waits."""

    organization: Organization
    notice: Notice | None
    drift: list[notices.Drift]
    waiting: list[Notice]


def notices_of(stores: Iterable[Store]) -> list[InForce]:
    """How the notices of these stores' organizations stand."""
    found = []
    for organization in Organization.objects.filter(stores__in=stores).distinct():
        versions = Notice.objects.filter(organization=organization)
        notice = versions.published().first()
        drift = notices.drift(notice, Registers(organization)) if notice else []
        waiting = versions.filter(published_at=None).exclude(proposed_by="")
        found.append(InForce(organization, notice, drift, list(waiting)))
    return found


def unmoved(stores: QuerySet[Store]) -> QuerySet[Store]:
    """These stores with `unmoved_week`: how many consents of seven days have a member of staff's
    word in place of the movements before the camera."""
    lately = Q(
        consents__presence_witness__isnull=False,
        consents__signed_at__gt=Now() - timedelta(days=7),
    )
    return stores.annotate(unmoved_week=Count("consents", filter=lately))


def names_of(actors: Iterable[str]) -> dict[str, str]:
    """How the people behind these actors of the ledger are called in the portal."""
    known = list(dict.fromkeys(filter(None, actors)))
    keys = [key for kind, _sep, key in (each.partition(":") for each in known) if kind == "user"]
    users = {
        f"user:{user.pk}": user.first_name or user.username
        for user in User.objects.filter(pk__in=[key for key in keys if key.isdecimal()])
    }
    return {each: users.get(each, each) for each in known}


def receipt_of(secret: str) -> Receipt | None:
    """Find a receipt by its secret, however it was typed."""
    return (
        Receipt.objects.select_related("consent__store__organization", "consent__text__notice")
        .filter(secret_digest=secret_digest(secret))
        .first()
    )


def visitor_of(consent: Consent) -> Visitor | None:
    """The visitor of a consent, until they are erased."""
    return Visitor.objects.select_related("store", "note").filter(subject=consent.subject).first()


def erasure_of(consent: Consent) -> Erasure | None:
    """The erasure that ended a consent."""
    return Erasure.objects.filter(consent=consent.pk, template=None, purpose="").first()


def partial_of(consent: Consent) -> list[Erasure]:
    """What was erased while its person stayed, newest first: single templates, other stores; also
    under a consent that was renewed since."""
    theirs = Consent.objects.filter(subject=consent.subject).values("pk")
    parts = Erasure.objects.filter(consent__in=theirs)
    return list(parts.exclude(template=None, purpose=""))


def retired_of(consent: Consent) -> list[Erasure]:
    """Those of retired models."""
    return [each for each in partial_of(consent) if each.cause == Erasure.Cause.RETIRED]


def taken_of(consent: Consent) -> list[tuple[Erasure, list[str]]]:
    """Those whose purpose was withdrawn, each with what was erased, in words."""
    return [
        (each, [f"{_(line['what'])}: {line['count']}" for line in each.scope])
        for each in partial_of(consent)
        if each.cause == Erasure.Cause.PURPOSE
    ]


def asked(consent: Consent) -> list[Asked]:
    """What the person of a consent has asked, the latest first."""
    fetchable = set(
        Package.objects.filter(
            request__subject=consent.subject,
            request__source=Request.Source.RECEIPT,
            state=Package.State.READY,
            delete_after__gt=Now(),
        ).values_list("request", flat=True)
    )
    theirs = Request.objects.filter(subject=consent.subject, verified_at__isnull=False)
    return [
        Asked(request, package=request.pk in fetchable)
        for request in theirs.order_by("-received_at")
    ]


def former_of(consent: Consent) -> list[Consent]:
    """Consents that ended when they were renewed, and led to this one; newest first."""
    theirs = Consent.objects.filter(subject=consent.subject, signed_at__lt=consent.signed_at)
    return list(theirs.select_related("receipt__consent").order_by("-signed_at"))


@dataclass(frozen=True, slots=True)
class Answer:
    """One purpose that was asked for. `last`: nothing else would recognise the person.
    `dates_stay`: another one needs the dates of visits. `stores`: those that it was signed for
    beside the consent's own, each with whether it is covered now."""

    purpose: Purpose
    granted: bool
    withdrawn_at: datetime | None
    last: bool
    dates_stay: bool = False
    stores: list[tuple[Store, bool]] = field(default_factory=list)

    @property
    def title(self) -> str:
        return str(self.purpose.label)

    @property
    def effect(self) -> str:
        """What stopping it does."""
        if self.last:
            return _(
                "Nothing else recognises you, so this ends everything: %(known_by)s, your name and "
                "your visits are erased within 15 minutes, and you get a certificate. It cannot "
                "be undone."
            ) % {"known_by": wording.known_by([self.purpose])}
        effects = {
            Purpose.LANE: _(
                "At once the lane does not recognise you any more. The face template for it is "
                "erased, and you get a certificate."
            ),
            Purpose.PASS: _(
                "At once your pass opens nothing any more. The face template for it is erased, and "
                "you get a certificate."
            ),
            Purpose.CARD: _(
                "At once your card is good for nothing any more. The digest of its code is "
                "erased, and you get a certificate."
            ),
            Purpose.HISTORY: _(
                "Our staff are told nothing of your earlier visits any more. Their dates stay for "
                "the statistics alone, until you stop those too."
            )
            if self.dates_stay
            else _(
                "The visits that we remember are erased at once. You are still greeted, without "
                "a number."
            ),
            Purpose.STATISTICS: _(
                "Your visits leave the store’s statistics at once. Their dates stay, because you "
                "let us remember them."
            )
            if self.dates_stay
            else _("Your visits leave the store’s statistics at once, and their dates are erased."),
            Purpose.GROUP: _(
                "At once the other stores do not recognise you any more, and your visits there are "
                "erased. Where you signed, nothing changes. You get a certificate."
            ),
            Purpose.NOTES: _("The note that staff wrote about you is erased at once."),
            Purpose.CONTACT: _(
                "Your contact is erased at once. We do not write to you before this ends."
            ),
        }
        return effects.get(self.purpose, _("What was kept for it is erased at once."))


def answers(consent: Consent) -> list[Answer]:
    """Every purpose that was asked for, with the answer that holds now."""
    withdrawn = {each.purpose: each.at for each in consent.withdrawals.all()}
    asked = [*consent.purposes, *consent.declined, *withdrawn]
    return [
        Answer(
            purpose,
            granted=purpose.value in consent.purposes,
            withdrawn_at=withdrawn.get(purpose.value),
            last=is_last(consent, purpose),
            dates_stay=bool(KEEPS_VISITS.intersection(consent.purposes) - {purpose.value}),
            stores=signed_for(consent) if purpose == Purpose.GROUP else [],
        )
        for purpose in Purpose
        if purpose.value in asked
    ]


def signed_for(consent: Consent) -> list[tuple[Store, bool]]:
    """The other stores that a consent names, each with whether it covers them now."""
    now = coverage.elsewhere(consent)
    return [(store, store in now) for store in Store.objects.filter(pk__in=consent.group_stores)]


def where(consent: Consent) -> str:
    """The stores in which a consent holds now, as one enumeration."""
    return _(", ").join([consent.store.name, *(one.name for one in coverage.elsewhere(consent))])


def has_lane(visitor: Visitor | None) -> bool:
    """Whether there is a template of which a new pass can be made without new pictures."""
    return visitor is not None and visitor.templates.live().filter(purpose=Purpose.LANE).exists()


def sign_anew(consent: Consent) -> bool:
    """Whether the notice was materially changed since, so that this consent ends with its term."""
    return consent.live and Consent.objects.asked_again().filter(pk=consent.pk).exists()


def has_pass(consent: Consent, visitor: Visitor | None) -> bool:
    """Whether there is a template that only this person's pass opens."""
    if visitor is None or not consent.live:
        return False
    return visitor.templates.filter(purpose=Purpose.PASS).exists()


def has_card(consent: Consent, visitor: Visitor | None) -> bool:
    """Whether this person is known by a card."""
    if visitor is None or not consent.live:
        return False
    return cards_held().filter(visitor=visitor).exists()


def known_by(consent: Consent) -> str:
    """By what its person is known again, as a part of sentences."""
    return wording.known_by(consent.purposes)


def known_by_then(erasure: Erasure) -> str:
    """The same of somebody who is erased."""
    gone = {line["what"] for line in erasure.scope}
    face, card = ([Purpose.LANE] if TEMPLATE in gone else []), [Purpose.CARD] * (CARD in gone)
    return wording.known_by([*face, *card])


def sealed_in_backups(erasure: Erasure) -> bool:
    """Whether older backups hold a template of whoever is erased, as far as certificates tell."""
    theirs = Erasure.objects.filter(subject=erasure.subject, generation__isnull=False)
    return erasure.generation is not None or theirs.exists()


def stopped(consent: Consent, visitor: Visitor | None) -> list[str]:
    """What was agreed to and recognises nobody any more: its template went with its model."""
    if visitor is None or not retired_of(consent):
        return []
    known = set(visitor.templates.values_list("purpose", flat=True))
    return [
        str(purpose.label)
        for purpose in FACE
        if purpose in consent.purposes and purpose.value not in known
    ]


def holds(consent: Consent, visitor: Visitor | None) -> list[Hold]:
    """Everything held on the person of this consent."""
    held = []
    if visitor:
        held.append(Hold(_("The name to greet you by"), visitor.greeting_name, consent.expires_at))
        if visitor.say_as:
            held.append(Hold(_("How your name is said"), visitor.say_as, consent.expires_at))
        if visitor.asks_for:
            held.append(Hold(_("Whom you ask for"), visitor.asks_for, consent.expires_at))
        if visitor.contact:
            held.append(Hold(_("Your contact"), visitor.contact, consent.expires_at))
        if visitor.sex or visitor.age:
            words = [visitor.get_sex_display(), visitor.get_age_display()]
            said = ", ".join(filter(None, words))
            held.append(Hold(_("Sex and age as you stated them"), said, consent.expires_at))
        if hasattr(visitor, "note"):
            held.append(Hold(_("A note by our staff"), visitor.note.text, consent.expires_at))
        former = set(visitor.templates.filter(left()).values_list("pk", flat=True))
        held.extend(
            Hold(
                _("A sealed face template, no picture"),
                _about(template, former=template.pk in former),
                template.delete_after,
            )
            for template in visitor.templates.all()
        )
        held.extend(
            Hold(_("A digest of your card’s code"), _("no face, no picture"), card.delete_after)
            for card in Card.objects.filter(visitor=visitor)
        )
        visits = list(visitor.visits.theirs())
        if visits:
            held.append(
                Hold(
                    _("Your visits"), str(len(visits)), max(visit.delete_after for visit in visits)
                )
            )
        # Named although it is not theirs: it still says their name, until the shift is over.
        mistaken = list(visitor.visits.filter(wrong_at__isnull=False))
        if mistaken:
            until = max(visit.delete_after for visit in mistaken)
            held.append(Hold(_("Someone else was taken for you"), str(len(mistaken)), until))
    held.append(
        Hold(
            _("Your signed consent and this receipt, as proof"),
            _("your signature; no face"),
            consent.delete_after,
        )
    )
    return held


def _about(template: FaceTemplate, *, former: bool) -> str:
    """Who opens a template, and whether it is of a model that is being left."""
    words = []
    if template.purpose == Purpose.PASS:
        words.append(_("only your pass opens it"))
    if former:
        words.append(_("of a model that will end; at a visit a new one is made beside it"))
    return "; ".join(words)


def looks(consent: Consent) -> list[LookedAt]:
    """Who looked at or acted on the person's record, newest first; roles, never names."""
    return [LookedAt(entry.at, _who(entry), _what(entry)) for entry in audit.about(consent.subject)]


def _who(entry: Entry) -> str:
    kind = entry.actor.partition(":")[0]
    if entry.actor == "system:requests":
        return capfirst(_("the house"))
    if kind == "camera" and entry.detail.get("mode") == Purpose.PASS:
        return _("The camera that read your pass")
    if kind == "device" and entry.detail.get("mode") == Purpose.CARD:
        return _("The tablet at the door")
    return {
        "user": _("Someone who works here"),
        "device": _("The kiosk"),
        "camera": _("The camera at the lane"),
        "system": _("The retention clock"),
        "self": _("You"),
        "client": _("Another system of the store"),
    }.get(kind, kind)


def _what(entry: Entry) -> str:
    if entry.action == "visit.disclosed" and entry.detail.get("mode") == Purpose.CARD:
        return _("read your card and told the floor board")
    words = {
        "consent.signed": _("signed the consent"),
        "consent.renewed": _("renewed the consent"),
        "visitor.enrolled": _("sealed the template"),
        "pass.replaced": _("made a new pass; the old one ended"),
        "card.made": _("made your card"),
        "card.replaced": _("made a new card; the old one ended"),
        "card.withdrawn": _("erased the card that was for it"),
        "card.swept": _("erased a card whose time was over"),
        "template.swept": _("erased a template whose time was over"),
        "template.recaptured": _("took your template anew, for a new model"),
        "template.undone": _("erased the template that was taken at that visit"),
        "template.retired": _("erased the template of the former model"),
        "visit.disclosed": _("recognised you and told the floor board"),
        "visit.told": _("was told of your arrival"),
        "name.told": _("read the name to greet you by"),
        "consent.asked": _("asked by your pass what you agreed to"),
        "visit.shown": _("saw your name on the floor board"),
        "visit.greeted": _("greeted you"),
        "visit.handed_on": _("asked a colleague to greet you"),
        "visit.wrong": _("said that it was someone else"),
        "visit.wrong_undone": _("said that it was you after all"),
        "visitor.looked": _("opened your record"),
        "visitor.restricted": _("paused recognition"),
        "visitor.restriction_lifted": _("resumed recognition"),
        "receipt.opened": _("opened this receipt"),
        "receipt.reissued": _("gave this receipt a new code"),
        "receipt.downloaded": _("downloaded this receipt"),
        "receipt.exported": _("downloaded everything held on you"),
        "visitor.renamed": _("changed the name to greet you by"),
        "visitor.stated": _("changed what you say of your sex and age"),
        "purpose.withdrawn": _("stopped one thing you had agreed to"),
        "template.withdrawn": _("erased the template that was for it"),
        "group.left": _("stopped the other stores, and erased your visits there"),
        "visits.erased": _("erased your visits"),
        "note.written": _("wrote a note about you"),
        "note.deleted": _("deleted the note about you"),
        "request.received": _("wrote down a request"),
        "request.tied": _("noted that a request may be yours"),
        "request.identity_asked": _("asked for a proof that it is you"),
        "request.code_sent": _("sent a code to your contact"),
        "request.code_refused": _("refused a wrong code"),
        "request.verified": _("verified whose request it is"),
        "request.opened": _("opened your request"),
        "request.previewed": _("read what erasing would do"),
        "request.extended": _("extended the time for your request"),
        "request.proposed": _("proposed the erasure that you asked for"),
        "request.approved": _("approved your request"),
        "request.partial": _("did a part of what you asked; the rest is tried again"),
        "request.carried_out": _("did what you asked"),
        "request.package_ordered": _("had your package made"),
        "request.package_ready": _("made your package"),
        "request.link_made": _("made the link to your package"),
        "request.package_fetched": _("fetched your package"),
        "request.answered": _("answered your request"),
        "request.refused": _("refused your request"),
        "request.lifted": _("ended the pause that you asked for"),
        "request.alarm": _("warned that your request is due"),
        "consent.reminded": _("wrote to you that this ends soon"),
        "consent.reminder_failed": _("could not deliver that message"),
        "breach.told": _("wrote to you about a breach"),
        "breach.not_delivered": _("could not deliver that message"),
    }.get(entry.action, entry.action)
    reason = entry.detail.get("reason")
    return f"{words} ({reason})" if reason else words
