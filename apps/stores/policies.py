"""For how long a store keeps what, purpose by purpose: never longer than its pack allows.

A store without a policy keeps as long as its pack allows. What a person was promised when they
signed is the other bound, see consent.promises.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.stores.jurisdictions import Pack

if TYPE_CHECKING:
    from apps.stores.models import Store


class Kind(models.TextChoices):
    """What has a figure of its own, in days. The first four are called as their purposes are."""

    LANE = "lane", _("Face template for the lane, after the last visit")
    PASS = "pass", _("Face template for the pass, and the card, after the last visit")
    HISTORY = "history", _("A visit, for the person’s own history")
    STATISTICS = "statistics", _("A visit, for the store’s statistics")
    CONSENT = "consent", _("The longest consent that can be signed")


class Policy(models.Model):
    """One figure of one store. `former` is what held before it was made shorter, for as long as
    what is there was not moved: see retention.services.policy."""

    store = models.ForeignKey("stores.Store", models.CASCADE, related_name="policies")
    kind = models.CharField(max_length=10, choices=Kind)
    days = models.PositiveIntegerField()
    former = models.PositiveIntegerField(null=True)
    reason = models.CharField(max_length=200)

    class Meta:
        verbose_name = _("retention policy")
        verbose_name_plural = _("retention policies")
        constraints = (
            models.UniqueConstraint(fields=("store", "kind"), name="one_policy_a_store_and_kind"),
            models.CheckConstraint(condition=models.Q(days__gte=1), name="a_policy_keeps_a_day"),
        )

    def __str__(self) -> str:
        return f"{self.store} {self.kind}: {self.days}"


# Which of the pack's figures caps a kind.
FIGURE = {
    Kind.LANE: "inactivity_days",
    Kind.PASS: "inactivity_days",
    Kind.HISTORY: "visit_days",
    Kind.STATISTICS: "visit_days",
    Kind.CONSENT: "max_term_days",
}


def caps(pack: Pack) -> dict[Kind, int]:
    """The longest that a pack allows of each kind, in days."""
    return {kind: int(getattr(pack, figure)) for kind, figure in FIGURE.items()}


def days(store: Store) -> dict[Kind, int]:
    """What holds in a store now, in days: its policies, capped by its pack whatever they say."""
    said = {Kind(policy.kind): policy.days for policy in store.policies.all()}
    return {kind: min(said.get(kind, cap), cap) for kind, cap in caps(store.pack).items()}


def narrowed(pack: Pack, figures: dict[Kind, int]) -> Pack:
    """A pack under which no consent is longer than these figures say."""
    return replace(pack, max_term_days=min(pack.max_term_days, figures[Kind.CONSENT]))
