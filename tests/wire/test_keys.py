"""API keys: nothing secret is in the file, wrong ones are told from right ones, a change of the file counts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tta_service.wire.keys import ApiKey, KeyFile, Role, edit_keys, read_keys


def add(path: Path, owner: str = "ann", role: Role = Role.INFER) -> str:
    key, token = ApiKey.make(owner, role)
    with edit_keys(path) as keys:
        keys[key.id] = key
    return token


def test_a_key_has_256_random_bits_and_the_file_does_not_hold_them(tmp_path: Path):
    token = add(tmp_path / "keys", role=Role.TEACH)
    id, _, secret = token.partition(".")
    assert len(secret) * 6 >= 256 and id in (tmp_path / "keys").read_text()
    assert secret not in (tmp_path / "keys").read_text()
    key = KeyFile(tmp_path / "keys").verify(token)
    assert key is not None and (key.owner, key.role) == ("ann", Role.TEACH)
    assert key.digest.hex() not in repr(key) and key.salt.hex() not in repr(key) and repr(key.digest) not in repr(key)


def test_two_keys_with_one_secret_would_have_different_digests(tmp_path: Path):
    first, second = (ApiKey.make("ann", Role.INFER)[0] for _ in range(2))
    assert first.salt != second.salt


@pytest.mark.parametrize("spoil", [
    lambda token: "", lambda token: token[:-1], lambda token: token + "x", lambda token: token.split(".")[0],
    lambda token: "." + token.split(".")[1], lambda token: "0" * 16 + "." + token.split(".")[1],
    lambda token: token.upper(), lambda token: "é" + token, lambda token: token.split(".")[0] + ".\udcff",
])  # fmt: skip
def test_any_other_token_is_refused(spoil, tmp_path: Path):
    token = add(tmp_path / "keys")
    keys = KeyFile(tmp_path / "keys")
    assert keys.verify(token) is not None and keys.verify(spoil(token)) is None


def test_keys_are_added_and_revoked_without_a_restart(tmp_path: Path):
    path, first = tmp_path / "keys", add(tmp_path / "keys")
    keys = KeyFile(path, recheck=0.0)
    second = add(path, "bob")
    assert keys.verify(first) and keys.verify(second)
    with edit_keys(path) as held:
        del held[first.partition(".")[0]]
    assert keys.verify(first) is None and keys.verify(second)


def test_a_file_is_written_for_its_owner_alone_and_refused_when_others_may_read_it(tmp_path: Path):
    path = tmp_path / "keys"
    token = add(path)
    assert path.stat().st_mode & 0o777 == 0o600
    for mode in (0o640, 0o604, 0o620, 0o601):
        path.chmod(mode)
        if os.getuid() == 0 or mode != 0o640:
            with pytest.raises(PermissionError, match="is open to others: chmod 600"):
                KeyFile(path)
    path.chmod(0o400)
    assert KeyFile(path).verify(token)


@pytest.mark.parametrize("content", [
    "", "[]", "{}", '{"keys": 1}', '{"keys": [{"id": "a"}]}', "\x00", '{"keys": [null]}', "[" * 100_000,
    json.dumps({"keys": [{"id": "a", "name": "b", "role": "king", "created": "", "salt": "00", "sha256": "00"}]}),
    json.dumps({"keys": [{"id": "a", "name": "\n", "role": "infer", "created": "", "salt": "00", "sha256": "00"}]}),
])  # fmt: skip
def test_a_file_without_keys_is_refused_at_the_start_and_ignored_later(content: str, tmp_path: Path, caplog):
    path = tmp_path / "keys"
    token = add(path)
    keys = KeyFile(path, recheck=0.0)
    path.write_text(content)
    with pytest.raises(ValueError, match="holds no API keys"):
        read_keys(path)
    assert keys.verify(token) and "stay as they were" in caplog.text


def test_a_file_that_goes_away_changes_nothing(tmp_path: Path, caplog):
    token = add(tmp_path / "keys")
    keys = KeyFile(tmp_path / "keys", recheck=0.0)
    (tmp_path / "keys").unlink()
    assert keys.verify(token) and "stay as they were" in caplog.text


@pytest.mark.parametrize("name", ["", " ann", "a\nb", "x" * 129, "\u202eann"])
def test_an_owner_has_a_name_that_a_log_line_can_show(name: str):
    with pytest.raises(ValueError, match="printable"):
        ApiKey.make(name, Role.INFER)
