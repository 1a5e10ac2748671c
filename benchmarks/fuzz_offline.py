"""The columns of fuzz.py that need no network: parsers and methods in this process, over a small random CLIP."""

from __future__ import annotations

import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import fuzz_images
import torch
from fuzz_messages import POOLS, messages, mutate
from google.protobuf import json_format
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from tta_service.app.parts import Runtime, connect_parts
from tta_service.app.server import make_service
from tta_service.app.server_info import make_server_info
from tta_service.core.errors import ModelFault, TTAError
from tta_service.core.request import Encoded
from tta_service.http.bodies import SHORT
from tta_service.images.decode import decode
from tta_service.methods.oip import OpenInference
from tta_service.methods.service import AdaptationService
from tta_service.serving.concurrency import make_executors
from tta_service.serving.costs.model import CostModel
from tta_service.serving.persistence.encryption import Subject
from tta_service.serving.persistence.signing import SignedCodec
from tta_service.serving.persistence.stores.base import name_of
from tta_service.serving.persistence.stores.folder import FolderStore
from tta_service.settings import BadSettings, Settings, load
from tta_service.testing import FakeCLIP
from tta_service.wire.identity import Caller, Role, set_caller
from tta_service.wire.json_mapping import from_json, from_query
from tta_service.wire.json_text import load_json
from tta_service.wire.large_json import parse_large
from tta_service.wire.status import code_number_of
from tta_service.wire.v1 import open_inference_pb2 as oip
from tta_service.wire.v1 import tta_pb2 as pb

SECRET = "a secret for inputs of any kind"
INTERNAL = 13
SLOW = 2.0  # seconds of processor time that one input may take
METHODS = pb.DESCRIPTOR.services_by_name["AdaptationService"].methods_by_name
INFERENCE = oip.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
LIMITS = {"parameters": {"views": 8, "steps": 2, "copies": 2, "capacity": 8, "slots": 4, "window": 8}, "names": 200}


@dataclass
class Tally:
    """What became of the inputs of one column."""

    inputs: int = 0
    accepted: int = 0
    seconds: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)  # the first input of each kind

    def refused(self, error: Exception, given: Any) -> None:
        """Typed errors are what is wanted; anything else is a failure."""
        typed = isinstance(error, TTAError) and code_number_of(error) != INTERNAL
        if not typed and not isinstance(error, BadSettings):
            self.fail(_place(error), given)

    def fail(self, what: str, given: Any) -> None:
        if what not in self.failures:
            self.failures[what] = repr(given)[:2000]


def _place(error: BaseException) -> str:
    while isinstance(error, ModelFault) and error.__cause__ is not None:
        error = error.__cause__
    at, place = error.__traceback__, ""
    while at is not None:
        code = at.tb_frame.f_code
        place = f"{Path(code.co_filename).name}:{at.tb_lineno}" if "tta_service" in code.co_filename else place
        at = at.tb_next
    return f"{type(error).__name__} at {place}: {str(error)[:120]}"


def drawn(strategy: Any, count: int, seed: int) -> list[Any]:
    """So many examples of a Hypothesis strategy."""
    found = list[Any]()

    @seeded(seed)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(one: Any) -> None:
        found.append(one)

    collect()
    return found


def labels() -> pb.Labels:
    return pb.Labels(label_set=pb.LabelSet(names=["cat", "dog", "car"]))


def valid(kind: type[Message], chance: random.Random) -> Message:
    """A message that is answered, where one is known; else an empty one."""
    image = pb.Image(encoded=chance.choice(fuzz_images.whole()))
    lesson = pb.Lesson(image=image, labels=labels(), label="cat")
    options = pb.Options(strategy=pb.Choice(name=chance.choice(("zero_shot", "tda", "zero", "taught", "dota"))))
    infer = oip.ModelInferRequest(model_name="zero_shot")
    picture = infer.inputs.add(name="image", datatype="BYTES", shape=[1])
    picture.contents.bytes_contents.append(image.encoded)
    infer.parameters["labels"].string_param = "cat,dog"
    known: dict[type[Message], Callable[[], Message]] = {
        pb.ClassifyRequest: lambda: pb.ClassifyRequest(image=image, labels=labels(), options=options, session_id="a"),
        pb.EmbedRequest: lambda: pb.EmbedRequest(images=[image]),
        pb.PutLabelSetRequest: lambda: pb.PutLabelSetRequest(label_set=labels().label_set),
        pb.TeachSessionRequest: lambda: pb.TeachSessionRequest(session_id="a", lessons=[lesson, lesson]),
        pb.OpenStream: lambda: pb.OpenStream(labels=labels(), options=options, session_id="b"),
        pb.Frame: lambda: pb.Frame(frame_id=chance.randrange(1 << 40), image=image),
        pb.Lesson: lambda: lesson,
        oip.ModelInferRequest: lambda: infer,
        pb.RestoreSessionRequest: lambda: pb.RestoreSessionRequest(
            snapshot=pb.SessionSnapshot(state=chance.choice(POOLS["state"] or [b""]))
        ),
    }
    if kind in known:
        return known[kind]()
    message: Any = kind()
    for name in ("session_id", "lesson_group", "site"):
        if name in kind.DESCRIPTOR.fields_by_name and chance.random() < 0.7:
            setattr(message, name, "a")
    return message


