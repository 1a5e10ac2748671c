"""Resume tokens open their own owner's session and nothing else."""

from __future__ import annotations

import pytest

from tta_service.core.errors import BadRequest, NewerFormat
from tta_service.serving.persistence.resume_tokens import ResumeTokens
from tta_service.serving.persistence.signing import SignedCodec
from tta_service.serving.sessions.accounting import MemoryAccounting
from tta_service.serving.sessions.session import Session

SECRET = b"a secret for tests"


@pytest.mark.parametrize("named", [True, False])
def test_whoever_shares_the_secret_reads_it(named: bool):
    token = ResumeTokens(SignedCodec(SECRET)).issue(Session("ann", "cam", named, 0.0, 0.0, MemoryAccounting()))
    assert ResumeTokens(SignedCodec(SECRET)).read("ann", token) == ("cam", named)


def test_a_token_of_a_newer_version_says_so():
    token = SignedCodec(SECRET).dumps({"all": "new"}, {}, format=2)
    with pytest.raises(NewerFormat, match="format 2") as refused:
        ResumeTokens(SignedCodec(SECRET)).read("ann", token)
    assert refused.value.field == "resume_token"


def test_strangers_changed_ones_and_other_blobs_are_refused():
    tokens, other = ResumeTokens(SignedCodec(SECRET)), ResumeTokens(SignedCodec(b"another"))
    token = tokens.issue(Session("ann", "cam", True, 0.0, 0.0, MemoryAccounting()))
    blob = SignedCodec(SECRET).dumps({"session": "cam", "owner": "ann"}, {})
    for asked, owner, given in (
        (other, "ann", token),
        (tokens, "bob", token),
        (tokens, "ann", token[:-1]),
        (tokens, "ann", b""),
        (tokens, "ann", blob),
    ):
        with pytest.raises(BadRequest) as refused:
            asked.read(owner, given)
        assert refused.value.field == "resume_token"
