"""A simulated month at several stores: what the portal tells, beside a plain count of the same."""

import csv
import html
import io
import random
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import pairwise

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.consent import services as consents
from apps.consent.models import Consent, Purpose, Refusal
from apps.privacy.export import everything
from apps.retention.models import Erasure
from apps.retention.services.withdraw import withdraw_purpose
from apps.stores.models import Assessment, Camera, Device, Role, Store, User
from apps.visitors.models import Visitor
from apps.visitors.services import state
from apps.visits.insights.rollup import FIGURES, KIOSK
from apps.visits.insights.suppression import Sum
from apps.visits.models import Disclosure, Footfall, OptIn, Rollup, Visit
from apps.visits.services import disclose
from tests.clients import browser, enrolled
from tests.conftest import House, hashed
from tests.groups import grouped
from tests.privacy.conftest import Customer
from tests.visits.test_disclose import match_of
from tests.visits.test_suppression import attacked


def month_ago() -> date:
    """The first day of the latest month that is over for long enough."""
    return ((timezone.localdate() - timedelta(days=5)).replace(day=1) - timedelta(1)).replace(day=1)


def at(day: date, hour: int, minute: int = 0) -> datetime:
    return timezone.make_aware(datetime(day.year, day.month, day.day, hour, minute))


def table(house: House, key: str, month: date, pk: object = None) -> dict[str, list[str]]:
    """A chart's CSV by its first column."""
    answer = browser(house.dpo).get(
        f"/admin/insights/{pk or house.store.pk}/{key}.csv?month={month:%Y-%m}"
    )
    assert answer.status_code == 200
    _head, *rows = csv.reader(io.StringIO(answer.content.decode("utf-8-sig")))
    return {label: values for label, *values in rows}


def test_footfall_by_hour_is_rolled_up_drawn_and_taken_along(house: House) -> None:
    month = month_ago()
    door = Camera.objects.create(store=house.store, name="Door", source="door.mp4")
    for day, people in ((month, 4), (month + timedelta(days=1), 7)):
        for camera in (house.camera, door):
            for minute in (0, 15):
                Footfall.objects.create(
                    camera=camera, quarter=at(day, 9, minute), entered=people, left=1
                )
    Footfall.objects.create(camera=door, quarter=at(month, 17), entered=0, left=5)
    call_command("insights")
    assert table(house, "hours", month)["09"] == ["22.0", "4.0"]
    assert table(house, "hours", month)["17"] == ["0.0", "2.5"]
    assert table(house, "entrances", month) == {"Door": ["22", "9"], "Lane": ["22", "4"]}

    before = list(Rollup.objects.order_by("pk").values())
    call_command("insights")
    assert list(Rollup.objects.order_by("pk").values()) == before, "twice is once"

    # A page and each of its charts read the month from its one row.
    days = Rollup.objects.filter(span=Rollup.Span.DAY)
    kept = list(days)
    days.delete()
    assert table(house, "days", month) == {"1": ["16"], "2": ["28"]}
    # A month that was rolled up by days alone gets its row in the next night.
    Rollup.objects.all().delete()
    Rollup.objects.bulk_create(kept)
    Footfall.objects.all().delete()
    call_command("insights")
    assert table(house, "entrances", month) == {"Door": ["22", "9"], "Lane": ["22", "4"]}

    client = browser(house.dpo)
    address = f"/admin/insights/{house.store.pk}/"
    page = client.get(address, {"month": f"{month:%Y-%m}"})
    assert page.status_code == 200
    assert "<b>44</b>" in page.content.decode()
    png = client.get(f"{address}hours.png?month={month:%Y-%m}")
    assert png.content.startswith(b"\x89PNG")
    light, dark = (
        client.get(f"{address}hours.svg?month={month:%Y-%m}{theme}").content.decode()
        for theme in ("", "&theme=dark")
    )
    assert "#faf8f4" not in dark
    assert ">In<" in light
    assert light != dark


STORES = ("Harbour Street", "Old Town", "North Gate")