class Corpus:
    """Messages of one kind: drawn ones, valid ones, and changes of both without end."""

    def __init__(self, kind: type[Message], chance: random.Random, drawn_ones: int = 60) -> None:
        self._kind, self._chance = kind, chance
        self._base = drawn(messages(kind), drawn_ones if kind.DESCRIPTOR.fields else 1, chance.randrange(1 << 30))

    def next(self) -> Message:
        chance = self._chance
        if chance.random() < 0.6:
            return mutate(valid(self._kind, chance), chance)
        return mutate(chance.choice(self._base), chance)


class Context:
    """A call without a deadline."""

    def time_remaining(self) -> float | None:
        return 5.0

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def __init__(self) -> None:
        self.callbacks = list[Callable[[Any], None]]()

    def add_done_callback(self, callback: Callable[[Any], None], /) -> None:
        self.callbacks.append(callback)

    def end(self) -> None:
        for callback in self.callbacks:
            callback(self)


@asynccontextmanager
async def offline_service(folder: Path | None = None) -> AsyncIterator[tuple[AdaptationService, Runtime]]:
    """The methods over a small random CLIP, with a state store if there is a folder."""
    given = {
        "limits": LIMITS,
        "sessions": {"secret": SECRET, "most": 64, "thumbnails": 32},
        "text": {"cache_bytes": 1 << 22},
    }
    chosen = Settings.model_validate(given)
    clip: Any = FakeCLIP()
    lanes = make_executors(prepare=1, adapt=1, cores=1)
    store = FolderStore(folder, 1e6) if folder else None
    parts = connect_parts(chosen, clip, lanes, CostModel(64), store=store)
    running = asyncio.create_task(parts.batcher.run())
    parts.health.ready(0.001)
    set_caller(Caller("", Role.ADMIN, "here"))
    info = make_server_info(chosen, clip)
    POOLS["fingerprint"][:], POOLS["dimension"][:] = [info.fingerprint], [info.dimension]
    try:
        yield make_service(parts, info, lambda event: None), parts
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        lanes.close()


def remember(reply: Any) -> None:
    """What later messages may name."""
    for name, pool in (
        ("example_id", "example_id"),
        ("label_set_id", "label_set_id"),
        ("next_page_token", "page_token"),
    ):
        if found := getattr(reply, name, ""):
            POOLS[pool].append(found)
            del POOLS[pool][:-50]
    if isinstance(reply, pb.SnapshotSessionResponse) and len(reply.snapshot.state) < 100_000:
        POOLS["state"].append(reply.snapshot.state)
        del POOLS["state"][:-20]


def check_reply(reply: Any, tally: Tally, asked: Any) -> None:
    """An answer has scores that are numbers, the best first."""
    scores = [one.score for one in getattr(reply, "top", ())]
    if scores and not (0 <= scores[-1] <= scores[0] <= 1.0001):
        tally.fail(f"scores {scores[:3]}", asked)


async def until(ends: float, tally: Tally, one: Callable[[], Awaitable[Any]]) -> None:
    """Inputs one after the other until that moment."""
    began = time.monotonic()
    while time.monotonic() < ends:
        await one()
    tally.seconds += time.monotonic() - began


async def unary_methods(seconds: float, tally: Tally, chance: random.Random) -> None:
    """Every unary method of `tta.v1`, half of them Classify."""
    corpora = {
        name: Corpus(GetMessageClass(method.input_type), chance)
        for name, method in METHODS.items()
        if not method.client_streaming
    }
    async with offline_service() as (service, _):
        await _call_methods(seconds, tally, chance, service, corpora, "Classify")


