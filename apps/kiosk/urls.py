"""Addresses of the kiosk."""

from django.urls import path

from apps.kiosk import asking, stopping, views
from apps.stores.models import Device

app_name = "kiosk"
KIOSK = {"kind": Device.Kind.KIOSK}
urlpatterns = [
    path("", views.start, name="start"),
    path("enroll/", views.enroll, KIOSK, name="enroll"),
    path("nonce/", views.nonce, KIOSK, name="nonce"),
    path("stopped/", stopping.stopped, KIOSK, name="stopped"),
    path("here/", views.here, name="here"),
    path("look/", views.look, name="look"),
    path("challenge/", views.challenge, name="challenge"),
    path("act/", views.act, name="act"),
    path("witness/", views.witness, name="witness"),
    path("opt-in/", views.submit, name="opt-in"),
    path("undo/", views.undo, name="undo"),
    path("refuse/", views.refuse, name="refuse"),
    path("ask/", asking.submit, name="ask"),
    path("<slug:language>/", views.flow, name="flow"),
    path("<slug:language>/ask/", asking.page, name="asking"),
]
