#!/usr/bin/env python3
"""Backs up and restores an app from Python: the names of the original ChastiPi backup script, the work of chastipi-backup.

    from backups.backup_manager import BackupManager, BackupError

    manager = BackupManager("backups")
    path = manager.create_backup("my_backup", include_logs=True)

or, on the command line, `python3 backups/backup_manager.py create|list|restore|delete|zip|auto`. README.md beside this file
is the guide.

Nothing is decided here: each method runs the program once, with `--json`, and reads its answer. In an app's kit it is run
through `backup.sh`, which lies beside this file: so there is one place that knows where the program may be, builds it in a
source checkout, explains why it cannot start, and notes each run in the app's `logs/backup.log`. Where `backup.sh` is not
beside this file (it was copied into site-packages, say), the program is looked for in the same order: CHASTIPI_BACKUP_BIN,
`bin/chastipi-backup` and `chastipi-backup` beside this file, PATH. No shell reads a name or a path.

The app is the directory that the kit lies in. Without a kit it is the parent of an absolute `backup_dir`, or else the working
directory.

The logger `backup_manager` is told of failures that are answered by False and of the program's warnings; where it takes INFO,
of all that the program does.
"""

from __future__ import annotations

import argparse
import collections
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import types
import warnings
from pathlib import Path
from typing import IO, Any, Deque, Dict, List, NamedTuple, NoReturn, Optional, Sequence, Tuple, Union

__all__ = ["BackupError", "BackupManager", "BackupWarning"]

PathLike = Union[str, "os.PathLike[str]"]

logger = logging.getLogger("backup_manager")

_KIT = Path(__file__).resolve().parent
_PROGRAM = "chastipi-backup"
_SCHEMA_VERSION = 1

# The exit statuses that are no failure of every verb; README.md has all.
_INCOMPLETE = 3
_NOT_FOUND = 10

# The original's eight come first. The rest is what the tool saves as well: who appends an item must not lose the data by it.
_ITEMS = (
    "app.py", "requirements.txt", "run.py", "templates/", "static/", "README.md", "update.sh", "install.sh",
    "config.json", "custom_modes.json", "*.ini", "*.yaml", "*.toml", ".env", "chasti_pi", "plugins", "data", "uploads",
)
_EXCLUDED = ("__pycache__", "*.pyc", "*.pyo", ".DS_Store", "*.log", ".git", ".venv", "venv", "node_modules")
# What brings logs back in, where the pattern that leaves them out does not come from the tool.
_LOGS = ("!/*.log", "!/logs/*.log", "!/logs/**/*.log")


