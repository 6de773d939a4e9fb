"""Reads Swift sources for the checks: what is code, and what is only text in comments and strings."""

import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def files(*folders, suffixes=(".swift",)):
    """Paths, relative to the project, of all files below the folders that end so."""
    for folder in folders:
        for here, subfolders, names in os.walk(os.path.join(ROOT, folder)):
            subfolders.sort()
            for name in sorted(names):
                if name.endswith(suffixes):
                    yield os.path.relpath(os.path.join(here, name), ROOT)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def code_only(text):
    """The text with every character of comments and string literals made a space. Line breaks stay, so lines keep their numbers.

    Code inside an interpolation counts as part of its string: it neither imports nor declares anything.
    """
    out = []
    position = 0
    while position < len(text):
        end = end_of_comment(text, position) or end_of_string(text, position)
        if end:
            out.append(re.sub(r"[^\n]", " ", text[position:end]))
            position = end
        else:
            out.append(text[position])
            position += 1
    return "".join(out)


def end_of_comment(text, start):
    if text.startswith("//", start):
        end = text.find("\n", start)
        return len(text) if end < 0 else end
    if not text.startswith("/*", start):
        return None
    depth = 0
    for mark in re.compile(r"/\*|\*/").finditer(text, start):
        depth += 1 if mark.group() == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(text)


OPENING = re.compile(r'(#*)("""|")')


def end_of_string(text, start):
    opening = OPENING.match(text, start)
    if not opening:
        return None
    hashes, quotes = opening.groups()
    position = opening.end()
    while position < len(text):
        if text.startswith(quotes + hashes, position):
            return position + len(quotes + hashes)
        if text.startswith("\\" + hashes + "(", position):
            position = end_of_interpolation(text, position + len(hashes) + 2)
        elif text.startswith("\\" + hashes, position):
            position += len(hashes) + 2
        elif text[position] == "\n" and quotes == '"':
            return position  # not a string after all (a regular expression, say): do not swallow the rest of the file
        else:
            position += 1
    return len(text)


def end_of_interpolation(text, start):
    depth = 1
    position = start
    while position < len(text) and depth > 0:
        inner = end_of_comment(text, position) or end_of_string(text, position)
        if inner:
            position = inner
            continue
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        position += 1
    return position


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def finish(problems):
    """Prints the problems, each `(path, line, what)`, and ends with 1 if there is any."""
    for path, line, what in problems:
        print(f"{path}:{line}: {what}")
    sys.exit(1 if problems else 0)
