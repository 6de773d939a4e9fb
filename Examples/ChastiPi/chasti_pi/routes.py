"""The pages."""

import sqlite3

from flask import Blueprint, abort, current_app, jsonify, redirect, render_template, request, url_for

from . import health, uploads

pages = Blueprint("pages", __name__)
LONGEST_NOTE = 500


def services():
    return current_app.config["CHASTIPI"]


@pages.app_context_processor
def for_every_template():
    return {"title": services().settings["title"], "modes": services().modes}


@pages.before_app_request
def refuse_foreign_forms():
    # A form on somebody else's page must not write into this journal.
    origin = request.headers.get("Origin")
    if request.method == "POST" and origin and origin != request.host_url.rstrip("/"):
        abort(403, "This form belongs to another site.")


@pages.get("/")
def index():
    settings = services().settings
    return render_template(
        "index.html",
        count=services().journal.count(),
        latest=services().journal.latest(5),
        default_mode=settings["default_mode"],
        longest_note=LONGEST_NOTE,
    )


@pages.get("/checkins")
def checkins():
    size = services().settings["page_size"]
    count = services().journal.count()
    last = max(1, -(-count // size))
    page = min(max(1, request.args.get("page", 1, type=int)), last)
    rows = services().journal.latest(size, (page - 1) * size)
    return render_template("checkins.html", rows=rows, count=count, page=page, last=last)


@pages.get("/checkins.json")
def checkins_as_json():
    limit = min(max(1, request.args.get("limit", 100, type=int)), 1000)
    rows = services().journal.latest(limit)
    return jsonify(count=services().journal.count(), checkins=[dict(row) for row in rows])


@pages.post("/checkins")
def check_in():
    mode = request.form.get("mode") or services().settings["default_mode"]
    note = request.form.get("note", "").strip()
    if mode not in [known["name"] for known in services().modes]:
        abort(400, f"There is no mode named {mode}.")
    if len(note) > LONGEST_NOTE:
        abort(400, f"A note has at most {LONGEST_NOTE} characters.")
    number = services().journal.add(mode, note)
    if request.accept_mimetypes.best == "application/json":
        return jsonify(id=number, count=services().journal.count()), 201
    return redirect(url_for("pages.index"), 303)


@pages.get("/modes")
def modes():
    return render_template("modes.html", counts=services().journal.count_by_mode())


@pages.get("/uploads")
def list_uploads():
    return render_template("uploads.html", files=uploads.listing(services().app_dir / "uploads"))


@pages.post("/uploads")
def upload():
    name = uploads.store(services().app_dir / "uploads", request.files.get("file"))
    if name is None:
        abort(400, "Choose a file with a usable name.")
    return redirect(url_for("pages.list_uploads"), 303)


@pages.get("/health")
def show_health():
    report, healthy = health.report(services())
    return jsonify(report), 200 if healthy else 503


@pages.app_errorhandler(400)
@pages.app_errorhandler(403)
@pages.app_errorhandler(404)
@pages.app_errorhandler(413)
def show_error(error):
    return render_template("error.html", code=error.code, message=error.description), error.code


@pages.app_errorhandler(sqlite3.Error)
def show_database_error(error):
    current_app.logger.error("database: %s", error)
    return render_template("error.html", code=503, message="The journal cannot be read. See /health."), 503
