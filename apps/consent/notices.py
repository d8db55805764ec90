"""Write a notice, propose it, approve it, publish it; and see whether it is still true.

Design. Whoever wrote in a version neither approves nor publishes it (four eyes). An approval is of
the text as it will be frozen, registers included: whatever changes after it, a word or a camera,
voids it. Publishing freezes each language byte for byte with its digest, and what the registers
said. It is refused while anything that the stores' jurisdictions require is missing in any language
that any of them offers. PostgreSQL refuses what would go past this (migrations 0002 and 0004).
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Least
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.consent.models import PROOF, Consent, Notice, NoticeText, Section
from apps.consent.wording import DRAWN, Registers, unknown
from apps.stores.models import Organization

# The first layer is read standing.
MOST_LINES = 10


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that keeps a notice from being published. `place` is a section's key, `lines` for
    the first layer, or empty when a register is to be filled in."""

    text: str
    locale: str = ""
    place: str = ""


class NoticeRefused(ValueError):
    """The notice cannot go that way. `code` is for machines, `text` says what to do."""

    def __init__(self, code: str, text: str, missing: Iterable[Missing] = ()) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.missing = tuple(missing)


@dataclass(frozen=True, slots=True)
class Drift:
    """One register that says something else than the notice: rows that it names and that are gone,
    and rows that are there and it does not name."""

    register: str
    gone: list[str]
    new: list[str]


def digest_of(text: NoticeText) -> str:
    """SHA-256 over everything that is shown, in the order in which it is shown."""
    return hashlib.sha256(
        "\x1e".join((text.locale, text.short, text.full)).encode("utf-8")
    ).hexdigest()


def fill(text: NoticeText, registers: Registers) -> NoticeText:
    """Set a draft's layers and digest to what publishing would freeze now. Saves nothing."""
    text.short = registers.short(text)
    text.full = registers.full(text)
    text.digest = digest_of(text)
    return text


def missing(notice: Notice, registers: Registers) -> list[Missing]:
    """Everything that keeps this version from being published, in the order of the page."""
    found = [*_missing_registers(registers)]
    written = {text.locale: text for text in notice.texts.all()}
    begun = [code for code, text in sorted(written.items()) if _begun(text)]
    for locale in dict.fromkeys([*registers.locales, *begun]):
        text = written.get(locale) or NoticeText(notice=notice, locale=locale)
        found += _missing_lines(text, registers)
        for section in Section:
            found += _missing_section(text, section, registers)
    return found


@transaction.atomic
def begin(*, organization: Organization, actor: str) -> Notice:
    """Start the next version from the last one, or from what the registers can say."""
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    versions = Notice.objects.filter(organization=organization)
    last = versions.order_by("-version").prefetch_related("texts").first()
    newest = versions.aggregate(newest=Max("version"))["newest"] or 0
    notice = Notice.objects.create(organization=organization, version=newest + 1)
    before = {text.locale: text for text in last.texts.all()} if last else {}
    for locale in dict.fromkeys([*Registers(organization).locales, *before]):
        text = before.get(locale)
        NoticeText.objects.create(
            notice=notice,
            locale=locale,
            lines=text.lines if text else "",
            sections=(text.sections if text else {})
            or {section.value: f"{{{name}}}" for section, name in DRAWN.items()},
        )
    audit.record(actor=actor, action="notice.begun", notice=str(notice.pk), version=notice.version)
    return notice


@transaction.atomic
def write(
    *,
    notice: Notice,
    locale: str,
    lines: str,
    sections: Mapping[str, str],
    revision: int,
    actor: str,
) -> Notice:
    """Set the text of one language; voids a proposal and an approval. Raises NoticeRefused.

    `revision` is the one that the writer read: who saved in between is not written over.
    """
    notice = _draft(notice)
    if notice.revision != revision:
        raise NoticeRefused(
            "edited",
            _("Somebody else saved this version meanwhile. Compare, then save yours again."),
        )
    NoticeText.objects.update_or_create(
        notice=notice,
        locale=locale,
        defaults={
            "lines": _plain(lines),
            "sections": {
                section.value: _plain(sections[section.value])
                for section in Section
                if sections.get(section.value, "").strip()
            },
        },
    )
    notice.revision += 1
    if actor not in notice.editors:
        notice.editors.append(actor)
    notice.proposed_by = notice.approved_by = notice.approved_digest = ""
    notice.save()
    audit.record(
        actor=actor,
        action="notice.written",
        notice=str(notice.pk),
        locale=locale,
        revision=notice.revision,
    )
    return notice


