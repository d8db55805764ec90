"""Addresses of the tablet at the door."""

from django.urls import path

from apps.kiosk import door, stopping, views
from apps.stores.models import Device

app_name = "door"
DOOR = {"kind": Device.Kind.DOOR}
urlpatterns = [
    path("", door.page, name="page"),
    path("enroll/", views.enroll, DOOR, name="enroll"),
    path("nonce/", views.nonce, DOOR, name="nonce"),
    path("show/", door.show, name="show"),
    path("stopped/", stopping.stopped, DOOR, name="stopped"),
    path("here/", door.here, name="here"),
]