async def inference_methods(seconds: float, tally: Tally, chance: random.Random) -> None:
    """Every unary method of the Open Inference Protocol, half of them ModelInfer."""
    names = [name for name, method in INFERENCE.items() if not method.client_streaming and hasattr(OpenInference, name)]
    corpora = {name: Corpus(GetMessageClass(INFERENCE[name].input_type), chance) for name in names}
    async with offline_service() as (service, _):
        await _call_methods(seconds, tally, chance, OpenInference(service, lambda: True), corpora, "ModelInfer")


async def _call_methods(
    seconds: float, tally: Tally, chance: random.Random, service: Any, corpora: dict[str, Corpus], usual: str
) -> None:
    async def one() -> None:
        name = usual if chance.random() < 0.5 else chance.choice(list(corpora))
        message = corpora[name].next()
        tally.inputs += 1
        busy = time.process_time()
        try:
            reply = await getattr(service, name)(message, Context())
            tally.accepted += 1
            remember(reply)
            check_reply(reply, tally, message)
        except Exception as error:
            tally.refused(error, message)
        if (spent := time.process_time() - busy) > SLOW:
            tally.fail(f"{name} took {spent:.0f} s of processor time", message)

    await until(time.monotonic() + seconds, tally, one)


async def streams(seconds: float, tally: Tally, chance: random.Random) -> None:
    """Streams of `tta.v1`: an opening, frames and lessons; each message counts."""
    opens, frames, lessons = (Corpus(kind, chance) for kind in (pb.OpenStream, pb.Frame, pb.Lesson))
    async with offline_service() as (service, _):

        async def one() -> None:
            context, sent, number = Context(), list[Message](), 0
            opening = opens.next() if chance.random() < 0.5 else valid(pb.OpenStream, chance)
            sent.append(pb.ClassifyStreamRequest(open=opening))
            for _ in range(chance.randrange(6)):
                number += 1
                if chance.random() < 0.3:
                    sent.append(pb.ClassifyStreamRequest(lesson=lessons.next()))
                    continue
                frame: Any = frames.next()
                frame.frame_id = frame.frame_id if chance.random() < 0.1 else number
                sent.append(pb.ClassifyStreamRequest(frame=frame))
            tally.inputs += len(sent)

            async def source() -> AsyncIterator[Any]:
                for message in sent:
                    yield message

            replies = service.ClassifyStream(source(), context)
            try:
                async with asyncio.timeout(60):
                    async for reply in replies:
                        _check_stream_reply(reply, tally, sent)
                tally.accepted += 1
            except Exception as error:
                tally.refused(error, sent)
            finally:
                await replies.aclose()  # type: ignore[attr-defined]
                context.end()

        await until(time.monotonic() + seconds, tally, one)


def _check_stream_reply(reply: Any, tally: Tally, sent: Any) -> None:
    kind = reply.WhichOneof("kind")
    if kind == "answer":
        remember(reply.answer.response)
        check_reply(reply.answer.response, tally, sent)
    status = {"error": reply.error.status, "lesson": reply.lesson.status}.get(kind)
    if status is not None and status.code == INTERNAL:
        tally.fail(f"{kind}: {status.message}", sent)
    if kind == "lesson" and reply.lesson.example_id:
        POOLS["example_id"].append(reply.lesson.example_id)


async def store_records(seconds: float, tally: Tally, chance: random.Random) -> None:
    """Records of a folder changed on the disk; then the session is asked for, listed and closed."""
    with tempfile.TemporaryDirectory() as folder:
        async with offline_service(Path(folder)) as (service, parts):
            ask: Any = valid(pb.ClassifyRequest, chance)
            ask.options.strategy.name = "tda"
            whole = list[bytes]()
            file = Path(folder)

            async def one() -> None:
                if not whole:
                    await service.Classify(ask, Context())
                    await parts.persistence.save("", "a")
                    whole.append(next(file.glob("*.session")).read_bytes())  # noqa: ASYNC240
                parts.sessions.close_all("client")
                record = damaged_record(whole[0], chance)
                where = file / f"{name_of('', 'a')}.session"
                where.write_bytes(record)
                tally.inputs += 1
                for method, message in (
                    ("GetSession", pb.GetSessionRequest(session_id="a")),
                    ("Classify", ask),
                    ("CloseSession", pb.CloseSessionRequest(session_id="a")),
                ):
                    try:
                        await getattr(service, method)(message, Context())
                        tally.accepted += method == "Classify"
                    except Exception as error:
                        tally.refused(error, record[:300])
                where.unlink(missing_ok=True)

            await until(time.monotonic() + seconds, tally, one)


