"""Pseudonyms for users: the same user has the same hash everywhere, and the hash cannot be turned back."""

import functools
import hashlib
import hmac
import logging
import os
import secrets
from pathlib import Path
from typing import Final

KEY_VARIABLE: Final = "GENAI_OBSERVABILITY_USER_KEY"
"""The key of the users' hashes itself; a file is safer. It goes before the file."""
KEY_FILE_VARIABLE: Final = "GENAI_OBSERVABILITY_USER_KEY_FILE"
"""File with the key of the users' hashes, the same on every host. By default one is made for each account and host."""

_logger = logging.getLogger("genai_observability")


@functools.lru_cache(maxsize=4096)
def user_hash(user: str) -> str:
    """HMAC-SHA256 (RFC 2104) of a user's id under the installation's key, as 64 hexadecimal digits."""
    return keyed_hash(user)


def keyed_hash(text: str) -> str:
    """The same of any text. A long one is hashed piece by piece, so that other threads go on meanwhile."""
    digest = hmac.new(_key(), digestmod=hashlib.sha256)
    for start in range(0, len(text), _PIECE):
        digest.update(text[start : start + _PIECE].encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


_PIECE: Final = 100_000


def signature(message: bytes) -> bytes:
    """What only this installation can add to a message: 16 bytes of its HMAC-SHA256, under a key derived for this."""
    key = hmac.digest(_key(), b"signature", hashlib.sha256)  # not the key of the users' hashes itself
    return hmac.digest(key, message, hashlib.sha256)[:16]


@functools.cache
def _key() -> bytes:
    if key := os.environ.get(KEY_VARIABLE):
        return os.fsencode(key)  # the bytes that were given, also where they are no text
    if path := os.environ.get(KEY_FILE_VARIABLE):
        return _configured_key(Path(path))
    return _own_key()


def _configured_key(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():  # reading a pipe or a device might never end
            return _passing_key(f"{KEY_FILE_VARIABLE} names {path}, but it is no regular file")
        return path.read_bytes().strip() or _passing_key(f"{KEY_FILE_VARIABLE} names {path}, but it is empty")
    except OSError as error:
        return _passing_key(f"{KEY_FILE_VARIABLE} names {path}, but {error.strerror or error}")


def _own_key() -> bytes:
    """The key kept for this account, made on first use; written whole or not at all, whoever else starts now."""
    try:
        path = _configuration_directory() / "user.key"
    except RuntimeError:  # no HOME, and no entry in the list of users: as containers under a number of their own
        return _passing_key(f"there is no home directory to keep one in; set {KEY_FILE_VARIABLE}")
    try:
        if key := _read(path):
            return key
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(32).encode())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was first: its key is everyone's key
        finally:
            draft.unlink()
        _logger.warning(
            "Users are hashed with a new key, kept in %s. Several hosts need one common key: set %s on each.",
            path, KEY_FILE_VARIABLE,
        )  # fmt: skip
        return _read(path) or _PASSING
    except OSError as error:
        return _passing_key(f"{path} cannot be kept ({error.strerror or error}); set {KEY_FILE_VARIABLE}")


_PASSING: Final = secrets.token_bytes(32)  # one for all threads, whichever comes first


def _passing_key(problem: str) -> bytes:
    _logger.warning("Users are hashed with a key that lasts only for this process: %s.", problem)
    return _PASSING


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes().strip()
    except FileNotFoundError:
        return b""


def _configuration_directory() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path("~/.config").expanduser()) / "genai-observability"
