"""The commands `keys add`, `keys list` and `keys revoke`, on the file that the setting server.keys names."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import BadRequest
from ..settings import BadSettings, load
from ..telemetry.audit import AuditLog
from ..wire.keys import ApiKey, Role, edit_keys, read_keys
from .options import AsJson
from .text import json_line

File = Annotated[Path | None, typer.Option(help="The file, by default that of the setting server.keys.")]
Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The owner of sessions and label sets.")]

keys = typer.Typer(help="API keys: add, list, revoke.", no_args_is_help=True, rich_markup_mode=None)


@keys.command("add")
def add_key(
    name: Name, role: Annotated[str, typer.Option(help="infer, teach or admin.")] = "infer", file: File = None
) -> None:
    """Add a key and print it, this once. An owner may have several: add the next one before you revoke the last."""
    try:
        key, token = ApiKey.make(name, Role.of(role))
        with edit_keys(_path(file)) as held:
            held[key.id] = key
            _audit("key_added", [key])
    except ValueError as error:
        raise BadRequest(str(error)) from None
    print(token)


@keys.command("list")
def list_keys(file: File = None, as_json: AsJson = False) -> None:
    """List the keys: id, owner, role, when each was made. The keys themselves are kept nowhere."""
    try:
        held = read_keys(_path(file))
    except ValueError as error:
        raise BadRequest(str(error)) from None
    for about in (key.describe() for key in held.values()):
        print(json_line(about) if as_json else "\t".join(about.values()))


@keys.command("revoke")
def revoke_keys(
    name: Name,
    id: Annotated[str, typer.Option(help="Only the key of this id; by default all keys of the owner.")] = "",
    file: File = None,
) -> None:
    """Revoke keys. A running server refuses them within a second. The owner's sessions stay."""
    try:
        with edit_keys(_path(file)) as held:
            revoked = [key for key in held.values() if key.owner == name and id in ("", key.id)]
            if not revoked:
                raise ValueError(f"there is no key {id} of {name!r}" if id else f"there is no key of {name!r}")
            for one in revoked:
                del held[one.id]
            _audit("key_revoked", revoked)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    print("\n".join(key.id for key in revoked))


def _audit(action: str, changed: Sequence[ApiKey]) -> None:
    """For the file that the setting log.audit names. One that cannot be written is said, or keeps from the change."""
    if not (settings := load().log).audit:
        return
    try:
        with closing(AuditLog(Path(settings.audit))) as audit:
            for key in changed:
                about = {"key": key.id, "owner": key.owner, "role": key.role.name.lower()}
                audit.add(action, user=getpass.getuser(), changed=about)
            audit.flush()
    except OSError as error:
        sentence = f"the audit log {settings.audit} is not written: {error}"
        if settings.audit_required:
            raise BadRequest(f"{sentence}; nothing was changed") from None
        print(f"tta-service: {sentence}", file=sys.stderr)


def _path(file: Path | None) -> Path:
    if file is None and not (named := load().server.keys):
        raise BadSettings("server.keys: name the file of API keys there, or with --file")
    return file or Path(named)
