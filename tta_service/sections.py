"""The sections of the settings, with defaults and bounds. `limits` is `Limits` of `wire`; packages have their own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from .serving.sessions.memory import MemoryLimits
from .setting_types import (
    URL,
    Buckets,
    Decoders,
    Header,
    Host,
    Names,
    Networks,
    Origins,
    Port,
    Seconds,
    Secret,
    Secrets,
    Threads,
    Words,
)
from .wire.server_info import Bytes

DEFAULT_MEMORY = MemoryLimits()


class Section(BaseModel):
    """A group of settings. Unknown names and numbers that are not finite are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Model(Section):
    """The model: its weights, precision and runtime."""

    name: str = "pocket"  # the bundled one, or any name that open_clip knows
    pretrained: str = ""  # tag of its weights
    checkpoint: str = ""  # or a file with them
    config: str = ""  # a file that describes the weights, if it does not lie beside them under its usual name
    plugin: str = ""  # MODULE:FUNCTION, called before the model is loaded
    served_name: Annotated[str, Field(max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""  # what answers call it
    device: str = "auto"
    precision: Literal["float32", "bfloat16", "float16", "int8", "auto"] = "float32"  # of the image tower
    runtime: Literal["eager", "compile", "cudagraphs", "onnxruntime", "openvino", "auto"] = "eager"
    reducers: str = ""  # "tome,evit:keep=0.5": what a runtime other than eager serves beside the default reducer
    compress: str = ""  # the image tower's linear layers: svd:RANK or prune:RATIO


class TLS(Section):
    """Encryption of all that this server listens on, and client certificates."""

    certificate: str = ""  # a PEM file with the chain, the server's own certificate first; read again when it changes
    key: str = ""  # and one with its private key
    client_ca: str = ""  # of the authority of client certificates; with `keys` they have a port of their own
    client_port: Port = 50052  # that one
    terminated_by_proxy: bool = False  # a proxy does TLS; calls then come from `trusted_proxies` or this machine only


class Server(Section):
    """The gRPC server: its address, who may call it, and how it ends."""

    host: Host = "127.0.0.1"
    port: Port = 50051
    keys: str = ""  # the file of API keys that `tta-service keys` writes; read again when it changes
    tls: TLS = TLS()
    trusted_proxies: Networks = ()  # "10.0.0.0/8, …", whose x-forwarded-for is believed
    owner_header: Header = ""  # in which they name the caller that they have checked
    role_header: Header = ""  # and its role, infer without one
    insecure: bool = False  # listens on other addresses than this machine's without keys or certificates and TLS
    drain: Seconds = 10.0  # for requests that are running at SIGTERM
    connection_age: Seconds = 0.0  # of a connection before it is asked to end, so that clients find new servers; 0: any
    connections: Annotated[int, Field(ge=0, le=1_000_000)] = 0  # open on each gRPC port; 0: half of the open files
    pre_stop: Seconds = 0.0  # of NOT_SERVING before the drain, so that load balancers notice


class Http(Section):
    """REST, WebSocket and the page: the same service on HTTP, at `server.host`."""

    enabled: bool = True
    port: Port = 8080
    hosts: Names = ()  # names of this server in Host, beside localhost and IP addresses
    origins: Origins = ()  # of pages elsewhere that may ask it, "https://example.org"; none: its own page only
    connections: Annotated[int, Field(ge=1, le=100_000)] = 1024  # open ones; further ones are answered with 503
    body_bytes: Bytes = 128 << 20  # of all bodies that are being read or answered
    body_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0  # that a body may take to arrive
    silence: Annotated[float, Field(gt=0, le=3600)] = 10.0  # seconds; see docs/configuration.md
    grafana: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = ""  # address of dashboards, which the page links to


class MetricsServer(Section):
    """The server of /metrics and of the health check over HTTP: its address, and what it publishes."""

    enabled: bool = True
    host: Host = "127.0.0.1"
    port: Port = 9464
    token: Secret = SecretStr("")  # of scrapers, as `Authorization: Bearer`; none: client certificates, or this machine
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
    audit: str = ""  # a file that gets a line of JSON for each lesson, restore, switch, deletion and change of keys
    audit_required: bool = False  # while it cannot be written, these are refused


class Defaults(Section):
    """What a request gets that names no strategy or no reducer."""

    strategy: str = "zero_shot"
    reducer: str = "none"
    disabled: Words = ()  # "tpt, …": zero_shot stands in for them


class Images(Section):
    """How images are decoded; their maxima are in `limits`."""

    exact: bool = (
        False  # JPEGs at full size; else at the DCT scale that leaves at least four sides of the model's image
    )
    decoders: Decoders = 0  # processes that decode pictures; 0: the threads do
    decode_seconds: Annotated[float, Field(gt=0, le=3600)] = 2.0  # of a processor, that one picture may take there


class Batch(Section):
    """The size of batches and of the admission queue."""

    max_rows: Annotated[int, Field(ge=0, le=65536)] = 0  # 0: measured at warm-up
    waiting: Annotated[int, Field(ge=1, le=1_000_000)] = 256  # requests queued for admission; further ones are refused
    waiting_cost: Annotated[int, Field(ge=0, le=1 << 40)] = 0  # rows times passes of all; 0: `waiting` large requests
    client_share: Annotated[float, Field(gt=0, le=1)] = 0.5  # of that for one client: an owner, or an address
    weights: dict[str, Annotated[float, Field(gt=0, le=1000)]] = {}  # of clients, in sharing the device; others have 1


class Lanes(Section):
    """The threads of the executors."""

    cores: Threads = 0  # that the service may use
    prepare: Threads = 0  # decode and cut views
    adapt: Annotated[int, Field(ge=1, le=256)] = 2


class Sessions(Section):
    """Sessions: how long they live, how much memory they take, and where they are stored."""

    idle: Seconds = 300.0
    session_bytes: Bytes = DEFAULT_MEMORY.session  # of memories, in one session
    owner_bytes: Bytes = DEFAULT_MEMORY.owner
    total_bytes: Bytes = DEFAULT_MEMORY.total
    most: Annotated[int, Field(ge=1, le=1_000_000)] = DEFAULT_MEMORY.sessions
    groups: Annotated[int, Field(ge=1, le=1_000_000)] = DEFAULT_MEMORY.groups  # lesson groups; their bytes: as sessions
    recent: Annotated[int, Field(ge=0, le=4096)] = DEFAULT_MEMORY.recent  # frames that a lesson may be about
    taught_idle: Annotated[float, Field(ge=0, le=366 * 86400)] = DEFAULT_MEMORY.taught_idle  # with lessons, questions
    questions: Annotated[int, Field(ge=1, le=100_000)] = DEFAULT_MEMORY.questions  # that wait in one session
    question_age: Annotated[float, Field(gt=0, le=366 * 86400)] = DEFAULT_MEMORY.question_age  # seconds that they wait
    thumbnails: Annotated[int, Field(ge=0, le=1024)] = 0  # longer side, of pictures that may be taught; 0: none is made
    store: URL = ""  # a folder, redis://… valkey://… redis+sentinel://…; none: sessions end with the process
    counters: URL = ""  # a second store, of write counters: who brings back older records is noticed
    store_keep: Annotated[float, Field(gt=0, le=366 * 86400)] = 86400.0  # seconds from the last write
    owner_stored_bytes: Annotated[int, Field(ge=0, le=1 << 60)] = 0  # of one owner in the store; 0: any number
    group_seconds: Annotated[float, Field(gt=0, le=3600)] = 2.0  # until other servers see a group's lesson
    write_seconds: Annotated[float, Field(gt=0, le=3600)] = 5.0  # the most that the store lags behind
    write_frames: Annotated[int, Field(ge=1, le=1_000_000)] = 50  # the most frames of one session by which it lags
    adopt_owner: str = ""  # whose sessions and snapshots are that are from before callers were asked who they are
    secret: Secret = SecretStr("")  # signs and encrypts what is stored; none: a random one, as long as the process runs
    former_secrets: Secrets = ()  # "SECRET, …", which read what they wrote; it is written anew with `secret`


class Text(Section):
    """The cache of encoded label sets."""

    cache_bytes: Bytes = 256 << 20  # of features; an evicted set is encoded again from its definition
    activation_bytes: Bytes = 1 << 30  # kept for backward passes; computed again when evicted
    definitions: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
