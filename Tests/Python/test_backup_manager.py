"""Tests of backups/backup_manager.py with the real program. Needed: CHASTIPI_BACKUP_BIN, the debug build of chastipi-backup.

`make test` runs them (Tests/Acceptance/PythonTests.swift); alone:

    CHASTIPI_BACKUP_BIN=$PWD/.build/debug/chastipi-backup python3 -B -m unittest discover Tests/Python
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
import unittest
import warnings
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional
from unittest import mock

CHECKOUT = Path(__file__).resolve().parents[2]
MODULE = CHECKOUT / "backups" / "backup_manager.py"
PROGRAM = os.environ.get("CHASTIPI_BACKUP_BIN", "")

DEFAULT_FILES = {
    "app.py": "the app",
    "config.json": "{}",
    "templates/page.html": "page",
    "templates/__pycache__/x.pyc": "bytecode",
    "data/app.db": "no database, but data",
    "notes/todo.txt": "covered by no item",
    "app.log": "a log",
    "logs/web.log": "another log",
}


class AppTests(unittest.TestCase):
    """Each test has an app with the kit in it; the program is the one that CHASTIPI_BACKUP_BIN names."""

    kit_files = ["backup.sh", "backup_manager.py"]

    def setUp(self) -> None:
        self.assertTrue(os.path.isfile(PROGRAM), "CHASTIPI_BACKUP_BIN must name the program")
        scratch = tempfile.TemporaryDirectory(prefix="chastipi python's 'test' ", dir="/dev/shm")
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)
        self.app = self.scratch / 'the "app" $HOME'
        self.backups = self.app / "backups"
        for path, text in DEFAULT_FILES.items():
            self.write(path, text)
        self.backups.mkdir()
        for name in self.kit_files:
            shutil.copy2(CHECKOUT / "backups" / name, self.backups)

    def write(self, path: str, text: str) -> None:
        (self.app / path).parent.mkdir(parents=True, exist_ok=True)
        (self.app / path).write_text(text)

    def read(self, path: str) -> str:
        return (self.app / path).read_text()

    def module(self, path: Optional[Path] = None) -> Any:
        """The module as it lies in the app, or at a path."""
        spec = importlib.util.spec_from_file_location("kit_under_test", path or self.backups / "backup_manager.py")
        assert spec is not None and spec.loader is not None
        module: types.ModuleType = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    @contextlib.contextmanager
    def working_in(self, directory: Path) -> Iterator[None]:
        before = os.getcwd()
        os.chdir(directory)
        try:
            yield
        finally:
            os.chdir(before)

    def environment(self, **changes: Optional[str]) -> Dict[str, str]:
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **changes}
        return {name: value for name, value in environment.items() if value is not None}

    def run_kit(self, *arguments: str, cwd: Optional[Path] = None, **changes: Optional[str]) -> Any:
        return subprocess.run(
            [sys.executable, "backups/backup_manager.py" if cwd is None else str(self.backups / "backup_manager.py")]
            + list(arguments),
            cwd=cwd or self.app, env=self.environment(**changes), capture_output=True, text=True, timeout=60,
        )

    def run_program(self, *arguments: str) -> Any:
        return subprocess.run([PROGRAM, *arguments, "--app", str(self.app)], capture_output=True, text=True, timeout=60)

    def snapshot(self) -> Dict[str, str]:
        """The app's files but for what the backup system keeps."""
        ours = (".chastipi", "backups", "logs")
        return {
            str(path.relative_to(self.app)): path.read_text()
            for path in sorted(self.app.rglob("*"))
            if path.is_file() and path.relative_to(self.app).parts[0] not in ours
        }


