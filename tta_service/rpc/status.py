"""An error as a status of gRPC."""

from __future__ import annotations

import grpc
import grpc_status.rpc_status

from ..core.errors import TTAError
from ..wire.status import code_number_of, to_status

CODES = {code.value[0]: code for code in grpc.StatusCode}


def code_of(error: TTAError) -> grpc.StatusCode:
    """The gRPC code of an error, from the table in `wire.status`."""
    return CODES[code_number_of(error)]


def to_grpc_status(error: TTAError) -> grpc.Status:
    """The code, sentence and details of an error, for `context.abort_with_status`."""
    return grpc_status.rpc_status.to_status(to_status(error))  # pyright: ignore[reportUnknownMemberType]
