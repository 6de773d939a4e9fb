"""Runs commands and measures them; holds what was measured, and prints it."""

import os
import subprocess
import sys
import time


class Measurement:
    """One run, all its commands together: seconds, peak memory in bytes, bytes that the file system was given to write (whole
    pages, directories included), and bytes that the program itself passed to write calls."""

    def __init__(self, seconds, memory, written, passed):
        self.seconds, self.memory, self.written, self.passed = seconds, memory, written, passed


class CommandFailed(Exception):
    pass


def measure(*commands):
    """Runs commands one after the other, after a sync: what others left unwritten must not be paid for by this run.

    Peak memory is at least that of this program, since the kernel counts the moment between fork and exec too.
    """
    os.sync()
    memory = written = passed = 0
    start = time.monotonic()
    for command in commands:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        errors = child.stderr.read()
        # Not reaped yet, so /proc still knows it.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        counts = counts_of(child.pid)
        written += counts["write_bytes"] - counts["cancelled_write_bytes"]
        passed += counts["wchar"]
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        child.stderr.close()
        memory = max(memory, usage.ru_maxrss * 1024)
        if child.returncode != 0:
            raise CommandFailed(f"{' '.join(command)} ended with {child.returncode}: {errors.decode(errors='replace').strip()}")
    return Measurement(time.monotonic() - start, memory, written, passed)


def counts_of(pid):
    """What a process did so far, with the children it waited for; see proc_pid_io(5)."""
    with open(f"/proc/{pid}/io") as file:
        return {key: int(value) for key, value in (line.split(":") for line in file)}


def run(*command):
    """Runs a command that is not measured."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise CommandFailed(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode(errors="replace")


class Comparison:
    """Several ways to do the same, measured in turns."""

    def __init__(self, title):
        self.title = title
        self.ways = {}

    def go(self, rounds, ways, clean=None):
        """`ways`: name to a function that takes the round's number and returns a Measurement. Every round begins with
        another one, so that none always profits from the one before. `clean` is called after each run."""
        say(self.title)
        names = list(ways)
        for number in range(rounds):
            for name in names[number % len(names):] + names[:number % len(names)]:
                self.ways.setdefault(name, []).append(ways[name](number))
                if clean:
                    clean()
        return self

    def best(self, name):
        return min(run.seconds for run in self.ways[name])

    def memory(self, name):
        return max(run.memory for run in self.ways[name])

    def written(self, name):
        return max(run.written for run in self.ways[name])

    def passed(self, name):
        return max(run.passed for run in self.ways[name])

    def print(self):
        print(f"\n{self.title}")
        reference = self.best(next(name for name in self.ways if name != OURS)) if len(self.ways) > 1 else None
        for name, runs in self.ways.items():
            seconds = sorted(run.seconds for run in runs)
            ratio = f"{seconds[0] / reference:6.2f} x" if reference else " " * 8
            print(
                f"  {name:<34} {clock(seconds[0])}  (median {clock(seconds[len(seconds) // 2]).strip()})  {ratio}"
                f"  {self.memory(name) / 1e6:6.0f} MB memory  {self.written(name) / 1e6:7.1f} MB written"
            )


OURS = "chastipi-backup"


def clock(seconds):
    return f"{seconds * 1000:7.1f} ms" if seconds < 0.1 else f"{seconds:7.2f} s "


def say(text):
    print(f"... {text}", file=sys.stderr, flush=True)
