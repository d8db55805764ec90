"""Somebody with a lane and a pass: one template that is over goes alone, the last with its person.

Else the end of one kind of recognition would end what was agreed to separately.
"""

import pytest
from django.db import connection

from apps.audit.models import Entry
from apps.consent.models import Consent
from apps.retention.services.sweep import sweep
from apps.visitors.models import Eviction, FaceTemplate, Visitor, overdue
from apps.visitors.services import restrict
from tests.conftest import House
from tests.visits.test_disclose_pass import both


def is_over(purpose: str) -> None:
    """Moves the deadline as a clock would, past the trigger that keeps it in the future."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE visitors_facetemplate DISABLE TRIGGER template_needs_consent")
        cursor.execute(
            """UPDATE visitors_facetemplate SET delete_after = clock_timestamp() - interval '1 s'
                WHERE purpose = %s""",
            [purpose],
        )
        cursor.execute(
            "ALTER TABLE visitors_facetemplate ENABLE ALWAYS TRIGGER template_needs_consent"
        )


@pytest.mark.parametrize(("over", "left"), [("lane", "pass"), ("pass", "lane")])
def test_one_that_is_over_goes_alone(house: House, over: str, left: str) -> None:
    visitor = both(house)
    gone = visitor.templates.get(purpose=over).pk
    is_over(over)
    swept = sweep()
    assert (swept.people, swept.templates, swept.failed) == (0, 1, 0)
    assert visitor.templates.get().purpose == left
    assert Eviction.objects.filter(template=gone).exists(), "recognizers are told"
    assert Entry.objects.get(action="template.swept").detail["purpose"] == over
    assert Consent.objects.get().live
    assert sweep().templates == 0


def test_the_last_takes_the_person_along(house: House) -> None:
    both(house)
    is_over("lane")
    is_over("pass")
    swept = sweep()
    assert (swept.people, swept.templates) == (1, 0)
    assert not Visitor.objects.exists()


@pytest.mark.parametrize("purpose", ["lane", "pass"])
def test_a_purpose_that_was_withdrawn_takes_its_template(house: House, purpose: str) -> None:
    visitor = both(house)
    left = [each for each in ("lane", "pass", "history") if each != purpose]
    Consent.objects.update(purposes=left)
    assert FaceTemplate.objects.get(overdue()).purpose == purpose
    assert sweep().templates == 1
    assert visitor.templates.get().purpose != purpose


def test_a_pause_ends_nothing(house: House) -> None:
    visitor = both(house)
    restrict(visitor=visitor, restricted=True, actor="test")
    swept = sweep()
    assert (swept.people, swept.templates) == (0, 0)
    assert visitor.templates.count() == 2
