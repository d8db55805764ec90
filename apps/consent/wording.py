"""What a notice says of cameras, retention and third parties: taken from the live registers.

An officer writes `{cameras}` and never a list by hand, so that the text cannot say anything else
than the house does. `Registers` is one reading of them; it gives sentences in a language, and
`facts` in none, by which a published notice is compared with what holds now.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

from django.utils.translation import get_language_bidi, ngettext, override
from django.utils.translation import gettext as _

from apps.consent.models import FACE, PROOF, NoticeText, Purpose, Section
from apps.stores import groups, jurisdictions
from apps.stores.models import Camera, Organization, Store, ThirdParty, all_languages
from apps.stores.policies import Kind, days

PLACEHOLDER = re.compile(r"\{([^{}\n]*)\}")
# What only a register may say, by the section that has to take it from there.
DRAWN = {
    Section.CONTACT: "contact",
    Section.METHOD: "cameras",
    Section.RETENTION: "retention",
    Section.THIRD_PARTIES: "third_parties",
    Section.ALTERNATIVES: "alternatives",
}


@dataclass(frozen=True, slots=True)
class Unknown:
    """A placeholder that no register fills, and the line on which it stands, from 1."""

    name: str
    line: int


class Registers:
    """What the house knows about itself at one moment: its stores, their cameras, who else."""

    def __init__(self, organization: Organization) -> None:
        self.organization = organization
        self.stores: list[Store] = list(organization.stores.prefetch_related("cameras", "policies"))
        self.third_parties: list[ThirdParty] = list(
            organization.third_parties.filter(ended_at=None)
        )
        self.groups = groups.together(organization)

    @cached_property
    def kept(self) -> list[tuple[Store, dict[Kind, int]]]:
        """For how many days each store keeps what."""
        return [(store, days(store)) for store in self.stores]

    @cached_property
    def packs(self) -> list[jurisdictions.Pack]:
        """The packs of all stores; the strict one while there is no store."""
        codes = {store.jurisdiction for store in self.stores} or {"strict"}
        return [jurisdictions.get(code) for code in sorted(codes)]

    @cached_property
    def locales(self) -> list[str]:
        """Every language that any store offers, in the order of the settings."""
        offered = {code for store in self.stores for code in store.languages}
        return [code for code in all_languages() if code in offered or not self.stores]

    @cached_property
    def required(self) -> list[Section]:
        """The sections that any of the stores' packs requires."""
        keys = {key for pack in self.packs for key in pack.requires}
        return [section for section in Section if section.value in keys]

    def facts(self) -> dict[str, list[str]]:
        """What the sentences rest on, one row each and in no language, register by register."""
        house = self.organization
        return {
            "contact": [_row(house.name, house.address, house.contact_name, house.contact_email)],
            "cameras": [
                _row(store, camera.name, camera.mode)
                for store in self.stores
                for camera in _running(store)
            ],
            "retention": [
                _row(
                    store,
                    f"template {_both(kept[Kind.LANE], kept[Kind.PASS])} d",
                    f"consent {kept[Kind.CONSENT]} d",
                    f"visit {_both(kept[Kind.HISTORY], kept[Kind.STATISTICS])} d",
                    f"proof {PROOF.days} d",
                )
                for store, kept in self.kept
            ],
            "third_parties": [
                _row(each.name, each.role, each.purpose, each.country, each.contact)
                for each in self.third_parties
            ],
            "groups": [_row(group, *stores) for group, stores in self.groups],
            "alternatives": [
                _row(store, store.non_face_check_in, *sorted(store.check_in_words.values()))
                for store in self.stores
            ],
            "languages": self.locales,
        }

    def promises(self) -> dict[str, dict[str, int]]:
        """The figures behind the sentences on retention, in days, by the id of the store."""
        return {
            str(store.pk): {str(kind): n for kind, n in kept.items()} for store, kept in self.kept
        }

    def fill(self, text: str, locale: str) -> str:
        """Replace every placeholder that is known by what the registers say, in this language."""
        with override(locale):
            return PLACEHOLDER.sub(lambda found: self._said(found[1]) or found[0], text)

    def says(self, locale: str) -> dict[str, str]:
        """What each placeholder is replaced by in this language."""
        with override(locale):
            return {name: say(self) for name, say in SAYS.items()}

    def fill_line(self, text: str, locale: str) -> str:
        """`fill` for the first layer, where one line is one line."""
        return " ".join(self.fill(text, locale).split("\n"))

    def short(self, text: NoticeText) -> str:
        """The first layer as it will be frozen."""
        lines = (line.strip() for line in text.lines.splitlines())
        return "\n".join(self.fill_line(line, text.locale) for line in lines if line)

    def full(self, text: NoticeText) -> str:
        """The second layer as it will be frozen: headings and paragraphs parted by empty lines."""
        parts: list[str] = []
        for section in Section:
            if written := text.sections.get(section.value, "").strip():
                with override(text.locale):
                    parts.append(f"{NoticeText.HEADING}{section.label}")
                filled = self.fill(written, text.locale)
                parts += [part.strip() for part in re.split(r"\n\s*\n", filled)]
        return "\n\n".join(parts)

    def _said(self, name: str) -> str:
        say = SAYS.get(name)
        return say(self) if say else ""


def unknown(text: str) -> list[Unknown]:
    """Placeholders of a text that no register fills."""
    return [
        Unknown(found[1], number)
        for number, line in enumerate(text.splitlines(), 1)
        for found in PLACEHOLDER.finditer(line)
        if found[1] not in SAYS
    ]


