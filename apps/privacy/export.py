"""Everything held on one person, as JSON for them and for machines (GDPR 15 and 20).

The models are the documentation: `schema()` is their JSON Schema, which the house publishes. What
nobody can open, the sealed templates, is described and not copied. Nothing of anybody else is in
it, and no name of those who work here.
"""

import json
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone, translation
from pydantic import BaseModel, ConfigDict, Field

from apps.consent import coverage, document, promises
from apps.consent.models import Consent
from apps.privacy import selectors
from apps.retention.holdings import HOLDINGS, periods
from apps.retention.models import Erasure, Request
from apps.systems.models import Client, Scope, Told
from apps.visitors.models import Visitor

SCHEMA = "consentry-export/4"
# One drawn line: points [x, y] in 0..1 of the pad's width and height.
Stroke = list[list[float]]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Controller(_Part):
    """Who answers for the data."""

    name: str
    address: str
    contact: str
    email: str
    store: str


class Held(_Part):
    """One kind of data, how much of it is held and by what clock it goes. In English."""

    what: str
    count: int
    clock: str
    when_erased: str = Field(description="what happens to it when everything is ended")


class Person(_Part):
    """What staff can see of you."""

    greeting_name: str
    say_as: str = Field(description="how you said that your name is said; empty: you did not")
    asks_for: str = Field(description="whom of the staff you ask for; empty: nobody")
    contact: str
    sex: str = Field(description="as you stated it for the statistics; empty: you did not")
    age: str = Field(description="the same, a range of years")
    since: datetime
    paused_at: datetime | None = Field(description="since when nobody recognises you; null: not")


class Note(_Part):
    """The sentence that staff keep about you."""

    text: str
    written_at: datetime


class Taken(_Part):
    """A purpose that you took back."""

    purpose: str
    at: datetime


class TypedName(_Part):
    """A signature by somebody who could not draw; one of the staff saw it."""

    name: str


class ReceiptsCode(_Part):
    """A renewal, by the code of the receipt of this number."""

    receipt: UUID


class Agreement(_Part):
    """One consent that you signed, with its proof."""

    record_id: UUID
    renews: UUID | None = Field(description="the record that this one renewed; null: none")
    purposes: list[str] = Field(description="what you agree to now")
    stores: list[str] = Field(description="where it holds now")
    group_stores_signed: list[UUID] = Field(
        description="the other stores of the group that you signed for"
    )
    declined: list[str]
    withdrawn: list[Taken]
    signed_at: datetime
    expires_at: datetime
    withdrawn_at: datetime | None = Field(description="when you ended all of it; null: it is not")
    reminded_at: datetime | None = Field(
        description="when we wrote to you that it ends soon; null: we did not"
    )
    kept_until: datetime = Field(description="how long the proof of it is kept")
    language: str
    notice_version: int
    notice_sha256: str
    notice: str = Field(description="the whole text that you were shown")
    signature: list[Stroke] | TypedName | ReceiptsCode = Field(
        description="the lines that you drew, x and y in 0..1, or the name that you typed, "
        "or the receipt by whose code you renewed"
    )
    signature_method: str
    guardian: str | None = Field(description="who signed with you, as your parent or guardian")
    receipt: str = Field(description="the signed receipt, a JWS with ISO/IEC TS 27560 fields")


class Template(_Part):
    """A sealed face template. Its numbers cannot be opened to be shown; a photo does not exist."""

    purpose: str
    model: str
    created_at: datetime
    not_after: datetime
    delete_after: datetime
    sealed_bytes: int


class Card(_Part):
    """Your card. Its code is yours alone; what is kept is a digest that says nothing."""

    created_at: datetime
    delete_after: datetime


class Stay(_Part):
    """A visit at which you were recognised, by your face or by your card."""

    arrived_at: datetime
    last_seen_at: datetime
    store: str
    number: int | None
    greeted_at: datetime | None
    similarity: float | None = Field(
        description="cosine of your template and what the camera saw; null: you showed your card"
    )
    threshold: float | None
    delete_after: datetime


class Mistake(_Part):
    """Somebody else was taken for you; it still says your name until then."""

    arrived_at: datetime
    delete_after: datetime


class Look(_Part):
    """An act or a look in the ledger that was about you: when, and in what role. No names."""

    at: datetime
    who: str
    what: str


class Ended(_Part):
    """Something of yours that was erased, with its certificate, a JWS that anyone can check."""

    cause: str
    erased_at: datetime
    certificate: str = Field(description="empty until every recognizer has acknowledged")


class Asked(_Part):
    """Something that you asked of us, and what became of it."""

    number: str
    kind: str
    source: str = Field(description="which way it came")
    words: str
    received_at: datetime
    due_at: datetime = Field(description="by when you have an answer")
    extended_at: datetime | None = Field(description="when its time was extended; null: it was not")
    extension_reason: str
    identity: str = Field(description="how we knew that it was you; empty: not yet")
    state: str
    answer: str
    closed_at: datetime | None = Field(description="when you were told the answer; null: not yet")


class Recipient(_Part):
    """Somebody outside who gets any of the data, by the register; what of it says the purpose."""

    name: str
    role: str
    purpose: str
    country: str
    contact: str


class Export(_Part):
    """Everything that this house holds on you."""

    model_config = ConfigDict(extra="forbid", title="Everything held on one person")

    schema_version: str
    schema_address: Annotated[str, Field(description="where this schema is published")]
    made_at: datetime
    controller: Controller
    held: list[Held]
    person: Person
    note: Note | None = Field(description="null: there is none")
    consents: list[Agreement]
    templates: list[Template]
    card: Card | None = Field(description="null: you have none")
    visits: list[Stay]
    mistaken_for_you: list[Mistake]
    ledger: list[Look]
    erased: list[Ended]
    requests: list[Asked]
    recipients: list[Recipient]


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of an export."""
    return Export.model_json_schema(mode="serialization")


def schema_json() -> str:
    """The same as a file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False)


