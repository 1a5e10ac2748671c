"""A resume token opens its owner's session and nothing else."""

from __future__ import annotations

import pytest

from tta_service.core.errors import BadRequest, NewerFormat
from tta_service.serving.persistence.resume_tokens import ResumeTokens
from tta_service.serving.persistence.signing import SignedCodec
from tta_service.serving.sessions.accounting import MemoryAccounting
from tta_service.serving.sessions.session import Session

SECRET = b"a secret for tests"


@pytest.mark.parametrize("named", [True, False])
def test_a_codec_with_the_same_secret_reads_it(named: bool):
    token = ResumeTokens(SignedCodec(SECRET)).issue(Session("ann", "cam", named, 0.0, 0.0, MemoryAccounting()))
    assert ResumeTokens(SignedCodec(SECRET)).read("ann", token) == ("cam", named)


def test_a_token_of_a_newer_version_says_so():
    token = SignedCodec(SECRET).dumps({"all": "new"}, {}, format=2)
    with pytest.raises(NewerFormat, match="format 2") as refused:
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
