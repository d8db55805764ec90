"""In which stores a consent lets its person be recognised: where it was signed, and, as long as its
purpose `group` holds, in those stores of the group that it names and that never left since.

The rule stands once, in PostgreSQL (migration 0010): every statement that loads, opens or discloses
a template asks it. It takes the consent's columns and not its id, so that a statement that has
waited for a withdrawal sees what is agreed to then and not what was before.
"""

from uuid import UUID

from django.db import connection, models
from django.db.models import F, Func
from django.db.models.expressions import Combinable

from apps.consent.models import Consent
from apps.stores.models import Store

COLUMNS = ("store_id", "purposes", "group_stores", "group_id", "signed_at")


def covers_sql(here: str) -> str:
    """SQL, true where the consent `c` of the statement around it covers the store `here`."""
    return f"consent_covers({', '.join(f'c.{column}' for column in COLUMNS)}, {here})"


def covers(consent: str, here: Combinable) -> Func:
    """`covers_sql` for a query. consent: the way to the consent, such as `consent__`."""
    columns: list[Combinable] = [F(f"{consent}{column}") for column in COLUMNS]
    return Func(*columns, here, function="consent_covers", output_field=models.BooleanField())


# The other stores that the consent `c` covers now: an array of their ids. Most name none, and a
# whole store is loaded with it.
ELSEWHERE = f"""CASE WHEN c.group_stores = '{{}}' THEN c.group_stores
    ELSE ARRAY(SELECT o FROM unnest(c.group_stores) o WHERE {covers_sql("o")}) END"""  # noqa: S608


def elsewhere(consent: Consent) -> list[Store]:
    """The other stores that a consent covers now, by name."""
    if not consent.group_stores:
        return []
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {ELSEWHERE} FROM consent_consent c WHERE c.id = %s", [consent.pk])  # noqa: S608
        row = cursor.fetchone()
    return list(Store.objects.filter(pk__in=row[0] if row else []))


def stores_of(consent: Consent) -> list[UUID]:
    """Every store that a consent covers now, the one where it was signed first."""
    return [consent.store_id, *(store.pk for store in elsewhere(consent))]
