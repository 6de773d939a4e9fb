"""Puts the parts together: configuration, key, journal, log and pages."""

import logging
import os

from flask import Flask

from . import config, keys, routes
from .journal import Journal


class Services:
    """What the pages need, and what must be closed in the end."""

    def __init__(self, app_dir):
        self.app_dir = app_dir
        self.settings = config.read_settings(app_dir)
        self.modes = config.read_modes(app_dir)
        database = app_dir / "data" / "journal.db"
        os.makedirs(database.parent, mode=0o700, exist_ok=True)
        os.makedirs(app_dir / "uploads", exist_ok=True)
        self.key = keys.read_or_create(app_dir, may_create=not database.exists())
        self.journal = Journal(database, self.key)
        self.journal.open()

    def close(self):
        self.journal.close()


def create_app(app_dir):
    services = Services(app_dir)
    app = Flask(
        "chasti_pi",
        root_path=str(app_dir),
        template_folder=str(app_dir / "templates"),
        static_folder=str(app_dir / "static"),
    )
    app.config["CHASTIPI"] = services
    app.config["MAX_CONTENT_LENGTH"] = 64 * 1024 * 1024
    app.register_blueprint(routes.pages)
    log_to_file(app_dir)
    return app


def log_to_file(app_dir):
    os.makedirs(app_dir / "logs", exist_ok=True)
    handler = logging.FileHandler(app_dir / "logs" / "app.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