class Making(AppTests):
    def test_a_backup_is_where_the_path_says(self) -> None:
        path = self.module().BackupManager("backups").create_backup("my_backup")
        self.assertIsInstance(path, Path)
        self.assertEqual(path, self.backups / "my_backup")
        self.assertEqual((path / "templates/page.html").read_text(), "page")
        self.assertEqual((path / "data/app.db").read_text(), DEFAULT_FILES["data/app.db"])
        for left_out in ("templates/__pycache__", "notes", "app.log", "logs"):
            self.assertFalse((path / left_out).exists(), left_out)

    def test_logs_are_saved_where_they_are_asked_for(self) -> None:
        path = self.module().BackupManager().create_backup("my_backup", include_logs=True)
        self.assertEqual((path / "app.log").read_text(), "a log")
        self.assertEqual((path / "logs/web.log").read_text(), "another log")

    def test_the_original_s_keywords_are_taken(self) -> None:
        manager = self.module().BackupManager(backup_dir="backups")
        self.assertEqual(manager.create_backup(backup_name="a", include_logs=False).name, "a")
        self.assertEqual(manager.create_zip_backup(backup_name="b").name, "b.zip")
        self.assertTrue(manager.restore_backup(backup_name="a"))
        self.assertTrue(manager.delete_backup(backup_name="a"))

    def test_default_names(self) -> None:
        manager = self.module().BackupManager()
        self.assertRegex(manager.create_backup().name, r"^chastipi_backup_\d{8}_\d{6}$")
        self.assertRegex(manager.auto_backup().name, r"^auto_backup_\d{8}_\d{6}$")

    def test_a_taken_name_is_an_error_and_changes_nothing(self) -> None:
        module = self.module()
        manager = module.BackupManager()
        path = manager.create_backup("one")
        self.write("app.py", "changed")
        with self.assertRaises(module.BackupError) as caught:
            manager.create_backup("one")
        self.assertEqual(caught.exception.status, 1)
        self.assertEqual(str(caught.exception), "there is a backup 'one' already. Choose another --name")
        self.assertIsInstance(caught.exception, RuntimeError)
        self.assertEqual((path / "app.py").read_text(), "the app")

    def test_a_name_that_is_none_is_wrong_usage(self) -> None:
        module = self.module()
        for name in ("../x", "-rf", "", "a b", "$(touch pwned)", "a\nb"):
            with self.assertRaises(module.BackupError) as caught:
                module.BackupManager().create_backup(name)
            self.assertEqual(caught.exception.status, 2, name)
            self.assertNotIn("\n", str(caught.exception))
        self.assertEqual(module.BackupManager().list_backups(), [])

    def test_an_incomplete_backup_warns_and_is_there(self) -> None:
        module = self.module()
        os.mkfifo(self.app / "data/fifo")
        with self.assertWarnsRegex(module.BackupWarning, "'one' is made, but not complete.*data/fifo") as caught:
            path = module.BackupManager().create_backup("one")
        self.assertEqual(caught.filename, __file__)
        self.assertEqual((path / "app.py").read_text(), "the app")

    def test_a_complete_backup_does_not_warn(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.module().BackupManager().create_backup("one")

    def test_failure_of_the_disk_is_told(self) -> None:
        module = self.module()
        manager = module.BackupManager()
        made, told = [], []
        for call in range(1, 40):
            with mock.patch.dict(os.environ, {"CHASTIPI_FAULT": f"{call}:ENOSPC"}):
                try:
                    made.append(manager.create_backup(f"b{call}").name)
                except module.BackupError as error:
                    self.assertEqual(error.status, 1)
                    told.append(str(error))
        # A few calls can fail without harm.
        self.assertEqual({backup["name"] for backup in manager.list_backups()}, set(made))
        self.assertTrue(any(text.lower().startswith("no space") for text in told), told)
        self.assertFalse(any("\n" in text for text in told), told)

    def test_a_program_that_is_killed_is_told(self) -> None:
        module = self.module()
        with mock.patch.dict(os.environ, {"CHASTIPI_FAULT": "12:kill"}):
            with self.assertRaisesRegex(module.BackupError, "the program was killed") as caught:
                module.BackupManager().create_backup("one")
        self.assertEqual(caught.exception.status, 137)


class Zips(AppTests):
    def test_a_zip_is_a_backup_like_others(self) -> None:
        manager = self.module().BackupManager()
        path = manager.create_zip_backup("packed", include_logs=True)
        self.assertEqual(path, self.backups / "packed.zip")
        with zipfile.ZipFile(path) as archive:
            self.assertEqual(archive.read("app.py"), b"the app")
            self.assertEqual(archive.read("app.log"), b"a log")
        self.assertFalse((self.backups / "packed").exists())
        [listed] = manager.list_backups()
        self.assertEqual((listed["name"], listed["format"], listed["path"]), ("packed", "zip", str(path)))
        self.write("app.py", "changed")
        self.assertTrue(manager.restore_backup("packed"))
        self.assertEqual(self.read("app.py"), "the app")
        self.assertTrue(manager.delete_backup(path))
        self.assertFalse(path.exists())

    def test_its_default_name(self) -> None:
        self.assertRegex(self.module().BackupManager().create_zip_backup().name, r"^chastipi_backup_\d{8}_\d{6}\.zip$")

    def test_a_zip_of_something_else_is_listed_without_a_version(self) -> None:
        with zipfile.ZipFile(self.backups / "packed.zip", "w") as archive:
            archive.writestr("app.py", "packed by hand")
        [listed] = self.module().BackupManager().list_backups()
        self.assertEqual((listed["name"], listed["origin"], listed["version"]), ("packed", "plain", None))

    def test_the_lists_hold_for_zips(self) -> None:
        manager = self.module().BackupManager()
        manager.backup_items = ["notes"]
        with zipfile.ZipFile(manager.create_zip_backup("packed")) as archive:
            self.assertIn("notes/todo.txt", archive.namelist())
            self.assertNotIn("app.py", archive.namelist())


class Listing(AppTests):
    def test_nothing_is_an_empty_list(self) -> None:
        self.assertEqual(self.module().BackupManager().list_backups(), [])

    def test_newest_first_and_what_is_said_of_each(self) -> None:
        manager = self.module().BackupManager()
        before = datetime.now()
        for name in ("first", "second", "a_third"):
            manager.create_backup(name)
        listed = manager.list_backups()
        self.assertEqual([backup["name"] for backup in listed], ["a_third", "second", "first"])
        newest = listed[0]
        self.assertEqual(newest["backup_name"], "a_third")
        self.assertEqual(newest["path"], str(self.backups / "a_third"))
        created = datetime.fromisoformat(newest["created_at"])
        self.assertIsNone(created.tzinfo)
        self.assertTrue(before <= created <= datetime.now(), created)
        metadata = json.loads((self.backups / "a_third/backup_metadata.json").read_text())
        for key in ("backup_name", "created_at", "version", "items_backed_up", "excluded_items"):
            self.assertEqual(newest[key], metadata[key], key)
        self.assertEqual(newest["format"], "folder")
        saved = [path for path in (self.backups / "a_third").rglob("*") if path.is_file()]
        ours = ("MANIFEST.mtree", "backup_metadata.json")
        self.assertEqual(newest["size"], sum(path.stat().st_size for path in saved if path.name not in ours))
        self.assertGreater(newest["size"], 0)

    def test_backups_of_the_original_are_listed(self) -> None:
        folder = self.backups / "chastipi_backup_20240115_143022"
        folder.mkdir()
        (folder / "app.py").write_text("old")
        metadata = {
            "backup_name": "chastipi_backup_20240115_143022", "created_at": "2024-01-15T14:30:22.123456",
            "version": "1.0", "items_backed_up": ["app.py"], "excluded_items": ["templates/__pycache__"],
        }
        (folder / "backup_metadata.json").write_text(json.dumps(metadata))
        manager = self.module().BackupManager()
        [listed] = manager.list_backups()
        for key, value in metadata.items():
            self.assertEqual(listed[key], value)
        self.assertEqual(listed["origin"], "original")
        self.assertTrue(manager.restore_backup("chastipi_backup_20240115_143022"))
        self.assertEqual(self.read("app.py"), "old")

    def test_names_that_are_no_text(self) -> None:
        with open(os.fsencode(self.app) + b"/data/\xff\xfe.txt", "w") as file:
            file.write("odd")
        os.mkfifo(os.fsencode(self.app) + b"/data/\xff.fifo")
        os.mkdir(os.fsencode(self.backups) + b"/\xff")
        module = self.module()
        manager = module.BackupManager()
        manager.backup_items.append("data")
        with self.assertWarnsRegex(module.BackupWarning, r"data/\\377\.fifo"):
            path = manager.create_backup("one")
        self.assertTrue(os.path.isfile(os.fsencode(path) + b"/data/\xff\xfe.txt"))
        self.assertEqual([backup["name"] for backup in manager.list_backups()], ["one"])
        with self.assertRaisesRegex(module.BackupError, "not UTF-8") as caught:
            manager.restore_backup(os.fsdecode(b"\xff"))
        self.assertEqual(caught.exception.status, 2)

    def test_an_answer_of_any_size_is_read(self) -> None:
        # More than a pipe holds, on both of them.
        manager = self.module().BackupManager()
        folder = self.app / "data/many"
        folder.mkdir()
        for number in range(1500):
            os.mkfifo(folder / f"{'long name ' * 5}{number}")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with self.assertLogs("backup_manager", logging.INFO) as told:
                manager.create_backup("one")
        self.assertEqual(len(caught), 1)
        self.assertIn("and 1490 more", str(caught[0].message))
        self.assertLess(len(str(caught[0].message)), 5000)
        self.assertEqual(sum("skipped: " in line for line in told.output), 1500)

    def test_python_s_own_folder_is_not_taken_for_a_backup(self) -> None:
        (self.backups / "__pycache__").mkdir()
        (self.backups / "__pycache__/backup_manager.cpython-39.pyc").write_text("")
        document = json.loads(self.run_program("list", "--json").stdout)
        self.assertEqual(document["foreign"], [])
        (self.backups / "other").mkdir()
        document = json.loads(self.run_program("list", "--json").stdout)
        self.assertEqual([foreign["name"] for foreign in document["foreign"]], ["other"])


class Restoring(AppTests):
    def test_it_is_put_back_with_a_safety_backup_before(self) -> None:
        manager = self.module().BackupManager()
        manager.create_backup("one")
        before = self.snapshot()
        self.write("app.py", "changed")
        shutil.rmtree(self.app / "templates")
        self.assertIs(manager.restore_backup("one"), True)
        after = self.snapshot()
        del before["templates/__pycache__/x.pyc"]
        self.assertEqual(after, before)
        safety = manager.list_backups()[0]
        self.assertTrue(safety["name"].startswith("pre_restore_backup_"), safety)
        self.assertEqual(self.run_program("undo").returncode, 0)
        self.assertEqual(self.read("app.py"), "changed")

    def test_a_path_will_do(self) -> None:
        manager = self.module().BackupManager()
        path = manager.create_backup("one")
        self.write("app.py", "changed")
        elsewhere = self.scratch / "a stick"
        elsewhere.mkdir()
        shutil.copytree(path, elsewhere / "carried")
        self.assertTrue(manager.restore_backup(elsewhere / "carried"))
        self.assertEqual(self.read("app.py"), "the app")

    def test_logs_come_back_where_they_are_asked_for(self) -> None:
        manager = self.module().BackupManager()
        manager.create_backup("one", include_logs=True)
        self.write("app.log", "more")
        self.assertTrue(manager.restore_backup("one"))
        self.assertEqual(self.read("app.log"), "more")
        self.assertTrue(manager.restore_backup("one", include_logs=True))
        self.assertEqual(self.read("app.log"), "a log")

    def test_what_is_not_there_is_false_and_told_to_the_log(self) -> None:
        manager = self.module().BackupManager()
        manager.create_backup("one")
        # The original returned False for such a folder too.
        (self.backups / "no_metadata").mkdir()
        before = self.snapshot()
        for act in (manager.restore_backup, manager.delete_backup):
            for name in ("two", "../one", "--app", "a b", "no_metadata"):
                with self.assertLogs("backup_manager", logging.ERROR) as told:
                    self.assertIs(act(name), False, name)
                self.assertEqual(len(told.output), 1)
                self.assertRegex(told.output[0], "is no backup")
        self.assertEqual(self.snapshot(), before)
        self.assertTrue((self.backups / "no_metadata").is_dir())
        self.assertTrue((self.backups / "one").is_dir())

    def test_damage_raises_and_changes_nothing(self) -> None:
        module = self.module()
        manager = module.BackupManager()
        path = manager.create_backup("one")
        self.write("app.py", "changed")
        (path / "app.py").write_text("the apq")
        before = self.snapshot()
        with self.assertRaises(module.BackupError) as caught:
            manager.restore_backup("one")
        self.assertEqual(caught.exception.status, 20)
        self.assertIn("app.py", str(caught.exception))
        self.assertEqual(self.snapshot(), before)

    def test_a_restore_that_fails_raises_and_changes_nothing(self) -> None:
        module = self.module()
        manager = module.BackupManager()
        manager.create_backup("one")
        self.write("app.py", "changed")
        before = self.snapshot()
        with mock.patch.dict(os.environ, {"CHASTIPI_FAULT": "20:EIO"}):
            with self.assertRaises(module.BackupError) as caught:
                manager.restore_backup("one")
        self.assertEqual(caught.exception.status, 1)
        self.assertEqual(self.snapshot(), before)

    def test_deleting(self) -> None:
        manager = self.module().BackupManager()
        first, second = manager.create_backup("one"), manager.create_backup("two")
        self.assertIs(manager.delete_backup("one"), True)
        self.assertIs(manager.delete_backup(second), True)
        self.assertFalse(first.exists() or second.exists())
        self.assertEqual(manager.list_backups(), [])

    def test_a_path_says_whether_the_folder_or_the_zip_is_deleted(self) -> None:
        module = self.module()
        for goes, stays in (("folder", "zip"), ("zip", "folder")):
            manager = module.BackupManager()
            folder = manager.create_backup(goes)
            # No run makes the second of a name; copies from elsewhere do.
            folder.rename(self.app / "aside")
            paths = {"zip": manager.create_zip_backup(goes), "folder": folder}
            (self.app / "aside").rename(folder)
            with self.assertRaises(module.BackupError) as caught:
                manager.delete_backup(goes)
            self.assertEqual(caught.exception.status, 2)
            self.assertIs(manager.delete_backup(paths[goes]), True)
            self.assertFalse(paths[goes].exists())
            self.assertTrue(paths[stays].exists())
            self.assertIs(manager.delete_backup(paths[stays]), True)


class Choosing(AppTests):
    def names(self, path: Path) -> List[str]:
        names = os.listdir(path)
        return sorted(name for name in names if name not in ("MANIFEST.mtree", "backup_metadata.json"))

    def test_the_lists_are_the_tool_s_defaults(self) -> None:
        manager = self.module().BackupManager()
        self.assertEqual(manager.backup_items[:2], ["app.py", "requirements.txt"])
        self.assertIn("templates/", manager.backup_items)
        self.assertIn("__pycache__", manager.exclude_patterns)
        document = json.loads(self.run_program("config", "show", "--json").stdout)
        self.assertEqual(sorted(item.rstrip("/") for item in manager.backup_items), sorted(document["items"]["value"]))
        manager.create_backup("unchanged")
        self.assertEqual(manager.exclude_patterns, manager.list_backups()[0]["excluded_items"])
        # And as lists they select what the tool selects without them.
        manager.backup_items.reverse()
        manager.exclude_patterns.reverse()
        manager.create_backup("given")
        self.assertEqual(self.names(self.backups / "given"), self.names(self.backups / "unchanged"))
        self.assertFalse((self.backups / "given/templates/__pycache__").exists())

    def test_unchanged_lists_leave_it_to_the_configuration(self) -> None:
        (self.backups / "backup.yaml").write_text("items:\n  - notes\n")
        path = self.module().BackupManager().create_backup("one")
        self.assertEqual(self.names(path), ["notes"])

    def test_an_item_more(self) -> None:
        manager = self.module().BackupManager()
        manager.backup_items.append("notes/")
        self.assertEqual(self.names(manager.create_backup("one")), ["app.py", "config.json", "data", "notes", "templates"])

    def test_other_items(self) -> None:
        manager = self.module().BackupManager()
        manager.backup_items = ["notes", "app.py"]
        self.assertEqual(self.names(manager.create_backup("one")), ["app.py", "notes"])

    def test_no_items_at_all_is_an_error_and_not_everything(self) -> None:
        module = self.module()
        manager = module.BackupManager()
        manager.backup_items.clear()
        with self.assertRaisesRegex(module.BackupError, "nothing to back up"):
            manager.create_backup("one")
        self.assertEqual(manager.list_backups(), [])

    def test_a_pattern_more_and_one_less(self) -> None:
        manager = self.module().BackupManager()
        manager.exclude_patterns.append("*.html")
        manager.exclude_patterns.remove("__pycache__")
        manager.exclude_patterns.remove("*.pyc")
        path = manager.create_backup("one")
        self.assertEqual(os.listdir(path / "templates"), ["__pycache__"])
        self.assertTrue((path / "templates/__pycache__/x.pyc").is_file())

    def test_changed_patterns_leave_logs_to_include_logs(self) -> None:
        manager = self.module().BackupManager()
        manager.exclude_patterns.append("*.tmp")
        self.write("data/deep.log", "no log of the app's top level")
        path = manager.create_backup("one", include_logs=True)
        self.assertTrue((path / "app.log").is_file() and (path / "logs/web.log").is_file())
        self.assertFalse((path / "data/deep.log").exists())
        self.assertFalse((manager.create_backup("two") / "app.log").exists())

    def test_two_managers_do_not_share_their_lists(self) -> None:
        module = self.module()
        module.BackupManager().backup_items.append("notes")
        self.assertNotIn("notes", module.BackupManager().backup_items)


class Places(AppTests):
    def test_imported_from_the_app_s_directory_without_an_init_file(self) -> None:
        code = (
            "from backups.backup_manager import BackupManager, BackupError\n"
            "print(BackupManager('backups').create_backup('my_backup'))\n"
        )
        answer = subprocess.run(
            [sys.executable, "-c", code], cwd=self.app, env={**os.environ}, capture_output=True, text=True, timeout=60
        )
        self.assertEqual((answer.returncode, answer.stderr), (0, ""))
        self.assertEqual(answer.stdout, f"{self.backups / 'my_backup'}\n")
        document = json.loads(self.run_program("list", "--json").stdout)
        self.assertEqual((len(document["backups"]), document["foreign"]), (1, []))

    def test_from_another_directory(self) -> None:
        with self.working_in(self.scratch):
            path = self.module().BackupManager("backups").create_backup("one")
        self.assertEqual(path, self.backups / "one")
        self.assertEqual(os.listdir(self.scratch), [self.app.name])

    def test_another_backup_directory(self) -> None:
        module = self.module()
        elsewhere = self.scratch / "a 'disk'"
        with self.assertRaisesRegex(module.BackupError, "does not exist. Is its disk mounted"):
            module.BackupManager(elsewhere).create_backup("one")
        self.assertFalse(elsewhere.exists())
        elsewhere.mkdir()
        manager = module.BackupManager(elsewhere)
        self.assertEqual(manager.create_backup("one"), elsewhere / "one")
        self.assertEqual((elsewhere / "one/app.py").read_text(), "the app")
        self.assertEqual([backup["path"] for backup in manager.list_backups()], [str(elsewhere / "one")])
        self.assertEqual(module.BackupManager().list_backups(), [])
        (self.app / "more").mkdir()
        self.assertEqual(module.BackupManager("more").create_backup("two"), self.app / "more/two")

    def test_each_run_is_noted_in_the_app_s_log(self) -> None:
        self.module().BackupManager().create_backup("one")
        log = self.read("logs/backup.log")
        self.assertIn("create", log)
        self.assertIn("ended with status 0", log)

    def installed(self) -> Path:
        folder = self.scratch / "site-packages/backups"
        folder.mkdir(parents=True)
        shutil.copy2(MODULE, folder)
        return folder / "backup_manager.py"

    def test_installed_elsewhere_the_app_is_the_working_directory(self) -> None:
        module = self.module(self.installed())
        shutil.rmtree(self.backups)
        with self.working_in(self.app):
            self.assertEqual(module.BackupManager().create_backup("one"), self.backups / "one")

    def test_installed_elsewhere_the_app_is_around_an_absolute_backup_directory(self) -> None:
        module = self.module(self.installed())
        with self.working_in(self.scratch):
            self.assertEqual(module.BackupManager(self.backups).create_backup("one"), self.backups / "one")
        self.assertEqual((self.backups / "one/app.py").read_text(), "the app")

    def test_where_the_program_is_looked_for(self) -> None:
        path = self.installed()
        module = self.module(path)
        beside = path.parent
        in_path = self.scratch / "in path"
        in_path.mkdir()
        (in_path / "chastipi-backup").symlink_to(PROGRAM)
        missing = {"CHASTIPI_BACKUP_BIN": "", "PATH": "/usr/bin:/bin"}
        with mock.patch.dict(os.environ, missing):
            with self.assertRaisesRegex(module.BackupError, "the program chastipi-backup is missing"):
                module.BackupManager(self.backups).list_backups()
        with mock.patch.dict(os.environ, {**missing, "PATH": f"{in_path}:/usr/bin:/bin"}):
            self.assertEqual(module._command(), [str(in_path / "chastipi-backup")])
            self.assertEqual(module.BackupManager(self.backups).list_backups(), [])
            # An empty file is a copy that was cut off.
            (beside / "chastipi-backup").write_text("")
            self.assertEqual(module._command(), [str(in_path / "chastipi-backup")])
            (beside / "chastipi-backup").write_text("x")
            self.assertEqual(module._command(), [str(beside / "chastipi-backup")])
            (beside / "bin").mkdir()
            (beside / "bin/chastipi-backup").write_text("x")
            self.assertEqual(module._command(), [str(beside / "bin/chastipi-backup")])
        self.assertEqual(module._command(), [PROGRAM])

    def test_a_program_that_is_none(self) -> None:
        kit, installed = self.module(), self.module(self.installed())
        not_one = self.scratch / "not one"
        not_one.write_text("hello")
        for module in (kit, installed):
            for place, words in ((self.scratch / "nowhere", "CHASTIPI_BACKUP_BIN names"), (not_one, "cannot be run")):
                with mock.patch.dict(os.environ, {"CHASTIPI_BACKUP_BIN": str(place)}):
                    with self.assertRaisesRegex(module.BackupError, words) as caught:
                        module.BackupManager(self.backups).list_backups()
                self.assertEqual(caught.exception.status, 1)
                self.assertIn(str(place), str(caught.exception))
                self.assertNotIn("\n", str(caught.exception))


class CommandLine(AppTests):
    def expect(self, answer: Any, status: int, output: str = "", errors: str = "") -> None:
        self.assertEqual(answer.returncode, status, answer)
        self.assertRegex(answer.stdout, re.compile(rf"\A{output}\Z"))
        self.assertRegex(answer.stderr, re.compile(rf"\A{errors}\Z"))

    def test_the_original_s_commands(self) -> None:
        backups = re.escape(str(self.backups))
        self.expect(self.run_kit("list"), 0, "No backups found\n")
        self.expect(self.run_kit("create", "--name", "custom_backup"), 0, rf"{backups}/custom_backup\n")
        self.expect(self.run_kit("create", "positional", "--include-logs"), 0, rf"{backups}/positional\n")
        self.assertTrue((self.backups / "positional/app.log").is_file())
        self.expect(self.run_kit("create"), 0, rf"{backups}/chastipi_backup_\d{{8}}_\d{{6}}\n")
        self.expect(self.run_kit("auto"), 0, rf"{backups}/auto_backup_\d{{8}}_\d{{6}}\n")
        self.expect(self.run_kit("zip", "--name", "compressed_backup"), 0, rf"{backups}/compressed_backup\.zip\n")
        listed = self.run_kit("list").stdout.split("\n")
        self.assertEqual(listed[0], "Available backups:")
        self.assertRegex(listed[1], r"^  compressed_backup - \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$")
        self.assertEqual(len(listed), 7)
        self.write("app.py", "changed")
        self.expect(self.run_kit("restore", "custom_backup"), 0, "restored custom_backup\n")
        self.assertEqual(self.read("app.py"), "the app")
        self.expect(self.run_kit("delete", "custom_backup"), 0, "deleted custom_backup\n")
        self.assertFalse((self.backups / "custom_backup").exists())

    def test_from_any_directory_and_into_another(self) -> None:
        elsewhere = self.scratch / "elsewhere"
        elsewhere.mkdir()
        answer = self.run_kit("create", "one", "--backup-dir", str(elsewhere), cwd=self.scratch)
        self.expect(answer, 0, re.escape(f"{elsewhere}/one") + "\n")

    def test_statuses_are_the_program_s(self) -> None:
        self.assertEqual(self.run_kit("create", "one").returncode, 0)
        self.expect(self.run_kit("create", "one"), 1, "", r"error: there is a backup 'one' already\. [^\n]*\n")
        self.expect(self.run_kit("create", "a b"), 2, "", r"error: [^\n]*\n")
        self.expect(self.run_kit("restore", "two"), 10, "", r"error: there is no backup 'two'[^\n]*\n")
        self.expect(self.run_kit("delete", "two"), 10, "", r"error: there is no backup 'two'[^\n]*\n")
        os.mkfifo(self.app / "data/fifo")
        answer = self.run_kit("create", "two")
        self.expect(answer, 3, r"[^\n]*/backups/two\n", r"warning: [^\n]*data/fifo[^\n]*\n")
        os.unlink(self.app / "data/fifo")
        self.write("app.py", "changed")
        (self.backups / "one/app.py").write_text("the apq")
        self.expect(self.run_kit("restore", "one"), 20, "", r"error: [^\n]*\n")

    def test_wrong_usage(self) -> None:
        for arguments in (["restore"], ["delete"], ["nonsense"], [], ["create", "--nonsense"], ["auto", "x"], ["list", "x"]):
            answer = self.run_kit(*arguments)
            self.assertEqual((answer.returncode, answer.stdout), (2, ""), arguments)
            self.assertIn("usage:", answer.stderr)

    def test_verbose_shows_what_the_program_tells(self) -> None:
        quiet, verbose = self.run_kit("create", "one"), self.run_kit("create", "two", "--verbose")
        self.assertEqual((quiet.returncode, quiet.stderr), (0, ""))
        self.assertEqual(verbose.returncode, 0)
        self.assertRegex(verbose.stderr, r"(?m)^\w+: \d+ entries, \d+ bytes$")
        self.assertNotIn("{", verbose.stderr)
        self.assertTrue(verbose.stdout.endswith("/two\n"))

    def test_a_missing_program_is_said_on_one_line(self) -> None:
        answer = self.run_kit("list", CHASTIPI_BACKUP_BIN="/nowhere/chastipi-backup")
        self.expect(answer, 1, "", r"error: CHASTIPI_BACKUP_BIN names /nowhere/chastipi-backup[^\n]*\n")

    def test_a_reader_that_goes_away_is_no_failure(self) -> None:
        for number in range(3):
            self.run_program("create", "--name", f"b{number}")
        command = [sys.executable, str(self.backups / "backup_manager.py"), "list"]
        with subprocess.Popen(command, env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            assert child.stdout is not None and child.stderr is not None
            child.stdout.close()
            self.assertEqual(child.stderr.read(), b"")
            self.assertEqual(child.wait(timeout=60), 0)


class Interrupted(AppTests):
    """The program is held in the middle of a backup while the signal comes."""

    def setUp(self) -> None:
        super().setUp()
        # Whoever runs the tests may have blocked signals, as the threads of Swift's tests do, and children inherit that.
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        with open(self.app / "data/large", "wb") as file:
            for _ in range(192):
                file.write(os.urandom(1 << 20))

    def held(self, child: Any) -> int:
        """Stops the program in the middle; returns its process."""
        end = time.monotonic() + 60
        while time.monotonic() < end and child.poll() is None:
            if any(name.startswith(".partial-") for name in os.listdir(self.backups)):
                found = re.search(r"pid (\d+)", (self.backups / ".state/lock").read_text())
                assert found is not None
                os.kill(int(found[1]), signal.SIGSTOP)
                return int(found[1])
            time.sleep(0.001)
        self.fail(f"the backup is over already: {child.communicate()}")

    def interrupt(self, number: int) -> Any:
        command = [sys.executable, str(self.backups / "backup_manager.py"), "create", "one"]
        child = subprocess.Popen(
            command, env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )
        program = self.held(child)
        try:
            child.send_signal(number)
            with self.assertRaises(subprocess.TimeoutExpired):
                # It is waited for.
                child.wait(timeout=0.5)
        finally:
            os.kill(program, signal.SIGCONT)
        output, errors = child.communicate(timeout=60)
        self.assertEqual((output, errors), ("", ""))
        self.assertEqual(self.module().BackupManager().list_backups(), [])
        self.assertFalse(any(name.startswith(".partial-") for name in os.listdir(self.backups)))
        return child.returncode

    def test_interrupted_is_130(self) -> None:
        self.assertEqual(self.interrupt(signal.SIGINT), 130)

    def test_terminated_is_143(self) -> None:
        self.assertEqual(self.interrupt(signal.SIGTERM), 143)

    def test_hung_up_is_129(self) -> None:
        self.assertEqual(self.interrupt(signal.SIGHUP), 129)

    def test_another_run_is_told_of_the_lock(self) -> None:
        first = subprocess.Popen(
            [PROGRAM, "create", "--name", "one", "--app", str(self.app)], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        program = self.held(first)
        try:
            module = self.module()
            manager = module.BackupManager()
            for act in (manager.create_backup, manager.restore_backup):
                with self.assertRaisesRegex(module.BackupError, r"locked: held by pid \d+, create") as caught:
                    act("two")
                self.assertEqual(caught.exception.status, 11)
        finally:
            os.kill(program, signal.SIGCONT)
            first.wait(timeout=60)


class InterruptedWithoutTheScript(Interrupted):
    kit_files = ["backup_manager.py"]

    def setUp(self) -> None:
        super().setUp()
        # Makes it a kit.
        (self.backups / "bin").mkdir()
        (self.backups / "bin/chastipi-backup").symlink_to(PROGRAM)


if __name__ == "__main__":
    unittest.main()
