"""Addresses of the floor board."""

from django.urls import path

from apps.visits import floor

app_name = "floor"
urlpatterns = [
    path("", floor.choose, name="choose"),
    path("<slug:slug>/", floor.board, name="board"),
    path("<slug:slug>/wall/", floor.wall, name="wall"),
    path("<slug:slug>/events/", floor.events, name="events"),
    path("<slug:slug>/card/", floor.check_in, name="check_in"),
    path("<slug:slug>/witness/", floor.witness, name="witness"),
    path("<slug:slug>/visits/<uuid:visit>/greet/", floor.greet, name="greet"),
    path("<slug:slug>/visits/<uuid:visit>/hand/", floor.hand_on, name="hand_on"),
    path("<slug:slug>/visits/<uuid:visit>/note/", floor.note, name="note"),
    path("<slug:slug>/visits/<uuid:visit>/wrong/", floor.wrong, name="wrong"),
    path("<slug:slug>/visits/<uuid:visit>/wrong/undo/", floor.undo, name="undo"),
]
