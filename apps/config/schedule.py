"""The whole timetable. Nothing runs on time that is not on this page."""

from typing import Any

from celery.schedules import crontab

SCHEDULE: dict[str, dict[str, Any]] = {
    "sweep": {
        "task": "apps.retention.tasks.sweep",
        "schedule": 60.0,
        "options": {"expires": 55},
    },
    "watchdog": {
        "task": "apps.retention.tasks.watchdog",
        "schedule": 60.0,
        "options": {"expires": 55},
    },
    "remind": {
        "task": "apps.retention.tasks.remind",
        "schedule": 3600.0,
        "options": {"expires": 3000},
    },
    "requests": {
        "task": "apps.privacy.tasks.requests",
        "schedule": 60.0,
        "options": {"expires": 55},
    },
    "deliver": {
        "task": "apps.systems.tasks.deliver",
        "schedule": 10.0,
        "options": {"expires": 9},
    },
    "checkpoint": {
        "task": "apps.visits.tasks.checkpoint",
        "schedule": 3600.0,
        "options": {"expires": 3000},
    },
    # At night, by the house's clock; a night that was missed is made up for in the next.
    "insights": {
        "task": "apps.visits.tasks.insights",
        "schedule": crontab(hour="2", minute="10"),
        "options": {"expires": 4 * 3600},
    },
}