@dataclass
class Came:
    """One recognised arrival of the simulation, kept in plain Python beside the database."""

    visitor: Visitor
    store: Store
    day: date


def simulated(house: House, people: tuple[int, int, int]) -> tuple[date, list[Came]]:
    """A month at three stores of a group, so many people of each: by dice, who agrees to what and
    comes when and where."""
    rng = random.Random(431_623)
    month = month_ago()
    houses = [house, *(branch(house, name) for name in STORES[1:])]
    grouped(*houses)
    came: list[Came] = []
    for index, home in enumerate(houses):
        for _ in range(people[index]):
            agreed = [Purpose.LANE, Purpose.HISTORY]
            agreed += [Purpose.STATISTICS] if rng.random() < 0.8 else []
            others = [each.store.pk for each in houses if each is not home]
            wider = index < 2 and rng.random() < 0.7
            agreed += [Purpose.GROUP] if wider else []
            visitor = home.visitor(purposes=agreed, asked=list(agreed), stores=others * wider)
            if Purpose.STATISTICS in agreed:
                sex = rng.choices(["female", "male", "other", ""], [5, 4, 0.3, 2])[0]
                age = rng.choices(["18-29", "30-44", "45-59", "60+", ""], [1, 5, 4, 1, 2])[0]
                state(visitor=visitor, sex=sex, age=age, actor="self")
            days = sorted(rng.sample(range(-20, 28), rng.choice([1, 1, 2, 3])))
            places = houses[:2] if wider else [home]
            came += [
                Came(visitor, rng.choice(places).store, month + timedelta(days=n)) for n in days
            ]
    for each in came:
        by_store = {home.store.pk: home for home in houses}
        decision = disclose(match_of(each.visitor, by_store[each.store.pk]))
        assert decision.outcome == "visit"
        assert decision.visit
        Visit.objects.filter(pk=decision.visit).update(
            arrived_at=at(each.day, 12), last_seen_at=at(each.day, 12)
        )
    # They all came today in truth: the day's count is dated back with them.
    Disclosure.objects.all().delete()
    for (store, day), count in Counter((each.store, each.day) for each in came).items():
        Disclosure.objects.create(store=store, day=day, count=count)
    for home, started, finished in zip(houses, (90, 40, 30), (45, 26, 12), strict=True):
        OptIn.objects.create(store=home.store, month=month, started=started, finished=finished)
    # Of 45 who finished: 14 may be noted about, and only four written to.
    for purpose, count in ((Purpose.NOTES, 31), (Purpose.CONTACT, 41)):
        Refusal.objects.create(store=house.store, day=month, purpose=purpose, count=count)
    for n in range(28):
        quarter = at(month + timedelta(days=n), 10 + n % 3)
        Footfall.objects.create(camera=house.camera, quarter=quarter, entered=40 + n, left=35 + n)
    return month, came


def branch(house: House, name: str) -> House:
    """Another store of the house with a lane that may run, and the same people."""
    store = Store.objects.create(
        organization=house.organization,
        name=name,
        slug=name.lower().replace(" ", "-"),
        jurisdiction="eu",
        non_face_check_in="Show your card.",
    )
    for user, kind in ((house.staff, Role.Kind.STAFF), (house.dpo, Role.Kind.DPO)):
        Role.objects.create(user=user, store=store, kind=kind)
    camera = Camera.objects.create(
        store=store,
        name="Lane",
        mode=Camera.Mode.LANE,
        source="lane.mp4",
        zone=[[0, 0], [1, 0], [1, 1], [0, 1]],
        signage_confirmed_at=timezone.now(),
    )
    Assessment.objects.create(
        camera=camera,
        necessity="Greeting those who asked for it.",
        way_past="The side door.",
        signed_by=house.dpo,
        signed_at=timezone.now(),
        expires_at=timezone.now() + timedelta(days=365),
    )
    kiosk = Device.objects.create(store=store, name=f"Tablet of {name}")
    return replace(house, store=store, camera=camera, kiosk=kiosk)