def everything(visitor: Visitor) -> Export:
    """Gather everything held on a person who is enrolled."""
    consents = list(
        Consent.objects.filter(subject=visitor.subject)
        .select_related("text__notice", "receipt", "store__organization")
        .order_by("signed_at")
    )
    organization = visitor.store.organization
    with translation.override("en"):
        days = periods(promises.days(visitor.store, consents[-1].text))
    return Export(
        schema_version=SCHEMA,
        schema_address=f"{settings.CONSENTRY.public_url}/receipt/schema.json",
        made_at=timezone.now(),
        controller=Controller(
            name=organization.name,
            address=organization.address,
            contact=organization.contact_name,
            email=organization.contact_email,
            store=visitor.store.name,
        ),
        held=[
            Held(
                what=holding.what,
                count=count,
                clock=holding.clock % days,
                when_erased=holding.how.value,
            )
            for holding in HOLDINGS
            if (count := holding.of(visitor).count())
        ],
        person=Person(
            greeting_name=visitor.greeting_name,
            say_as=visitor.say_as,
            asks_for=visitor.asks_for,
            contact=visitor.contact,
            sex=visitor.sex,
            age=visitor.age,
            since=visitor.created_at,
            paused_at=visitor.restricted_at,
        ),
        note=Note(text=visitor.note.text, written_at=visitor.note.written_at)
        if hasattr(visitor, "note")
        else None,
        consents=[_agreement(consent) for consent in consents],
        templates=[
            Template(
                purpose=template.purpose,
                model=f"{template.pack} {template.pack_version}",
                created_at=template.created_at,
                not_after=template.not_after,
                delete_after=template.delete_after,
                sealed_bytes=len(template.sealed),
            )
            for template in visitor.templates.order_by("created_at")
        ],
        card=_card(visitor),
        visits=[
            Stay(
                arrived_at=visit.arrived_at,
                last_seen_at=visit.last_seen_at,
                store=visit.store.name,
                number=visit.number,
                greeted_at=visit.greeted_at,
                similarity=visit.score,
                threshold=visit.threshold,
                delete_after=visit.delete_after,
            )
            for visit in visitor.visits.theirs().select_related("store")
        ],
        mistaken_for_you=[
            Mistake(arrived_at=visit.arrived_at, delete_after=visit.delete_after)
            for visit in visitor.visits.filter(wrong_at__isnull=False)
        ],
        ledger=[
            Look(at=look.at, who=look.who, what=look.what)
            for consent in consents[-1:]
            for look in selectors.looks(consent)
        ],
        erased=[
            Ended(cause=erasure.cause, erased_at=erasure.erased_at, certificate=erasure.papers)
            for erasure in Erasure.objects.filter(consent__in=[one.pk for one in consents])
        ],
        requests=[
            _asked(request)
            for request in Request.objects.filter(subject=visitor.subject).order_by("received_at")
        ],
        recipients=[
            Recipient(
                name=party.name,
                role=party.role,
                purpose=party.purpose,
                country=party.country,
                contact=party.contact,
            )
            for party in organization.third_parties.filter(ended_at=None)
        ]
        + [_system(told.client) for told in _told(visitor)],
    )


def _card(visitor: Visitor) -> Card | None:
    if not hasattr(visitor, "card"):
        return None
    return Card(created_at=visitor.card.created_at, delete_after=visitor.card.delete_after)


def _told(visitor: Visitor) -> QuerySet[Told]:
    """The other systems that were told of a person (GDPR 15(1)(c))."""
    told = Told.objects.filter(subject=visitor.subject).order_by("since")
    return told.select_related("client__party", "client__organization")


def _system(client: Client) -> Recipient:
    run_by = client.party
    house = client.organization
    return Recipient(
        name=client.name,
        role="system",
        purpose="; ".join(str(scope.label) for scope in Scope if scope in client.scopes),
        country=run_by.country if run_by else "",
        contact=f"{run_by.name}, {run_by.contact}" if run_by else house.contact_email,
    )


def _asked(request: Request) -> Asked:
    return Asked(
        number=request.number,
        kind=request.kind,
        source=request.source,
        words=request.words,
        received_at=request.received_at,
        due_at=request.due(),
        extended_at=request.extended_at,
        extension_reason=request.extension_reason,
        identity=request.verified_how,
        state=request.state,
        answer=request.answer,
        closed_at=request.closed_at,
    )


def _agreement(consent: Consent) -> Agreement:
    return Agreement(
        record_id=consent.pk,
        renews=consent.renews_id,
        purposes=consent.purposes,
        stores=[consent.store.name, *(store.name for store in coverage.elsewhere(consent))],
        group_stores_signed=consent.group_stores,
        declined=consent.declined,
        withdrawn=[Taken(purpose=each.purpose, at=each.at) for each in consent.withdrawals.all()],
        signed_at=consent.signed_at,
        expires_at=consent.expires_at,
        withdrawn_at=consent.withdrawn_at,
        reminded_at=consent.reminded_at,
        kept_until=consent.delete_after,
        language=consent.locale,
        notice_version=consent.text.notice.version,
        notice_sha256=consent.digest,
        notice=f"{consent.text.short}\n\n{consent.text.full}",
        signature=consent.signature,
        signature_method=consent.signature_method,
        guardian=consent.guardian["name"] if consent.guardian else None,
        receipt=document.current_jws(consent.receipt),
    )
