#!/usr/bin/env python3
"""Backs up and restores the app that this folder (backups/) lies in: the command line and the class of the original tool.

All work is done by the program chastipi-backup, which this finds where backup.sh finds it and asks for JSON. Nothing here touches a
backup. Python 3.9 or newer, nothing but the standard library.

    python3 backups/backup_manager.py create|auto|zip|list|restore|delete [NAME] [--name N] [--include-logs] [--backup-dir D] [--verbose]

    from backups.backup_manager import BackupManager
    manager = BackupManager("backups")
    path = manager.create_backup("before-the-move", include_logs=True)
    manager.restore_backup("before-the-move")
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import warnings
from typing import Any, Dict, List, Optional, Sequence, Union

_KIT = pathlib.Path(__file__).resolve().parent

# Exit statuses of the program.
_DONE, _FAILED, _INCOMPLETE, _NO_SUCH_BACKUP = 0, 1, 3, 10


class BackupError(RuntimeError):
    """The program could not do what it was asked. The text is its one line; `status` is its exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class BackupManager:
    """The backups of one app.

    `backup_dir`: where they are; a relative path lies in the app. The app is the folder that holds this one or, where this module
    is installed elsewhere, the folder that holds `backup_dir`.

    `backup_items` and `exclude_patterns` may be changed. As long as they are as they came, the app's `backup.yaml` and the
    program's defaults decide; a list that was changed takes their place.
    """

    DEFAULT_ITEMS = (
        "app.py", "run.py", "requirements.txt", "README.md", "install.sh", "update.sh", "templates", "static", "chasti_pi", "plugins",
        "config.json", "custom_modes.json", ".env", "*.ini", "*.yaml", "*.toml", "data", "uploads",
    )
    DEFAULT_EXCLUSIONS = ("__pycache__", "*.pyc", "*.pyo", ".DS_Store", "*.log", ".git", ".venv", "venv", "node_modules")

    def __init__(self, backup_dir: Union[str, "os.PathLike[str]"] = "backups", verbose: bool = False) -> None:
        path = pathlib.Path(backup_dir)
        is_in_kit = (_KIT / "backup.sh").is_file()
        if is_in_kit:
            self.base_dir = _KIT.parent
        else:
            self.base_dir = path.parent if path.is_absolute() else pathlib.Path.cwd()
        self.backup_dir = path if path.is_absolute() else self.base_dir / path
        self.verbose = verbose
        self.backup_items: List[str] = list(self.DEFAULT_ITEMS)
        self.exclude_patterns: List[str] = list(self.DEFAULT_EXCLUSIONS)

    # --- what the original had ---------------------------------------------------------------------------------------------

    def create_backup(self, backup_name: Optional[str] = None, include_logs: bool = False) -> pathlib.Path:
        """Makes a folder backup and returns its path. Warns if something could not be read."""
        return self._create(["create", "--format", "folder"], backup_name, include_logs)

    def create_zip_backup(self, backup_name: Optional[str] = None, include_logs: bool = False) -> pathlib.Path:
        """Makes a backup as one zip and returns its path."""
        return self._create(["zip"], backup_name, include_logs)

    def auto_backup(self) -> pathlib.Path:
        """Makes the backup before an update."""
        return self._create(["auto"], None, False)

    def list_backups(self) -> List[Dict[str, Any]]:
        """All backups, newest first."""
        found = []
        for backup in self._json(["list"])["backups"]:
            found.append({
                **backup,
                "backup_name": backup["name"],
                "path": str(self._path(backup)),
                "version": "1.0",
                "size": backup["bytes"],
            })
        return found

    def restore_backup(self, backup_name: str, include_logs: bool = False) -> bool:
        """Puts a backup back, all or nothing. False if there is none of this name, or if nothing could be restored."""
        arguments = ["restore", "--yes", *(["--include-logs"] if include_logs else []), "--", backup_name]
        return self._succeeds(arguments, _FAILED, _NO_SUCH_BACKUP)

    def delete_backup(self, backup_name: str) -> bool:
        """Removes a backup. False if there is none of this name."""
        return self._succeeds(["delete", "--yes", "--", backup_name], _NO_SUCH_BACKUP)

    # --- how it asks -------------------------------------------------------------------------------------------------------

    def _create(self, verb: List[str], name: Optional[str], include_logs: bool) -> pathlib.Path:
        arguments = list(verb)
        if name is not None:
            arguments += ["--name", name]
        if include_logs:
            arguments.append("--include-logs")
        if self.backup_items != list(self.DEFAULT_ITEMS):
            arguments += [word for item in self.backup_items for word in ("--item", item)]
        if self.exclude_patterns != list(self.DEFAULT_EXCLUSIONS):
            arguments.append("--no-default-exclusions")
            # A pattern that leaves logs out would come after what asks for them.
            patterns = [pattern for pattern in self.exclude_patterns if not (include_logs and pattern == "*.log")]
            arguments += [word for pattern in patterns for word in ("--exclude", pattern)]
        document = self._json(arguments)
        skipped = document["skipped"]
        if skipped:
            first = skipped[0]
            warnings.warn(f"the backup is incomplete: {first['path']}: {first['reason']} ({len(skipped)} in all)", stacklevel=3)
        return self._path(document["backup"])

    def _path(self, backup: Dict[str, Any]) -> pathlib.Path:
        return self.backup_dir / (backup["name"] + (".zip" if backup["format"] == "zip" else ""))

    def _succeeds(self, arguments: List[str], *failures: int) -> bool:
        try:
            self._json(arguments)
        except BackupError as error:
            if error.status in failures:
                print(f"error: {error}", file=sys.stderr)
                return False
            raise
        return True

    def _json(self, arguments: List[str]) -> Dict[str, Any]:
        """Runs the program and returns what it printed. Status 3, done but not completely, is no failure."""
        done = subprocess.run(
            self._command(arguments, "--json"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        lines = done.stderr.decode("utf-8", "replace").splitlines()
        if self.verbose:
            print("\n".join(lines), file=sys.stderr)
        if done.returncode in (_DONE, _INCOMPLETE):
            document: Dict[str, Any] = json.loads(done.stdout)
            return document
        status = done.returncode if done.returncode >= 0 else 128 - done.returncode
        raise BackupError(self._message(lines, status), status)

    @staticmethod
    def _message(lines: Sequence[str], status: int) -> str:
        for line in reversed(lines):
            try:
                told = json.loads(line)
            except ValueError:
                continue
            if isinstance(told, dict) and "message" in told and "error" in told:
                advice = told.get("advice") or ""
                return f"{told['message']}. {advice}" if advice else str(told["message"])
        return lines[-1] if lines else f"the program ended with status {status}"

    def _command(self, arguments: List[str], *options: str) -> List[str]:
        # Options go before what may be a name: behind `--` they would be names.
        places = ["--app", str(self.base_dir), "--backup-dir", str(self.backup_dir), *options]
        return [find_program(), arguments[0], *places, *arguments[1:]]


def find_program() -> str:
    """Where the program is: as named, in the kit, in the source beside it, or installed."""
    named = os.environ.get("CHASTIPI_BACKUP_BIN")
    if named:
        return named
    app = _KIT.parent
    checkouts = [app, app.parent.parent, app.parent / "chastipi-backup"]
    candidates = [_KIT / "bin" / "chastipi-backup", _KIT / "chastipi-backup"]
    candidates += [folder / ".build" / "release" / "chastipi-backup" for folder in checkouts if _is_ours(folder / "Package.swift")]
    for candidate in candidates:
        # An empty file is a copy that was cut off.
        if candidate.is_file() and candidate.stat().st_size > 0:
            return str(candidate)
    found = shutil.which("chastipi-backup")
    if found:
        return found
    raise BackupError(f"the program chastipi-backup is missing ({candidates[0]}). 'make kit APP=DIR' in its source puts it there", 1)


def _is_ours(package: pathlib.Path) -> bool:
    """What others could have put there is not run."""
    try:
        status = package.stat()
        owners = {os.geteuid(), 0, _KIT.stat().st_uid}
        return status.st_uid in owners and 'name: "chastipi-backup"' in package.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


# --- the command line --------------------------------------------------------------------------------------------------------


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="backup_manager.py", description="Backs up and restores this app.")
    parser.add_argument("action", choices=["create", "auto", "zip", "list", "restore", "delete"])
    parser.add_argument("backup", nargs="?", metavar="NAME", help="the backup to restore or delete, or the new one's name")
    parser.add_argument("--name", help="the new backup's name")
    parser.add_argument("--include-logs", action="store_true", help="logs too")
    parser.add_argument("--backup-dir", default="backups", metavar="DIR", help="where the backups are (backups)")
    parser.add_argument("--verbose", action="store_true", help="show what the program tells on the way")
    parsed = parser.parse_args(arguments)
    if parsed.action in ("restore", "delete") and not (parsed.backup or parsed.name):
        parser.error(f"{parsed.action} needs the NAME of a backup")
    return parsed


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs the program with what the original's command line meant, and returns its exit status."""
    parsed = _parse(sys.argv[1:] if arguments is None else arguments)
    manager = BackupManager(parsed.backup_dir, verbose=parsed.verbose)
    name = parsed.name or parsed.backup
    words = [parsed.action]
    if parsed.include_logs:
        words.append("--include-logs")
    if parsed.action in ("create", "zip") and name:
        words += ["--name", name]
    elif parsed.action in ("restore", "delete"):
        words += ["--yes", "--", name]
    try:
        command = manager._command(words, *(["--verbose"] if parsed.verbose else []))
        return _run(command)
    except BackupError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status
    except OSError as error:
        print(f"error: the program cannot be run: {error}", file=sys.stderr)
        return _FAILED


def _run(command: List[str]) -> int:
    """Its output is ours. Ctrl-C reaches it from the terminal, and it ends in good order: we wait for that."""
    child = subprocess.Popen(command)
    while True:
        try:
            status = child.wait()
            return status if status >= 0 else 128 - status
        except KeyboardInterrupt:
            continue


if __name__ == "__main__":
    sys.exit(main())
