"""Bad input of every kind: the right code, a sentence that names the field, and the server goes on."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from PIL import Image

from tests.patience import PATIENCE
from tta_service.core.events import Called, Refused
from tta_service.serving.admission.controller import AdmissionController
from tta_service.wire.v1 import tta_pb2 as pb

from .conftest import busy, choice, jpeg, open_harness, options, question, until

INVALID, MISSING, UNSUPPORTED = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED,
)


async def check_refused(harness, message: pb.ClassifyRequest, code: grpc.StatusCode, field: str) -> str:
    """The sentence of a refusal, whose code, field and details must agree."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await harness.stub.Classify(message, timeout=PATIENCE)
    assert (caught.value.code(), caught.value.details().partition(": ")[0]) == (code, field), caught.value.details()
    trailers = dict(caught.value.trailing_metadata())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    assert status.message == caught.value.details()
    fields = []
    for packed in status.details:
        bad = error_details_pb2.BadRequest()
        if packed.Unpack(bad):
            fields = [violation.field for violation in bad.field_violations]
    assert fields == [field]
    return caught.value.details()


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """A PNG of 144 million pixels in a few hundred kilobytes."""
    side = 12_000
    packer = zlib.compressobj(6)
    rows = b"".join(packer.compress(bytes(side + 1)) for _ in range(side)) + packer.flush()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        jpeg()[: len(jpeg()) // 2],
        jpeg()[:20],
        b"GIF89a" + bytes(100),
        b"not an image at all",
        bytes(8 << 20) + b"x",
    ],
    ids=["empty", "truncated", "header only", "wrong format", "text", "too many bytes"],
)
async def test_images_that_cannot_be_read_are_refused(harness, encoded):
    await check_refused(harness, question(image=pb.Image(encoded=encoded)), INVALID, "image.encoded")
    assert (await harness.stub.Classify(question())).top


async def test_a_decompression_bomb_is_refused_by_its_header(harness, bomb):
    assert len(bomb) < 1 << 20
    assert "12000" in await check_refused(harness, question(image=pb.Image(encoded=bomb)), INVALID, "image.encoded")
    assert (await harness.stub.Classify(question())).top


async def test_a_message_over_the_limit_is_refused_by_the_transport(harness):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await harness.stub.Classify(question(image=pb.Image(encoded=bytes(10 << 20))))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await harness.stub.Classify(question())).top


async def test_one_pixel_is_answered(harness):
    file = io.BytesIO()
    Image.new("RGB", (1, 1), (200, 10, 10)).save(file, "PNG")
    for name in ("zero_shot", "mta"):
        response = await harness.stub.Classify(question(image=pb.Image(encoded=file.getvalue()), options=options(name)))
        assert len(response.top) == 3


RAW = {"width": 4, "height": 4, "format": pb.RawImage.FORMAT_RGB24, "pixels": bytes(48)}


@pytest.mark.parametrize(
    "change, field",
    [
        ({"format": 0}, "image.raw.format"),
        ({"format": 77}, "image.raw.format"),
        ({"pixels": bytes(47)}, "image.raw"),
        ({"width": 0}, "image.raw"),
        ({"width": 4_000_000_000, "height": 4_000_000_000}, "image.raw"),
        ({"format": pb.RawImage.FORMAT_NV12, "width": 3, "pixels": bytes(18)}, "image.raw"),
    ],
)
async def test_raw_pixels_of_another_length_are_refused(harness, change, field):
    await check_refused(harness, question(image=pb.Image(raw=pb.RawImage(**{**RAW, **change}))), INVALID, field)


def features(harness, **more) -> pb.Image:
    rows = np.ones((2, harness.parts.clip.dimension), dtype="<f4")
    rows[more.pop("row", 0)] *= more.pop("times", 1.0)
    good = {
        "views": 2,
        "dimension": harness.parts.clip.dimension,
        "values": rows.tobytes(),
        "model": harness.parts.clip.fingerprint,
    }
    return pb.Image(features=pb.Features(**{**good, **more}))


