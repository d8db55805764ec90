"""A demo house: two stores, a kiosk, a lane camera that plays a clip, a sales person, an officer.

Everything goes through the same services as in a real house. Passwords derive from the secret key
of this one installation, so that they survive a restart and are the same nowhere else.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.audit import services as audit
from apps.consent.models import Notice, NoticeText
from apps.consent.services import publish
from apps.stores.devices import new_code
from apps.stores.models import Assessment, Camera, Device, Organization, Role, Store, User

ACTOR = "system:demo"
ZONE = [[0.08, 0.03], [0.92, 0.03], [0.92, 0.97], [0.08, 0.97]]


@dataclass(frozen=True, slots=True)
class Demo:
    """What a person needs to try it; `code` is empty once the kiosk is enrolled."""

    store: Store
    code: str
    logins: dict[str, str]


@transaction.atomic
def seed(clip: Path) -> Demo:
    """Make the demo house, or bring an existing one up to date."""
    organization, _ = Organization.objects.get_or_create(
        name="Harbour Motors",
        defaults={
            "address": "1 Harbour Street, 20457 Hamburg, Germany",
            "contact_name": "Data protection office",
            "contact_email": "privacy@harbour.example",
        },
    )
    check_in = "Show your customer card or say your name at the desk: the same benefits."
    store, _ = Store.objects.get_or_create(
        slug="harbour-street",
        defaults={
            "organization": organization,
            "name": "Harbour Street",
            "jurisdiction": "eu",
            "non_face_check_in": check_in,
            "absence_minutes": 1,
        },
    )
    Store.objects.get_or_create(
        slug="old-town",
        defaults={
            "organization": organization,
            "name": "Old Town",
            "jurisdiction": "eu",
            "non_face_check_in": check_in,
        },
    )
    logins = {
        "linda": _person("linda", "Linda", Role.Kind.STAFF),
        "diana": _person("diana", "Diana", Role.Kind.DPO),
    }
    if not organization.notices.exists():
        _publish_notice(organization)
    camera, _ = Camera.objects.update_or_create(
        store=store,
        name="Lane at the door",
        defaults={
            "mode": Camera.Mode.LANE,
            "source": str(clip),
            "loop": True,
            "zone": ZONE,
            "signage_confirmed_at": timezone.now(),
        },
    )
    if camera.assessment() is None:
        _assess(camera)
    kiosk, _ = Device.objects.get_or_create(store=store, name="Tablet at the entrance")
    return Demo(store, "" if kiosk.live else new_code(device=kiosk, actor=ACTOR), logins)


def _person(username: str, name: str, kind: Role.Kind) -> str:
    user, _ = User.objects.get_or_create(username=username, defaults={"first_name": name})
    secret = settings.SECRET_KEY.encode()
    digest = hmac.new(secret, f"demo {username}".encode(), hashlib.sha256).digest()
    password = base64.b32encode(digest)[:16].decode().lower()
    if not user.check_password(password):
        user.set_password(password)
        user.save()
    for store in Store.objects.all():
        Role.objects.get_or_create(user=user, store=store, kind=kind)
    return password


def _assess(camera: Camera) -> None:
    now = timezone.now()
    Assessment.objects.create(
        camera=camera,
        necessity=(
            "Greeting returning customers who asked for it. A card works as well and is offered "
            "with the same benefits; the lane is marked, and only those who signed walk through it."
        ),
        max_faces=1,
        signed_by=User.objects.get(username="diana"),
        signed_at=now,
        expires_at=now + timedelta(days=365),
    )
    audit.record(actor=ACTOR, action="assessment.signed", camera=str(camera.pk))


def _publish_notice(organization: Organization) -> None:
    notice = Notice.objects.create(organization=organization, version=1)
    for locale, short, full in (("en", SHORT_EN, FULL_EN), ("zh-hans", SHORT_ZH, FULL_ZH)):
        NoticeText.objects.create(
            notice=notice, locale=locale, short=short.strip(), full=full.strip()
        )
    publish(notice=notice, actor=ACTOR)


SHORT_EN = """
We would like to greet you by name when you come back.
For that, a camera at one marked lane compares your face with a sealed template of it.
We make that template here, now, from three pictures. The pictures are not kept.
It works in this store only, for at most 12 months.
No photo is stored. Nobody who did not sign is recognised.
You can end it at any time with the receipt you get: one code, no account.
If you say no, show your card: the same benefits.
Harbour Motors answers for this: privacy@harbour.example.
"""

FULL_EN = """
Who we are. Harbour Motors, 1 Harbour Street, 20457 Hamburg, Germany. Our data protection office answers at privacy@harbour.example.

