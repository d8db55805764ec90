"""Where the link of an access package leads: the code in a POST body, never in an address."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from apps.privacy.requests import packages
from apps.stores.limits import allowed

TRIES, WINDOW = 30, 600


@require_http_methods(["GET", "POST"])
def package(request: HttpRequest) -> HttpResponse:
    """Ask for the code, or hand the encrypted file over. Wrong codes are taken at a limited rate;
    nobody guesses 192 bits, at any rate."""
    if request.method != "POST":
        return _ask(request)
    found = packages.behind(request.POST.get("secret", "").strip())
    file = packages.fetch(found) if found else None
    if file is not None:
        headers = {"Content-Disposition": 'attachment; filename="everything.pdf"'}
        return HttpResponse(file, content_type="application/pdf", headers=headers)
    if not allowed(f"package:{request.META.get('REMOTE_ADDR')}", limit=TRIES, seconds=WINDOW):
        return _ask(request, _("Too many attempts. Please wait ten minutes."), 429)
    return _ask(request, _("This link is dead. Ask us for another."), 404)


def _ask(request: HttpRequest, error: str = "", status: int = 200) -> HttpResponse:
    return render(request, "package/open.html", {"error": error}, status=status)
