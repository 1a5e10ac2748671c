"""API keys: a file that holds a salted digest of each, never the key itself, and that is read again when it changes."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import logging
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any

RECHECK = 1.0  # seconds between two looks at the file
log = logging.getLogger(__name__)


class Role(IntEnum):
    """What a caller may do; a higher role includes the lower ones."""

    INFER = 1
    TEACH = 2
    ADMIN = 3

    @classmethod
    def of(cls, name: str) -> Role:
        """The role of that name. Raises ValueError."""
        try:
            return cls[name.upper()]
        except KeyError:
            raise ValueError(f"{name!r} is no role; the roles are infer, teach and admin") from None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key as the server knows it. Its secret has 256 random bits, so one round of SHA-256 is enough."""

    id: str
    owner: str
    role: Role
    created: str  # ISO 8601
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    @classmethod
    def make(cls, owner: str, role: Role) -> tuple[ApiKey, str]:
        """A new key, and its token `id.secret`, which is kept nowhere. Raises ValueError for an unusable owner."""
        id, salt, secret = secrets.token_hex(8), secrets.token_bytes(16), secrets.token_urlsafe(32)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(id, check_owner(owner), role, created, salt, _digest(salt, secret)), f"{id}.{secret}"

    def describe(self) -> dict[str, str]:
        """What may be shown of it."""
        return {"id": self.id, "name": self.owner, "role": self.role.name.lower(), "created": self.created}

    def matches(self, secret: str) -> bool:
        """Whether the secret is this key's; takes the same time for every wrong one."""
        return hmac.compare_digest(self.digest, _digest(self.salt, secret))


class KeyFile:
    """The API keys in a file of mode 0600. A change of it counts within `recheck` seconds, without a restart.

    A changed file that cannot be used is an error in the log, and the former keys stay. Any thread may call it.
    """

    def __init__(self, path: Path, recheck: float = RECHECK) -> None:
        """Raises OSError for a file that cannot be read or is open to others, ValueError for one that holds no keys."""
        self._path, self._recheck = path, recheck
        self._version, self._checked = _version(path), time.monotonic()
        self._keys: Mapping[str, ApiKey] = read_keys(path)

    def find(self, id: str) -> ApiKey | None:
        """The key of that id."""
        if time.monotonic() - self._checked >= self._recheck:
            self._reload()
        return self._keys.get(id)

    def verify(self, token: str) -> ApiKey | None:
        """The key of a token `id.secret`; None for any other text."""
        id, _, secret = token.partition(".")
        key = self.find(id)
        return key if (key or NO_KEY).matches(secret) else None

    def _reload(self) -> None:
        self._checked = time.monotonic()
        try:
            if (version := _version(self._path)) == self._version:
                return
            self._keys, self._version = read_keys(self._path), version
            log.info("%s: %d API keys", self._path, len(self._keys))
        except (OSError, ValueError) as error:
            self._version = None
            log.error("the API keys stay as they were: %s", error)


def read_keys(path: Path) -> dict[str, ApiKey]:
    """The keys in a file, by id. Raises OSError, and ValueError for a file that holds no keys, both with a sentence."""
    with path.open("rb") as file:
        check_private(path, os.fstat(file.fileno()))
        content = file.read()
    try:
        keys = [_parse(entry) for entry in json.loads(content)["keys"]]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{path} holds no API keys; `tta-service keys add` writes such a file") from None
    return {key.id: key for key in keys}


@contextmanager
def edit_keys(path: Path) -> Generator[dict[str, ApiKey]]:
    """The keys of a file, by id, for a block that changes them; there need not be a file yet. One editor at a time.

    At the end the file is replaced as a whole: readers see all of it, or what was there before. Raises as `read_keys`.
    """
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed
        keys = read_keys(path) if path.exists() else {}
        yield keys
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", delete=False) as file:  # 0600
            json.dump({"keys": [key.describe() | _dump(key) for key in keys.values()]}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(file.name, path)


def check_private(path: Path, status: os.stat_result) -> None:
    """Raises PermissionError unless the file is its owner's alone.

    A file of root may be readable for its group: so orchestrators hand secrets to processes that are not root.
    """
    allowed = 0o640 if status.st_uid == 0 and os.getuid() != 0 else 0o600
    if (mode := stat.S_IMODE(status.st_mode)) & 0o077 & ~allowed:
        raise PermissionError(f"{path} has mode {mode:04o} and is open to others: chmod 600 {path}")


def check_owner(name: str) -> str:
    """The name of an owner. Raises ValueError for one that no log line or metric should show."""
    if not 1 <= len(name) <= 128 or not name.isprintable() or name != name.strip():
        raise ValueError("an owner's name has 1 to 128 printable characters and no blanks at its ends")
    return name


def _parse(entry: Any) -> ApiKey:
    salt, digest = bytes.fromhex(entry["salt"]), bytes.fromhex(entry["sha256"])
    return ApiKey(entry["id"], check_owner(entry["name"]), Role.of(entry["role"]), entry["created"], salt, digest)


def _dump(key: ApiKey) -> dict[str, str]:
    return {"salt": key.salt.hex(), "sha256": key.digest.hex()}


def _digest(salt: bytes, secret: str) -> bytes:
    return hashlib.sha256(salt + secret.encode(errors="surrogatepass")).digest()


def _version(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size


NO_KEY, _ = ApiKey.make("nobody", Role.INFER)  # is compared where an id is unknown, so that both take the same time
