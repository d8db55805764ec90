"""The ASGI entry point: `uvicorn apps.config.asgi:application`."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apps.config.settings")
application = get_asgi_application()
