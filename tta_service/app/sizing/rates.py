"""What one frame takes on this machine, measured with a real server and cameras of another process."""

from __future__ import annotations

import asyncio
import io
import json
import re
import resource
import secrets
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, fields, replace
from importlib.resources import files
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image
from pydantic import SecretStr

from ...core.catalogue import strategies
from ...core.errors import BadImage, BadRequest, TTAError
from ...settings import Settings
from ...wire.v1 import tta_pb2 as pb
from ..server import Application
from .load import Load

OWN: Mapping[str, Any] = {  # settings of a server that is measured, over those of the user
    "server.host": "127.0.0.1",
    "server.port": 0,
    "server.keys": "",
    "http.enabled": False,
    "metrics.enabled": False,
    **{f"server.tls.{name}": "" for name in ("certificate", "key", "client_ca")},
    "log.level": "warning",
    "log.audit": "",
}
STREAMS = 8  # cameras at once
SIZE = (640, 480)  # pixels of the picture that is measured with where none is given
AGREEMENT = 0.9
IMAGE = re.compile(r"frame\.image\.encoded: (.*)")  # a refusal of a frame for its picture


@dataclass(frozen=True, slots=True)
class Frames:
    """What cameras send, and how it is answered."""

    strategy: str
    parameters: Mapping[str, Any]
    reducer: str = "none"
    classes: int = 10
    picture: bytes | None = None  # a file; None: one of ours
    edge: bool = False  # features come in place of pictures


@dataclass(frozen=True, slots=True)
class Rates:
    """Of one server."""

    work: float  # seconds of one core for a frame
    answered: float  # frames a second, with all cores, which the cameras of the measurement used too
    request_bytes: int  # of a frame
    answer_bytes: int
    memory_bytes: int  # of a camera's session
    state_bytes: int  # of its record in the state store
    resident_bytes: int  # of the process, with eight sessions


async def measure_rates(settings: Settings, frames: Frames, seconds: float) -> dict[str, Rates]:
    """Those of the frames as they are, under "", and of what would make them cheaper, by the option that does it.

    Each is measured for so many seconds. Raises `CannotLoad`, and `BadImage` or `BadRequest` where the service refuses
    the frames.
    """
    found, cheaper = dict[str, Rates](), list_cheaper(frames)
    async with _serve(settings) as service:
        found[""] = await _measure(service, frames, seconds)
        for option, other in cheaper.items():
            found[option] = await _measure(service, other, seconds)
    model = settings.model
    if model.precision == "float32" and model.runtime == "eager" and model.device in ("auto", "cpu"):
        quantised = settings.model_copy(update={"model": model.model_copy(update={"precision": "int8"})})
        try:
            async with _serve(quantised) as service:
                found["--precision int8"] = await _measure(service, frames, seconds)
        except TTAError:  # a tower that has no such form
            pass
    return found


def list_cheaper(frames: Frames) -> dict[str, Frames]:
    """The same answers for less, or as good ones: by the option that asks for it."""
    given, cheaper = _parameters(frames), dict[str, Frames]()
    if given.get("views", 1) > 1:
        cheaper["--views 1"] = replace(frames, parameters={**frames.parameters, "views": 1})
        if given.get("agreement", 0) == 1:
            option = f"--param agreement={AGREEMENT}"
            cheaper[option] = replace(frames, parameters={**frames.parameters, "agreement": AGREEMENT})
    if frames.reducer == "none" and not frames.edge:
        cheaper["--reducer tome"] = replace(frames, reducer="tome")
    if not frames.edge:
        cheaper["--edge"] = replace(frames, edge=True)
    return cheaper


def _parameters(frames: Frames) -> dict[str, Any]:
    """All of the strategy's, the defaults too."""
    built: Any = strategies.build(frames.strategy, dict(frames.parameters))
    return {field.name: getattr(built, field.name) for field in fields(built)}


@asynccontextmanager
async def _serve(settings: Settings) -> AsyncIterator[Application]:
    """A server with a state store of its own."""
    with TemporaryDirectory() as folder:
        own = {"store": folder, "counters": "", "secret": SecretStr(secrets.token_hex())}
        kept = settings.sessions.model_copy(update=own)
        async with Application(settings.model_copy(update={"sessions": kept})) as service:
            yield service


async def _measure(service: Application, frames: Frames, seconds: float) -> Rates:
    image = _make_image(service, frames)
    opening, sent = (b64encode(one.SerializeToString()).decode() for one in (_make_opening(frames), image))
    load = Load(service.address, opening, sent, STREAMS, seconds)
    command, pipe = (sys.executable, "-m", "tta_service.app.sizing.load"), asyncio.subprocess.PIPE
    cameras = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    assert cameras.stdin and cameras.stdout and cameras.stderr
    try:
        cameras.stdin.write(json.dumps(asdict(load)).encode())
        cameras.stdin.write_eof()
        begins, began = await cameras.stdout.readline(), time.process_time()
        counted, used = await cameras.stdout.readline(), time.process_time() - began
        if not begins or not counted:
            raise _to_error((await cameras.stderr.read()).decode().strip().splitlines()[-1])
        answers, lasted, size = json.loads(counted)
        sessions = service.runtime.sessions
        state = await service.runtime.persistence.snapshot("", "camera-0")
        return Rates(
            used / answers,
            answers / lasted,
            image.ByteSize(),
            size // answers,
            sessions.counters.bytes // STREAMS,
            len(state.state),
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )
    finally:
        if cameras.returncode is None:
            cameras.kill()
        await cameras.wait()
        for session in service.runtime.sessions.list(None):
            service.runtime.sessions.close(session.owner, session.id)


def _to_error(sentence: str) -> TTAError:
    """What the service, or the process of the cameras, said last; of a picture without the path of its field."""
    of_image = IMAGE.fullmatch(sentence)
    return BadImage(of_image[1], "image") if of_image else BadRequest(sentence)


def _make_opening(frames: Frames) -> pb.OpenStream:
    opening = pb.OpenStream(policy=pb.OpenStream.POLICY_BLOCK)
    opening.labels.label_set.names.extend(f"thing {number}" for number in range(frames.classes))
    opening.options.strategy.name = frames.strategy
    opening.options.strategy.parameters.update(frames.parameters)
    opening.options.reduction.reducer.name = frames.reducer
    return opening


def _make_image(service: Application, frames: Frames) -> pb.Image:
    if not frames.edge:
        return pb.Image(encoded=draw_picture() if frames.picture is None else frames.picture)
    clip = service.runtime.clip
    views = int(_parameters(frames).get("views", 1))
    rows = np.random.default_rng(0).normal(size=(views, clip.dimension)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    features = pb.Features(views=views, dimension=clip.dimension, values=rows.tobytes(), model=clip.fingerprint)
    return pb.Image(features=features)


def draw_picture() -> bytes:
    """Photographs side by side, as a JPEG of a camera's size."""
    with (files("tta_service.clip") / "agreement.jpg").open("rb") as sheet, Image.open(sheet) as photographs:
        file = io.BytesIO()
        photographs.convert("RGB").resize(SIZE).save(file, "JPEG", quality=85)
    return file.getvalue()
