"""The portal takes the place of the stock admin site; every app registers with it as usual."""

from django.contrib.admin.apps import AdminConfig


class PortalConfig(AdminConfig):
    default_site = "apps.privacy.portal.Portal"
