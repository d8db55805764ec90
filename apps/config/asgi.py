"""The ASGI entry point: `uvicorn apps.config.asgi:application`."""

import os
import resource

from django.conf import settings
from django.core.asgi import get_asgi_application

from apps.config.bodies import small_bodies

# A core dump would hold the pictures that the kiosk's requests carry.
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apps.config.settings")
application = small_bodies(get_asgi_application(), limit=settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
