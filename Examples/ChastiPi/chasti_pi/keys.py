"""data/encryption.key: 32 random bytes in hex. It seals every check-in, so losing it means losing trust in all of them."""

import hashlib
import hmac
import os
import secrets

from .config import ConfigurationError

KEY_BYTES = 32


def path_of_key(app_dir):
    return app_dir / "data" / "encryption.key"


def read_or_create(app_dir, may_create):
    path = path_of_key(app_dir)
    if not path.exists():
        if not may_create:
            # A fresh key beside an old journal would make every seal in it wrong.
            raise ConfigurationError("data/encryption.key is missing but the journal is there: restore the key")
        create(path)
    return read(path)


def create(path):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(KEY_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read(path):
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as error:
        raise ConfigurationError(f"data/{path.name}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"data/{path.name}: not a key in hex") from error
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"data/{path.name}: must have {KEY_BYTES} bytes, has {len(key)}")
    return key


def seal(key, *fields):
    """An authentication code over the fields; the separator keeps ("ab", "c") and ("a", "bc") apart."""
    return hmac.new(key, "\x1f".join(fields).encode("utf-8"), hashlib.sha256).hexdigest()
