"""A house to measure in: the demo store through its own services, and many visitors at once.

Visitors are copied in as rows, because signing a hundred thousand consents one by one measures
something else; every row still passes PostgreSQL's own triggers, and every template is sealed.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from apps.consent.models import Consent, Purpose
from apps.consent.services import current_text
from apps.kiosk.demo import seed
from apps.recognition.engine.packs import Pack
from apps.recognition.engine.types import Floats
from apps.recognition.sealed import binding_of
from apps.stores.models import Device, Store
from apps.visitors.models import DataKey, FaceTemplate, Visitor
from apps.visitors.vault import FileKeyring, generation_of, new_data_key, seal, wrap

BATCH = 2000


def own_database(name: str) -> str:
    """Make a database of this bench's own, empty, and go over to it with every process that is
    started from here; its address. The run's other benches do not meet what is done to it."""
    address = urlsplit(os.environ["DATABASE_URL"])
    named = f"{connection.settings_dict['NAME']}_{name}"
    quoted = connection.ops.quote_name(named)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {quoted} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {quoted}")
    connection.close()
    connection.settings_dict["NAME"] = named
    os.environ["DATABASE_URL"] = address._replace(path=f"/{named}").geturl()
    return os.environ["DATABASE_URL"]


def database_cpu_s() -> float | None:
    """Processor time so far of the server's process behind this connection; None where the server
    runs on another machine."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    try:
        backend = psutil.Process(pid)
        if "postgres" not in backend.name():
            return None
        spent = backend.cpu_times()
    except psutil.Error:
        return None
    return round(spent.user + spent.system, 1)


def prepare(clip: Path) -> Store:
    """Tables, keys, the starter pack and the demo store, its lane camera playing `clip`."""
    call_command("migrate", verbosity=0, interactive=False)
    call_command("keys", "init")
    call_command("pack", "build")
    return seed(clip).store


def enrol(store: Store, vectors: Floats, *, pack: Pack) -> list[FaceTemplate]:
    """Visitors of `store`, one a row of `vectors`, float32 (N, D): signed, sealed, in the lane."""
    keyring = FileKeyring.load(settings.CONSENTRY.keyring_path)
    text = current_text(store=store, locale="en")
    device = Device.objects.filter(store=store).first()
    if text is None or device is None:
        raise RuntimeError("the demo store has no notice or no tablet")
    now = timezone.now().replace(microsecond=0)
    ends = now + timedelta(days=300)
    consents = [
        Consent(
            store=store,
            text=text,
            digest=text.digest,
            locale="en",
            purposes=[Purpose.LANE, Purpose.HISTORY],
            signature=[[[0, 0], [1, 1]]],
            signature_method=Consent.SignatureMethod.DRAWN,
            device=device,
            signed_at=now,
            expires_at=ends,
            delete_after=ends + timedelta(days=1095),
        )
        for _ in vectors
    ]
    visitors = [
        Visitor(subject=consent.subject, store=store, greeting_name=f"Visitor {number}")
        for number, consent in enumerate(consents, 1)
    ]
    keys, templates = [], []
    for visitor, consent, vector in zip(visitors, consents, vectors, strict=True):
        template = FaceTemplate(
            visitor=visitor,
            consent=consent,
            store=store,
            purpose=Purpose.LANE,
            pack=pack.name,
            pack_version=pack.version,
            not_after=ends,
            delete_after=ends,
        )
        binding = binding_of(
            organization=store.organization_id,
            store=store.pk,
            others=(),
            visitor=visitor.pk,
            template=template.pk,
            consent=consent.pk,
            purpose=Purpose.LANE,
            not_after=int(ends.timestamp()),
            pack=pack,
        )
        key = new_data_key()
        template.sealed = seal(vector, key, binding)
        wrapped = wrap(key, visitor=visitor.pk, organization=store.organization_id, keyring=keyring)
        keys.append(DataKey(visitor=visitor, wrapped=wrapped, generation=generation_of(wrapped)))
        templates.append(template)
    Consent.objects.bulk_create(consents, batch_size=BATCH)
    Visitor.objects.bulk_create(visitors, batch_size=BATCH)
    DataKey.objects.bulk_create(keys, batch_size=BATCH)
    FaceTemplate.objects.bulk_create(templates, batch_size=BATCH)
    with connection.cursor() as cursor:
        # As the server's own service would within a minute: plans are made from its numbers.
        cursor.execute("ANALYZE")
    return templates
