"""Where staff write down what somebody in the store asks."""

from django.urls import path

from apps.privacy import counter

app_name = "asked"
urlpatterns = [path("<slug:slug>/", counter.take, name="take")]
