"""Addresses of the receipt's self-service."""

from django.urls import path

from apps.privacy import receipts

app_name = "receipt"
urlpatterns = [
    path("", receipts.open_receipt, name="open"),
    path("withdraw/", receipts.withdraw, name="withdraw"),
    path("certificate/", receipts.certificate, name="certificate"),
    path("download/", receipts.download, name="download"),
]
