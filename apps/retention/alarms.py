"""What the watchdog has noticed and not seen the end of: one row a kind of data, naming nobody."""

from __future__ import annotations

from django.db import models


class Alarm(models.Model):
    """Some rows of a kind are late. Told once, told again when it is over, and then deleted."""

    kind = models.CharField(max_length=40, primary_key=True)
    since = models.DateTimeField()
    told_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.kind
