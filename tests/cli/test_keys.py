"""`tta-service keys`: what it prints, and what a server then knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tta_service.cli import main
from tta_service.wire.keys import KeyFile, Role


def run(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """The lines that a command prints; its last line on stderr when it ends with 2."""
    try:
        main(["keys", *words])
    except SystemExit as exit:
        if exit.code:
            return [capsys.readouterr().err.splitlines()[-1]]
    return capsys.readouterr().out.splitlines()


def test_keys_are_added_listed_and_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = f"--file={tmp_path / 'keys'}"
    (first,), (second,), (other,) = (
        run(capsys, "add", *words, file) for words in (("ann",), ("ann", "--role=teach"), ("bob", "--role=admin"))
    )
    known = KeyFile(tmp_path / "keys", recheck=0.0)
    found = [known.verify(token) for token in (first, second, other)]
    assert [(key.owner, key.role) for key in found if key] == [("ann", 1), ("ann", 2), ("bob", Role.ADMIN)]
    listed = run(capsys, "list", file)
    assert [line.split("\t")[:3] for line in listed] == [
        [token.partition(".")[0], name, role]
        for token, name, role in ((first, "ann", "infer"), (second, "ann", "teach"), (other, "bob", "admin"))
    ]
    assert not any(token.partition(".")[2] in "".join(listed) for token in (first, second, other))
    assert '"name": "ann"' in run(capsys, "list", "--json", file)[0]
    id = first.partition(".")[0]
    assert run(capsys, "revoke", "ann", f"--id={id}", file) == [id]
    assert known.verify(first) is None and known.verify(second)
    assert run(capsys, "revoke", "ann", file) == [second.partition(".")[0]]
    assert known.verify(second) is None and known.verify(other)


def test_the_file_is_that_of_the_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "list") == ["tta-service: server.keys: name the file of API keys there, or with --file"]
    (tmp_path / "tta.toml").write_text('server.keys = "keys.json"\n')
    (token,) = run(capsys, "add", "ann")
    assert KeyFile(tmp_path / "keys.json").verify(token)


@pytest.mark.parametrize("words, sentence", [
    (("add", "ann", "--role=king"), "'king' is no role; the roles are infer, teach and admin"),
    (("add", " "), "an owner's name has 1 to 128 printable characters and no blanks at its ends"),
    (("revoke", "ann"), "there is no key of 'ann'"),
    (("revoke", "ann", "--id=x"), "there is no key x of 'ann'"),
])  # fmt: skip
def test_mistakes_get_a_sentence_and_change_nothing(words: tuple[str, ...], sentence: str, tmp_path: Path, capsys):
    file = f"--file={tmp_path / 'keys'}"
    run(capsys, "add", "bob", file)
    before = (tmp_path / "keys").read_bytes()
    assert run(capsys, *words, file) == [f"tta-service: {sentence}"]
    assert (tmp_path / "keys").read_bytes() == before
    (tmp_path / "keys").write_text("nonsense")
    (tmp_path / "keys").chmod(0o600)
    for command in (("list",), ("add", "ann"), ("revoke", "bob")):
        assert "holds no API keys" in run(capsys, *command, file)[0]
    assert (tmp_path / "keys").read_text() == "nonsense"
