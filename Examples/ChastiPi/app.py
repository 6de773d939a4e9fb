"""The app as WSGI servers want it: `flask run`, or any server given `app:app`."""

from pathlib import Path

from chasti_pi import create_app

app = create_app(Path(__file__).resolve().parent)
