"""How often something may be tried. Without Redis the answer is no: it fails closed."""

import redis

from apps.stores.devices import live_events


def allowed(key: str, *, limit: int, seconds: int) -> bool:
    """Count one attempt under `key`; True while there were at most `limit` in this window."""
    try:
        pipe = live_events().pipeline()
        pipe.incr(f"limit:{key}")
        pipe.expire(f"limit:{key}", seconds, nx=True)
        return int(pipe.execute()[0]) <= limit
    except redis.RedisError:
        return False
