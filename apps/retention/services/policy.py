"""Set for how long a store keeps what, and move what is there when that becomes shorter.

Design. A longer policy moves nothing: what was signed for less stays with that (consent.promises).
A shorter one holds for everybody at once. Setting it is one transaction with its ledger entry, and
remembers what held before; moving is a second one for templates and for visits each, which holds
no lock on the ledger and so waits for nobody in a circle. Whatever kills it in between, the next
sweep moves what is left. What is past its new deadline is refused from then on, and swept.

The days since the last visit are not kept as such. A template's last visit is its deadline less
the days that held before, where the end of the consent did not come first; else the latest that is
known: when it was signed for, taken or a visit that is kept. So who let no history be kept may go
earlier than by their true last visit, and never later.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from apps.audit import services as audit
from apps.stores import policies
from apps.stores.models import Store
from apps.stores.policies import Kind, Policy
from apps.visits.services import KEPT, one_at_a_time

TEMPLATE_KINDS = (Kind.LANE, Kind.PASS)
VISIT_KINDS = (Kind.HISTORY, Kind.STATISTICS)


def _held(table: str, purpose: str, kind: str, end: str) -> str:
    """SQL: what a shorter policy moves in a table of what people are known by.

    purpose, kind: what it needs, and whose figure it is kept by. end: its hard end. `former` and
    `new` are the policies, in days; both less what was promised.
    """
    return f"""
SELECT t.id, t.visitor_id AS person, t.delete_after AS was,
       least(t.delete_after, new_days * interval '1 day' + greatest(
           t.created_at, c.signed_at,
           (SELECT max(p.arrived_at) FROM visits_visit p
             WHERE p.visitor_id = t.visitor_id AND p.wrong_at IS NULL),
           CASE WHEN t.delete_after < {end}
                THEN t.delete_after - former_days * interval '1 day' END)) AS due
  FROM {table} t JOIN consent_consent c ON c.id = t.consent_id,
       LATERAL (SELECT promised_days(t.store_id, c.text_id, {kind}) AS told) AS p,
       LATERAL (SELECT least(%(former)s, p.told) AS former_days,
                       least(%(new)s, p.told) AS new_days) AS d
 WHERE t.store_id = %(store)s AND {kind} = %(kind)s AND new_days < former_days
   AND t.delete_after > clock_timestamp() AND {purpose} = ANY (c.purposes)
   AND c.withdrawn_at IS NULL AND c.expires_at > clock_timestamp()
"""  # noqa: S608


TEMPLATES = {
    "visitors_facetemplate": _held(
        "visitors_facetemplate", "t.purpose", "t.purpose", "least(t.not_after, c.expires_at)"
    ),
    # A card is kept for as long as a pass.
    "visitors_card": _held("visitors_card", "'card'", "'pass'", "c.expires_at"),
}

# As long as the longer of the two that were agreed to allows.
VISITS = f"""
SELECT v.id, v.visitor_id AS person, v.delete_after AS was,
       least(v.delete_after, v.arrived_at + interval '1 day' * greatest(
           CASE WHEN 'history' = ANY (c.purposes) THEN
                least(%(history)s, promised_days(v.store_id, c.text_id, 'history')) END,
           CASE WHEN 'statistics' = ANY (c.purposes) THEN
                least(%(statistics)s, promised_days(v.store_id, c.text_id, 'statistics')) END
       )) AS due
  FROM visits_visit v JOIN consent_consent c ON c.id = v.consent_id
 WHERE v.store_id = %(store)s AND {KEPT} AND v.wrong_at IS NULL
   AND v.delete_after > clock_timestamp()
"""  # noqa: S608


class OverTheCap(ValueError):
    """A figure that the pack does not allow, or none. `kind` says which; `cap` is the most."""

    def __init__(self, kind: Kind, cap: int) -> None:
        super().__init__(f"{kind}: from 1 to {cap} days")
        self.kind = kind
        self.cap = cap


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change of one figure does now. people: whose deadline comes earlier. at_once: of them,
    whose has passed with it."""

    kind: Kind
    before: int
    after: int
    people: int = 0
    at_once: int = 0


def preview(*, store: Store, figures: dict[Kind, int]) -> list[Effect]:
    """What setting these figures would do, one line for each that changes. Raises OverTheCap.

    Counts only. For visits it is one sum, with the kind that changes first.
    """
    before = _checked(store, figures)
    after = {**before, **figures}
    return [
        Effect(kind, before[kind], after[kind], *_counted(store, kind, before, after))
        for kind in Kind
        if after[kind] != before[kind]
    ]


