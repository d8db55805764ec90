"""Rows of the ledger. The database itself refuses to change, drop or empty them (see 0002)."""

from django.db import models


class Salt(models.Model):
    """What links ledger entries to one visitor. It dies with them; the tree still verifies."""

    subject = models.UUIDField(primary_key=True)
    secret = models.BinaryField(max_length=32)

    def __str__(self) -> str:
        return "salt"


class Entry(models.Model):
    """One leaf: `seq` is gapless and its place in the tree is `seq - 1`."""

    seq = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)
    action = models.CharField(max_length=60)
    subject = models.CharField(max_length=64, blank=True, db_index=True)
    detail = models.JSONField(default=dict)
    leaf = models.BinaryField(max_length=32)

    class Meta:
        ordering = ("-seq",)
        verbose_name = "ledger entry"
        verbose_name_plural = "ledger entries"

    def __str__(self) -> str:
        return f"{self.seq} {self.action}"


class Checkpoint(models.Model):
    """A signed tree head: nothing up to `size` can change afterwards without being found."""

    size = models.BigIntegerField(primary_key=True)
    root = models.CharField(max_length=64)
    at = models.DateTimeField()
    signature = models.TextField()

    class Meta:
        ordering = ("-size",)

    def __str__(self) -> str:
        return f"{self.size} {self.root[:12]}"


class Deletion(models.Model):
    """Something that was deleted, and must be again when an older database is restored.

    `detail` holds what kind it was and random ids. See apps.audit.deletions.
    """

    id = models.UUIDField(primary_key=True)
    detail = models.JSONField()
    listed_at = models.DateTimeField(null=True, db_index=True)

    def __str__(self) -> str:
        return f"deletion {self.id}"