def plainly(came: list[Came], store: Store, month: date) -> dict[str, int]:
    """What a month's figures are, counted as one would with a pencil."""
    ends = (month + timedelta(days=31)).replace(day=1)
    counted: Counter[str] = Counter()
    days: defaultdict[Visitor, list[date]] = defaultdict(list)
    for each in came:
        agreed = each.visitor.templates.get().consent.purposes
        if each.store == store and month <= each.day < ends:
            counted["arrivals"] += 1
        if each.store == store and each.day < ends and Purpose.STATISTICS in agreed:
            days[each.visitor].append(each.day)
    for visitor, seen in days.items():
        seen.sort()
        if seen[-1] < month:
            continue
        visitor.refresh_from_db()
        counted["guests"] += 1
        counted[f"sex:{visitor.sex or 'unsaid'}"] += 1
        counted[f"age:{visitor.age or 'unsaid'}"] += 1
        if len(seen) == 1:
            counted["once"] += 1
            continue
        counted["returned"] += 1
        away = (seen[-1] - seen[-2]).days
        for band, most in (("1-7", 7), ("8-14", 14), ("15-30", 30), ("31+", 999)):
            if away <= most:
                counted[f"days:{band}"] += 1
                break
    return counted


def test_a_simulated_month_is_told_as_it_was_and_small_cells_are_not(house: House) -> None:
    month, came = simulated(house, (45, 26, 9))
    call_command("insights")
    told = {
        row.store_id: row.figures
        for row in Rollup.objects.filter(span=Rollup.Span.MONTH, begins=month)
    }
    stores = list(house.organization.stores.all())
    truth = {store.pk: plainly(came, store, month) for store in stores}
    names = [name for name in told[None] if name in FIGURES]
    shown = 0
    for store, counted in truth.items():
        for name in names:
            if told[store][name] is not None and name not in KIOSK:
                assert told[store][name] == counted[name], (store, name)
                shown += 1
            if name not in KIOSK and counted[name] < 10:
                assert told[store][name] is None, (store, name)
    for name in names:
        if told[None][name] is not None and name not in KIOSK:
            assert told[None][name] == sum(counted[name] for counted in truth.values())
            shown += 1
    assert shown >= 10, "hiding everything tells a shop nothing"
    north = next(store.pk for store in stores if store.name == "North Gate")
    assert truth[north]["guests"] < 10
    assert told[north]["guests"] is None

    # Who has every published number, of stores and of all together, and a solver, learns no more.
    counts = {
        f"{store} {name}": counted[name] for store, counted in truth.items() for name in names
    } | {f"None {name}": sum(each[name] for each in truth.values()) for name in names}
    guests = [name for name in names if name not in KIOSK]
    sums = [Sum(f"None {name}", tuple(f"{pk} {name}" for pk in truth)) for name in guests]
    sums += [
        Sum(f"{store} {whole}", tuple(f"{store} {part}" for part in parts))
        for store in told
        for whole, parts in (
            ("guests", ("once", "returned")),
            ("returned", [name for name in guests if name.startswith("days:")]),
            ("guests", [name for name in guests if name.startswith("sex:")]),
            ("guests", [name for name in guests if name.startswith("age:")]),
        )
    ]
    cells = {f"{pk} {name}": counts[f"{pk} {name}"] for pk in told for name in guests}
    hidden = {f"{pk} {name}" for pk, row in told.items() for name in guests if row[name] is None}
    small = [cell for cell in hidden if cells[cell] < 10]
    assert small
    for cell in small:
        never_below = [(f"{pk} arrivals", [f"{pk} guests"]) for pk in told]
        least, most = attacked(cells, hidden, sums, cell, never_below)
        assert least <= cells[cell] < 10 <= most, cell

    for row in told.values():
        if row["arrivals"] is not None and row["guests"] is not None:
            assert row["arrivals"] - row["guests"] >= 10

    # How they went from store to store.
    agreed = [
        each for each in came if Purpose.GROUP in each.visitor.templates.get().consent.purposes
    ]
    paths: defaultdict[Visitor, list[Came]] = defaultdict(list)
    for each in sorted(agreed, key=lambda each: each.day):
        counts_in = Purpose.STATISTICS in each.visitor.templates.get().consent.purposes
        if counts_in and month <= each.day:
            paths[each.visitor].append(each)
    went: Counter[tuple[object, object]] = Counter()
    for path in paths.values():
        went.update({(a.store.pk, b.store.pk) for a, b in pairwise(path) if a.store != b.store})
    for here in stores:
        for there in stores:
            people = went[there.pk, here.pk]
            key = f"from:{there.pk}"
            guests = [told[each.pk]["guests"] for each in (here, there)]
            said = people >= 10 and all(each and each - people >= 10 for each in guests)
            assert told[here.pk].get(key) == (people if said else None)

    assert table(house, "kiosk", month) == {
        "begun": ["90"],
        "finished": ["45"],
        "not finished": ["45"],
    }
    declined = table(house, "declined", month)
    assert declined["Staff may keep a note about me"] == ["31"]
    assert declined["Tell me before it ends"] == [""], "45 finished, so it would tell of the four"
    assert told[house.store.pk]["entered"] == sum(40 + day for day in range(28))
    everyone = table(house, "sex", month, house.organization.pk)
    assert everyone["Female"] == [str(told[None]["sex:female"])]


