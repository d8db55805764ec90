"""Addresses of the kiosk."""

from django.urls import path

from apps.kiosk import views

app_name = "kiosk"
urlpatterns = [
    path("", views.start, name="start"),
    path("enroll/", views.enroll, name="enroll"),
    path("nonce/", views.nonce, name="nonce"),
    path("look/", views.look, name="look"),
    path("opt-in/", views.submit, name="opt-in"),
    path("refuse/", views.refuse, name="refuse"),
    path("<slug:language>/", views.flow, name="flow"),
]
