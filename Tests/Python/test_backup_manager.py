"""Tests of backups/backup_manager.py with the real program, which CHASTIPI_BACKUP_BIN names."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
import warnings
import zipfile

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
CALL = "import sys; sys.path.insert(0, sys.argv[1]); from backups.backup_manager import BackupManager, BackupError; m = BackupManager(); "


class AppCase(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="chastipi python '\" ")
        self.addCleanup(self.scratch.cleanup)
        self.app = pathlib.Path(self.scratch.name) / "an app"
        kit = self.app / "backups"
        kit.mkdir(parents=True)
        for name in ("backup.sh", "backup_manager.py"):
            shutil.copy(ROOT / "backups" / name, kit / name)
        (self.app / "app.py").write_text("the app")
        (self.app / "notes").mkdir()
        (self.app / "notes" / "one").write_text("one")
        (self.app / "data").mkdir()
        (self.app / "data" / "x.tmp").write_text("temporary")
        (self.app / "logs").mkdir()
        (self.app / "logs" / "app.log").write_text("log")

    def call(self, code, cwd=None):
        """Imports the module as an app does, in a Python of its own, and returns what `code` prints."""
        done = subprocess.run(
            [sys.executable, "-c", CALL + code, str(self.app)], cwd=cwd or self.app, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def run_tool(self, *arguments, **options):
        command = [sys.executable, str(self.app / "backups" / "backup_manager.py"), *arguments]
        return subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=60, **options)


class ClassTests(AppCase):
    def test_what_is_made_is_listed_restored_and_deleted(self):
        path = self.call("print(m.create_backup('one', include_logs=True))")
        self.assertEqual(path, str(self.app / "backups" / "one"))
        self.assertEqual((self.app / "backups" / "one" / "logs" / "app.log").read_text(), "log")
        zipped = self.call("print(m.create_zip_backup('two'))")
        with zipfile.ZipFile(zipped) as archive:
            self.assertIn("app.py", archive.namelist())
        listed = self.call("print([(b['name'], b['format'], b['version'], b['path']) for b in m.list_backups()])")
        self.assertEqual(listed, str([
            ("two", "zip", "1.0", str(self.app / "backups" / "two.zip")), ("one", "folder", "1.0", str(self.app / "backups" / "one")),
        ]))
        self.assertIn("data", self.call("print(m.list_backups()[0]['items_backed_up'])"))
        shutil.rmtree(self.app / "data")
        self.assertEqual(self.call("print(m.restore_backup('one'))"), "True")
        self.assertEqual((self.app / "data" / "x.tmp").read_text(), "temporary")
        self.assertEqual(self.call("print(m.delete_backup('one'), m.delete_backup('one'), m.restore_backup('one'))"), "True False False")
        self.assertFalse((self.app / "backups" / "one").exists())

    def test_lists_that_are_changed_count(self):
        self.call("m.backup_items.append('notes'); m.exclude_patterns.append('*.tmp'); m.create_backup('one', include_logs=True)")
        made = self.app / "backups" / "one"
        self.assertTrue((made / "notes" / "one").exists())
        self.assertTrue((made / "logs" / "app.log").exists())
        self.assertFalse((made / "data" / "x.tmp").exists())
        self.call("m.create_backup('two')")
        self.assertFalse((self.app / "backups" / "two" / "notes").exists())

    def test_failures_are_one_line(self):
        self.call("m.create_backup('one')")
        told = self.call("""
try: m.create_backup('one')
except BackupError as error: print(error.status, error)
""")
        self.assertEqual(told, "1 there is a backup 'one' already. Choose another --name")
        stored = self.app / "backups" / "one" / "app.py"
        stored.write_text("damaged")
        (self.app / "app.py").unlink()
        told = self.call("""
try: m.restore_backup('one')
except BackupError as error: print(error.status, error)
""")
        self.assertTrue(told.startswith("20 the backup 'one' is damaged"), told)

    def test_it_works_from_elsewhere(self):
        self.call("m.create_backup('one')", cwd="/")
        self.assertTrue((self.app / "backups" / "one" / "app.py").exists())
        elsewhere = pathlib.Path(self.scratch.name) / "site-packages"
        elsewhere.mkdir()
        shutil.copy(ROOT / "backups" / "backup_manager.py", elsewhere)
        code = "import sys; sys.path.insert(0, sys.argv[1]); import backup_manager as b; print(len(b.BackupManager(sys.argv[2]).list_backups()))"
        done = subprocess.run(
            [sys.executable, "-c", code, str(elsewhere), str(self.app / "backups")], cwd="/", capture_output=True, text=True, timeout=60)
        self.assertEqual(done.stdout.strip(), "1", done.stderr)

    def test_what_is_incomplete_is_warned_of(self):
        os.mkfifo(self.app / "data" / "fifo")
        sys.path.insert(0, str(self.app / "backups"))
        self.addCleanup(sys.path.remove, str(self.app / "backups"))
        sys.modules.pop("backup_manager", None)
        import backup_manager
        self.addCleanup(sys.modules.pop, "backup_manager")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            path = backup_manager.BackupManager().create_backup("one")
        self.assertTrue(path.is_dir())
        self.assertIn("data/fifo", str(caught[0].message))


class CommandLineTests(AppCase):
    def test_every_verb_of_the_original(self):
        self.assertEqual(self.run_tool("create", "--name", "one").returncode, 0)
        self.assertEqual(self.run_tool("zip", "two").returncode, 0)
        self.assertEqual(self.run_tool("auto").returncode, 0)
        listed = self.run_tool("list").stdout
        self.assertTrue("one" in listed and "two" in listed and "auto_backup_" in listed, listed)
        self.assertEqual(self.run_tool("restore", "one").returncode, 0)
        self.assertEqual(self.run_tool("delete", "one").returncode, 0)
        self.assertNotIn("one ", self.run_tool("list").stdout)

    def test_statuses_are_the_programs(self):
        self.assertEqual(self.run_tool("restore", "nothing").returncode, 10)
        self.assertEqual(self.run_tool("restore").returncode, 2)
        self.assertEqual(self.run_tool("nonsense").returncode, 2)
        self.assertEqual(self.run_tool("create", "--name", "-x").returncode, 2)
        missing = self.run_tool("list", env={**os.environ, "CHASTIPI_BACKUP_BIN": "/nonexistent"})
        self.assertEqual(missing.returncode, 1)
        self.assertEqual(len(missing.stderr.strip().splitlines()), 1, missing.stderr)

    def test_another_directory_and_logs(self):
        elsewhere = pathlib.Path(self.scratch.name) / "elsewhere"
        elsewhere.mkdir()
        made = self.run_tool("create", "--name", "one", "--include-logs", "--backup-dir", str(elsewhere), "--verbose")
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertTrue((elsewhere / "one" / "logs" / "app.log").exists())

    def test_an_interruption_reaches_the_program(self):
        (self.app / "data" / "large").write_bytes(os.urandom(64 << 20))
        command = [sys.executable, str(self.app / "backups" / "backup_manager.py"), "zip", "--name", "one"]
        tool = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        while not any(name.startswith(".partial-") for name in os.listdir(self.app / "backups")):
            self.assertIsNone(tool.poll())
        os.killpg(tool.pid, signal.SIGINT)
        tool.communicate(timeout=60)
        self.assertEqual(tool.returncode, 130)
        self.assertNotIn("one.zip", os.listdir(self.app / "backups"))


if __name__ == "__main__":
    unittest.main()
