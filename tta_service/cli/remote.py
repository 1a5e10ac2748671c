"""A running service, for commands that talk to one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from ..core.errors import BadRequest, TTAError

SECONDS = 120.0  # for one call: a message of pictures may wait behind cameras
MESSAGE_BYTES = 64 << 20
OWN = ("127.", "localhost:", "[::1]:")  # this machine is reached without a proxy
Address = Annotated[str, typer.Option("--server", metavar="HOST:PORT", help="Where the service listens.")]
KeyFile = Annotated[Path | None, typer.Option(help="A file with your API key, for servers that ask for one.")]
CA = Annotated[
    Path | None, typer.Option(help="Certificates of the authority of a server with TLS; /dev/null: the usual ones.")
]
SessionName = Annotated[str, typer.Option("--session", metavar="NAME", help="The session.")]
GroupName = Annotated[str, typer.Option("--group", metavar="NAME", help="The lesson group, instead of a session.")]
SHARED: dict[str, tuple[Any, Any]] = {
    "session": (SessionName, ""),
    "group": (GroupName, ""),
    "server": (Address, "127.0.0.1:50051"),
    "key_file": (KeyFile, None),
    "ca": (CA, None),
}


class Remote:
    """Calls to a service, about one session or lesson group if given. All raise `TTAError` with its own sentence."""

    def __init__(self, server: str, key_file: Path | None, ca: Path | None, session: str = "", group: str = "") -> None:
        import grpc

        from ..rpc.v1.tta_pb2_grpc import AdaptationServiceStub

        self.about = {"session_id": session} if session else {"lesson_group": group}
        options = [
            ("grpc.max_receive_message_length", MESSAGE_BYTES),
            ("grpc.enable_http_proxy", int(not server.startswith(OWN))),
        ]
        if ca is None:
            channel = grpc.insecure_channel(server, options)
        else:
            credentials = grpc.ssl_channel_credentials(ca.read_bytes() or None)
            channel = grpc.secure_channel(server, credentials, options)
        key = key_file.read_text().strip() if key_file else ""
        self._metadata = (("authorization", f"Bearer {key}"),) if key else ()
        if session:
            self._metadata += (("x-session-id", session),)
        self._stub, self._server, self._failed = AdaptationServiceStub(channel), server, grpc.RpcError

    def call(self, method: str, request: Any) -> Any:
        """The reply."""
        try:
            return getattr(self._stub, method)(request, timeout=SECONDS, metadata=self._metadata)
        except self._failed as error:
            code, details = error.code(), error.details() or error.code().name  # type: ignore[attr-defined]
            unreachable = code.name in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
            raise TTAError(f"{self._server}: {details}" if unreachable else details) from None

    def put(self, label_set: Any) -> Any:
        """The labels of lessons, which name the set by its id."""
        from ..wire.v1 import tta_pb2 as pb

        return pb.Labels(id=self.call("PutLabelSet", pb.PutLabelSetRequest(label_set=label_set)).info.id)

    def pages(self, method: str, make_request: Callable[[str], Any]) -> Iterator[Any]:
        """All replies of a method that lists; `make_request(page_token)`."""
        token = None
        while token != "":
            reply = self.call(method, make_request(token or ""))
            token = reply.next_page_token
            yield reply


def remote_command(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the flags of `SHARED` after its own. Its first parameter is the `Remote` that they name."""
    return _with_flags(command, SHARED)


def operator_command(command: Callable[..., None]) -> Callable[..., None]:
    """The same for a command about a whole server."""
    return _with_flags(command, {name: SHARED[name] for name in ("server", "key_file", "ca")})


def _with_flags(command: Callable[..., None], flags: Mapping[str, tuple[Any, Any]]) -> Callable[..., None]:
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    flag = inspect.Parameter.KEYWORD_ONLY
    shared = [
        inspect.Parameter(name, flag, default=default, annotation=kind) for name, (kind, default) in flags.items()
    ]

    @wraps(command)
    def run(**given: Any) -> None:
        named = {name: given.pop(name) for name in flags}
        if "session" in flags and bool(named["session"]) == bool(named["group"]):
            raise BadRequest("name a --session, or a lesson --group", "session")
        command(Remote(**named), **given)

    parameters = [*own, *shared]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # typer reads it
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run
