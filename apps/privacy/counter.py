"""Staff write down what somebody in the store asks about their data, and see nothing for it.

Of somebody whom the board shows, the member of staff is the witness that it is them: no new photo
is taken. Of anybody else the officer asks for a proof.
"""

from typing import Any

from django import forms
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from apps.privacy.requests import intake
from apps.privacy.requests.rows import RequestRefused
from apps.retention.models import Request
from apps.stores.access import actor, stores_of
from apps.stores.models import Role, Store
from apps.visits import looks
from apps.visits import selectors as visits
from apps.visits.models import Visit

NOBODY = ""


class CounterForm(forms.Form):
    """What is asked, by whom of those on the board, and where to answer."""

    whom = forms.ChoiceField(label=gettext_lazy("Who asks"), required=False)
    kind = forms.ChoiceField(label=gettext_lazy("What they ask for"), choices=Request.Kind.choices)
    words = forms.CharField(
        label=gettext_lazy("In their words"),
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 4}),
    )
    reach = forms.CharField(
        label=gettext_lazy("Where to answer"),
        required=False,
        max_length=240,
        help_text=gettext_lazy("E-mail or postal address, for this request alone."),
    )

    def __init__(self, store: Store, *args: Any) -> None:
        super().__init__(*args)
        self.label_suffix = ""
        self.visits: dict[str, Visit] = {str(visit.pk): visit for visit in visits.current(store)}
        field = self.fields["whom"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [
            (NOBODY, _("Somebody whom the board does not show")),
            *((pk, visit.visitor.greeting_name) for pk, visit in self.visits.items()),
        ]


@require_http_methods(["GET", "POST"])
@login_required
def take(request: HttpRequest, slug: str) -> HttpResponse:
    """Write down one request in this store."""
    store = get_object_or_404(stores_of(request.user, Role.Kind.STAFF), slug=slug)
    with transaction.atomic():
        form = CounterForm(store, request.POST if request.method == "POST" else None)
        looks.record((actor(request.user), each) for each in form.visits.values())
    context = {"store": store, "form": form}
    if request.method != "POST":
        return render(request, "floor/asked.html", context)
    if not form.is_valid():
        return render(request, "floor/asked.html", context, status=400)
    given, me = form.cleaned_data, actor(request.user)
    visit = form.visits.get(given["whom"])
    about = {"words": given["words"], "reach": given["reach"]}
    kind = Request.Kind(given["kind"])
    try:
        if visit:
            taken = intake.for_somebody_here(
                store=store, visitor=visit.visitor, kind=kind, staff=me, **about
            )
        else:
            source = Request.Source.STAFF
            taken = intake.take(store=store, kind=kind, source=source, actor=me, **about)
    except RequestRefused as refusal:
        return render(request, "floor/asked.html", {**context, "error": refusal.text}, status=409)
    context["form"], context["taken"] = CounterForm(store), taken
    return render(request, "floor/asked.html", context)
