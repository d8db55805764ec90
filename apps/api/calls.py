"""One call of another system: who it is, whether it may, and its entry in the ledger."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_type_hints
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja.params import models as params
from ninja.security import HttpBearer

from apps.api.problems import Refused
from apps.audit import services as audit
from apps.stores.limits import allowed
from apps.stores.models import Store
from apps.systems import services
from apps.systems.models import Client, Scope, Token

# Calls of one client a minute, and wrong tokens from one address in ten minutes.
CALLS, GUESSES = 600, 30


class Bearer(HttpBearer):
    """A token in the header Authorization. It opens the door of its client."""

    openapi_bearerFormat = "opaque"

    def authenticate(self, request: HttpRequest, token: str) -> Client | None:
        known = Token.objects.live().select_related("client")
        found = known.filter(digest=services.digest(token)).first()
        if found is None:
            where = request.META.get("REMOTE_ADDR", "")
            if not allowed(f"api-guess:{where}", limit=GUESSES, seconds=600):
                raise Refused(429, "Too many unknown tokens.", Retry_After="600")
            return None
        if not allowed(f"api:{found.client_id}", limit=CALLS, seconds=60):
            raise Refused(429, f"At most {CALLS} calls a minute.", Retry_After="60")
        today = timezone.now().date()
        # Once a day, so that a call writes no row of its own here.
        unused = Token.objects.filter(pk=found.pk).exclude(last_used_on=today)
        unused.update(last_used_on=today)
        return found.client


@dataclass(slots=True)
class Call:
    """One authorised call. `noted` is what its ledger entry says beside the client."""

    client: Client
    noted: dict[str, Any] = field(default_factory=dict)

    @property
    def actor(self) -> str:
        return f"client:{self.client.pk}"

    @property
    def stores(self) -> QuerySet[Store]:
        """What this client may see of anything is in these stores."""
        return self.client.stores.all()

    def store(self, pk: UUID) -> Store:
        """One of them. Raises Http404, for another organization's too."""
        found = self.stores.filter(pk=pk).first()
        if found is None:
            raise Http404
        self.noted["store"] = str(pk)
        return found


def called(action: str, *scopes: Scope) -> Callable[[Callable[..., Any]], Any]:
    """Run a view in one transaction with the ledger's entry of the call, for whoever has all of the
    scopes.

    The view's first argument becomes the `Call`. A refusal by the view is written down too.
    """

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(view)
        def wrapped(request: HttpRequest, **arguments: Any) -> Any:
            call = Call(request.auth)  # type: ignore[attr-defined]
            try:
                for scope in scopes:
                    if scope not in call.client.scopes:
                        lacks = f"it lacks {scope.value!r}."
                        raise Refused(403, f"This client may not do that; {lacks}")
                if not request.GET.keys() <= _asked_by_query(view):
                    raise Refused(422, "This call has no query parameter of that name.")
                with transaction.atomic():
                    answer = view(call, **arguments)
                    audit.record(actor=call.actor, action=f"api.{action}", **call.noted)
                return answer
            except (Refused, Http404) as refusal:
                with transaction.atomic():
                    status = refusal.status if isinstance(refusal, Refused) else 404
                    audit.record(actor=call.actor, action="api.refused", call=action, status=status)
                raise

        # Ninja reads the parameters from it, and knows the request by its name.
        signature = inspect.signature(view)
        _call, *parameters = signature.parameters.values()
        own = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        wrapped.__signature__ = signature.replace(parameters=[own, *parameters])  # type: ignore[attr-defined]
        return wrapped

    return decorate


@functools.cache
def _asked_by_query(view: Callable[..., Any]) -> frozenset[str]:
    """The names of a view's query parameters. A misspelt one is refused, not left out: `afer=7`
    would answer from the beginning."""
    return frozenset(
        name
        for name, hint in get_type_hints(view, include_extras=True).items()
        if any(isinstance(each, params.Query) for each in getattr(hint, "__metadata__", ()))
    )
