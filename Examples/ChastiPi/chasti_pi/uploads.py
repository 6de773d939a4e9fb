"""Files that people attach: stored in uploads/ under the names they came with, as far as those are safe."""

import os

from werkzeug.utils import secure_filename


def listing(folder):
    """Name and size of each file. A name may hold any bytes; what is not UTF-8 is shown with replacement characters."""
    with os.scandir(os.fsencode(folder)) as entries:
        files = [
            {"name": entry.name.decode("utf-8", "replace"), "bytes": entry.stat(follow_symlinks=False).st_size}
            for entry in entries
            if not entry.name.startswith(b".")
        ]
    return sorted(files, key=lambda file: file["name"])


def store(folder, upload):
    """Writes the upload under a free name and returns that name, or None where nothing usable was sent."""
    wanted = secure_filename(upload.filename or "") if upload else ""
    if not wanted:
        return None
    stem, suffix = os.path.splitext(wanted)
    number = 1
    while True:
        name = wanted if number == 1 else f"{stem}_{number}{suffix}"
        try:
            with open(folder / name, "xb") as file:
                upload.save(file)
            return name
        except FileExistsError:
            number += 1
