"""Addresses of the receipt's self-service."""

from django.urls import path

from apps.privacy import receipts

app_name = "receipt"
urlpatterns = [
    path("", receipts.open_receipt, name="open"),
    path("withdraw/", receipts.withdraw, name="withdraw"),
    path("stop/", receipts.stop, name="stop"),
    path("name/", receipts.rename, name="rename"),
    path("stated/", receipts.state, name="state"),
    path("note/", receipts.delete_note, name="delete_note"),
    path("pause/", receipts.pause, name="pause"),
    path("renew/", receipts.renew, name="renew"),
    path("pass/", receipts.new_pass, name="new_pass"),
    path("card/", receipts.new_card, name="new_card"),
    path("everything/", receipts.everything, name="everything"),
    path("ask/", receipts.ask, name="ask"),
    path("package/", receipts.package, name="package"),
    path("schema.json", receipts.schema, name="schema"),
    path("paper/", receipts.on_paper, name="paper"),
    path("certificate/", receipts.certificate, name="certificate"),
    path("download/", receipts.download, name="download"),
]
