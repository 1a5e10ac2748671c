"""Blobs and resume tokens: encrypted, and no other secret, subject or format reads them."""

from __future__ import annotations

import hmac
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from tta_service.core.errors import BadRequest, NewerFormat
from tta_service.serving.persistence.encryption import Subject
from tta_service.serving.persistence.signing import ResumeTokens, SignedCodec, format_of, has_lessons
from tta_service.serving.sessions.memory import MemoryAccounting
from tta_service.serving.sessions.session import Session

SECRET = b"a secret for tests"
TENSORS = {"0.marks": torch.arange(6.0).view(2, 3).T, "0.count": torch.tensor(3), "1.none": torch.zeros(0, 4)}
HEADER = {"who": "ann", "tree": [1, None, {"ä": 0.5}]}
CAM = Subject("session", "ann", "cam")
BLOB = SignedCodec(b"one").dumps(HEADER, TENSORS, CAM)


def sign(secret: bytes, header: object, tensors: dict[str, torch.Tensor], **metadata: str) -> bytes:
    """As versions before encryption did."""
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    content = save(contiguous, {"said": json.dumps(header), **metadata})
    return hmac.digest(secret, content, "sha256") + content


def test_header_and_tensors_come_back():
    header, tensors = SignedCodec(b"one").loads(BLOB, CAM)
    assert header == HEADER and tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_a_header_of_any_length_comes_back():
    header = {"names": ['\U0001f600\u0000"\ud800' * 170_000] * 4}
    blob = SignedCodec(b"one").dumps(header, TENSORS, CAM)
    again, tensors = SignedCodec(b"one").loads(blob, CAM)
    assert again == header and tensors.keys() == TENSORS.keys()


def test_nothing_of_the_content_can_be_seen_and_no_two_blobs_are_alike():
    marks = torch.arange(64, dtype=torch.uint8)
    blob = SignedCodec(SECRET).dumps(
        {"session": "camera-at-gate"}, {"thumbnails": marks}, Subject("snapshot", "annabel")
    )
    for seen in (marks.numpy().tobytes(), b"camera-at-gate", b"thumbnails", b"annabel", b"safetensors"):
        assert seen not in blob
    again = SignedCodec(SECRET).dumps({}, {"thumbnails": marks}, Subject("snapshot", "annabel"))
    assert blob[-100:] != again[-100:]
    assert has_lessons(SignedCodec(SECRET).dumps({}, {}, CAM, lessons=True)) and not has_lessons(BLOB)


@settings(deadline=None)
@given(st.integers(0, len(BLOB) - 1), st.integers(1, 255))
def test_a_change_of_any_byte_is_detected(place: int, by: int):
    changed = bytearray(BLOB)
    changed[place] ^= by
    with pytest.raises(BadRequest):
        SignedCodec(b"one").loads(bytes(changed), CAM)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_other_bytes_are_refused(blob: bytes):
    with pytest.raises(BadRequest):
        SignedCodec(b"one").loads(blob, CAM)


@pytest.mark.parametrize("subject, sentence", [
    (Subject("session", "bob", "cam"), "another owner's"),
    (Subject("session", "ann", "other"), "another session"),
    (Subject("snapshot", "ann", "cam"), "another session"),
])  # fmt: skip
def test_a_blob_does_not_take_the_place_of_another(subject: Subject, sentence: str):
    with pytest.raises(BadRequest, match=sentence):
        SignedCodec(b"one").loads(BLOB, subject)
    assert SignedCodec(b"one").loads(BLOB, subject, CAM)[0] == HEADER


def test_a_new_secret_reads_what_a_former_one_wrote_and_writes_its_own():
    now = SignedCodec(b"two", [b"zero", b"one"])
    assert now.loads(BLOB, CAM)[0] == HEADER and not now.is_current(BLOB)
    newer = now.dumps(HEADER, TENSORS, CAM)
    assert now.is_current(newer) and SignedCodec(b"two").is_current(newer)
    with pytest.raises(BadRequest, match="not made here"):
        SignedCodec(b"one").loads(newer, CAM)
    with pytest.raises(BadRequest, match="not made here"):
        SignedCodec(b"two").loads(BLOB, CAM)


