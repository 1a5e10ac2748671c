"""The generated code: service and client hold the same, and live in one process."""

from __future__ import annotations

from pathlib import Path

import tta_service.wire.v1 as ours
from tta_service.wire.v1 import tta_pb2

ROOT = Path(ours.__file__).parents[3]
MESSAGES = ("__init__.py", "tta_pb2.py", "tta_pb2.pyi")
STUBS = "tta_pb2_grpc.py"


def test_both_copies_are_the_same():
    theirs = ROOT / "clients/python/tta_client/v1"
    for name in MESSAGES:
        assert (ROOT / "tta_service/wire/v1" / name).read_bytes() == (theirs / name).read_bytes(), name
    stubs = (ROOT / "tta_service/rpc/v1" / STUBS).read_text(encoding="utf-8")
    assert stubs.replace("from ...wire.v1 import", "from . import") == (theirs / STUBS).read_text(encoding="utf-8")


def test_both_copies_live_in_one_process():
    from tta_client.v1 import tta_pb2 as theirs

    message = theirs.ClassifyRequest(session_id="cam")
    assert tta_pb2.ClassifyRequest.FromString(message.SerializeToString()).session_id == "cam"


def test_every_message_of_the_source_was_generated():
    source = (ROOT / "protos/tta/v1/tta.proto").read_text(encoding="utf-8")
    declared = {line.split()[1] for line in source.splitlines() if line.startswith("message ")}
    assert declared == set(tta_pb2.DESCRIPTOR.message_types_by_name)
