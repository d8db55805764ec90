"""What is asked and answered. The schema that other systems read is made of this."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from ninja import Schema
from pydantic import ConfigDict, Field, StringConstraints

from apps.retention.models import Request
from apps.systems.models import Event

# What PostgreSQL can keep: no NUL.
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]


class Asked(Schema):
    """A body: what it does not know, it refuses."""

    model_config = ConfigDict(extra="forbid")


class StoreOut(Schema):
    id: UUID
    name: str
    jurisdiction: str
    languages: list[str]


class Stores(Schema):
    stores: list[StoreOut]


class DeviceOut(Schema):
    id: UUID
    store: UUID
    kind: Literal["kiosk", "door", "camera"]
    name: str
    works: bool = Field(description="a tablet is enrolled and not revoked; a camera is switched on")
    seen_at: datetime | None


class Devices(Schema):
    devices: list[DeviceOut]


class VisitOut(Schema):
    sequence: int
    id: UUID
    person: UUID = Field(
        description="what this client calls the person; no other client knows them by it"
    )
    name: str | None = Field(description="only with the scope names")
    number: int | None = Field(description="the how many-th visit, where they agreed to that")
    arrived_at: datetime
    last_seen_at: datetime
    greeted_at: datetime | None


class Visits(Schema):
    """Visits in the order in which they changed. One that is greeted comes again."""

    visits: list[VisitOut]
    next: int = Field(description="ask with `after` of this the next time, and nothing is missed")
    more: bool = Field(description="there is more at once")


class PersonOut(Schema):
    """What may be known of a person now: of one who came to a store of this client, while they
    agree to that. It is what their visits say, and no more."""

    person: UUID
    name: str | None = Field(
        description="null: no name may be used now; during a pause, ask again when it is over"
    )


class PassIn(Asked):
    pass_: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        alias="pass",
        description="what the QR code of the pass, or of a card, says; in the body, never in a URL",
    )


class ConsentOut(Schema):
    """Whether the holder of a pass or card agrees now, in a store of this client. An unknown one
    and one that ended are answered alike."""

    agreed: bool
    person: UUID | None
    purposes: list[str]
    until: date | None


class RequestOut(Schema):
    id: UUID
    store: UUID
    kind: Request.Kind
    state: Request.State
    received_at: datetime
    due_at: datetime


class Requests(Schema):
    requests: list[RequestOut]
    more: bool


class RequestIn(Asked):
    """Somebody asked the other system. Whose request it is, our officer verifies."""

    store: UUID
    kind: Request.Kind
    person: UUID | None = Field(None, description="what this client calls the person, if it knows")
    words: Annotated[Text, StringConstraints(max_length=4000)] = ""
    reach: Annotated[Text, StringConstraints(max_length=240)] = Field(
        "", description="how the person wants to be answered"
    )


class Ending(Schema):
    """Something that this client was told of is over, paused or corrected: do the same there
    (delete it, use it for nothing, ask for the name again), then acknowledge."""

    id: UUID
    type: Literal[
        "visit.retracted",
        "person.restricted",
        "person.resumed",
        "person.rectified",
        "consent.withdrawn",
        "person.erased",
    ]
    person: UUID
    visit: UUID | None
    purpose: str | None = Field(description="what was withdrawn; null: everything")
    at: datetime


class Endings(Schema):
    endings: list[Ending]
    more: bool


class Acknowledged(Schema):
    acknowledged: bool


assert {*Ending.model_fields["type"].annotation.__args__, Event.ARRIVED} == set(Event.values)  # type: ignore[union-attr]
