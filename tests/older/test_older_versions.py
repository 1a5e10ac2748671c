"""What an older version wrote still works: sessions in a store, snapshots and resume tokens.

Each archive MONTH_YEAR beside this file holds what the version of that month wrote with the pocket model: nine
strategies' named sessions after three frames, one unnamed session, a snapshot, and the logits of the fourth frame.
Archives are added and never written again.
"""

from __future__ import annotations

import base64
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.survival.cameras import Camera, scores, start_service
from tta_service.wire.v1 import tta_pb2 as pb

RESTORED = pb.SessionStatus.ORIGIN_RESTORED
ARCHIVES = sorted(Path(__file__).parent.glob("[a-z]*_20??.tar.xz"))


class Stored:
    """One archive, unpacked into a folder of its own."""

    def __init__(self, archive: Path, folder: Path) -> None:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        self.folder, self.store = folder, folder / "store"
        for file in self.store.iterdir():
            file.touch()  # a store forgets what was not written for a day
        expected = json.loads((folder / "expected.json").read_text())
        self.sessions: dict[str, dict[str, Any]] = expected["sessions"]
        self.tokens = {name: base64.b64decode(token) for name, token in expected["tokens"].items()}

    def frame(self, number: int) -> bytes:
        return (self.folder / f"frame{number}.jpg").read_bytes()

    async def fourth(self, stub: Any, name: str, **how: Any) -> tuple[pb.SessionStatus, dict[str, float]]:
        """The status with which the session opens, and the logits of the frame that follows."""
        camera = Camera(stub)
        camera.picture = self.frame
        strategy = name or "tda"
        status = await camera.open(strategy=strategy, parameters=self.sessions[strategy]["parameters"], **how)
        logits = scores(await camera.frame(4))
        await camera.end()
        return status, logits


@pytest.fixture(params=ARCHIVES, ids=lambda archive: archive.name.partition(".")[0])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Stored:
    return Stored(request.param, tmp_path)


async def test_stored_sessions_go_on(stored: Stored):
    async with start_service(stored.store) as (_, stub):
        for name, expected in stored.sessions.items():
            status, logits = await stored.fourth(stub, name, session_id=name)
            assert (status.origin, status.frames, status.last_frame_id) == (RESTORED, 3, 3), name
            assert logits == pytest.approx(expected["logits"], abs=0.01), name


async def test_resume_tokens_open_their_streams(stored: Stored):
    async with start_service(stored.store) as (_, stub):
        for name, token in stored.tokens.items():
            status, _ = await stored.fourth(stub, name, resume_token=token)
            assert (status.origin, status.frames, status.last_frame_id) == (RESTORED, 3, 3), name
            assert not name or status.session_id == name


async def test_a_snapshot_is_restored(stored: Stored, tmp_path: Path):
    snapshot = pb.SessionSnapshot.FromString((stored.folder / "tda.snapshot").read_bytes())
    async with start_service(tmp_path / "empty") as (_, stub):
        info = (await stub.RestoreSession(pb.RestoreSessionRequest(snapshot=snapshot))).session
        assert (info.session_id, info.frames, info.last_frame_id) == ("tda", 3, 3)
        _, logits = await stored.fourth(stub, "tda", session_id="tda")
        assert logits == pytest.approx(stored.sessions["tda"]["logits"], abs=0.01)
