"""Every knob, through one class: flags > environment (TTA_…, `__` between levels) > tta.toml > these defaults.

Only `app` and `cli` read it. The rooms receive plain arguments.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
)

from .core.errors import TTAError
from .sources import Knob, SourcedValue, Unreadable, in_file, in_flags, in_variables, leaves, place_of, tree

Judge = Callable[[Any], object]  # raises `TTAError` for a value that is of the right type and yet no good
NONE: Mapping[str, Any] = MappingProxyType({})

Port = Annotated[int, Field(ge=0, le=65535)]  # 0: any free one
Bytes = Annotated[int, Field(ge=1024, le=1 << 40)]
Threads = Annotated[int, Field(ge=0, le=256)]  # 0: as many as fit the machine
Seconds = Annotated[float, Field(ge=0, le=86400)]
URL = Annotated[str, Field(repr=False)]  # it may hold a password


def _parse_list(given: Any) -> Any:
    try:
        return json.loads(given) if isinstance(given, str) else given
    except ValueError:
        raise ValueError("a list of numbers is needed, such as [0.1, 1]") from None


def _check_rising(bounds: tuple[float, ...]) -> tuple[float, ...]:
    if list(bounds) != sorted(set(bounds)):
        raise ValueError("bounds of buckets rise, each above the one before")
    return bounds


Bound = Annotated[float, Field(gt=0, le=86400)]
Buckets = Annotated[
    tuple[Bound, ...], Field(min_length=1, max_length=64), BeforeValidator(_parse_list), AfterValidator(_check_rising)
]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Model(Section):
    name: str = "pocket"  # the bundled one, or any name that open_clip knows
    pretrained: str = ""  # tag of its weights
    checkpoint: str = ""  # or a file with them
    device: str = "auto"
    precision: Literal["float32", "bfloat16", "float16", "int8"] = "float32"  # of the image tower
    runtime: Literal["eager", "compile", "cudagraphs", "onnxruntime", "openvino"] = "eager"
    reducers: str = ""  # "tome,evit:keep=0.5": what a runtime other than eager serves beside the default reducer
    compress: str = ""  # the image tower's linear layers: svd:RANK or prune:RATIO


class Server(Section):
    host: str = "127.0.0.1"
    port: Port = 50051
    drain: Seconds = 10.0  # for requests that are under way at SIGTERM
    connection_age: Seconds = 0.0  # then a connection is asked to end, its streams too: clients look for new servers
    pre_stop: Seconds = 0.0  # NOT_SERVING before the doors close, so that load balancers notice


class MetricsServer(Section):
    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = 9464
    latency_buckets: Buckets = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # seconds
    peaks: str = ""  # a file written by `tta-service measure --out`: each strategy's memory, published as it stands


class Tracing(Section):
    endpoint: URL = ""  # of an OTLP collector by gRPC, http://host:4317; none: no spans. Needs the extra `tracing`
    share: Annotated[float, Field(ge=0, le=1)] = (
        1.0  # of all answers whose callers have not decided for their own trace
    )


class Log(Section):
    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Defaults(Section):
    strategy: str = "zero_shot"  # for questions that name none
    reducer: str = "none"


class Limits(Section):
    names: Annotated[int, Field(ge=1, le=100_000)] = 2000
    characters: Annotated[int, Field(ge=1, le=4096)] = 256  # of one name or template
    templates: Annotated[int, Field(ge=1, le=1000)] = 8
    views: Annotated[int, Field(ge=1, le=4096)] = 512
    buffer: Annotated[int, Field(ge=1, le=4096)] = 64  # frames that one stream may let wait
    stream_bytes: Bytes = 64 << 20  # of them
    all_streams_bytes: Bytes = 512 << 20  # of those of all streams; one frame of each is let in beyond it
    stream_fps: Annotated[float, Field(ge=0, le=1_000_000)] = 240.0  # read of one stream, unless it blocks; 0: any
    first_message: Annotated[float, Field(gt=0, le=3600)] = 5.0  # seconds until a stream has said how it opens
    image_bytes: Bytes = 8 << 20
    image_pixels: Annotated[int, Field(ge=1, le=1 << 30)] = 16_000_000
    image_side: Annotated[int, Field(ge=1, le=65535)] = 8192
    message_bytes: Bytes = 9 << 20  # an image at its limit, and the rest of the question
    parameters: dict[str, float] = {}  # maxima of strategy parameters by field name, below the strategies' own


class Batch(Section):
    max_rows: Annotated[int, Field(ge=0, le=65536)] = 0  # 0: measured at warm-up
    waiting: Annotated[int, Field(ge=1, le=1_000_000)] = 256  # requests at the door; more are told to come back
    waiting_cost: Annotated[int, Field(ge=0, le=1 << 40)] = 0  # rows times passes of all; 0: `waiting` large requests
    client_share: Annotated[float, Field(gt=0, le=1)] = 0.5  # of that for one client (an address); 1: all of it


class Lanes(Section):
    cores: Threads = 0  # of the machine that are ours
    prepare: Threads = 0  # decode and cut views
    adapt: Annotated[int, Field(ge=1, le=256)] = 2


class Sessions(Section):
    idle: Seconds = 300.0
    session_bytes: Bytes = 256 << 20  # of memories, in one session
    owner_bytes: Bytes = 1 << 30
    total_bytes: Bytes = 4 << 30
    most: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    store: URL = ""  # a folder, or redis://… valkey://…; none: sessions end with the process
    store_keep: Annotated[float, Field(gt=0, le=366 * 86400)] = 86400.0  # seconds until what nobody writes is forgotten
    write_seconds: Annotated[float, Field(gt=0, le=3600)] = 5.0  # the store is never further behind than this
    write_frames: Annotated[int, Field(ge=1, le=1_000_000)] = 50  # nor by more frames of one session
    secret: SecretStr = SecretStr("")  # signs snapshots; none: a random one, and snapshots live as long as the process


class Text(Section):
    cache_bytes: Bytes = 256 << 20  # features; definitions stay when these are given up
    activation_bytes: Bytes = 1 << 30  # kept for backward passes; made anew when given up
    definitions: Annotated[int, Field(ge=1, le=1_000_000)] = 1000


class Settings(Section):
    """The whole configuration of one server."""

    model: Model = Model()
    server: Server = Server()
    metrics: MetricsServer = MetricsServer()
    tracing: Tracing = Tracing()
    log: Log = Log()
    defaults: Defaults = Defaults()
    limits: Limits = Limits()
    batch: Batch = Batch()
    lanes: Lanes = Lanes()
    sessions: Sessions = Sessions()
    text: Text = Text()
    _said: dict[Knob, SourcedValue] = PrivateAttr(default_factory=dict[Knob, SourcedValue])

    def located(self, knob: str, message: str) -> str:
        """A sentence about a knob with its name in front, and in front of that where it was set, if anybody did."""
        return _line(place_of(tuple(knob.split(".")), self._said), knob, message)


class BadSettings(Exception):
    """A configuration that cannot be used, with a sentence that names the knob: a line for each mistake."""


def load(
    flags: Mapping[str, Any] | None = None,
    file: Path | None = None,
    spelt: Mapping[str, str] = NONE,
    judges: Mapping[str, Judge] = NONE,
) -> Settings:
    """Settings from all sources; `flags` by dotted name ("server.port"), a flag of None was not given.

    `file` stands for ./tta.toml and must then exist. `spelt` is what a flag is called where it was given ("--port"),
    `judges` by dotted name see what was said of a knob. Raises `BadSettings` with a line for each mistake, which names
    the file, variable or flag, and the knob.
    """
    wrong: list[str] = []
    try:
        filed = in_file(file or Path("tta.toml"), must_exist=file is not None)
    except Unreadable as error:
        filed, wrong = [], [str(error)]
    sections = Settings.model_fields
    order = (*filed, *in_variables(os.environ, sections), *in_flags(flags or {}, spelt))  # the last one counts
    message = {one.knob: one for one in leaves(order, sections)}
    for knob in [knob for knob in message if len(knob) == 1 and knob[0] in sections]:
        _, value, where = message.pop(knob)
        one = f"{knob[0]}.{next(iter(type(sections[knob[0]].default).model_fields))}"
        wrong.append(_line(where, knob[0], f"this is a section; name a setting in it, such as {one}", value))
    for knob in [knob for knob in message if any(knob[:length] in message for length in range(1, len(knob)))]:
        _, value, where = message.pop(knob)
        wrong.append(_line(where, ".".join(knob), "there is no such setting", value))
    wrong += _validate(judges, message)
    try:
        settings = Settings.model_validate(tree(message.values()))
    except ValidationError as error:
        raise BadSettings("\n".join([*wrong, *_mistakes(error, message)])) from None
    if wrong:
        raise BadSettings("\n".join(wrong))
    settings._said = message
    return settings


def _validate(judges: Mapping[str, Judge], said: Mapping[Knob, SourcedValue]) -> Iterator[str]:
    for name, judge in judges.items():
        one = said.get(tuple(name.split(".")))
        if one and isinstance(one.value, str):
            try:
                judge(one.value)
            except TTAError as error:
                yield _line(one.where, name, error.message)


def _mistakes(error: ValidationError, said: Mapping[Knob, SourcedValue]) -> Iterator[str]:
    for one in error.errors(include_url=False):
        knob = tuple(map(str, one["loc"]))
        message = "there is no such setting" if one["type"] == "extra_forbidden" else one["msg"]
        message = message.removeprefix("Value error, ")
        yield _line(place_of(knob, said), ".".join(knob), message[:1].lower() + message[1:], one["input"])


def _line(where: str, knob: str, message: str, *got: Any) -> str:
    """`got`: what was said, unless it may be a secret."""
    numbers = {name for name, field in Sessions.model_fields.items() if isinstance(field.default, int | float)}
    section, _, name = knob.partition(".")
    shown = [repr(value) for value in got if section != "sessions" or name in numbers]
    text = ", got ".join(
        [f"{knob}: {message}", *(value if len(value) <= 100 else f"{value[:100]}…" for value in shown)]
    )
    return f"{where}: {text}" if where else text


def unknown_variables(environment: Iterable[str]) -> list[str]:
    """TTA_ variables that no section answers to: a misspelt one would be ignored in silence."""
    sections = {f"TTA_{name}".upper() for name in Settings.model_fields}
    ours = (name for name in environment if name.upper().startswith("TTA_"))
    return sorted(name for name in ours if name.upper().partition("__")[0] not in sections)