def test_a_month_is_never_told_twice_and_outlives_its_visits(house: House) -> None:
    _month, came = simulated(house, (12, 2, 1))
    # A store without a camera or a kiosk has nothing to tell, and is in nobody's way.
    Store.objects.create(organization=house.organization, name="Depot", slug="depot")
    call_command("insights")
    before = list(Rollup.objects.order_by("pk").values())
    guest = next(
        each.visitor
        for each in came
        if Purpose.STATISTICS in each.visitor.templates.get().consent.purposes
    )
    withdraw_purpose(visitor=guest, purpose=Purpose.STATISTICS, actor="self")
    guest.refresh_from_db()
    assert (guest.sex, guest.age) == ("", "")
    Visit.objects.filter(visitor=came[-1].visitor).delete()
    Footfall.objects.all().delete()
    call_command("insights")
    assert list(Rollup.objects.order_by("pk").values()) == before
    # No row knows of a person.
    everyone = {str(pk) for each in came for pk in (each.visitor.pk, each.visitor.subject)}
    assert not any(pk in str(row) for row in before for pk in everyone)


def test_nobody_sees_the_insights_of_another_officers_store(house: House) -> None:
    other = branch(house, "Old Town")
    Role.objects.filter(user=house.dpo, store=other.store).delete()
    client = browser(house.dpo)
    for pk in (other.store.pk, house.organization.pk):
        for file in ("", "hours.csv", "hours.png", "hours.svg"):
            assert client.get(f"/admin/insights/{pk}/{file}").status_code == 404
    assert browser(house.staff).get("/admin/insights/").status_code == 302
    assert browser().get("/admin/insights/").status_code == 302
    page = client.get("/admin/insights/").content.decode()
    assert 'data-testid="insights-empty"' in page
    assert client.get("/admin/insights/", {"month": "soon"}).status_code == 400


@pytest.fixture
def manager(house: House) -> User:
    user = User.objects.create(username="mara", password=hashed(), first_name="Mara")
    Role.objects.create(user=user, store=house.store, kind=Role.Kind.MANAGER)
    return user