def damaged_record(whole: bytes, chance: random.Random) -> bytes:
    line, _, state = whole.partition(b"\n")
    match chance.randrange(4):
        case 0:
            return fuzz_images.mutate(whole[:200], chance) + whole[200:]
        case 1:
            changed = json.dumps(changed_tree(json.loads(line), chance)).encode()
            return changed + b"\n" + state
        case 2:
            return line + b"\n" + fuzz_images.mutate(state, chance)
        case _:
            return chance.choice(
                (b"", b"\n", line, whole[: chance.randrange(len(whole))], os.urandom(200), b"[]\n", b"null\n" + state)
            )


async def snapshots(seconds: float, tally: Tally, chance: random.Random) -> None:
    """Snapshots and resume tokens: changed as bytes, and changed inside and signed anew."""
    codec = SignedCodec(SECRET.encode())
    async with offline_service() as (service, parts):
        wholes = list[bytes]()
        for strategy in ("tda", "dota", "taught", "oga"):
            ask: Any = valid(pb.ClassifyRequest, chance)
            ask.session_id, ask.options.strategy.name = strategy, strategy
            await service.Classify(ask, Context())
            taken = await service.SnapshotSession(pb.SnapshotSessionRequest(session_id=strategy), Context())
            wholes.append(taken.snapshot.state)
        token = parts.persistence.resume_token("", "tda")

        async def one() -> None:
            tally.inputs += 1
            about, whole = chance.choice((("snapshot", chance.choice(wholes)), ("token", token)))
            subject = Subject(about, "")
            if chance.random() < 0.4:
                changed = fuzz_images.mutate(whole, chance)
            else:
                header, values = codec.loads(whole, subject)
                header = changed_tree(header, chance) if chance.random() < 0.7 else header
                changed = codec.dumps(header, changed_tensors(values, chance), subject)
            try:
                if about == "token":
                    parts.persistence.resume("", changed)
                else:
                    restored = await parts.persistence.restore("", changed)
                    ask.session_id = restored.id
                    await service.Classify(ask, Context())
                tally.accepted += 1
            except Exception as error:
                tally.refused(error, (about, changed[:300]))

        await until(time.monotonic() + seconds, tally, one)


def changed_tensors(values: dict[str, torch.Tensor], chance: random.Random) -> dict[str, torch.Tensor]:
    changed = dict(values)
    for name in list(values):
        if chance.random() < 0.2:
            old = values[name]
            changes: Sequence[Callable[[], torch.Tensor]] = (
                lambda old=old: old.flatten(),
                lambda old=old: old[:0] if old.ndim else old,
                lambda old=old: old.double(),
                lambda: torch.zeros(0),
            )
            changed[name] = chance.choice(changes)()
    if changed and chance.random() < 0.1:
        changed.pop(chance.choice(list(changed)))
    return changed


TREES = (
    None,
    True,
    False,
    0,
    -1,
    1,
    1 << 40,
    1.5,
    float("1e308"),
    "",
    "x",
    "tda",
    [],
    {},
    [[]],
    "a" * 1000,
    [None],
    {"a": 1},
)


def changed_tree(value: Any, chance: random.Random, share: float = 0.15) -> Any:
    """A value of JSON with some of its parts other than before."""
    if chance.random() < share:
        return chance.choice(TREES)
    if isinstance(value, dict):
        kept = {
            name: changed_tree(inner, chance, share) for name, inner in value.items() if chance.random() > share / 3
        }
        return kept | ({chance.choice(("x", "", "id")): chance.choice(TREES)} if chance.random() < share else {})
    if isinstance(value, list):
        kept = [changed_tree(inner, chance, share) for inner in value]
        return kept * chance.choice((1, 1, 1, 2, 0)) if chance.random() < share else kept
    return value


async def pictures(seconds: float, tally: Tally, chance: random.Random) -> None:
    """Changes of real pictures of every kind, through the decoder."""
    wholes = fuzz_images.whole()

    async def one() -> None:
        for _ in range(100):
            data = fuzz_images.mutate(chance.choice(wholes), chance)
            tally.inputs += 1
            busy = time.process_time()
            try:
                decode(Encoded(data))
                tally.accepted += 1
            except Exception as error:
                tally.refused(error, data)
            if (spent := time.process_time() - busy) > SLOW:
                tally.fail(f"a picture took {spent:.0f} s of processor time", data)

    await until(time.monotonic() + seconds, tally, one)