class BackupError(RuntimeError):
    """Why the program could not do what it was asked, in its own words; `status` is its exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class BackupWarning(UserWarning):
    """It is done, but not everything could be read or kept."""


class BackupManager:
    """The backups of one app. Nothing is held, opened or made until a method is called.

    `backup_items` and `exclude_patterns` may be changed. As long as they are not, the tool's configuration (`backup.yaml`)
    decides what is saved. Changed items take the place of those configured, changed patterns that of the default exclusions;
    what `backup.yaml` and `.backupignore` exclude besides stays out.
    """

    def __init__(self, backup_dir: PathLike = "backups") -> None:
        given = Path(os.fspath(backup_dir))
        if _is_kit():
            self.app_dir = _KIT.parent
        else:
            self.app_dir = given.parent if given.is_absolute() else Path.cwd()
        self.backup_dir = self.app_dir / given
        self.backup_items: List[str] = list(_ITEMS)
        self.exclude_patterns: List[str] = list(_EXCLUDED)

    def create_backup(self, backup_name: Optional[str] = None, include_logs: bool = False) -> Path:
        """Makes a backup and returns its path. Warns with BackupWarning if something could not be read (it is there, without).

        A name that is taken is an error: nothing is merged or overwritten.
        """
        return self._make("create", backup_name, include_logs)

    def create_zip_backup(self, backup_name: Optional[str] = None, include_logs: bool = False) -> Path:
        """Like create_backup, as one zip."""
        return self._make("zip", backup_name, include_logs)

    def auto_backup(self, include_logs: bool = False) -> Path:
        """Like create_backup, for the moment before an update: named `auto_backup_YYYYMMDD_HHMMSS`."""
        return self._make("auto", None, include_logs)

    def list_backups(self) -> List[Dict[str, Any]]:
        """The backups, newest first.

        Each has at least `name`, `backup_name`, `created_at` (local time without a zone), `path` (as text), `version` (of the
        metadata), `items_backed_up`, `excluded_items`, `format` (`folder` or `zip`), and `size` (bytes of its files, or None
        where nothing tells); and whatever else `chastipi-backup list --json` says of it.
        """
        listed: List[Dict[str, Any]] = self._run("list").document["backups"]
        return [
            {
                **backup,
                "backup_name": backup["name"],
                "path": str(self._path(backup)),
                # The original's; its zips and ours have it too. What others packed has no metadata.
                "version": None if backup["origin"] == "plain" else "1.0",
                "size": backup["bytes"],
            }
            for backup in listed
        ]

    def restore_backup(self, backup_name: PathLike, include_logs: bool = False) -> bool:
        """Puts a backup back into the app, all or nothing, and returns True; False if there is no such backup.

        `backup_name` may be the path of a backup anywhere. Whatever else is wrong raises BackupError, as the original raised:
        it cannot be done (1), another run is at work (11), the backup is damaged (20). The app is then as it was, unless the
        message names `recover`. Warns with BackupWarning if something could not be set as it was. Nobody is asked;
        `backup.sh undo` takes it back.
        """
        options = ["--yes"] + (["--include-logs"] if include_logs else [])
        answer = self._run("restore", *options, "--", os.fspath(backup_name), accepted=(0, _INCOMPLETE, _NOT_FOUND))
        if answer.status == _INCOMPLETE:
            _warn(f"'{backup_name}' is restored, but not completely", answer.document.get("not_kept", []))
        return answer.status != _NOT_FOUND

    def delete_backup(self, backup_name: PathLike) -> bool:
        """Deletes a backup for ever and returns True; False if there is no such backup. Nobody is asked.

        `backup_name` may be a path as create_backup returns it.
        """
        path = Path(os.fspath(backup_name))
        name = os.fspath(backup_name)
        if path.is_absolute() and path.parent == self.backup_dir:
            # A zip may have the same name; its path ends differently.
            name = f"folder:{path.name}" if path.is_dir() else path.name
        return self._run("delete", "--yes", "--", name, accepted=(0, _NOT_FOUND)).status != _NOT_FOUND

    def _make(self, verb: str, name: Optional[str], include_logs: bool) -> Path:
        options = [f"--name={name}"] if name is not None else []
        if include_logs:
            options.append("--include-logs")
        answer = self._run(verb, *options, *self._selection(include_logs), accepted=(0, _INCOMPLETE))
        backup = answer.document["backup"]
        if answer.status == _INCOMPLETE:
            skipped = [f"{entry['path']}: {entry['reason']}" for entry in answer.document["skipped"]]
            for line in skipped:
                logger.info("skipped: %s", line)
            _warn(f"'{backup['name']}' is made, but not complete", skipped)
        return self._path(backup)

    def _path(self, backup: Dict[str, Any]) -> Path:
        name: str = backup["name"]
        return self.backup_dir / (f"{name}.zip" if backup["format"] == "zip" else name)

    def _selection(self, include_logs: bool) -> List[str]:
        """What the two lists say, where they were changed."""
        options: List[str] = []
        if self.backup_items != list(_ITEMS):
            if not self.backup_items:
                # Without a single --item the tool would save the configured ones.
                raise BackupError("backup_items is empty: there is nothing to back up", status=2)
            options += [f"--item={item}" for item in self.backup_items]
        if self.exclude_patterns != list(_EXCLUDED):
            options.append("--no-default-exclusions")
            options += [f"--exclude={pattern}" for pattern in self.exclude_patterns]
            if include_logs and "*.log" in self.exclude_patterns:
                options += [f"--exclude={pattern}" for pattern in _LOGS]
        return options

    def _run(self, verb: str, *arguments: str, accepted: Sequence[int] = (0,)) -> _Answer:
        """Runs the program. `accepted`: the statuses that do not raise."""
        options = [f"--app={self.app_dir}", "--json"]
        if self.backup_dir != self.app_dir / "backups":
            # The app's own is made where it is missing; another may be on a disk that is not mounted.
            options.append(f"--backup-dir={self.backup_dir}")
        if logger.isEnabledFor(logging.INFO):
            options.append("--verbose")
        run = _Run([*_command(), verb, *options, *arguments])
        run.finish()
        if run.status not in accepted:
            raise BackupError(run.message, run.status)
        if run.status == _NOT_FOUND:
            logger.error(run.message)
            return _Answer(run.status, {})
        return _Answer(run.status, _document(run.output))


class _Answer(NamedTuple):
    status: int
    document: Dict[str, Any]


class _Run:
    """One run of the program: its answer is collected, what it tells meanwhile goes to the logger."""

    def __init__(self, command: List[str]) -> None:
        self.output = b""
        self.status = 1
        self._error: Optional[str] = None
        self._lines: Deque[str] = collections.deque(maxlen=20)
        try:
            # Nobody is asked anything: a terminal's input stays the caller's.
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except (OSError, ValueError) as error:
            # ValueError: a NUL in an argument.
            raise BackupError(f"{command[0]} cannot be run: {error}") from None

    def finish(self) -> None:
        """Waits for the end. Also an interrupted run is waited for: it takes back what it has begun, its locks held till then."""
        assert self._child.stdout and self._child.stderr
        # Both at once, or the program could wait for one while we wait for the other.
        listener = threading.Thread(target=self._listen, args=(self._child.stderr,), daemon=True)
        listener.start()
        try:
            self.output = self._child.stdout.read()
            self._child.wait()
        except BaseException as interruption:
            self._interrupt(interruption, self._child.stdout)
            raise
        finally:
            listener.join()
            self._child.stdout.close()
            self._child.stderr.close()
        status = self._child.returncode
        self.status = status if status >= 0 else 128 - status

    def _interrupt(self, interruption: BaseException, output: IO[bytes]) -> None:
        while True:
            try:
                self._child.send_signal(
                    signal.SIGINT if isinstance(interruption, KeyboardInterrupt) else signal.SIGTERM
                )
                output.read()
                self._child.wait()
                return
            except (KeyboardInterrupt, SystemExit) as again:
                interruption = again

    def _listen(self, errors: IO[bytes]) -> None:
        for line in errors:
            text = line.decode("utf-8", "backslashreplace").rstrip("\n")
            try:
                told = json.loads(text)
            except ValueError:
                told = None
            if isinstance(told, dict):
                self._take(told)
            elif text:
                self._lines.append(text)
                logger.info("%s", text)

    def _take(self, told: Dict[str, Any]) -> None:
        """A line of the program: an event, or why it failed."""
        if "error" in told:
            message, advice = str(told.get("message", "")), str(told.get("advice", ""))
            stop = "" if message.endswith("?") else "."
            self._error = f"{message}{stop} {advice}" if advice else message
            return
        event = told.get("event")
        if event == "warning":
            logger.warning("%s", told.get("message"))
        elif event == "note":
            logger.info("%s", told.get("message"))
        elif event == "started":
            logger.info("%s: %s entries, %s bytes", told.get("phase"), told.get("entries"), told.get("bytes"))

    @property
    def message(self) -> str:
        """Why it failed, on one line."""
        if self._error is not None:
            return self._error
        # What backup.sh or the system says where the program could not say anything.
        lines = list(self._lines)
        starts = [number for number, line in enumerate(lines) if "error: " in line]
        if starts:
            lines = lines[starts[-1] :]
            lines[0] = lines[0].split("error: ", 1)[1]
        text = " ".join(line[len("backup.sh: ") :] if line.startswith("backup.sh: ") else line for line in lines)
        return text or f"the program ended with status {self.status}"


def _document(output: bytes) -> Dict[str, Any]:
    try:
        document = json.loads(output.decode("utf-8", "surrogateescape"))
        version = document["schema_version"]
    except (ValueError, KeyError, TypeError):
        raise BackupError("the program's answer cannot be read") from None
    if version != _SCHEMA_VERSION:
        raise BackupError(f"the program is of another version than {__file__}: put the kit in anew (make kit APP=DIR)")
    return dict(document)


def _warn(what: str, problems: List[str]) -> None:
    shown = problems[:10] + ([f"and {len(problems) - 10} more"] if len(problems) > 10 else [])
    # 4: the line that called the public method.
    warnings.warn(f"{what} ({'; '.join(shown)})" if shown else what, BackupWarning, stacklevel=4)


def _is_kit() -> bool:
    return any((_KIT / name).is_file() for name in ("backup.sh", f"bin/{_PROGRAM}", _PROGRAM))


def _command() -> List[str]:
    """What the program is run by."""
    script = _KIT / "backup.sh"
    if script.is_file():
        # By name, so that it may lie where nothing is executable.
        return ["bash", str(script)]
    named = os.environ.get("CHASTIPI_BACKUP_BIN")
    if named:
        if not os.path.isfile(named):
            raise BackupError(f"CHASTIPI_BACKUP_BIN names {named}, which is not a file")
        return [os.path.abspath(named)]
    for place in (_KIT / "bin" / _PROGRAM, _KIT / _PROGRAM):
        # An empty file is a copy that was cut off.
        if place.is_file() and place.stat().st_size > 0:
            return [str(place)]
    found = shutil.which(_PROGRAM)
    if found:
        return [found]
    raise BackupError(
        f"the program {_PROGRAM} is missing. Put the kit into the app (make kit APP=DIR), install it where PATH leads, or name "
        "it in CHASTIPI_BACKUP_BIN"
    )


# --- the command line ---------------------------------------------------------------------------------------------------------


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs the original's command line. Returns the program's exit status."""
    options = _parse(arguments)
    handler = logging.StreamHandler()
    handler.setFormatter(_LikeTheProgram())
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.INFO if options.verbose else logging.WARNING)
    # The program takes back what it has begun; it must not be left to itself.
    for number in (signal.SIGHUP, signal.SIGTERM):
        # Under nohup a hang-up is to be ignored.
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _stop)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", BackupWarning)
            status, lines = _carry_out(options)
    except BackupError as error:
        logger.error("%s", error)
        return error.status
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    if lines:
        _print(lines)
    for warning in caught:
        logger.warning("%s", warning.message)
    incomplete = any(issubclass(warning.category, BackupWarning) for warning in caught)
    return _INCOMPLETE if status == 0 and incomplete else status


