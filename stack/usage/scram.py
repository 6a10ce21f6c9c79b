"""The verifier of a password, made here: PostgreSQL takes it in a password's place, and so never hears the password.

A statement is seen by others, in the server's log and in pg_stat_activity. Client libraries make verifiers only inside
libpq (PQencryptPasswordConn), which asyncpg does without.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

ITERATIONS: Final = 4096
"""PostgreSQL's own default (scram_iterations), and the least that RFC 7677 allows: the stack's passwords are random."""


def verifier(password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """What PostgreSQL keeps of a password: SCRAM-SHA-256 of RFC 5802 and RFC 7677, in the format of pg_authid.

    Args:
        password: of printable ASCII, which SASLprep (RFC 4013) leaves as it is.
        salt: 16 random bytes where none is given.
        iterations: of PBKDF2.

    Raises:
        ValueError: the password is empty or has other characters.
    """
    if not (password and password.isascii() and password.isprintable()):
        raise ValueError("it must be of printable ASCII characters")
    salt = salt or secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    salt_, stored, server = (base64.b64encode(each).decode() for each in (salt, stored_key, server_key))
    return f"SCRAM-SHA-256${iterations}:{salt_}${stored}:{server}"
