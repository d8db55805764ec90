"""The API's calls. Each is one transaction: what it answers, whom it told, its ledger entry.

A client sees its own stores and nothing else; of people only those who signed and whose consent
holds, by an id that is this client's own.
"""

from typing import Annotated, Any
from uuid import UUID

from django.db import connection
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.http import Http404
from ninja import Body, Query, Status

from apps.api import shapes
from apps.api.calls import Bearer, Call, called
from apps.api.problems import Problem, Refused, answer_all_faults
from apps.api.schema import DocumentedAPI
from apps.audit import services as audit
from apps.consent.coverage import covers, stores_of
from apps.consent.models import Purpose
from apps.privacy.requests import intake
from apps.privacy.requests.rows import RequestRefused
from apps.recognition import passes
from apps.retention.models import Request
from apps.stores.models import Camera, Device
from apps.systems import delivery, outbox
from apps.systems.models import Delivery, Scope, Told
from apps.visitors import cards
from apps.visitors.models import Card, FaceTemplate, Visitor, cards_now
from apps.visits.models import Visit

PAGE = 100
# As far as a sequence can count in PostgreSQL.
FARTHEST = 2**63 - 1
REFUSALS = dict.fromkeys((400, 401, 403, 404, 409, 422, 429, 500), Problem)

api = DocumentedAPI(
    title="Consentry",
    version="1",
    urls_namespace="api",
    description="For other systems of a house: stores, devices, arrivals of people who signed, "
    "requests, what is over or corrected. Every call is an entry in the house's ledger. "
    "Errors are RFC 9457.",
    auth=Bearer(),
    docs_url=None,
)
answer_all_faults(api)


def _answers(shape: Any, status: int = 200) -> dict[int, Any]:
    return {status: shape, **REFUSALS}


@api.get("/stores", response=_answers(shapes.Stores), operation_id="stores")
@called("stores", Scope.STORES)
def stores(call: Call) -> Any:
    """The stores of this client."""
    found = list(call.stores.order_by("name"))
    call.noted["count"] = len(found)
    return {"stores": found}


@api.get("/devices", response=_answers(shapes.Devices), operation_id="devices")
@called("devices", Scope.DEVICES)
def devices(call: Call) -> Any:
    """Tablets and cameras, and when each was last heard of."""
    tablets = Device.objects.filter(store__in=call.stores).order_by("name", "pk")
    cameras = Camera.objects.filter(store__in=call.stores, tablet=None).order_by("name", "pk")
    found = [
        {
            "id": each.pk,
            "store": each.store_id,
            "kind": each.kind,
            "name": each.name,
            "works": each.live,
            "seen_at": each.last_seen_at,
        }
        for each in tablets
    ] + [
        {
            "id": each.pk,
            "store": each.store_id,
            "kind": "camera",
            "name": each.name,
            "works": each.active,
            "seen_at": each.last_frame_at,
        }
        for each in cameras
    ]
    call.noted["count"] = len(found)
    return {"devices": found}


@api.get("/stores/{uuid:store}/visits", response=_answers(shapes.Visits), operation_id="visits")
@called("visits", Scope.VISITS)
def visits(
    call: Call,
    store: UUID,
    after: Annotated[int, Query(ge=0, le=FARTHEST)] = 0,
    limit: Annotated[int, Query(ge=1, le=PAGE)] = PAGE,
) -> Any:
    """Arrivals in a store after a number, of people whose consent holds.

    Numbers of one store become visible in their order, so whoever asks on from `next` misses
    nothing, however long it was away."""
    lawful = _lawful(call).filter(store=call.store(store), sequence__gt=after)
    page = list(lawful.order_by("sequence").values_list("pk", "visitor")[: limit + 1])
    # An erasure locks the visitor too: what is still there once this is held will be told of it.
    _hold(visitor for _pk, visitor in page[:limit])
    kept = lawful.filter(pk__in=[pk for pk, _visitor in page[:limit]])
    found = list(kept.select_related("visitor").order_by("sequence"))
    known = outbox.tell(client=call.client.pk, subjects=[each.visitor.subject for each in found])
    audit.record_all(
        [
            audit.Act(
                actor=call.actor,
                action="visit.told",
                subject=each.visitor.subject,
                whereabouts=True,
                detail={"visit": str(each.pk)},
            )
            for each in found
        ]
    )
    call.noted["count"] = len(found)
    named = Scope.NAMES in call.client.scopes
    return {
        "visits": [
            {
                "sequence": each.sequence,
                "id": each.pk,
                "person": known[each.visitor.subject],
                "name": each.visitor.greeting_name if named else None,
                "number": each.number,
                "arrived_at": each.arrived_at,
                "last_seen_at": each.last_seen_at,
                "greeted_at": each.greeted_at,
            }
            for each in found
        ],
        "next": found[-1].sequence if found else after,
        "more": len(page) > limit,
    }


@api.get("/people/{uuid:person}", response=_answers(shapes.PersonOut), operation_id="person")
@called("person", Scope.VISITS, Scope.NAMES)
def person(call: Call, person: UUID) -> Any:
    """How somebody of whom this client was told is greeted now: for one that heard
    `person.rectified`."""
    told = Told.objects.filter(client=call.client, person=person).first()
    if told is None or told.subject is None:
        raise Http404
    _hold(Visitor.objects.filter(subject=told.subject).values_list("pk", flat=True))
    visit = _lawful(call).filter(visitor__subject=told.subject).select_related("visitor").first()
    if visit is not None:
        audit.record(actor=call.actor, action="name.told", subject=told.subject)
    return {"person": person, "name": visit.visitor.greeting_name if visit else None}


