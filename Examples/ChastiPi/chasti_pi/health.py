"""What /health tells. Everything is read from disk anew: what was loaded at start says nothing about now."""

import sqlite3

from jinja2 import Environment, FileSystemLoader, TemplateError

from . import config, keys
from .journal import JournalError

TEMPLATES = ["base.html", "index.html", "checkins.html", "modes.html", "uploads.html", "error.html"]


def check_database(services):
    return f"{services.journal.check()} check-ins, integrity ok"


def check_templates(services):
    environment = Environment(loader=FileSystemLoader(str(services.app_dir / "templates")))
    for name in TEMPLATES:
        environment.get_template(name)
    return f"{len(TEMPLATES)} templates load"


def check_configuration(services):
    settings = config.read_settings(services.app_dir)
    modes = config.read_modes(services.app_dir)
    if settings["default_mode"] not in [mode["name"] for mode in modes]:
        raise config.ConfigurationError("config.json: default_mode is not one of custom_modes.json")
    if keys.read(keys.path_of_key(services.app_dir)) != services.key:
        raise config.ConfigurationError("data/encryption.key changed while the app ran: restart it")
    return f"{len(settings)} settings, {len(modes)} modes, key present"


CHECKS = {"database": check_database, "templates": check_templates, "configuration": check_configuration}


def report(services):
    """Returns what /health answers, and whether all is well."""
    results = {}
    for name, check in CHECKS.items():
        try:
            results[name] = {"ok": True, "detail": check(services)}
        except TemplateError as error:
            results[name] = {"ok": False, "detail": f"template cannot be loaded: {error}"}
        except (config.ConfigurationError, JournalError, sqlite3.Error, OSError) as error:
            results[name] = {"ok": False, "detail": str(error)}
    healthy = all(result["ok"] for result in results.values())
    return {"status": "ok" if healthy else "failing", "checks": results}, healthy
