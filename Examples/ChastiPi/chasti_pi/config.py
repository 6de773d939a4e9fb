"""Reads config.json and custom_modes.json. What is wrong is said in one line that names the file."""

import json

NEEDED_SETTINGS = {"title": str, "host": str, "port": int, "page_size": int, "default_mode": str}
NEEDED_OF_MODE = {"name": str, "goal_per_day": int, "colour": str, "about": str}


class ConfigurationError(Exception):
    """The app cannot run with what it found on disk."""


def read_settings(app_dir):
    settings = read_object(app_dir / "config.json")
    require(settings, NEEDED_SETTINGS, "config.json")
    if not 0 <= settings["port"] <= 65535:
        raise ConfigurationError("config.json: port must be between 0 and 65535")
    if settings["page_size"] < 1:
        raise ConfigurationError("config.json: page_size must be at least 1")
    return settings


def read_modes(app_dir):
    modes = read_object(app_dir / "custom_modes.json").get("modes")
    if not isinstance(modes, list) or not modes:
        raise ConfigurationError("custom_modes.json: 'modes' must be a list with at least one mode")
    for mode in modes:
        require(mode, NEEDED_OF_MODE, "custom_modes.json")
    return modes


def read_object(path):
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path.name}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path.name}: not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path.name}: must be a JSON object")
    return value


def require(values, needed, name):
    for key, kind in needed.items():
        # A bool is an int to Python, but not to whoever wrote the file.
        if not isinstance(values, dict) or not isinstance(values.get(key), kind) or isinstance(values[key], bool):
            raise ConfigurationError(f"{name}: '{key}' is missing or not of type {kind.__name__}")
