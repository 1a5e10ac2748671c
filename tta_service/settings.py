"""All settings: flags > environment (TTA_…, `__` between levels) > tta.toml > these defaults.

Only `app` and `cli` read them. The packages below receive plain arguments.
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
from .sources import Knob, SourcedValue, Unreadable, find_source, flatten, nest, read_file, read_flags, read_variables

Judge = Callable[[Any], object]  # raises `TTAError` for a value of the right type that is not valid
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
    """A group of settings. Unknown names and numbers that are not finite are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Model(Section):
    """The model: its weights, precision and runtime."""

    name: str = "pocket"  # the bundled one, or any name that open_clip knows
    pretrained: str = ""  # tag of its weights
    checkpoint: str = ""  # or a file with them
    device: str = "auto"
    precision: Literal["float32", "bfloat16", "float16", "int8"] = "float32"  # of the image tower
    runtime: Literal["eager", "compile", "cudagraphs", "onnxruntime", "openvino"] = "eager"
    reducers: str = ""  # "tome,evit:keep=0.5": what a runtime other than eager serves beside the default reducer
    compress: str = ""  # the image tower's linear layers: svd:RANK or prune:RATIO


class Server(Section):
    """The gRPC server: its address, and how it ends."""

    host: str = "127.0.0.1"
    port: Port = 50051
    drain: Seconds = 10.0  # for requests that are running at SIGTERM
    connection_age: Seconds = (
        0.0  # after which a connection is asked to end, so that clients find new servers; 0: never
    )
    pre_stop: Seconds = 0.0  # of NOT_SERVING before the drain, so that load balancers notice