@pytest.mark.parametrize("metadata", [{}, {"format": "1"}, {"format": "2"}])
def test_what_was_signed_before_encryption_is_read(metadata: dict[str, str]):
    old = sign(b"one", HEADER, TENSORS, **metadata)
    for codec in (SignedCodec(b"one"), SignedCodec(b"two", [b"one"])):
        header, tensors = codec.loads(old, CAM)
        assert header == HEADER and tensors.keys() == TENSORS.keys() and not codec.is_current(old)
    with pytest.raises(BadRequest):
        SignedCodec(b"two").loads(old, CAM)
    assert has_lessons(old) == (metadata == {"format": "2"})


def test_a_version_before_encryption_finds_a_valid_signature_and_a_number_that_it_does_not_know():
    assert hmac.compare_digest(BLOB[:32], hmac.digest(b"one", BLOB[32:], "sha256"))
    length = int.from_bytes(BLOB[32:40], "little")
    assert json.loads(BLOB[40 : 40 + length])["__metadata__"]["format"] == "3"


def test_a_newer_format_is_refused():
    newer = SignedCodec(b"one").dumps({}, TENSORS, CAM, format=4)
    assert format_of(newer) == "4"
    with pytest.raises(NewerFormat, match="format 4"):
        SignedCodec(b"one").loads(newer, CAM)
    with pytest.raises(BadRequest):  # nothing that a stranger signed is believed
        SignedCodec(b"two").loads(newer, CAM)


def test_without_a_secret_only_the_same_codec_reads_a_blob():
    codec = SignedCodec()
    blob = codec.dumps({}, TENSORS, CAM)
    codec.loads(blob, CAM)
    with pytest.raises(BadRequest):
        SignedCodec().loads(blob, CAM)


def test_whose_a_blob_is_can_be_told_with_its_secret_only():
    old, codec = sign(b"one", {"owner": "ann"}, {}), SignedCodec(b"two", [b"one"])
    for blob in (BLOB, old, codec.dumps({}, {}, CAM)):
        assert codec.belongs_to("ann", blob) and not codec.belongs_to("bob", blob)
    assert not SignedCodec(b"two").belongs_to("ann", BLOB) and not codec.belongs_to("ann", b"damaged")


@pytest.mark.parametrize("named", [True, False])
def test_a_codec_with_the_same_secret_reads_it(named: bool):
    token = ResumeTokens(SignedCodec(SECRET)).issue(Session("ann", "cam", named, 0.0, 0.0, MemoryAccounting()))
    assert b"cam" not in token
    assert ResumeTokens(SignedCodec(SECRET)).read("ann", token) == ("cam", named)
    assert ResumeTokens(SignedCodec(b"new", [SECRET])).read("ann", token) == ("cam", named)


def test_a_token_of_a_newer_version_says_so():
    token = SignedCodec(SECRET).dumps({"all": "new"}, {}, Subject("token", "ann"), format=4)
    with pytest.raises(NewerFormat, match="format 4") as refused:
        ResumeTokens(SignedCodec(SECRET)).read("ann", token)
    assert refused.value.field == "resume_token"


def test_tokens_of_others_changed_tokens_and_other_blobs_are_refused():
    tokens, other = ResumeTokens(SignedCodec(SECRET)), ResumeTokens(SignedCodec(b"another"))
    token = tokens.issue(Session("ann", "cam", True, 0.0, 0.0, MemoryAccounting()))
    snapshot = SignedCodec(SECRET).dumps({"session": "cam", "owner": "ann"}, {}, Subject("snapshot", "ann"))
    old = sign(SECRET, {"session": "cam", "owner": "ann"}, {})
    for reader, owner, blob, sentence in (
        (other, "ann", token, "not made here"),
        (tokens, "bob", token, "no stream of yours"),
        (tokens, "ann", token[:-1], "not made here"),
        (tokens, "ann", b"", "not made here"),
        (tokens, "ann", snapshot, "no stream of yours"),
        (tokens, "ann", old, "no stream of yours"),
    ):
        with pytest.raises(BadRequest, match=sentence) as refused:
            reader.read(owner, blob)
        assert refused.value.field == "resume_token"
