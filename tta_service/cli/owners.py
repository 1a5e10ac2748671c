"""The command `owners delete`, on a running server."""

from __future__ import annotations

from typing import Annotated

import typer

from .remote import Remote, operator_command

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The owner, as in its keys.")]

owners = typer.Typer(help="All that a server has of an owner.", no_args_is_help=True, rich_markup_mode=None)


@owners.callback()
def about_owners() -> None:
    """All that a server has of an owner."""


@owners.command()
@operator_command
def delete(remote: Remote, name: Name) -> None:
    """Delete an owner's sessions, lesson groups and label sets, there and in the state store. Revoke its keys first."""
    from ..wire.v1 import tta_pb2 as pb

    gone = remote.call("DeleteOwner", pb.DeleteOwnerRequest(owner=name))
    here = f"{gone.sessions} sessions, {gone.lesson_groups} lesson groups, {gone.label_sets} label sets"
    print(f"deleted: {here}; {gone.stored} sessions and groups in the store")