class MetricsServer(Section):
    """The server of /metrics: its address, and what it publishes."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = 9464
    latency_buckets: Buckets = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # seconds
    peaks: str = ""  # a file of `tta-service measure --out`, whose memory peaks are published


class Tracing(Section):
    """The export of OpenTelemetry spans."""

    endpoint: URL = ""  # of an OTLP collector by gRPC, http://host:4317; none: no spans. Needs the extra `tracing`
    share: Annotated[float, Field(ge=0, le=1)] = 1.0  # of the answers whose callers send no trace of their own


class Log(Section):
    """The log lines."""

    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Defaults(Section):
    """What a request gets that names no strategy or no reducer."""

    strategy: str = "zero_shot"
    reducer: str = "none"


class Limits(Section):
    """The maxima of requests and streams."""

    names: Annotated[int, Field(ge=1, le=100_000)] = 2000
    characters: Annotated[int, Field(ge=1, le=4096)] = 256  # of one name or template
    templates: Annotated[int, Field(ge=1, le=1000)] = 8
    views: Annotated[int, Field(ge=1, le=4096)] = 512
    buffer: Annotated[int, Field(ge=1, le=4096)] = 64  # frames of one stream that may wait
    stream_bytes: Bytes = 64 << 20  # of the waiting frames of one stream
    all_streams_bytes: Bytes = 512 << 20  # of the waiting frames of all streams; each may have one frame beyond it
    stream_fps: Annotated[float, Field(ge=0, le=1_000_000)] = 240.0  # read of one stream, unless it blocks; 0: any
    first_message: Annotated[float, Field(gt=0, le=3600)] = 5.0  # seconds for the message that opens a stream
    image_bytes: Bytes = 8 << 20
    image_pixels: Annotated[int, Field(ge=1, le=1 << 30)] = 16_000_000
    image_side: Annotated[int, Field(ge=1, le=65535)] = 8192
    message_bytes: Bytes = 9 << 20  # an image at its limit, and the rest of the request
    parameters: dict[str, float] = {}  # maxima of strategy parameters by field name, below the strategies' own


class Batch(Section):
    """The size of batches and of the admission queue."""

    max_rows: Annotated[int, Field(ge=0, le=65536)] = 0  # 0: measured at warm-up
    waiting: Annotated[int, Field(ge=1, le=1_000_000)] = 256  # requests queued for admission; further ones are refused
    waiting_cost: Annotated[int, Field(ge=0, le=1 << 40)] = 0  # rows times passes of all; 0: `waiting` large requests
    client_share: Annotated[float, Field(gt=0, le=1)] = 0.5  # of that for one client (an address); 1: all of it


class Lanes(Section):
    """The threads of the executors."""

    cores: Threads = 0  # that the service may use
    prepare: Threads = 0  # decode and cut views
    adapt: Annotated[int, Field(ge=1, le=256)] = 2


class Sessions(Section):
    """Sessions: how long they live, how much memory they take, and where they are stored."""

    idle: Seconds = 300.0
    session_bytes: Bytes = 256 << 20  # of memories, in one session
    owner_bytes: Bytes = 1 << 30
    total_bytes: Bytes = 4 << 30
    most: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    store: URL = ""  # a folder, or redis://… valkey://…; none: sessions end with the process
    store_keep: Annotated[float, Field(gt=0, le=366 * 86400)] = 86400.0  # seconds from the last write
    write_seconds: Annotated[float, Field(gt=0, le=3600)] = 5.0  # the most that the store lags behind
    write_frames: Annotated[int, Field(ge=1, le=1_000_000)] = 50  # the most frames of one session by which it lags
    secret: SecretStr = SecretStr("")  # signs snapshots; none: a random one, and snapshots live as long as the process


class Text(Section):
    """The cache of encoded label sets."""

    cache_bytes: Bytes = 256 << 20  # of features; an evicted set is encoded again from its definition
    activation_bytes: Bytes = 1 << 30  # kept for backward passes; computed again when evicted
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
    _given: dict[Knob, SourcedValue] = PrivateAttr(default_factory=dict[Knob, SourcedValue])

    def locate_mistake(self, knob: str, message: str) -> str:
        """The message with the name of the setting in front, and before that where it was set, if it was."""
        return _line(find_source(tuple(knob.split(".")), self._given), knob, message)


class BadSettings(Exception):
    """A configuration that cannot be used: a line for each mistake, with the name of the setting."""


def load(
    flags: Mapping[str, Any] | None = None,
    file: Path | None = None,
    spelt: Mapping[str, str] = NONE,
    judges: Mapping[str, Judge] = NONE,
) -> Settings:
    """Settings from all sources. `flags` have dotted names ("server.port"); a flag of None was not given.

    `file` replaces ./tta.toml and must then exist. `spelt` gives the spelling of a flag on the command line ("--port").
    `judges`, by dotted name, check given values. Raises `BadSettings` with a line for each mistake, which names the
    file, variable or flag, and the setting.
    """
    wrong: list[str] = []
    try:
        from_file = read_file(file or Path("tta.toml"), must_exist=file is not None)
    except Unreadable as error:
        from_file, wrong = [], [str(error)]
    sections = Settings.model_fields
    order = (*from_file, *read_variables(os.environ, sections), *read_flags(flags or {}, spelt))  # the last one counts
    given = {one.knob: one for one in flatten(order, sections)}
    for knob in [knob for knob in given if len(knob) == 1 and knob[0] in sections]:
        _, value, where = given.pop(knob)
        example = f"{knob[0]}.{next(iter(type(sections[knob[0]].default).model_fields))}"
        wrong.append(_line(where, knob[0], f"this is a section; name a setting in it, such as {example}", value))
    for knob in [knob for knob in given if any(knob[:length] in given for length in range(1, len(knob)))]:
        _, value, where = given.pop(knob)
        wrong.append(_line(where, ".".join(knob), "there is no such setting", value))
    wrong += _validate(judges, given)
    try:
        settings = Settings.model_validate(nest(given.values()))
    except ValidationError as error:
        raise BadSettings("\n".join([*wrong, *_mistakes(error, given)])) from None
    if wrong:
        raise BadSettings("\n".join(wrong))
    settings._given = given
    return settings


def _validate(judges: Mapping[str, Judge], given: Mapping[Knob, SourcedValue]) -> Iterator[str]:
    for name, judge in judges.items():
        one = given.get(tuple(name.split(".")))
        if one and isinstance(one.value, str):
            try:
                judge(one.value)
            except TTAError as error:
                yield _line(one.where, name, error.message)


def _mistakes(error: ValidationError, given: Mapping[Knob, SourcedValue]) -> Iterator[str]:
    for one in error.errors(include_url=False):
        knob = tuple(map(str, one["loc"]))
        message = "there is no such setting" if one["type"] == "extra_forbidden" else one["msg"]
        message = message.removeprefix("Value error, ")
        yield _line(find_source(knob, given), ".".join(knob), message[:1].lower() + message[1:], one["input"])


def _line(where: str, knob: str, message: str, *got: Any) -> str:
    """The line of one mistake. It shows the values `got`, unless they may be secrets."""
    numbers = {name for name, field in Sessions.model_fields.items() if isinstance(field.default, int | float)}
    section, _, name = knob.partition(".")
    shown = [repr(value) for value in got if section != "sessions" or name in numbers]
    text = ", got ".join(
        [f"{knob}: {message}", *(value if len(value) <= 100 else f"{value[:100]}…" for value in shown)]
    )
    return f"{where}: {text}" if where else text


def unknown_variables(environment: Iterable[str]) -> list[str]:
    """The TTA_ variables that belong to no section: a misspelt one would otherwise be ignored silently."""
    sections = {f"TTA_{name}".upper() for name in Settings.model_fields}
    ours = (name for name in environment if name.upper().startswith("TTA_"))
    return sorted(name for name in ours if name.upper().partition("__")[0] not in sections)