def test_a_manager_lands_on_the_insights_of_the_own_store(house: House, manager: User) -> None:
    other = branch(house, "Old Town")
    month = month_ago()
    Footfall.objects.create(camera=house.camera, quarter=at(month, 9), entered=31, left=1)
    call_command("insights")
    client = browser()
    form = {"username": "mara", "password": "a long password"}
    assert client.post("/login/", form)["Location"] == "/admin/insights/"
    assert client.get("/admin/", follow=True).redirect_chain[-1][0] == "/admin/insights/"
    text = client.get("/admin/insights/").content.decode()
    assert "Insights of Harbour Street" in text
    assert "Mara: log out" in text
    inside = f"/admin/insights/{house.store.pk}/"
    # Each address on the page opens.
    for found in set(re.findall(r'(?:href|src|srcset)="(/admin/[^"]*)"', text)):
        address = html.unescape(found)
        assert address.startswith("/admin/insights/"), address
        assert client.get(address).status_code == 200, address
    assert client.get(f"{inside}hours.png").content.startswith(b"\x89PNG")
    for pk in (other.store.pk, house.organization.pk):
        for file in ("", "hours.csv", "hours.png", "hours.svg"):
            assert client.get(f"/admin/insights/{pk}/{file}").status_code == 404
    Role.objects.filter(user=manager).update(store=other.store)
    assert client.get(inside).status_code == 404, "another store's from the next click on"
    assert client.post("/logout/").status_code in (200, 302)
    assert client.get("/admin/insights/")["Location"].startswith("/login/")


def test_who_paused_or_took_the_statistics_back_is_in_no_month(house: House) -> None:
    month = month_ago()
    agreed = [Purpose.LANE, Purpose.STATISTICS]
    guests = [house.visitor(purposes=agreed) for _ in range(12)]
    guests += [house.visitor() for _ in range(15)]
    for guest in guests:
        assert disclose(match_of(guest, house)).visit
    Visit.objects.update(arrived_at=at(month, 12), last_seen_at=at(month, 12))
    Disclosure.objects.update(day=month)
    Visitor.objects.filter(pk=guests[0].pk).update(restricted_at=timezone.now())
    withdraw_purpose(visitor=guests[1], purpose=Purpose.STATISTICS, actor="self")
    call_command("insights")
    told = Rollup.objects.get(span=Rollup.Span.MONTH, begins=month).figures
    assert told["guests"] == 10
    assert told["arrivals"] == 27


def test_sex_and_age_need_the_statistics_that_were_agreed_to(house: House) -> None:
    visitor = house.visitor()
    with pytest.raises(ValueError, match="agreement"):
        state(visitor=visitor, sex="female", age="", actor="self")
    with pytest.raises(IntegrityError), transaction.atomic():
        Visitor.objects.filter(pk=visitor.pk).update(sex="female")
    counted = house.visitor(purposes=[Purpose.LANE, Purpose.STATISTICS])
    with pytest.raises(ValueError, match="answer"):
        state(visitor=counted, sex="tall", age="", actor="self")
    state(visitor=counted, sex="", age="30-44", actor="self")
    assert everything(counted).person.age == "30-44"


def test_what_a_guest_states_on_the_receipt_goes_with_the_statistics(house: House) -> None:
    agreed = [Purpose.LANE, Purpose.HISTORY, Purpose.STATISTICS]
    visitor = house.visitor(purposes=agreed)
    secret = consents.reissue(Consent.objects.get(subject=visitor.subject)).secret
    customer = Customer(visitor, secret, browser())
    assert 'name="sex"' in customer.text()
    assert customer.post("stated/", sex="tall", age="").status_code == 400
    said = customer.text("stated/", sex="female", age="60+")
    assert "Female, 60 or over" in said
    ended = customer.text("stop/", purpose="statistics")
    assert 'name="sex"' not in ended
    visitor.refresh_from_db()
    assert (visitor.sex, visitor.age) == ("", "")
    erasure = Erasure.objects.get(cause=Erasure.Cause.PURPOSE)
    assert "sex and age as stated" in str(erasure.scope)


def test_opening_the_kiosks_questions_is_counted(house: House) -> None:
    tablet = enrolled(house.kiosk)
    for _ in range(2):
        assert tablet.request("/kiosk/en/").status == 200
    counted = OptIn.objects.get(store=house.store, month=timezone.localdate().replace(day=1))
    assert (counted.started, counted.finished) == (2, 0)
