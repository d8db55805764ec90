"""The doors of the house without a network: a customer's browser, a log-in and a kiosk tablet.

Everything goes through Django's own handler and middleware; a fault inside is a 500, as outside.
"""

import base64
import json
import socket
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from http.cookies import SimpleCookie
from typing import Any

import uvicorn
from django.apps import apps
from django.db import models
from django.test import Client

from apps.audit.models import Entry, Node
from apps.recognition.engine.imagefile import decode_jpeg
from apps.recognition.models import Acknowledgement, Recognizer
from apps.stores.models import Device, User
from apps.visitors.models import KeyGeneration, Rotation
from ops.clips import jpeg
from ops.heads import performance
from ops.tablet import Answer, Tablet
from tests.conftest import SIGNATURE, House

ORIGIN = "http://testserver"


class KioskTablet(Tablet):
    """`ops.tablet.Tablet` in this process: the same signatures, no socket."""

    def __init__(self, language: str = "en", kind: str = "kiosk") -> None:
        super().__init__(ORIGIN, language, kind)
        self.client = Client(enforce_csrf_checks=True, raise_request_exception=False)

    def request(
        self, path: str, data: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        given = {"Referer": ORIGIN, **(headers or {})}
        kind = given.pop("Content-Type", "application/x-www-form-urlencoded")
        if data is None:
            answer = self.client.get(path, headers=given)
        else:
            answer = self.client.post(path, data, content_type=kind, headers=given)
        return Answer(answer.status_code, answer.content, dict(answer.items()))

    @property
    def csrf(self) -> str:
        cookies: SimpleCookie = self.client.cookies
        return cookies["csrftoken"].value if "csrftoken" in cookies else ""

    def nonce(self) -> str:
        """A fresh nonce, as a page asks for its first one."""
        answer = self.request(
            f"/{self.kind}/nonce/",
            b"{}",
            {"Content-Type": "application/json", "X-CSRFToken": self.csrf},
        )
        return str(answer.json()["nonce"])

    def opt_in(self, form: dict[str, Any]) -> Answer:
        """Send a finished opt-in of somebody who did what the tablet asked for."""
        return self.signed("/kiosk/opt-in/", json.dumps(alive(self, form)).encode())


def enrolled(device: Device, language: str = "en") -> KioskTablet:
    """A tablet that was given the device's one-time code."""
    from apps.stores.devices import new_code

    tablet = KioskTablet(language, device.kind)
    answer = tablet.enroll(new_code(device=device, actor="test"))
    assert answer.status == 200, answer.body
    return tablet


def opt_in_form(house: House, photos: Sequence[bytes], **changes: Any) -> dict[str, Any]:
    """What the tablet sends for a person who agreed to recognition and history."""
    form: dict[str, Any] = {
        "notice": str(house.text.pk),
        "digest": house.text.digest,
        "purposes": {"lane": True, "history": True, "contact": False},
        "term": 12,
        "age_ok": True,
        "name": "Ms Chen",
        "contact": "",
        "signature": SIGNATURE,
        "photos": [base64.b64encode(photo).decode() for photo in photos],
    }
    return {**form, **changes}


def alive(tablet: Tablet, form: dict[str, Any]) -> dict[str, Any]:
    """The form with a challenge, done by whom its first photo shows; nobody moves in a bad one."""
    attempt = form.get("attempt") or str(uuid.uuid4())
    drawn = tablet.signed("/kiosk/challenge/", json.dumps({"attempt": attempt}).encode())
    asked = drawn.json() if drawn.status == 200 else {"challenge": "none", "acts": ["left"]}
    try:
        frames = _moving(base64.b64decode(form["photos"][0]), tuple(asked["acts"]))
    except (IndexError, ValueError):
        frames = []
    return {
        "attempt": attempt,
        "challenge": asked["challenge"],
        "frames": [
            {"step": step, "at": number * 0.5, "photo": base64.b64encode(shot).decode()}
            for number, (step, shot) in enumerate(frames)
        ],
        **form,
    }


@cache
def _moving(photo: bytes, acts: tuple[str, ...]) -> list[tuple[int, bytes]]:
    """(step, JPEG) of the person on a photo who does these acts. Raises ValueError."""
    return [(step, jpeg(shot)) for step, shot in performance(decode_jpeg(photo), acts)]


def browser(user: User | None = None) -> Client:
    """A browser, logged in when a user is named."""
    client = Client(raise_request_exception=False)
    if user is not None:
        client.force_login(user)
    return client


def rows() -> dict[str, int]:
    """How many rows there are of everything, to see that nothing at all was kept.

    Without the hashes over the ledger's entries: there are as many as these make.
    Without the organization's rotation and the ledger's word of it: they say nothing of anybody,
    and the first face that a recognizer seals makes them, whatever becomes of it. Without what
    a recognizer that runs writes by itself, when a test before emptied the tables or a template
    went or it had run for a minute: its own row, what it has forgotten, the generations of keys.
    """
    counted = {
        model._meta.label: manager.count()
        for model in apps.get_models()
        if isinstance(manager := getattr(model, "objects", None), models.Manager)
        and model not in (Rotation, KeyGeneration, Recognizer, Acknowledgement, Node)
    }
    counted[Entry._meta.label] -= Entry.objects.filter(action__startswith="rotation.").count()
    return counted


@contextmanager
def nothing_kept() -> Iterator[None]:
    """Not one row more, of anything."""
    before = rows()
    yield
    assert rows() == before


@contextmanager
def served() -> Iterator[tuple[str, int]]:
    """The real ASGI application behind a real server in this process: its host and port."""
    from apps.config.asgi import application

    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen(64)
        config = uvicorn.Config(
            application,
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        try:
            yield door.getsockname()
        finally:
            server.should_exit = True
            thread.join()
