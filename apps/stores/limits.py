"""How often something may be tried. Without Redis the answer is no: it fails closed."""

import hashlib
import hmac

import redis
from django.conf import settings

from apps.stores.devices import live_events


def allowed(key: str, *, limit: int, seconds: int) -> bool:
    """Count one attempt under `key`; True while there were at most `limit` in this window.

    A key may name an address or a user; Redis sees neither.
    """
    name = hmac.new(settings.SECRET_KEY.encode(), key.encode(), hashlib.sha256).hexdigest()
    try:
        pipe = live_events().pipeline()
        pipe.incr(f"limit:{name}")
        pipe.expire(f"limit:{name}", seconds, nx=True)
        return int(pipe.execute()[0]) <= limit
    except redis.RedisError:
        return False