def _parse(arguments: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="backup_manager.py", description="Backs up and restores the app that this folder lies in."
    )
    parser.add_argument("action", choices=["create", "list", "restore", "delete", "zip", "auto"])
    parser.add_argument("backup_name", nargs="?", metavar="NAME", help="the backup")
    parser.add_argument("--name", metavar="N", help="the same")
    parser.add_argument("--include-logs", action="store_true", help="logs as well")
    parser.add_argument("--backup-dir", default="backups", metavar="D", help="where backups are (default: backups)")
    parser.add_argument("--verbose", action="store_true", help="show what the program tells while it works")
    options = parser.parse_args(arguments)
    options.name = options.backup_name or options.name
    if options.action in ("restore", "delete") and not options.name:
        parser.error(f"{options.action} needs the name of a backup")
    if options.action in ("list", "auto") and options.name:
        parser.error(f"{options.action} takes no name")
    return options


def _carry_out(options: argparse.Namespace) -> Tuple[int, List[str]]:
    manager = BackupManager(options.backup_dir)
    if options.action == "list":
        backups = manager.list_backups()
        lines = [f"  {backup['name']} - {backup['created_at']}" for backup in backups]
        return 0, ["Available backups:"] + lines if backups else ["No backups found"]
    if options.action == "restore":
        done = manager.restore_backup(options.name, include_logs=options.include_logs)
        return (0, [f"restored {options.name}"]) if done else (_NOT_FOUND, [])
    if options.action == "delete":
        return (0, [f"deleted {options.name}"]) if manager.delete_backup(options.name) else (_NOT_FOUND, [])
    if options.action == "auto":
        return 0, [str(manager.auto_backup(options.include_logs))]
    make = manager.create_zip_backup if options.action == "zip" else manager.create_backup
    return 0, [str(make(options.name, options.include_logs))]


def _print(lines: List[str]) -> None:
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:
        # Who reads went away (`list | head -1`): that is the end of the output, and no failure.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _LikeTheProgram(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        word = {logging.ERROR: "error: ", logging.WARNING: "warning: "}.get(record.levelno, "")
        return word + record.getMessage()


def _stop(number: int, _frame: Optional[types.FrameType]) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
