"""End to end: cameras, the command, and a running service with the pocket model."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tta_client import AsyncClient, Choice, Client, FrameAnswer, LabelSet
from tta_client.camera import Virtual, encoded
from tta_client.camera.cli import main

from tests.client.camera.clips import gif, jpeg, mp4, photographed
from tests.patience import PATIENCE, until

STRATEGIES = ("zero_shot", "mean", "zero", "mta", "tda")
VIEWS = {"zero_shot": [], **{name: ["--param", "views=4"] for name in STRATEGIES[1:]}}
NAMES = "cat,dog,coffee cup,flower,gray wall"
pytestmark = photographed


def run(address: str, capsys: pytest.CaptureFixture[str], source: str, strategy: str, *more: str) -> list[dict]:
    words = (source, "--server", address, "--labels", NAMES, "--strategy", strategy, *VIEWS[strategy], "--json", *more)
    assert main([*words]) == 0, capsys.readouterr().err
    *results, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert last["summary"]["answers"] == len(results) and last["summary"]["failures"] == 0
    return results


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_source_through_every_strategy(service: str, tmp_path: Path, capsys, strategy: str) -> None:
    (tmp_path / "one.jpg").write_bytes(jpeg(Virtual(seed=2).frame(1).image))
    for source, frames in (
        (str(mp4(tmp_path / "clip.mp4")), 4),
        (str(gif(tmp_path / "clip.gif")), 3),
        (str(tmp_path), 1),
        ("virtual:frames=3,width=96,height=72", 3),
    ):
        results = run(service, capsys, source, strategy, "--frames", str(frames))
        assert [r["frame"] for r in results] == list(range(1, frames + 1))
        assert {r["strategy"] for r in results} == {strategy}
        assert {r["views"] for r in results} == {1 if strategy == "zero_shot" else 4}
        assert all(r["age"] > r["timings"]["total"] > 0 for r in results)
        assert all(r["label"] in NAMES.split(",") for r in results)


def test_zero_shot_scores_of_every_answer_equal_the_zero_shot_strategy(service: str) -> None:
    with Client(service) as client:
        picture = jpeg(Virtual(seed=3).frame(1).image)
        plain = client.classify(picture, NAMES.split(","), "zero_shot")
        for strategy in STRATEGIES[1:]:
            answer = client.classify(picture, NAMES.split(","), Choice(strategy, {"views": 4}))
            assert [s.label for s in answer.zero_shot] == [s.label for s in plain.top]
            assert [s.logit for s in answer.zero_shot] == pytest.approx([s.logit for s in plain.top], abs=2e-3)


def test_several_cameras_at_once_each_with_its_own_strategy(service: str) -> None:
    def command(strategy: str) -> list[str]:
        source = f"virtual:frames=6,seed={len(strategy)},width=96,height=72"
        words = [source, "--server", service, "--labels", NAMES, "--strategy", strategy, *VIEWS[strategy], "--json"]
        return [sys.executable, "-m", "tta_client.camera.cli", *words]

    cameras = [
        subprocess.Popen(command(s), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for s in STRATEGIES
    ]
    for strategy, camera in zip(STRATEGIES, cameras):
        out, err = camera.communicate(timeout=300)
        assert camera.returncode == 0, err
        results = [json.loads(line) for line in out.splitlines()][:-1]
        assert [(r["frame"], r["strategy"]) for r in results] == [(n, strategy) for n in range(1, 7)]


def test_a_killed_camera_leaves_no_session_behind(service: str) -> None:
    words = ["virtual:frames=0,fps=20,width=96,height=72", "--server", service, "--strategy", "tda", "--json"]
    camera = subprocess.Popen(
        [sys.executable, "-m", "tta_client.camera.cli", *words], stdout=subprocess.PIPE, text=True
    )
    assert camera.stdout is not None
    session = json.loads(camera.stdout.readline())["session"]
    with Client(service) as client:
        assert session in [s.session_id for s in client.sessions()]
        camera.send_signal(signal.SIGKILL)
        camera.wait(PATIENCE)
        camera.stdout.close()
        until(lambda: not client.sessions())


def test_a_corrupt_picture_among_good_ones_fails_alone(service: str, tmp_path: Path, capsys) -> None:
    good = jpeg(Virtual().frame(1).image)
    for number in range(1, 6):
        (tmp_path / f"{number}.jpg").write_bytes(good[:300] if number == 3 else good)
    assert main([str(tmp_path), "--server", service, "--labels", NAMES, "--json"]) == 1
    *results, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert [r["frame"] for r in results if "error" in r] == [3]
    assert results[2]["error"]["code"] == "INVALID_ARGUMENT" and "image" in results[2]["error"]["field"]
    assert last["summary"]["answers"] == 4


def test_deleted_labels_are_registered_again(service: str) -> None:
    names = LabelSet(("a cat", "a dog"), ("a sketch of {}.",))
    with Client(service) as client:
        info = client.put_labels(names)
        assert client.get_labels(info.id) == names
        client.delete_labels(info.id)
        picture = jpeg(np.full((48, 64, 3), 90, np.uint8))
        other = Client(service)  # it remembers the id, and `client` deletes the labels
        other.put_labels(names)
        client.delete_labels(info.id)
        assert other.classify(picture, info.id).label_set_id == info.id
        client.delete_labels(info.id)
        assert [r.frame_id for r in other.stream([picture] * 3, names)] == [1, 2, 3]
        other.close()


def test_a_named_session_remembers_from_call_to_call(service: str) -> None:
    with Client(service) as client:
        client.sessions()
        frames = [f.image for f in encoded(Virtual(frames=3, width=96, height=72))]
        counts = [client.classify(f, NAMES.split(","), "tda", session="door").session.frames for f in frames]
        assert counts == [1, 2, 3]
        assert client.session("door").memory_bytes > 0 and client.session("door").strategies == ("tda",)
        client.reset_session("door")
        assert client.session("door").memory_bytes == 0
        client.close_session("door")
        assert "door" not in [s.session_id for s in client.sessions()]


async def test_the_async_client_gives_equal_answers(service: str) -> None:
    frames = list(encoded(Virtual(frames=5, width=96, height=72)))
    async with AsyncClient(service) as client:
        await client.wait_until_serving(PATIENCE)
        assert await client.health() == "SERVING"
        assert (await client.info()).model == "pocket"
        described = {s.name: s for s in await client.strategies()}
        assert set(STRATEGIES) <= set(described) and described["mta"].views == 64
        assert "none" in [r.name for r in await client.reducers()]

        async def classify(strategy: str) -> list:
            return [r async for r in client.stream(frames, NAMES.split(","), Choice(strategy, {"views": 4}))]

        results = await asyncio.gather(classify("mta"), classify("tda"))
    with Client(service) as client:
        for strategy, asynchronous in zip(("mta", "tda"), results):
            stream = client.stream(frames, NAMES.split(","), Choice(strategy, {"views": 4}))
            for one, two in zip(asynchronous, stream):
                assert isinstance(one, FrameAnswer) and isinstance(two, FrameAnswer)
                assert one.answer.top[0].logit == pytest.approx(two.answer.top[0].logit, abs=2e-3)
