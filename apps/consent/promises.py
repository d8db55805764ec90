"""For how long a person was promised that things are kept: what the notice said that they signed.

A policy that is made longer afterwards holds for whoever signs a notice that says so, and for
nobody else; one that is made shorter holds for everybody at once. Where a template or a visit gets
its deadline in SQL, the same rule stands in PostgreSQL (migration 0011).
"""

from apps.consent.models import NoticeText
from apps.stores import policies
from apps.stores.jurisdictions import Pack
from apps.stores.models import Store
from apps.stores.policies import Kind


def days(store: Store, text: NoticeText) -> dict[Kind, int]:
    """What holds in a store for whoever signed this text, in days."""
    told = text.notice.promised.get(str(store.pk), {})
    return {kind: min(now, told.get(kind.value, now)) for kind, now in policies.days(store).items()}


def pack(store: Store, text: NoticeText) -> Pack:
    """The store's pack, under which nobody signs this text for longer than it says."""
    return policies.narrowed(store.pack, days(store, text))


def days_sql(here: str, kind: str, cap: str) -> str:
    """SQL, days: the figure of a kind at the store `here` for the consent `c` of the statement
    around it; never more than the expression `cap`, the pack's own."""
    return f"least({cap}, kept_days({here}, c.text_id, {kind}))"