def change(*, store: Store, figures: dict[Kind, int], reason: str, actor: str) -> None:
    """Set these figures, and move what is there. Raises OverTheCap."""
    _set(store, figures, reason, actor)
    enforce(store=store)


def enforce(*, store: Store | None = None) -> None:
    """Move whatever a shorter policy has not moved yet. Safe beside itself."""
    waiting = Policy.objects.filter(former__isnull=False).select_related("store")
    for policy in waiting.filter(store=store) if store else waiting:
        _move(policy)


@transaction.atomic
def _set(store: Store, figures: dict[Kind, int], reason: str, actor: str) -> None:
    # Whoever enrols at this moment by what held before is waited for, and then found.
    store = Store.objects.select_for_update(no_key=True).get(pk=store.pk)
    before = _checked(store, figures)
    changed = {kind: days for kind, days in figures.items() if days != before[kind]}
    for kind, days in changed.items():
        policy = store.policies.filter(kind=kind).first() or Policy(store=store, kind=kind)
        if days < before[kind] and kind != Kind.CONSENT:
            policy.former = max(policy.former or 0, before[kind])
        policy.days, policy.reason = days, reason
        policy.save()
    if changed:
        audit.record(
            actor=actor,
            action="policy.changed",
            store=str(store.pk),
            days={kind.value: [before[kind], days] for kind, days in changed.items()},
        )


def _move(policy: Policy) -> None:
    with _all_at_once(policy.store) as cursor:
        policy = Policy.objects.select_for_update(of=("self",)).get(pk=policy.pk)
        if policy.former is None:
            return
        kind, now = Kind(policy.kind), policies.days(policy.store)
        queries, values = _queries(policy.store, kind, {kind: policy.former}, now)
        for table, query in queries.items():
            # Ended at once all the same: a template takes no deadline in the past, see
            # visits.mistakes.
            cursor.execute(
                f"""UPDATE {table} x
                       SET delete_after = greatest(m.due, clock_timestamp() + interval '1 second')
                      FROM ({query}) AS m WHERE x.id = m.id AND m.due < m.was""",  # noqa: S608
                values,
            )
        policy.former = None
        policy.save(update_fields=["former"])


@contextmanager
def _all_at_once(store: Store) -> Iterator[CursorWrapper]:
    """One transaction, while no camera that may know people of this store makes a visit of them:
    what began by the old figure has committed."""
    near = Store.objects.filter(organization=store.organization_id).order_by("pk")
    with transaction.atomic(), connection.cursor() as cursor:
        for pk in near.values_list("pk", flat=True):
            one_at_a_time(cursor, pk)
        yield cursor


def _checked(store: Store, figures: dict[Kind, int]) -> dict[Kind, int]:
    for kind, cap in policies.caps(store.pack).items():
        if not 1 <= figures.get(kind, 1) <= cap:
            raise OverTheCap(kind, cap)
    return policies.days(store)


def _counted(
    store: Store, kind: Kind, before: dict[Kind, int], after: dict[Kind, int]
) -> tuple[int, int]:
    """How many people are moved, and how many of them at once."""
    if kind == Kind.CONSENT or after[kind] >= before[kind]:
        return 0, 0
    queries, values = _queries(store, kind, before, after)
    moved = " UNION ALL ".join(queries.values())
    with connection.cursor() as cursor:
        cursor.execute(
            f"""SELECT count(DISTINCT person),
                       count(DISTINCT person) FILTER (WHERE due <= clock_timestamp())
                  FROM ({moved}) AS m WHERE due < was""",  # noqa: S608
            values,
        )
        people, at_once = cursor.fetchone()
    return people, at_once


def _queries(
    store: Store, kind: Kind, before: dict[Kind, int], after: dict[Kind, int]
) -> tuple[dict[str, str], dict[str, Any]]:
    """Tables, each with the rows that are moved in it, and the values of these queries."""
    if kind in TEMPLATE_KINDS:
        values = {"store": store.pk, "kind": kind, "former": before[kind], "new": after[kind]}
        return TEMPLATES, values
    values = {"store": store.pk, **{each.value: after[each] for each in VISIT_KINDS}}
    return {"visits_visit": VISITS}, values
