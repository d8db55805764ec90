"""The house's Celery application for a bench that cannot wait: beat ticks each second."""

from apps.config.celery import app

app.conf.beat_schedule = {
    name: {**entry, "schedule": 1.0} for name, entry in app.conf.beat_schedule.items()
}