@pytest.mark.parametrize(
    "change, field",
    [
        ({"model": "another"}, "model"),
        ({"dimension": 3}, "dimension"),
        ({"views": 0}, "views"),
        ({"views": 4_000_000_000}, "views"),
        ({"views": 3}, "values"),
        ({"values": b""}, "values"),
        ({"row": 1, "times": np.nan}, "values"),
        ({"row": 1, "times": np.inf}, "values"),
        ({"row": 1, "times": 0.0}, "values"),
    ],
)
async def test_invalid_features_are_refused(harness, change, field):
    await check_refused(harness, question(image=features(harness, **change)), INVALID, f"image.features.{field}")


async def test_huge_finite_features_are_only_normalised(harness):
    one = await harness.stub.Classify(question(image=features(harness)))
    two = await harness.stub.Classify(question(image=features(harness, row=0, times=1e37)))
    assert [s.logit for s in one.top] == pytest.approx([s.logit for s in two.top], abs=1e-4)


async def test_a_request_without_an_image_is_refused(harness):
    await check_refused(harness, question(image=pb.Image()), INVALID, "image")


NAN = float("nan")


@pytest.mark.parametrize(
    "asked, field",
    [
        (options("telepathy"), "strategy.name"),
        (options("zero", vews=3), "strategy.parameters.vews"),
        (options("zero", views="many"), "strategy.parameters.views"),
        (options("zero", views=3.5), "strategy.parameters.views"),
        (options("zero", views=True), "strategy.parameters.views"),
        (options("zero", views=None), "strategy.parameters.views"),
        (options("zero", views=[1, {"a": 2}]), "strategy.parameters.views"),
        (options("zero", views=0), "strategy.parameters.views"),
        (options("zero", views=1e300), "strategy.parameters.views"),
        (options("zero", views=-1), "strategy.parameters.views"),
        (options("zero", keep=NAN), "strategy.parameters.keep"),
        (options("zero", keep=float("inf")), "strategy.parameters.keep"),
        (options("zero", views=400), "strategy.parameters.views"),  # over this server's own limit
        (pb.Options(top_k=0), "top_k"),
        (pb.Options(on_deadline=9), "on_deadline"),
        (pb.Options(reduction=pb.Reduction(scope=9)), "reduction.scope"),
        (pb.Options(reduction=pb.Reduction(reducer=choice("vacuum"))), "reduction.reducer.name"),
        (pb.Options(reduction=pb.Reduction(reducer=choice("none", rate=1))), "reduction.reducer.parameters.rate"),
        (pb.Options(cascade=pb.Cascade(to=choice("telepathy"))), "cascade.to.name"),
        (pb.Options(cascade=pb.Cascade(to=choice("zero"), above=1.5)), "cascade.above"),
        (pb.Options(cascade=pb.Cascade(to=choice("zero"), above=NAN)), "cascade.above"),
        (pb.Options(strategy=choice("zero"), cascade=pb.Cascade(to=choice("mta"))), "cascade.above"),
        (pb.Options(strategy=choice("tda"), cascade=pb.Cascade(to=choice("mta"))), "cascade.above"),
    ],
)
async def test_invalid_options_are_refused(asked, field):
    async with open_harness(parameters={"views": 300}) as harness:
        await check_refused(harness, question(options=asked), INVALID, f"options.{field}")
        assert (await harness.stub.Classify(question())).top


def labels_of(*names: str, templates: tuple[str, ...] = ()) -> pb.Labels:
    return pb.Labels(label_set=pb.LabelSet(names=names, templates=templates))


BAD_LABELS = [
    (labels_of(), "names"),
    (labels_of(*(f"label {i}" for i in range(2001))), "names"),
    (labels_of("cat", "dog", "cat"), "names[2]"),
    (labels_of("cat", " "), "names[1]"),
    (labels_of("cat", "x" * 257), "names[1]"),
    (labels_of("cat", templates=("a photo",)), "templates[0]"),
    (labels_of("cat", templates=("a {}", "a {} {}")), "templates[1]"),
    (labels_of("cat", templates=("a {name}",)), "templates[0]"),
    (labels_of("cat", templates=("a {} }",)), "templates[0]"),
    (labels_of("cat", templates=("{}",) * 81), "templates"),
    (labels_of("cat", templates=("{}" + "x" * 256,)), "templates[0]"),
]


