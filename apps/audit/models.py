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


class Node(models.Model):
    """The hash over a complete subtree of the ledger's tree, see `merkle.Place`.

    Written with the entry that completes it, never changed: a root or a proof costs O(log n) rows.
    Leaves are in `Entry`.
    """

    pk = models.CompositePrimaryKey("level", "index")
    level = models.SmallIntegerField()
    index = models.BigIntegerField()
    hash = models.BinaryField(max_length=32)

    def __str__(self) -> str:
        return f"{self.level}/{self.index}"


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


class Pruning(models.Model):
    """Signed: the first `size` entries were dropped, and this was the root over them.

    The database drops an entry only behind one of these, and takes one only for entries that are
    older than the proof period (see 0005).
    """

    size = models.BigIntegerField(primary_key=True)
    root = models.CharField(max_length=64)
    at = models.DateTimeField()
    signature = models.TextField()

    class Meta:
        ordering = ("-size",)

    def __str__(self) -> str:
        return f"{self.size} {self.root[:12]}"


class LedgerCheck(models.Model):
    """What one walk of the verifier found; the latest says how the ledger is.

    `first`: after which entry it began, 0 for all of them. `exported`: how many heads outside the
    database agreed, and when the last was signed. `told_at`: when officers were written to, once in
    a row of bad ones.
    """

    at = models.DateTimeField(db_index=True)
    first = models.BigIntegerField()
    entries = models.BigIntegerField()
    root = models.CharField(max_length=64)
    ok = models.BooleanField()
    problem = models.CharField(max_length=250, blank=True)
    exported = models.PositiveIntegerField()
    exported_at = models.DateTimeField(null=True)
    told_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"{self.entries} {'whole' if self.ok else 'broken'}"


class Deletion(models.Model):
    """Something that was deleted, and must be again when an older database is restored.

    `detail` holds what kind it was and random ids. See apps.audit.deletions.
    """

    id = models.UUIDField(primary_key=True)
    detail = models.JSONField()
    listed_at = models.DateTimeField(null=True, db_index=True)

    def __str__(self) -> str:
        return f"deletion {self.id}"
