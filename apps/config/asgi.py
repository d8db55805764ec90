"""The ASGI entry point: `uvicorn apps.config.asgi:application`."""

import os

from django.conf import settings
from django.core.asgi import get_asgi_application

from apps.config.bodies import small_bodies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apps.config.settings")
application = small_bodies(get_asgi_application(), limit=settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