@pytest.mark.parametrize("labels, field", BAD_LABELS)
async def test_invalid_label_sets_are_refused(harness, labels, field):
    await check_refused(harness, question(labels=labels), INVALID, f"labels.label_set.{field}")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await harness.stub.PutLabelSet(pb.PutLabelSetRequest(label_set=labels.label_set))
    assert caught.value.code() is INVALID and caught.value.details().startswith(f"label_set.{field}: ")


async def test_missing_and_unknown_labels_are_refused(harness):
    await check_refused(harness, question(labels=pb.Labels()), INVALID, "labels")
    await check_refused(harness, question(labels=pb.Labels(id="0" * 32)), MISSING, "labels.id")
    for method, message in (
        ("GetLabelSet", pb.GetLabelSetRequest(id="nobody")),
        ("DeleteLabelSet", pb.DeleteLabelSetRequest(id="")),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await getattr(harness.stub, method)(message)
        assert caught.value.code() is MISSING and caught.value.details().startswith("id: ")


@pytest.mark.parametrize("id", ["a b", "ü", "a/b", "x" * 129, "a\n"])
async def test_session_ids_with_other_characters_are_refused(harness, id):
    await check_refused(harness, question(session_id=id), INVALID, "session_id")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await harness.stub.GetSession(pb.GetSessionRequest(session_id=id))
    assert caught.value.code() is INVALID


@pytest.mark.parametrize("method", ["GetSession", "ResetSession", "CloseSession"])
@pytest.mark.parametrize("id, code", [("", INVALID), ("nobody", MISSING)])
async def test_unknown_sessions_are_not_found(harness, method, id, code):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await getattr(harness.stub, method)(getattr(pb, f"{method}Request")(session_id=id))
    assert caught.value.code() is code and caught.value.details().startswith("session_id: ")


async def test_two_looks_need_a_strategy_that_chooses_views(harness):
    asked = pb.Options(reduction=pb.Reduction(scope=pb.Reduction.SCOPE_TWO_LOOKS))  # zero_shot reads its only view
    await check_refused(harness, question(options=asked), UNSUPPORTED, "options.reduction.scope")


async def test_overload_has_a_retry_delay():
    async with open_harness(admission=AdmissionController(1, 1)) as harness, busy(harness):
        calls = [asyncio.ensure_future(harness.stub.Classify(question())) for _ in range(3)]
        done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        [first] = done
        error = first.exception()
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
        assert any(packed.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for packed in status.details)
        for call in calls:
            call.cancel()


async def test_bytes_that_are_no_message_are_the_callers_mistake(harness):
    call = harness.channel.unary_unary("/tta.v1.AdaptationService/Classify")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"\xff\xff\xff\xff")
    assert caught.value.code() is INVALID and "message" in caught.value.details()


async def test_an_unknown_method_is_unimplemented(harness):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await harness.channel.unary_unary("/tta.v1.AdaptationService/Guess")(b"")
    assert caught.value.code() is UNSUPPORTED


async def test_refusals_are_observed_with_the_strategy(harness):
    await check_refused(harness, question(options=options("zero"), image=pb.Image()), INVALID, "image")
    [event] = harness.of(Refused)
    assert (event.method, event.strategy, event.error.field) == ("Classify", "zero", "image")
    await until(lambda: [call.code for call in harness.of(Called)] == [None, "INVALID_ARGUMENT"])


async def test_an_unexpected_error_reveals_nothing_to_the_caller(harness, caplog, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("secret path")

    monkeypatch.setattr(harness.parts.sessions, "get", broken)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await harness.stub.GetSession(pb.GetSessionRequest(session_id="a"))
    assert caught.value.code() is grpc.StatusCode.INTERNAL and "secret" not in caught.value.details()
    assert "secret path" in caplog.text


async def test_parameters_without_end_are_refused_before_they_are_parsed(harness):
    nulls = {"parameters": {"fields": {"a": {"list_value": {"values": [{"null_value": 0}] * 100_000}}}}}
    choice = pb.Choice(name="zero", **nulls)
    await check_refused(harness, question(options=pb.Options(strategy=choice)), INVALID, "options.strategy.parameters")
