"""Receivers that are down, slow or wrong, workers that are killed, clocks that are off: what must
be told is told, at least once, under one id; and nothing goes where it should not."""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone
from standardwebhooks import Webhook as Signer

from apps.retention.models import Erasure
from apps.retention.services.erase import erase
from apps.retention.services.sweep import sweep
from apps.stores.devices import live_events
from apps.systems import delivery, receivers, services, tasks
from apps.systems.delivery import deliver
from apps.systems.models import Client, Delivery, Event, Told
from apps.visits.services import disclose
from tests.conftest import House, Process, build_house
from tests.database import clock_moved
from tests.systems.others import Crm, Listener, let_in, listening
from tests.visits.test_disclose import match_of
from tests.waiting import until


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


def an_arrival(house: House, client: Client) -> Delivery:
    disclose(match_of(house.visitor(), house))
    return Delivery.objects.get(told__client=client)


def due_now() -> None:
    Delivery.objects.update(due_at=timezone.now() - timedelta(seconds=1))


def test_the_example_takes_each_message_once_and_believes_nothing_else(
    house: House, tmp_path: Path
) -> None:
    crm, client = Crm(tmp_path), let_in(house)
    crm.subscribe(client)
    first = an_arrival(house, client)
    # It is down: the try is counted, and the next one is due later.
    assert deliver(client.pk) == 0
    waiting = Delivery.objects.get()
    assert (waiting.attempts, waiting.outcome) == (1, "refused")
    assert deliver(client.pk) == 0
    disclose(match_of(house.visitor("Mr Okafor"), house))
    due_now()
    assert deliver(client.pk) == 0
    # What was tried less goes first, and nothing else is tried meanwhile.
    assert list(Delivery.objects.order_by("at").values_list("attempts", flat=True)) == [1, 1]
    assert not Delivery.objects.due().exists()
    Delivery.objects.exclude(pk=first.pk).delete()
    crm.start()
    try:
        due_now()
        assert deliver(client.pk) == 1
        assert [sent for sent, _at in crm.rows("seen")] == [str(first.pk)]
        ((_visit, person, *_rest),) = crm.rows("visit")

        def send(secret: str, at: datetime, sent: str = str(first.pk), kind: str = "x") -> int:
            body = json.dumps({"type": kind, "data": {"person": person, "purpose": None}})
            request = urllib.request.Request(
                crm.url,
                body.encode(),
                {
                    "webhook-id": sent,
                    "webhook-timestamp": str(int(at.timestamp())),
                    "webhook-signature": Signer(secret).sign(sent, at, body),
                },
            )
            try:
                return int(urllib.request.urlopen(request, timeout=10).status)
            except urllib.error.HTTPError as error:
                return error.code

        now = datetime.now(UTC)
        # Played again it is acknowledged and does nothing; old, or by somebody else, it is refused.
        assert send(crm.secret, now, kind=Event.ERASED) == 200
        assert send(crm.secret, now - timedelta(minutes=6), "other", Event.ERASED) == 401
        assert send(delivery.new_secret(), now, "other", Event.ERASED) == 401
        assert len(crm.rows("visit")) == 1
        assert send(crm.secret, now, "other", Event.ERASED) == 204
        assert crm.rows("visit") == []
    finally:
        crm.kill()


def test_a_message_that_fails_again_and_again_is_shown_as_failed_and_can_be_sent_again(
    house: House, listener: Listener
) -> None:
    client = listening(house, listener.url)
    sent = an_arrival(house, client)
    listener.answers = [500] * delivery.TRIES
    waits = []
    for _ in range(delivery.TRIES):
        due_now()
        assert deliver(client.pk) == 0
        waits.append(Delivery.objects.get().due_at - timezone.now())
    assert Delivery.objects.get().failed_at
    due_now()
    assert deliver(client.pk) == 0
    assert len(listener.heard) == delivery.TRIES
    assert {headers["webhook-id"] for headers, _body in listener.heard} == {str(sent.pk)}
    assert waits[0] < timedelta(seconds=7) < waits[2]
    assert timedelta(hours=4) < waits[-1] < timedelta(hours=8)
    assert timedelta(days=2) < sum(waits, timedelta()) < timedelta(days=5)
    delivery.send_again(delivery=sent, actor="test")
    assert deliver(client.pk) == 1


def test_a_door_that_stays_shut_is_tried_ever_less_however_much_waits(house: House) -> None:
    client = listening(house, "http://127.0.0.1:9/")
    for number in range(6):
        disclose(match_of(house.visitor(f"Guest {number}"), house))
    waits = []
    for _ in range(6):
        due_now()
        assert deliver(client.pk) == 0
        (until,) = set(Delivery.objects.values_list("due_at", flat=True))
        waits.append(until - timezone.now())
    assert set(Delivery.objects.values_list("attempts", flat=True)) == {1}
    assert waits[-1] > timedelta(seconds=60) > timedelta(seconds=7) > waits[0]