What we do. If you agree, this tablet takes three pictures of your face and turns them into a row of numbers, a template. The pictures are gone when that is done. The template is sealed with a key of its own. When you walk through the marked lane at the door, a camera there makes a new row of numbers and compares it with the templates of this store. If it is you, our staff see the name you chose, which visit it is if you agreed to that, and nothing else.

What it is for. Greeting you. Nothing else: no advertising, no scoring, no guess at your age, sex or mood. No decision about you is made by a machine.

On what ground. Your explicit consent, given by your signature (GDPR articles 6(1)(a) and 9(2)(a)). It is voluntary. If you say no, or end it later, show your card or say your name at the desk: the same service, the same prices.

How long. Until you end it, at most 12 months, and earlier if you have not visited for that long. Then template, name and visits are erased without anyone asking. Proof that you agreed, without name and face, is kept three years longer.

Who else gets it. Nobody. Everything runs on machines of this store; no face, template or name is sent anywhere.

What can happen. A camera can take somebody for you. Staff therefore ask before they rely on a name. A template cannot be changed like a password; that is why it is sealed, kept short and never leaves.

Your rights. See what we hold, get a copy, correct it, pause it, object, take it with you, or end it: with the code on your receipt, at this tablet, with our staff, or by writing to us. You can complain to a data protection authority.

How to end it. Scan the code on your receipt, press “End everything”, confirm. From that moment no camera here recognises you; you can download a signed certificate of the erasure.
"""

SHORT_ZH = """
您再次光临时，我们希望能称呼您的名字。
为此，门口一条有标记的通道上的摄像头会将您的面部与一份封存的模板进行比对。
模板就在此处、此刻由三张照片生成；照片不会保留。
仅限本店使用，最长 12 个月。
我们不保存照片，也不会识别任何没有签字的人。
您可以随时凭收据结束：一个代码，无需账户。
如果您不同意，出示会员卡即可，待遇完全相同。
负责方：Harbour Motors，privacy@harbour.example。
"""

FULL_ZH = """
我们是谁。Harbour Motors，地址：1 Harbour Street, 20457 Hamburg, Germany。数据保护办公室的联系方式是 privacy@harbour.example。

我们做什么。如果您同意，这台平板会拍三张您的面部照片，并转换成一串数字，即“模板”。转换完成后照片立即消失。模板用单独的密钥封存。您走过门口有标记的通道时，那里的摄像头会生成新的一串数字，与本店的模板比对。如果是您本人，店员会看到您选择的称呼；如果您同意记录到访，还会看到这是第几次光临。除此之外什么也看不到。

用途。只为向您问候。不用于广告，不评分，不推测年龄、性别或情绪，也不由机器对您作出任何决定。

依据。您以签字表示的明示同意（GDPR 第 6(1)(a) 条和第 9(2)(a) 条）。完全自愿。如果您不同意，或日后结束，出示会员卡或在服务台报上姓名即可，服务与价格完全相同。

保存多久。到您结束为止，最长 12 个月；如果您这么久没有到访，会更早删除。届时模板、称呼和到访记录会自动删除，无需任何人提出。您同意过的证明（不含姓名和面部）再保存三年。

谁还会得到。没有任何人。一切都在本店的机器上运行，面部、模板和称呼不会发送到别处。

可能的风险。摄像头可能把别人认成您，所以店员会先询问，再使用称呼。模板不能像密码那样更换，因此它被封存、短期保存，并且从不离开本店。

您的权利。查看我们持有的内容、获取副本、更正、暂停、反对、转移或结束：可以凭收据上的代码、在这台平板上、向店员提出，或写信给我们。您也可以向数据保护机构投诉。

如何结束。扫描收据上的代码，按“全部结束”，再确认一次。从那一刻起，本店的摄像头不再识别您；您可以下载一份签名的删除证明。
"""