@api.post("/consents", response=_answers(shapes.ConsentOut), operation_id="consent")
@called("consent", Scope.CONSENTS)
def consent(call: Call, body: Annotated[shapes.PassIn, Body()]) -> Any:
    """Whether the holder of a pass, or of a card, agrees, and to what."""
    nobody: dict[str, Any] = {"agreed": False, "person": None, "purposes": [], "until": None}
    named = _named(body.pass_)
    if named is None:
        return nobody
    _hold(named.values_list("visitor", flat=True))
    held = named.select_related("consent", "visitor").first()
    if held is None or not call.stores.filter(pk__in=stores_of(held.consent)).exists():
        return nobody
    subject = held.visitor.subject
    known = outbox.tell(client=call.client.pk, subjects=[subject])
    audit.record(actor=call.actor, action="consent.asked", subject=subject)
    return {
        "agreed": True,
        "person": known[subject],
        "purposes": [each for each in held.consent.purposes if each not in outbox.NEVER_TOLD],
        "until": held.consent.expires_at.date(),
    }


@api.get("/requests", response=_answers(shapes.Requests), operation_id="requests")
@called("requests", Scope.REQUESTS)
def requests(call: Call, offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0) -> Any:
    """Requests of people in these stores, the next one due first. Nobody is named."""
    found = Request.objects.filter(store__in=call.stores).order_by("due_at", "pk")
    page = list(found[offset : offset + PAGE + 1])
    call.noted["count"] = len(page[:PAGE])
    return {"requests": [_request(each) for each in page[:PAGE]], "more": len(page) > PAGE}


@api.post("/requests", response=_answers(shapes.RequestOut, 201), operation_id="file_request")
@called("request_filed", Scope.FILE)
def file_request(call: Call, body: Annotated[shapes.RequestIn, Body()]) -> Any:
    """Write down what somebody asked of the other system. Its clock runs from now; nothing is done
    before an officer has verified who it was."""
    store = call.store(body.store)
    told = None
    if body.person is not None:
        told = Told.objects.filter(
            client=call.client, person=body.person, subject__isnull=False
        ).first()
        if told is None:
            raise Http404
    try:
        request = intake.take(
            store=store,
            kind=body.kind,
            source=Request.Source.SYSTEM,
            actor=call.actor,
            words=body.words,
            reach=body.reach,
            subject=told.subject if told else None,
        )
    except RequestRefused:
        raise Refused(409, "One of this kind is open for this person.") from None
    call.noted["request"] = str(request.pk)
    return Status(201, _request(request))


@api.get("/endings", response=_answers(shapes.Endings), operation_id="endings")
@called("endings")
def endings(call: Call) -> Any:
    """What is over or corrected and this client has not acknowledged: for one without a webhook, or
    one that was away. Every client may ask (GDPR 19)."""
    found = Delivery.objects.endings().filter(told__client=call.client).select_related("told")
    page = list(found[: PAGE + 1])
    call.noted["count"] = len(page[:PAGE])
    return {
        "endings": [
            {
                "id": each.pk,
                "type": each.event,
                "person": each.told.person,
                "visit": each.visit,
                "purpose": each.purpose or None,
                "at": each.at,
            }
            for each in page[:PAGE]
        ],
        "more": len(page) > PAGE,
    }


@api.post(
    "/endings/{uuid:ending}/acknowledge",
    response=_answers(shapes.Acknowledged),
    operation_id="acknowledge",
)
@called("acknowledged")
def acknowledge(call: Call, ending: UUID) -> Any:
    """Say that it is deleted there too. Twice, or of what is not there, changes nothing."""
    own = Delivery.objects.endings().filter(told__client=call.client, pk=ending)
    done = own.exists() and delivery.acknowledge(ending, by=call.actor)
    return {"acknowledged": done}


def _named(text: str) -> QuerySet[FaceTemplate] | QuerySet[Card] | None:
    """What a shown code names: the template of a pass, or a card; None: it is neither."""
    if shown := passes.read(text):
        return FaceTemplate.objects.live().filter(
            Q(pk=shown.template) | Q(shown_as=shown.template), purpose=Purpose.PASS
        )
    code = cards.read(text)
    return cards_now().filter(digest=cards.digest(code)) if code else None


def _lawful(call: Call) -> QuerySet[Visit]:
    """Visits that a client may read of now."""
    return Visit.objects.theirs().filter(
        covers("consent__", F("store_id")),
        store__in=call.stores,
        delete_after__gt=Now(),
        consent__withdrawn_at=None,
        consent__expires_at__gt=Now(),
        visitor__restricted_at=None,
    )


def _hold(visitors: Any) -> None:
    """Lock people for the rest of this transaction, as an arrival does, in one order for all."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM visitors_visitor WHERE id = ANY (%s) ORDER BY id FOR SHARE",
            [sorted(set(visitors))],
        )


def _request(request: Request) -> dict[str, Any]:
    return {
        "id": request.pk,
        "store": request.store_id,
        "kind": request.kind,
        "state": request.state,
        "received_at": request.received_at,
        "due_at": request.due(),
    }
