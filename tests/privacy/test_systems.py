"""Other systems in the portal: let in, given a key, and followed until they have acknowledged."""

import re

import pytest
from django.test import Client as Browser

from apps.audit.models import Entry
from apps.privacy.export import everything
from apps.retention.models import Erasure
from apps.retention.services.erase import erase
from apps.stores.models import Role, User
from apps.systems import delivery
from apps.systems.models import Client, Delivery, Scope, Token, Told
from apps.visits.services import disclose
from tests.clients import browser
from tests.conftest import House
from tests.consent.notices import third_party
from tests.systems.others import Caller, let_in, listening
from tests.visits.test_disclose import match_of, old_town


@pytest.fixture
def officer(house: House) -> Browser:
    return browser(house.dpo)


def text_of(client: Browser, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, path
    return str(answer.content.decode())


def test_an_officer_lets_a_system_in_and_its_secrets_are_shown_once(
    house: House, officer: Browser
) -> None:
    party = third_party(house.organization, name="CRM Ltd")
    form = {
        "name": "Customer file",
        "party": str(party.pk),
        "stores": [str(house.store.pk)],
        "scopes": ["stores", "visits"],
    }
    answer = officer.post("/admin/systems/add/", form)
    page = answer["Location"]
    client = Client.objects.get()
    assert (client.party, client.scopes) == (party, ["stores", "visits"])
    shown = officer.post(f"{page}token/").content.decode()
    (token,) = re.findall(r">(cst_[\w-]+)<", shown)
    caller = Caller(client)
    caller.token = token
    assert caller.get("stores").status_code == 200
    refused = officer.post(f"{page}webhook/", {"url": "http://crm.example/"})
    assert refused.status_code == 400
    assert "must begin with https://" in refused.content.decode()
    kept = {"url": "https://crm.example/hook", "arrivals": "1"}
    shown = officer.post(f"{page}webhook/", kept).content.decode()
    (secret,) = re.findall(r">(whsec_[\w+/=]+)<", shown)
    assert token not in text_of(officer, page)
    assert secret not in text_of(officer, page)
    assert secret.removeprefix("whsec_") not in str(client.webhook.sealed)
    assert delivery.unseal(Client.objects.get().webhook)
    for each in Token.objects.all():
        assert officer.post(f"{page}revoke/", {"id": str(each.pk)}).status_code == 302
    assert caller.get("stores").status_code == 401
    assert token not in str(list(Entry.objects.values()))
    assert {"client.added", "token.made", "webhook.set", "token.revoked"} <= set(
        Entry.objects.values_list("action", flat=True)
    )


def test_what_is_not_acknowledged_is_on_the_first_page_until_it_is(
    house: House, officer: Browser
) -> None:
    client = listening(house)
    visitor = house.visitor()
    disclose(match_of(visitor, house))
    assert "all acknowledged" in text_of(officer, "/admin/")
    erase(visitor=visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")
    assert "2 not acknowledged" in text_of(officer, "/admin/")
    assert "2 not acknowledged" in text_of(officer, "/admin/systems/")
    page = f"/admin/systems/{client.pk}/"
    person = Told.objects.get().person
    shown = text_of(officer, page)
    assert str(person) in shown
    assert "Ms Chen" not in shown
    first, second = Delivery.objects.all()
    Delivery.objects.filter(pk=first.pk).update(attempts=24, failed_at=first.at, outcome="refused")
    assert "failed after 24 tries (refused)" in text_of(officer, page)
    assert "1 failed" in text_of(officer, "/admin/")
    officer.post(f"{page}again/", {"id": str(first.pk)})
    assert Delivery.objects.get(pk=first.pk).failed_at is None
    for each in (first, second):
        officer.post(f"{page}told/", {"id": str(each.pk)})
    assert not Told.objects.exists()
    assert "all acknowledged" in text_of(officer, "/admin/")


def test_an_officer_of_one_store_opens_no_door_to_another(house: House) -> None:
    there = old_town(house)
    otto = User.objects.create(username="otto")
    Role.objects.create(user=otto, store=there.store, kind=Role.Kind.DPO)
    both = let_in(house, stores=[house.store, there.store])
    ours = let_in(house)
    his = browser(otto)
    assert his.get(f"/admin/systems/{ours.pk}/").status_code == 404
    assert his.get(f"/admin/systems/{both.pk}/").status_code == 200
    kept = {"url": "https://otto.example/"}
    assert his.post(f"/admin/systems/{both.pk}/webhook/", kept).status_code == 403
    assert his.post(f"/admin/systems/{both.pk}/token/").status_code == 403
    assert his.post(f"/admin/systems/{both.pk}/revoke/", {"id": "x"}).status_code == 403
    # Whoever answers for one of its stores may close it.
    assert his.post(f"/admin/systems/{both.pk}/end/").status_code == 302
    assert Client.objects.get(pk=both.pk).ended_at
    assert browser(house.staff).get("/admin/systems/").status_code == 302


def test_a_person_reads_which_systems_were_told_of_them(house: House) -> None:
    client = let_in(house, [Scope.VISITS])
    visitor, other = house.visitor(), house.visitor()
    for each in (visitor, other):
        disclose(match_of(each, house))
    assert not [one for one in everything(visitor).recipients if one.role == "system"]
    Caller(client).get(f"stores/{house.store.pk}/visits")
    (system,) = (one for one in everything(visitor).recipients if one.role == "system")
    assert (system.name, system.contact) == ("CRM", "privacy@harbour.example")
    assert "arrivals" in system.purpose
    looks = [(look.who, look.what) for look in everything(visitor).ledger]
    assert ("Another system of the store", "was told of your arrival") in looks