def test_nobody_is_followed_elsewhere_or_waited_for_for_long(
    house: House, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = listening(house, listener.url)
    an_arrival(house, client)
    listener.answers = [302]
    deliver(client.pk)
    assert Delivery.objects.get().outcome == "302"
    assert len(listener.heard) == 1
    monkeypatch.setattr(receivers, "SECONDS", 0.5)
    monkeypatch.setattr(receivers, "TOGETHER", 1.0)
    listener.go_on.clear()
    due_now()
    deliver(client.pk)
    assert Delivery.objects.get().outcome == "timeout"
    listener.go_on.set()
    listener.drips = True
    due_now()
    deliver(client.pk)
    assert Delivery.objects.get().outcome == "timeout"


@pytest.mark.parametrize(
    "url",
    [
        "http://crm.example/",
        "https://10.1.2.3/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/",
        "https://[::10.0.0.1]/",
        "https://[2002:a00:1::1]/",
        "https://[fec0::1]/",
        "https://[fe80::1]/",
        "https://user:password@crm.example/",
        "ftp://crm.example/",
        "https:///",
        "https://crm.example:99999/",
        "https://crm.example/ x",
    ],
)
def test_an_address_that_leads_inside_or_nowhere_is_not_taken(house: House, url: str) -> None:
    with pytest.raises(receivers.NotAllowed):
        services.set_webhook(client=let_in(house), url=url, arrivals=True, actor="test")


def test_a_network_that_the_operator_lists_is_reached_and_loopback_only_on_a_demo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    env = settings.CONSENTRY.model_copy(update={"webhook_networks": "10.1.0.0/16"})
    monkeypatch.setattr(settings, "CONSENTRY", env)
    assert receivers.check("https://10.1.2.3/hook")
    assert receivers.check("https://127.0.0.1/hook")
    env = env.model_copy(update={"insecure_http": False})
    monkeypatch.setattr(settings, "CONSENTRY", env)
    for url in ("https://127.0.0.1/hook", "http://127.0.0.1/hook", "https://10.2.0.1/"):
        with pytest.raises(receivers.NotAllowed):
            receivers.check(url)
    # A name that leads there is found when it is resolved.
    with pytest.raises(receivers.Unreachable, match="address"):
        receivers.post("https://localhost/hook", b"{}", {})


def test_with_a_clock_that_jumps_a_message_is_late_and_never_lost(
    house: House, listener: Listener
) -> None:
    client = listening(house, listener.url)
    sent = an_arrival(house, client)
    listener.answers = [503]
    assert deliver(client.pk) == 0
    with clock_moved(timedelta(hours=-2)):
        assert deliver(client.pk) == 0
        assert sweep().failed == 0
    with clock_moved(timedelta(hours=2)):
        assert deliver(client.pk) == 1
    first, second = listener.heard
    assert first[0]["webhook-id"] == second[0]["webhook-id"] == str(sent.pk)


def test_what_nobody_acknowledges_goes_after_its_limit(house: House) -> None:
    listening(house)
    visitor = house.visitor()
    disclose(match_of(visitor, house))
    erase(visitor=visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")
    with clock_moved(Told.LIMIT - timedelta(hours=1)):
        sweep()
        assert Told.objects.exists()
    with clock_moved(Told.LIMIT + timedelta(hours=1)):
        sweep()
    assert not Told.objects.exists()
    assert not Delivery.objects.exists()


@pytest.fixture
def town(transactional_db: None) -> House:
    return build_house()


def test_a_message_on_which_a_receiver_hangs_keeps_nothing_else_waiting(
    town: House, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receivers, "SECONDS", 0.5)
    monkeypatch.setattr(receivers, "TOGETHER", 1.0)
    client = listening(town, listener.url)
    hangs = an_arrival(town, client)
    listener.hangs_on = {str(hangs.pk)}
    disclose(match_of(town.visitor("Mr Okafor"), town))
    # It goes first once, for it was written first, and the other one waits at what may be a door
    # that is shut.
    assert deliver(client.pk) == 0
    assert not Delivery.objects.due().exists()
    due_now()
    assert deliver(client.pk) == 1
    left = Delivery.objects.get()
    assert (left.pk, left.attempts, left.outcome) == (hangs.pk, 2, "timeout")
    # What is written while it hangs does not wait with it, however long that is by now.
    Delivery.objects.update(attempts=20)
    late = match_of(town.visitor("Ms Roth"), town)
    listener.meanwhile = lambda: disclose(late)
    due_now()
    assert deliver(client.pk) == 0
    until(lambda: Delivery.objects.count() == 2, seconds=60)
    assert deliver(client.pk) == 1
    left = Delivery.objects.get()
    assert (left.pk, left.attempts) == (hangs.pk, 21)
    assert left.due_at > timezone.now() + timedelta(hours=4)


def worker() -> Process:
    """A Celery worker on the test's database."""
    process = Process.__new__(Process)
    celery = [sys.executable, "-m", "celery", "--app", "apps.config", "worker", "--pool", "solo"]
    process._begin(celery, " -------------- celery@", {})
    return process


def test_a_worker_that_is_killed_half_way_loses_nothing(town: House, listener: Listener) -> None:
    live_events().delete("celery")
    listening(town, listener.url)
    visitor = town.visitor()
    disclose(match_of(visitor, town))
    sent = Delivery.objects.get()
    listener.go_on.clear()
    first = worker()
    tasks.deliver.delay()
    assert listener.came.wait(60)
    first.kill()
    listener.go_on.set()
    assert Delivery.objects.get().attempts == 1
    due_now()
    second = worker()
    try:
        tasks.deliver.delay()
        until(lambda: not Delivery.objects.exists(), seconds=60)
        assert {headers["webhook-id"] for headers, _body in listener.heard} == {str(sent.pk)}
        assert len(listener.heard) == 2
        # A withdrawal in the web process is told at once, without waiting for the beat.
        erase(visitor=visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")
        until(lambda: not Told.objects.exists(), seconds=60)
        types = [json.loads(body)["type"] for _headers, body in listener.heard[2:]]
        assert types == [Event.WITHDRAWN, Event.ERASED]
    finally:
        second.stop()
    said = "\n".join(second.lines)
    assert said
    assert not [each for each in ("Ms Chen", listener.url) if each in said]
