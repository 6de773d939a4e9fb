"""The journal of check-ins: a SQLite database in WAL mode that the app writes to while it runs."""

import hmac
import sqlite3
from contextlib import closing, contextmanager
from datetime import datetime, timezone

from . import keys

SCHEMA = """
CREATE TABLE IF NOT EXISTS checkins (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    mode TEXT NOT NULL,
    note TEXT NOT NULL,
    seal TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT OR IGNORE INTO counters VALUES ('checkins', 0);
"""


class JournalError(Exception):
    """The database opens, but what it holds contradicts itself."""


class Journal:
    def __init__(self, path, key):
        self.path = path
        self.key = key
        self.keeper = None

    def open(self):
        """Creates what is missing. The connection kept open keeps the write-ahead log alive between requests."""
        self.keeper = sqlite3.connect(self.path)
        self.keeper.execute("PRAGMA journal_mode = WAL")
        self.keeper.executescript(SCHEMA)

    def close(self):
        if self.keeper is not None:
            self.keeper.close()
            self.keeper = None

    @contextmanager
    def connection(self):
        # mode=rw: a database that was deleted under us is an error, not a new empty one.
        with closing(sqlite3.connect(self.path.as_uri() + "?mode=rw", uri=True, isolation_level=None)) as database:
            database.row_factory = sqlite3.Row
            yield database

    def add(self, mode, note):
        """Writes a check-in and counts it in one transaction, and returns its number."""
        at = datetime.now(timezone.utc).isoformat(timespec="microseconds")
        with self.connection() as database:
            database.execute("BEGIN IMMEDIATE")
            number = database.execute(
                "INSERT INTO checkins (at, mode, note, seal) VALUES (?, ?, ?, ?)",
                (at, mode, note, keys.seal(self.key, at, mode, note)),
            ).lastrowid
            database.execute("UPDATE counters SET value = value + 1 WHERE name = 'checkins'")
            database.execute("COMMIT")
        return number

    def count(self):
        with self.connection() as database:
            return database.execute("SELECT value FROM counters WHERE name = 'checkins'").fetchone()[0]

    def latest(self, limit, offset=0):
        with self.connection() as database:
            return database.execute(
                "SELECT id, at, mode, note FROM checkins ORDER BY id DESC LIMIT ? OFFSET ?", (limit, offset)
            ).fetchall()

    def count_by_mode(self):
        with self.connection() as database:
            rows = database.execute("SELECT mode, count(*) AS number FROM checkins GROUP BY mode").fetchall()
        return {row["mode"]: row["number"] for row in rows}

    def check(self):
        """Reads through the database: its structure, the counter, and the newest seals. Returns the number of check-ins."""
        with self.connection() as database:
            # One transaction, so that a check-in made meanwhile does not look like a wrong counter.
            database.execute("BEGIN")
            verdict = database.execute("PRAGMA quick_check").fetchone()[0]
            if verdict != "ok":
                raise JournalError(verdict)
            counted = database.execute("SELECT value FROM counters WHERE name = 'checkins'").fetchone()[0]
            present = database.execute("SELECT count(*) FROM checkins").fetchone()[0]
            newest = database.execute("SELECT * FROM checkins ORDER BY id DESC LIMIT 100").fetchall()
        if counted != present:
            raise JournalError(f"the counter says {counted}, but {present} check-ins are there")
        for row in newest:
            if not hmac.compare_digest(row["seal"], keys.seal(self.key, row["at"], row["mode"], row["note"])):
                raise JournalError(f"the seal of check-in {row['id']} is wrong")
        return present
