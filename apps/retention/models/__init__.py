"""Erasures and their certificates; what people ask for, and the packages that answer them."""

from apps.retention.models.erasure import Erasure
from apps.retention.models.package import Package
from apps.retention.models.request import Request

__all__ = ["Erasure", "Package", "Request"]
