"""The Celery application. Messages carry ids; the timetable is `schedule.py`."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apps.config.settings")

app = Celery("consentry")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

from apps.config.schedule import SCHEDULE  # noqa: E402  (after the settings are named)

app.conf.beat_schedule = SCHEDULE