def _row(*facts: object) -> str:
    return " · ".join(str(fact) for fact in facts)


def _apart(text: str) -> str:
    """A name or an address as it stands in the text of a language that is read from the right:
    within isolates, so that what stands around it keeps its own order (Unicode UAX 9)."""
    return (
        f"\N{FIRST STRONG ISOLATE}{text}\N{POP DIRECTIONAL ISOLATE}"
        if get_language_bidi()
        else text
    )


def _running(store: Store) -> list[Camera]:
    return [camera for camera in store.cameras.all() if camera.active]


def _organization(registers: Registers) -> str:
    return _apart(registers.organization.name)


def _contact(registers: Registers) -> str:
    house = registers.organization
    return _("%(name)s, %(address)s. Data protection: %(contact)s, %(email)s.") % {
        "name": _apart(house.name),
        "address": _apart(house.address),
        "contact": _apart(house.contact_name),
        "email": _apart(house.contact_email),
    }


def _email(registers: Registers) -> str:
    return _apart(registers.organization.contact_email)


def _cameras(registers: Registers) -> str:
    return "\n".join(
        [
            *(_cameras_of(store) for store in registers.stores),
            *(_group_of(stores) for _group, stores in registers.groups),
        ]
    )


def _cameras_of(store: Store) -> str:
    does = {
        Camera.Mode.COUNT: _("counts people and recognises nobody"),
        Camera.Mode.PASS: _("looks only when somebody shows their own pass"),
        Camera.Mode.LANE: _("recognises who signed, in a marked lane"),
    }
    cameras = _(", ").join(
        _("“%(name)s” %(does)s")
        % {"name": _apart(camera.name), "does": does[Camera.Mode(camera.mode)]}
        for camera in _running(store)
    )
    values = {"store": _apart(store.name), "cameras": cameras or _("none")}
    return _("Cameras in %(store)s: %(cameras)s.") % values


def _group_of(stores: list[Store]) -> str:
    return _(
        "Whoever agreed to that too is recognised in each of these stores: %(stores)s. Their face "
        "template is kept once, for as long as said here, and their visits by the store that they "
        "were in."
    ) % {"stores": _(", ").join(_apart(store.name) for store in stores)}


def _retention(registers: Registers) -> str:
    return _each_store(registers, lambda store: _retention_of(dict(registers.kept)[store]))


def _both(first: int, second: int) -> str:
    return str(first) if first == second else f"{first}/{second}"


def _retention_of(kept: dict[Kind, int]) -> str:
    values = {
        "lane": kept[Kind.LANE],
        "pass": kept[Kind.PASS],
        "term": kept[Kind.CONSENT],
        "history": kept[Kind.HISTORY],
        "statistics": kept[Kind.STATISTICS],
        "proof": PROOF.days,
    }
    if values["lane"] != values["pass"] or values["history"] != values["statistics"]:
        return (
            _(
                "Your face template: for the lane until %(lane)s days, for the pass (and your "
                "card) until %(pass)s days after your last visit, at the latest %(term)s days "
                "after you signed. Your visits: %(history)s days for the history, %(statistics)s "
                "days for the statistics, or 12 hours without either. Proof that you agreed, "
                "without your face: %(proof)s days after it ended."
            )
            % values
        )
    return _(
        "Your face template, or your card: until %(inactivity)s days after your last visit, at "
        "the latest %(term)s days after you signed. Your visits: %(visit)s days, or 12 hours "
        "without an agreed history or statistics. Proof that you agreed, without your face: "
        "%(proof)s days after it ended."
    ) % {
        "inactivity": values["lane"],
        "term": values["term"],
        "visit": values["history"],
        "proof": values["proof"],
    }


def _term(registers: Registers) -> str:
    longest = max(
        (kept[Kind.CONSENT] for _store, kept in registers.kept),
        default=registers.packs[0].max_term_days,
    )
    return ngettext("%s day", "%s days", longest) % longest


def _third_parties(registers: Registers) -> str:
    return "\n".join(
        _("%(name)s, %(country)s (%(role)s): %(purpose)s. Contact: %(contact)s.")
        % {
            "name": _apart(each.name),
            "country": _apart(each.country),
            "role": each.get_role_display(),
            "purpose": _apart(each.purpose.rstrip(".。")),
            "contact": _apart(each.contact),
        }
        for each in registers.third_parties
    ) or _("Nobody.")


def _alternatives(registers: Registers) -> str:
    return _each_store(registers, lambda store: _apart(store.check_in))


def _each_store(registers: Registers, say: Callable[[Store], str]) -> str:
    """One sentence when it is the same everywhere, else one a store."""
    said = {store.name: say(store) for store in registers.stores}
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return "\n".join(
        _("%(store)s: %(text)s") % {"store": _apart(name), "text": text}
        for name, text in said.items()
    )


# What a placeholder is replaced by.
SAYS: dict[str, Callable[[Registers], str]] = {
    "organization": _organization,
    "contact": _contact,
    "email": _email,
    "cameras": _cameras,
    "retention": _retention,
    "term": _term,
    "third_parties": _third_parties,
    "alternatives": _alternatives,
}


def known_by(purposes: Collection[str]) -> str:
    """By what somebody who agreed to these is known again, as a part of sentences."""
    card = Purpose.CARD in purposes
    if not any(purpose in purposes for purpose in FACE):
        return _("your card") if card else _("your face template")
    return _("your face template and your card") if card else _("your face template")