async def json_texts(seconds: float, tally: Tally, chance: random.Random) -> None:
    """JSON of messages, changed as a tree and as a text; queries of URLs and forms."""
    kinds = [GetMessageClass(method.input_type) for method in METHODS.values()]
    corpora = {kind: Corpus(kind, chance, 30) for kind in kinds}

    async def one() -> None:
        kind = chance.choice(kinds)
        tally.inputs += 1
        if chance.random() < 0.3:
            query = {
                path: [chance.choice(("1", "true", "x", "", "{}", "null", "-1", "cat,dog"))]
                for path in _paths(kind, chance)
            }
            given, parse = query, lambda: from_query(kind, query)
        else:
            try:
                value = MessageToDict(corpora[kind].next(), preserving_proto_field_name=True)
            except json_format.Error:
                return  # a number or a time that JSON has not
            text = json.dumps(changed_tree(value, chance, 0.05)).encode()
            if chance.random() < 0.3:
                text = fuzz_images.mutate(text, chance)
            given, large = text, partial(parse_large, kind, text)
            parse = large if chance.random() < 0.5 else lambda: from_json(kind, load_json(text))
        try:
            parse()
            tally.accepted += 1
        except Exception as error:
            tally.refused(error, (kind.DESCRIPTOR.name, given))

    await until(time.monotonic() + seconds, tally, one)


def _paths(kind: type[Message], chance: random.Random) -> Iterator[str]:
    for _ in range(chance.randrange(1, 5)):
        at, parts = kind.DESCRIPTOR, list[str]()
        for _ in range(4):
            if at is None or not at.fields or chance.random() < 0.15:
                break
            inner = chance.choice(at.fields)
            parts.append(inner.name)
            at = inner.message_type
        if chance.random() < 0.1:
            parts.append(chance.choice(("x", "", "0", "fields")))
        yield ".".join(parts) or chance.choice(list(SHORT))


async def settings_of_any_kind(seconds: float, tally: Tally, chance: random.Random) -> None:
    """Settings as flags, variables and a file."""
    knobs = [
        f"{section}.{name}"
        for section, part in Settings.model_fields.items()
        for name in type(part.default).model_fields
    ]
    values = (
        *TREES,
        "1",
        "true",
        "-5",
        "nan",
        "1e400",
        "a,b",
        "10.0.0.0/8",
        "{",
        '{"a": 1}',
        "\0",
        "\udcff",
        "http://x",
        1e18,
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tta.toml"
        before = dict(os.environ)

        async def one() -> None:
            tally.inputs += 1
            chosen = {chance.choice(knobs): chance.choice(values) for _ in range(chance.randrange(1, 5))}
            for odd in ("server", "limits.parameters.views", "server.tls.key", "x.y", "limits..", "a.b.c.d", ""):
                if chance.random() < 0.05:
                    chosen[odd] = chance.choice(values)
            where = chance.randrange(3)
            try:
                if where == 0:
                    load(chosen)
                elif where == 1:
                    for knob, value in chosen.items():
                        text = value if isinstance(value, str) else json.dumps(value)
                        os.environ[f"TTA_{knob.upper().replace('.', '__')}"] = text.replace("\0", "")
                    load()
                else:
                    lines = [f"{knob} = {json.dumps(value)}" for knob, value in chosen.items()]
                    content = "\n".join(lines).encode(errors="surrogatepass")
                    file.write_bytes(fuzz_images.mutate(content, chance) if chance.random() < 0.5 else content)
                    load(file=file)
                tally.accepted += 1
            except Exception as error:
                tally.refused(error, (where, chosen, file.read_bytes() if where == 2 else b""))
            finally:
                for name in set(os.environ) - set(before):
                    del os.environ[name]

        await until(time.monotonic() + seconds, tally, one)


OFFLINE: dict[str, Callable[[float, Tally, random.Random], Awaitable[None]]] = {
    "pictures": pictures,
    "calls": unary_methods,
    "streams": streams,
    "inference calls": inference_methods,
    "JSON and queries": json_texts,
    "snapshots and tokens": snapshots,
    "store records": store_records,
    "settings": settings_of_any_kind,
}
