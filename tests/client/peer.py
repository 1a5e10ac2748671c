"""A server without a model, for what a real service rarely does: forgotten labels, refusals, drops.

The length of an image chooses its label. Image bytes choose the behaviour: b"bad" fails in the stream, b"trouble" ends
it with the next of `troubles` while there are any, b"hush" is never answered while `hushes` lasts. Label sets in
`elsewhere` are registered at another server of the fleet, each entry once.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from tta_client.v1 import tta_pb2 as pb
from tta_client.v1 import tta_pb2_grpc


class Peer(tta_pb2_grpc.AdaptationServiceServicer):
    def __init__(self) -> None:
        self.labels: dict[str, pb.LabelSet] = {}
        self.puts = 0
        self.opened: list[pb.OpenStream] = []
        self.frames: list[pb.Frame] = []
        self.refusals: list[grpc.StatusCode] = []  # answered to the next unary calls
        self.headers: list[dict[str, Any]] = []
        self.troubles: list[grpc.StatusCode] = []
        self.hushes = 0
        self.elsewhere: list[tuple[str, ...]] = []
        self.credits, self.fps = 2, 0.0

    def forget(self) -> None:
        """Loses the label sets, as a restart does."""
        self.labels.clear()

    def PutLabelSet(self, request: pb.PutLabelSetRequest, context: Any) -> pb.PutLabelSetResponse:
        self.headers.append(dict(context.invocation_metadata()))
        self.puts += 1
        key = hashlib.sha256(request.label_set.SerializeToString(deterministic=True)).hexdigest()[:32]
        if (names := tuple(request.label_set.names)) in self.elsewhere:
            self.elsewhere.remove(names)
        else:
            self.labels[key] = request.label_set
        return pb.PutLabelSetResponse(info=pb.LabelSetInfo(id=key, classes=len(request.label_set.names)))

    def ListLabelSets(self, request: pb.ListLabelSetsRequest, context: Any) -> pb.ListLabelSetsResponse:
        """One set a page."""
        keys = sorted(self.labels)
        place = keys.index(request.page_token) if request.page_token else 0
        after = keys[place + 1] if place + 1 < len(keys) else ""
        return pb.ListLabelSetsResponse(
            infos=[pb.LabelSetInfo(id=k) for k in keys[place : place + 1]], next_page_token=after
        )

    def SnapshotSession(self, request: pb.SnapshotSessionRequest, context: Any) -> pb.SnapshotSessionResponse:
        self.headers.append(dict(context.invocation_metadata()))
        state = b"of " + request.session_id.encode()
        return pb.SnapshotSessionResponse(
            snapshot=pb.SessionSnapshot(session_id=request.session_id, epoch=3, state=state)
        )

    def RestoreSession(self, request: pb.RestoreSessionRequest, context: Any) -> pb.RestoreSessionResponse:
        self.headers.append(dict(context.invocation_metadata()))
        id = request.snapshot.state.decode().removeprefix("of ")
        return pb.RestoreSessionResponse(session=pb.SessionInfo(session_id=id, epoch=request.snapshot.epoch + 1))

    def Classify(self, request: pb.ClassifyRequest, context: Any) -> pb.ClassifyResponse:
        self.headers.append(dict(context.invocation_metadata()))
        if self.refusals:
            context.abort(self.refusals.pop(0), "not now")
        if request.labels.id not in self.labels:
            refuse(context, make_status(grpc.StatusCode.NOT_FOUND, "no such label set", "labels.id"))
        if request.image.encoded == b"bad":
            refuse(context, make_status(grpc.StatusCode.INVALID_ARGUMENT, "the image is no image", "image", 2.5))
        return self._answer(request.labels.id, request.image, request.options)

    def ClassifyStream(
        self, requests: Iterable[pb.ClassifyStreamRequest], context: Any
    ) -> Iterator[pb.ClassifyStreamResponse]:
        self.headers.append(dict(context.invocation_metadata()))
        opened = next(iter(requests)).open
        self.opened.append(opened)
        if opened.labels.id not in self.labels:
            refuse(context, make_status(grpc.StatusCode.NOT_FOUND, "no such label set", "labels.id"))
        session = pb.SessionStatus(session_id=opened.session_id or "made-here")
        status = pb.StreamStatus(session=session, credits=self.credits, suggested_fps=self.fps)
        yield pb.ClassifyStreamResponse(status=status)
        for frame in (request.frame for request in requests):
            self.frames.append(frame)
            if frame.image.encoded == b"bad":
                status = make_status(grpc.StatusCode.INVALID_ARGUMENT, "the image is no image", "image")
                yield pb.ClassifyStreamResponse(error=pb.FrameError(frame_id=frame.frame_id, status=status))
                continue
            if frame.image.encoded == b"end":
                context.abort(grpc.StatusCode.ABORTED, "session taken over")
            if frame.image.encoded == b"trouble" and self.troubles:
                context.abort(self.troubles.pop(0), "a proxy lost its server")
            if frame.image.encoded == b"hush" and self.hushes:
                self.hushes -= 1
                gone = threading.Event()
                context.add_callback(gone.set)
                gone.wait()
                return
            if frame.image.encoded == b"leave":
                yield pb.ClassifyStreamResponse(draining=pb.Draining(resume_token=b"go on"))
            if frame.image.encoded == b"drop":
                continue
            options = frame.options if frame.HasField("options") else opened.options
            if (labels := frame.labels.id or opened.labels.id) not in self.labels:
                status = make_status(grpc.StatusCode.NOT_FOUND, "no such label set", "frame.labels.id")
                yield pb.ClassifyStreamResponse(error=pb.FrameError(frame_id=frame.frame_id, status=status))
                continue
            response = self._answer(labels, frame.image, options)
            answer = pb.FrameAnswer(frame_id=frame.frame_id, capture_time=frame.capture_time, response=response)
            yield pb.ClassifyStreamResponse(answer=answer)

    def _answer(self, labels: str, image: pb.Image, options: pb.Options) -> pb.ClassifyResponse:
        names = self.labels[labels].names
        size = len(image.encoded) or len(image.raw.pixels)
        best = pb.Score(index=size % len(names), label=names[size % len(names)], score=0.75, logit=1.5)
        plain = pb.Score(index=0, label=names[0], score=0.5)
        return pb.ClassifyResponse(top=[best], zero_shot=[plain], strategy=options.strategy, label_set_id=labels)


@contextmanager
def serve_peer(peer: Peer, address: str = "127.0.0.1:0") -> Iterator[str]:
    """The address at which the peer answers."""
    server = grpc.server(ThreadPoolExecutor(8))
    tta_pb2_grpc.add_AdaptationServiceServicer_to_server(peer, server)
    port = server.add_insecure_port(address)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def refuse(context: Any, status: status_pb2.Status) -> None:
    """Aborts the call with that status and its details."""
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(next(c for c in grpc.StatusCode if c.value[0] == status.code), status.message)


def make_status(code: grpc.StatusCode, message: str, field: str, after: float | None = None) -> status_pb2.Status:
    violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=message)
    details: list[Any] = [error_details_pb2.BadRequest(field_violations=[violation])]
    if after is not None:
        pause = duration_pb2.Duration()
        pause.FromNanoseconds(int(after * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=pause))
    packed = [any_pb2.Any() for _ in details]
    for any_message, detail in zip(packed, details):
        any_message.Pack(detail)
    return status_pb2.Status(code=code.value[0], message=message, details=packed)
