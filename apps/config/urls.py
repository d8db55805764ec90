"""Every address of the house."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path
from django.views.i18n import set_language

from apps.api.views import api
from apps.config import inspection, views
from apps.config.metrics import metrics
from apps.privacy import links

urlpatterns = [
    path("", views.home, name="home"),
    path("healthz", views.healthz, name="healthz"),
    path("metrics", metrics, name="metrics"),
    path("keys.json", views.keys, name="keys"),
    path("checkpoints.json", inspection.checkpoints, name="checkpoints"),
    path("verify/", inspection.inspect, name="verify"),
    path("verify-certificate", inspection.verifier, name="verifier"),
    path("login/", views.Login.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("language/", set_language, name="set_language"),
    path("public/<slug:slug>/", views.public, name="public"),
    path("kiosk/", include("apps.kiosk.urls")),
    path("door/", include("apps.kiosk.door_urls")),
    path("floor/", include("apps.visits.urls")),
    path("receipt/", include("apps.privacy.urls")),
    path("package/", links.package, name="package"),
    path("asked/", include("apps.privacy.asked_urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", include((api.addresses(), "api"))),
]