@transaction.atomic
def propose(*, notice: Notice, actor: str) -> Notice:
    """Hand a complete draft to a second person. Raises NoticeRefused."""
    notice = _draft(notice)
    _complete(notice, Registers(notice.organization))
    notice.proposed_by = actor
    notice.approved_by = notice.approved_digest = ""
    notice.save()
    audit.record(
        actor=actor, action="notice.proposed", notice=str(notice.pk), revision=notice.revision
    )
    return notice


@transaction.atomic
def approve(*, notice: Notice, revision: int, actor: str) -> Notice:
    """Approve the text as it would be frozen now. Never by who wrote in it. Raises NoticeRefused.

    `revision` is the one that was read.
    """
    notice = _draft(notice)
    if not notice.proposed_by or notice.revision != revision:
        raise NoticeRefused("not_proposed", _("This text was not proposed. Read it again."))
    _second_person(notice, actor)
    registers = Registers(notice.organization)
    _complete(notice, registers)
    notice.approved_by = actor
    notice.approved_digest = _digest_of_all(notice, registers)
    notice.save()
    audit.record(
        actor=actor,
        action="notice.approved",
        notice=str(notice.pk),
        digest=notice.approved_digest,
    )
    return notice


@transaction.atomic
def publish(*, notice: Notice, actor: str, former_end: datetime | None = None) -> Notice:
    """Freeze an approved notice; from now on kiosks show this one. Raises NoticeRefused.

    `former_end` says that the change is material: whoever signed a former version is asked again at
    the next visit, and their consent ends then at the latest.
    """
    # The organization is locked for two officers who publish two versions at once.
    organization = Organization.objects.select_for_update(no_key=True).get(
        pk=notice.organization_id
    )
    notice = _draft(notice)
    if Notice.objects.published().filter(organization=organization, version__gt=notice.version):
        raise NoticeRefused("older", _("A newer version is published already."))
    if not notice.approved_by:
        raise NoticeRefused("not_approved", _("A second person has to approve this text first."))
    _second_person(notice, actor)
    registers = Registers(organization)
    _complete(notice, registers)
    if not is_approved(notice, registers):
        raise NoticeRefused(
            "stale",
            _("A register changed after the approval, and the text with it. Approve it again."),
        )
    if former_end is not None:
        first, last = renewal_days(registers)
        if not first <= former_end.date() <= last:
            raise NoticeRefused(
                "former_end",
                _("Consents to former versions may end from %(first)s to %(last)s.")
                % {"first": first.isoformat(), "last": last.isoformat()},
            )
    texts = [fill(text, registers) for text in notice.texts.select_for_update()]
    for text in texts:
        if _begun(text):
            text.save()
        else:
            text.delete()
    notice.published_at = timezone.now()
    notice.published_by = actor
    notice.former_end_at = former_end
    notice.facts = registers.facts()
    notice.promised = registers.promises()
    notice.save()
    audit.record(
        actor=actor,
        action="notice.published",
        notice=str(notice.pk),
        digests={text.locale: text.digest for text in texts if _begun(text)},
        former_end_at=former_end.astimezone(UTC).isoformat() if former_end else "",
        asked_again=_end_former(notice),
    )
    return notice


def is_approved(notice: Notice, registers: Registers) -> bool:
    """Whether a second person approved what this version says now."""
    return bool(notice.approved_by) and (
        notice.published_at is not None
        or notice.approved_digest == _digest_of_all(notice, registers)
    )


def renewal_days(registers: Registers) -> tuple[date, date]:
    """The first and the last day on which consents to former versions may end."""
    today = timezone.now().date()
    return (
        today + timedelta(days=max(pack.renew_min_days for pack in registers.packs)),
        today + timedelta(days=min(pack.renew_max_days for pack in registers.packs)),
    )


def drift(notice: Notice, registers: Registers) -> list[Drift]:
    """Where a published notice and the live registers say different things."""
    found = []
    for register, rows in registers.facts().items():
        told = notice.facts.get(register, [])
        gone = [row for row in told if row not in rows]
        new = [row for row in rows if row not in told]
        if gone or new:
            found.append(Drift(register, gone, new))
    return found


