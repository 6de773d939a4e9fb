"""ChastiPi: a private journal of check-ins for one household, on a small computer."""

from .application import create_app
from .config import ConfigurationError

__all__ = ["ConfigurationError", "create_app"]
