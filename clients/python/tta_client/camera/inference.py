"""Frames for any server of the Open Inference Protocol (Triton, KServe, OpenVINO, this service), over gRPC.

The protocol has no streams that drop frames, so each frame is a call, and at most so many are under way.
"""

from __future__ import annotations

import queue
import struct
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc

from ..channel import TLS, make_authorization, make_credentials, make_options
from ..errors import TTAClientError, from_rpc, make_refusal
from ..statistics import Statistics
from ..types.answers import FrameAnswer, FrameFailure
from ..types.frames import Frame, close_source, measure_age
from ..v1 import open_inference_pb2 as oip
from .inference_tensors import make_tensor, read_answer, set_parameter, takes_pictures
from .pictures import read_picture_file

SERVICE = "/inference.GRPCInferenceService/"


@dataclass(frozen=True, slots=True)
class Model:
    """What is asked, and how."""

    name: str
    input: str = ""  # that takes pictures; "": the first one
    classes: int = 0  # so many of the best, as the classification extension gives them; 0: all outputs as they are
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])  # of every request
    sequence: str = ""  # whose frames these are; the first one has the start flag
    under_way: int = 2  # calls at once


class InferenceServer:
    """A channel to a server, and the shape of the pictures that its model takes."""

    def __init__(
        self, target: str, model: Model, token: str = "", tls: TLS | None = None, timeout: float = 30.0
    ) -> None:
        """Raises `TTAClientError` when the server or the model is not there, ValueError for an input of no pictures."""
        credentials, options = make_credentials(target, token, tls), make_options(target)
        self._channel = (
            grpc.secure_channel(target, credentials, options) if credentials else grpc.insecure_channel(target, options)
        )
        self._metadata = (*make_authorization(token), *((("x-session-id", model.sequence),) if model.sequence else ()))
        self.model, self._timeout, self._started = model, timeout, False
        self._call = self._method("ModelInfer", oip.ModelInferResponse)
        ask = self._method("ModelMetadata", oip.ModelMetadataResponse)
        try:
            metadata = ask(oip.ModelMetadataRequest(name=model.name), timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            self.close()
            raise from_rpc(error) from None
        inputs = {one.name: one for one in metadata.inputs}
        if (found := inputs.get(model.input or next(iter(inputs), ""))) is None:
            raise ValueError(f"model {model.name} has no input {model.input!r}; it has {', '.join(inputs)}")
        self._input, self._shape = found, list(found.shape)
        self._scores = next((one.name for one in metadata.outputs if one.datatype.startswith("FP")), "")
        if not takes_pictures(found.datatype, self._shape):
            raise ValueError(f"input {found.name} is {found.datatype} {self._shape}, which takes no pictures")

    def close(self) -> None:
        """Ends all calls."""
        self._channel.close()

    def ask(self, frame: Frame) -> Any:
        """A call under way. Raises ValueError for what is no picture."""
        message = oip.ModelInferRequest(model_name=self.model.name, id=str(frame.frame_id))
        for name, value in self.model.parameters.items():
            set_parameter(message.parameters[name], value)
        if self.model.sequence:
            message.parameters["sequence_id"].string_param = self.model.sequence
            message.parameters["sequence_start"].bool_param = not self._started
            message.parameters["sequence_end"].bool_param = False
            self._started = True
        shape, raw = make_tensor(read_picture_file(frame.image) or b"", self._input.datatype, self._shape)
        message.inputs.add(name=self._input.name, datatype=self._input.datatype, shape=shape)
        message.raw_input_contents.append(raw)
        if self.model.classes and self._scores:
            asked = message.outputs.add(name=self._scores)
            asked.parameters["classification"].int64_param = self.model.classes
        return self._call.future(message, timeout=self._timeout, metadata=self._metadata)

    def _method(self, name: str, reply: Any) -> Any:
        def pack(message: Any) -> bytes:
            return message.SerializeToString()

        return self._channel.unary_unary(SERVICE + name, pack, reply.FromString)


def infer_frames(
    frames: Iterator[Frame], server: InferenceServer, statistics: Statistics
) -> Iterator[FrameAnswer | FrameFailure]:
    """The results, as they come. The next frame is taken from its source when there is room for it under way.

    Raises what the source raises.
    """
    under_way = server.model.under_way
    results, slots, ended = queue.Queue[Any](), threading.Semaphore(under_way), threading.Event()

    def send() -> None:
        try:
            while slots.acquire() and not ended.is_set() and (frame := next(frames, None)) is not None:
                try:
                    call = server.ask(frame)
                except Exception as error:  # a decoder's own, of what is no picture
                    finish(frame, error)
                    continue
                statistics.sent += 1
                call.add_done_callback(partial(finish, frame))
            slots.release()
        except Exception as error:
            slots.release()
            results.put(error)
        finally:
            close_source(frames)
        for _ in range(under_way):
            slots.acquire()
        results.put(None)

    def finish(frame: Frame, call: Any) -> None:
        results.put((frame, measure_age(frame), call))
        slots.release()

    threading.Thread(target=send, name="tta_client-infer", daemon=True).start()
    try:
        while (found := results.get()) is not None:
            if isinstance(found, Exception):
                raise found
            frame, age, call = found
            yield _make_result(frame, age, call, statistics)
    finally:
        ended.set()
        server.close()


def _make_result(frame: Frame, age: float, call: Any, statistics: Statistics) -> FrameAnswer | FrameFailure:
    try:
        if not isinstance(call, grpc.Future):  # which is an exception too
            raise make_refusal(str(call), "image")
        answer = read_answer(call.result())
    except grpc.RpcError as error:
        failure = from_rpc(error)
    except TTAClientError as error:
        failure = error
    except (grpc.FutureCancelledError, ValueError, IndexError, struct.error) as error:
        failure = TTAClientError(grpc.StatusCode.INTERNAL, f"the answer cannot be read: {error}")
    else:
        statistics.add_answer(age, 0)
        return FrameAnswer(frame.frame_id, answer, age, frame.wall_ns, 0, frame.scene)
    statistics.failures += 1
    return FrameFailure(frame.frame_id, failure, age, frame.scene)