def _end_former(notice: Notice) -> int:
    """Let consents to former versions end in time, in one statement; how many are asked again.

    PostgreSQL lets their templates follow (visitors, migration 0004).
    """
    if notice.former_end_at is None:
        return 0
    former = NoticeText.objects.filter(
        notice__organization=notice.organization_id,
        notice__version__lt=notice.version,
        notice__published_at__isnull=False,
    )
    # Whoever is signing one of these at this moment is waited for, and then found: see `sign`.
    list(former.select_for_update(of=("self",)).values_list("pk", flat=True))
    live = Consent.objects.live().filter(text__in=former)
    asked = live.count()
    live.filter(expires_at__gt=notice.former_end_at).update(
        expires_at=notice.former_end_at,
        delete_after=Least("delete_after", notice.former_end_at + PROOF),
    )
    return asked


def _draft(notice: Notice) -> Notice:
    """Read a draft again under the lock: two officers may press at once, or one still edits."""
    notice = (
        Notice.objects.select_for_update(of=("self",))
        .select_related("organization")
        .get(pk=notice.pk)
    )
    if notice.published_at is not None:
        raise NoticeRefused("published", _("This version is published; make a new one."))
    return notice


def _complete(notice: Notice, registers: Registers) -> None:
    if found := missing(notice, registers):
        raise NoticeRefused(
            "incomplete", _("Something is still missing; it is listed beside the text."), found
        )


def _second_person(notice: Notice, actor: str) -> None:
    if actor in notice.editors:
        raise NoticeRefused(
            "four_eyes", _("You wrote in this version. Somebody else has to read and approve it.")
        )


def _digest_of_all(notice: Notice, registers: Registers) -> str:
    texts = [text for text in notice.texts.order_by("locale") if _begun(text)]
    digests = [fill(text, registers).digest for text in texts]
    return hashlib.sha256("\x1e".join(digests).encode()).hexdigest()


def _begun(text: NoticeText) -> bool:
    """Whether anything was written in this language beside what the registers say."""
    drawn = {f"{{{name}}}" for name in DRAWN.values()}
    written = {value.strip() for value in text.sections.values()} - drawn - {""}
    return bool(written or text.lines.strip())


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _missing_registers(registers: Registers) -> Iterable[Missing]:
    house = registers.organization
    if not (house.address and house.contact_name and house.contact_email):
        yield Missing(_("The organization's address and contact are not complete."))
    for store in registers.stores:
        if Section.ALTERNATIVES in registers.required and not store.non_face_check_in.strip():
            yield Missing(_("%(store)s offers no check-in without a face.") % {"store": store.name})


def _missing_lines(text: NoticeText, registers: Registers) -> Iterable[Missing]:
    lines = [line for line in text.lines.splitlines() if line.strip()]
    if not lines:
        yield Missing(_("The short lines are not written."), text.locale, "lines")
    if len(lines) > MOST_LINES:
        words = _("%(count)s short lines; at most %(most)s are read.")
        yield Missing(words % {"count": len(lines), "most": MOST_LINES}, text.locale, "lines")
    yield from _unknown(text, text.lines, "lines")


def _missing_section(text: NoticeText, section: Section, registers: Registers) -> Iterable[Missing]:
    written = text.sections.get(section.value, "")
    if not written.strip():
        if section in registers.required:
            yield Missing(
                _("“%(section)s” is not written.") % {"section": section.label},
                text.locale,
                section.value,
            )
        return
    drawn = DRAWN.get(section)
    if drawn and f"{{{drawn}}}" not in written:
        words = _("“%(section)s” has to take {%(drawn)s} from the register.")
        yield Missing(
            words % {"section": section.label, "drawn": drawn}, text.locale, section.value
        )
    yield from _unknown(text, written, section.value)


def _unknown(text: NoticeText, written: str, place: str) -> Iterable[Missing]:
    where = Section(place).label if place in Section.values else _("In short")
    for each in unknown(written):
        words = _("“%(section)s”, line %(line)s: nothing fills in {%(name)s}.") % {
            "section": where,
            "line": each.line,
            "name": each.name,
        }
        yield Missing(words, text.locale, place)
