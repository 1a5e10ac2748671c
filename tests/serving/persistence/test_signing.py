"""Blobs and resume tokens: no other secret, owner or format reads them."""

from __future__ import annotations

import hmac

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from tta_service.core.errors import BadRequest, NewerFormat
from tta_service.serving.persistence.signing import LESSONS_FORMAT, ResumeTokens, SignedCodec, format_of
from tta_service.serving.sessions.memory import MemoryAccounting
from tta_service.serving.sessions.session import Session

SECRET = b"a secret for tests"
TENSORS = {"0.marks": torch.arange(6.0).view(2, 3).T, "0.count": torch.tensor(3), "1.none": torch.zeros(0, 4)}
BLOB = SignedCodec(b"one").dumps({"who": "ann", "tree": [1, None, {"ä": 0.5}]}, TENSORS)


def test_header_and_tensors_come_back():
    header, tensors = SignedCodec(b"one").loads(BLOB)
    assert header == {"who": "ann", "tree": [1, None, {"ä": 0.5}]}
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_a_header_of_any_length_comes_back():
    header = {"names": ['\U0001f600\u0000"\ud800' * 170_000] * 4}
    blob = SignedCodec(b"one").dumps(header, TENSORS)
    assert format_of(blob) == str(LESSONS_FORMAT)  # versions before could not read it
    again, tensors = SignedCodec(b"one").loads(blob)
    assert again == header and tensors.keys() == TENSORS.keys()


@settings(deadline=None)
@given(st.integers(0, len(BLOB) - 1), st.integers(1, 255))
def test_a_change_of_any_byte_is_detected(place: int, by: int):
    changed = bytearray(BLOB)
    changed[place] ^= by
    with pytest.raises(BadRequest):
        SignedCodec(b"one").loads(bytes(changed))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_other_bytes_are_refused(blob: bytes):
    with pytest.raises(BadRequest):
        SignedCodec(b"one").loads(blob)


def test_a_newer_format_is_refused_and_one_without_a_number_is_the_first():
    with pytest.raises(NewerFormat, match="format 3"):
        SignedCodec(b"one").loads(SignedCodec(b"one").dumps({}, TENSORS, format=3))
    with pytest.raises(BadRequest):  # nothing that a stranger signed is believed
        SignedCodec(b"two").loads(SignedCodec(b"one").dumps({}, TENSORS, format=3))
    content = save({}, {"said": "[]"})
    assert SignedCodec(b"one").loads(hmac.digest(b"one", content, "sha256") + content) == ([], {})


def test_without_a_secret_only_the_same_codec_reads_a_blob():
    codec = SignedCodec()
    blob = codec.dumps({}, TENSORS)
    codec.loads(blob)
    with pytest.raises(BadRequest):
        SignedCodec().loads(blob)


@pytest.mark.parametrize("named", [True, False])
def test_a_codec_with_the_same_secret_reads_it(named: bool):
    token = ResumeTokens(SignedCodec(SECRET)).issue(Session("ann", "cam", named, 0.0, 0.0, MemoryAccounting()))
    assert ResumeTokens(SignedCodec(SECRET)).read("ann", token) == ("cam", named)


def test_a_token_of_a_newer_version_says_so():
    token = SignedCodec(SECRET).dumps({"all": "new"}, {}, format=3)
    with pytest.raises(NewerFormat, match="format 3") as refused:
        ResumeTokens(SignedCodec(SECRET)).read("ann", token)
    assert refused.value.field == "resume_token"


def test_tokens_of_others_changed_tokens_and_other_blobs_are_refused():
    tokens, other = ResumeTokens(SignedCodec(SECRET)), ResumeTokens(SignedCodec(b"another"))
    token = tokens.issue(Session("ann", "cam", True, 0.0, 0.0, MemoryAccounting()))
    snapshot = SignedCodec(SECRET).dumps({"session": "cam", "owner": "ann"}, {})
    for reader, owner, blob in (
        (other, "ann", token),
        (tokens, "bob", token),
        (tokens, "ann", token[:-1]),
        (tokens, "ann", b""),
        (tokens, "ann", snapshot),
    ):
        with pytest.raises(BadRequest) as refused:
            reader.read(owner, blob)
        assert refused.value.field == "resume_token"
