#!/usr/bin/env python3
"""Serves the app on this machine until it is told to stop (Ctrl-C or SIGTERM)."""

import argparse
import os
import signal
import sys
from pathlib import Path

from werkzeug.serving import make_server

from chasti_pi import ConfigurationError, create_app


def arguments():
    parser = argparse.ArgumentParser(description="Serves ChastiPi.")
    parser.add_argument("--host", help="address to listen on (default: config.json)")
    parser.add_argument(
        "--port",
        type=int,
        default=os.environ.get("CHASTIPI_PORT"),
        help="port to listen on, 0 for a free one (default: CHASTIPI_PORT, else config.json)",
    )
    return parser.parse_args()


def stop(signal_number, frame):
    # Leaves serve_forever by the usual road, so that the database is closed properly.
    raise SystemExit(0)


def main():
    options = arguments()
    try:
        app = create_app(Path(__file__).resolve().parent)
    except ConfigurationError as error:
        sys.exit(f"run.py: {error}")
    settings = app.config["CHASTIPI"].settings
    host = options.host or settings["host"]
    port = settings["port"] if options.port is None else options.port

    signal.signal(signal.SIGTERM, stop)
    try:
        server = make_server(host, port, app, threaded=True)
        # Whoever started us with port 0 reads the port from this line.
        print(f"ChastiPi serves http://{host}:{server.server_port}/", flush=True)
        server.serve_forever()
    finally:
        app.config["CHASTIPI"].close()


if __name__ == "__main__":
    main()
