"""Label sets in calls and streams: two classes of one name, names that the model has not learnt, wrong types."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tta_client import AsyncClient, Client, Frame, FrameAnswer, LabelSet, TTAClientError
from tta_client.camera.cli import main

from tests.client.camera.clips import jpeg
from tests.client.peer import Peer

NAMES = ("missile", "cat", "crane", "missile", "crane")
TWINS = LabelSet(NAMES, allow_duplicates=True)
PICTURES = [jpeg(np.full((48, 64, 3), shade, np.uint8)) for shade in (30, 120, 210)]
STRANGE = ("qzxwv", "vxqzw")


@pytest.mark.slow
def test_classes_of_one_name_are_told_apart_by_their_index(service: str) -> None:
    with Client(service) as client:
        info = client.put_labels(TWINS)
        assert info.classes == 5 and client.get_labels(info.id) == LabelSet(NAMES, ("a photo of a {}.",), True)
        single = [client.classify(picture, TWINS, "mean") for picture in PICTURES]
        streamed = [result.answer for result in client.stream(PICTURES, TWINS, "mean", policy="block")]
        client.delete_labels(info.id)
        single.append(client.classify(PICTURES[0], TWINS))  # registered again
    for answer in (*single, *streamed):
        assert answer.label_set_id == info.id and answer.index == answer.top[0].index
        assert sorted(score.index for score in answer.top) == list(range(5))
        assert all(score.label == NAMES[score.index] for score in (*answer.top, *answer.zero_shot))


def test_sentences_by_name_and_templates_by_their_sets_name_reach_the_service(service: str) -> None:
    labels = LabelSet(("cat", "dog"), "simple", sentences={"dog": ["it barks"]})  # type: ignore[arg-type]
    with Client(service) as client:
        info = client.put_labels(labels)
        got = client.get_labels(info.id)
        assert (got.names, got.sentences) == (("cat", "dog"), ((), ("it barks",)))
        assert len(got.templates) == 7 and "a origami {}." in got.templates
        assert client.classify(PICTURES[0], labels).label_set_id == info.id
        wrong: Any
        for wrong in ({"cow": ["moos"]}, "barks", ["barks"], [[3]], 4):
            with pytest.raises(TTAClientError, match="sentences") as refused:
                client.put_labels(LabelSet(("cat", "dog"), sentences=wrong))
            assert refused.value.field == "label_set"


def test_duplicates_are_refused_with_both_places_unless_they_are_allowed(service: str) -> None:
    with Client(service) as client:
        client.put_labels(TWINS)
        for labels in (NAMES, LabelSet(NAMES)):
            with pytest.raises(TTAClientError, match="names 0 and 3 are both 'missile'") as refused:
                client.classify(PICTURES[0], labels)
            assert refused.value.field.endswith("names[3]")


def test_unseen_names_come_with_every_kind_of_answer(service: str) -> None:
    names = ("cat", *STRANGE)

    async def ask_async() -> list[tuple[str, ...]]:
        async with AsyncClient(service) as client:
            first = (await client.classify(PICTURES[0], names)).unseen
            return [first] + [r.answer.unseen async for r in client.stream(PICTURES, names, policy="block")]

    with Client(service) as client:
        assert client.put_labels(names).unseen == STRANGE
        assert client.classify(PICTURES[0], names).unseen == client.classify(PICTURES[0], names).unseen == STRANGE
        assert client.classify(PICTURES[0], ("cat", "dog")).unseen == ()
    assert asyncio.run(ask_async()) == [STRANGE, STRANGE, (), ()]


@pytest.fixture
def folder(tmp_path: Path) -> str:
    for number, picture in enumerate(PICTURES):
        (tmp_path / f"{number}.jpg").write_bytes(picture)
    return str(tmp_path)


def test_the_camera_reports_unseen_names_once(service: str, folder: str, capsys) -> None:
    for flags in ([], ["--json"]):
        assert main([folder, "--server", service, "--labels", f"cat,{','.join(STRANGE)}", *flags]) == 0
        printed = capsys.readouterr()
        assert printed.err == "tta-camera: the text tower was never taught: qzxwv, vxqzw\n"
    assert json.loads(printed.out.splitlines()[-1])["summary"]["unseen"] == [*STRANGE]
    many = [f"qz{letter}xwv" for letter in "abcdefghijk"]
    assert main([folder, "--server", service, "--labels", ",".join(["cat", *many])]) == 0
    assert capsys.readouterr().err.endswith("qzhxwv and 3 more\n")


def test_the_camera_allows_duplicates_with_its_flag(service: str, folder: str, capsys) -> None:
    words = [folder, "--server", service, "--labels", ",".join(NAMES)]
    assert main(words) == 1
    assert "names 0 and 3 are both 'missile'" in capsys.readouterr().err
    assert main([*words, "--allow-duplicates", "--json"]) == 0
    for result in map(json.loads, capsys.readouterr().out.splitlines()[:-1]):
        assert result["index"] == result["top"][0]["index"] and result["label"] == NAMES[result["index"]]
        assert all(score["label"] == NAMES[score["index"]] for score in (*result["top"], *result["zero_shot"]))


WRONG: list[Any] = [
    None,
    5,
    b"cat",
    [1, 2],
    ["cat", None],
    np.arange(3),
    {"cat"},  # which has no order
    "caf\udce9",
    ["cat", "caf\udce9"],
    LabelSet(5),  # type: ignore[arg-type]
    LabelSet(("cat", 7)),  # type: ignore[arg-type]
    LabelSet(("cat", "dog"), 5),  # type: ignore[arg-type]
    LabelSet(("cat", "dog"), (None,)),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("labels", WRONG, ids=repr)
def test_what_are_no_labels_is_refused_with_one_sentence(address: str, peer: Peer, labels: Any) -> None:
    """By every call of both clients, before anything is sent; the field is where the labels stand."""

    async def ask() -> list[TTAClientError]:
        async with AsyncClient(address) as client:
            with pytest.raises(TTAClientError) as call:
                await client.classify(b"x", labels)
            with pytest.raises(TTAClientError) as stream:
                _ = [result async for result in client.stream([b"x"], labels)]
        return [call.value, stream.value]

    with Client(address) as client:
        with pytest.raises(TTAClientError) as call:
            client.classify(b"x", labels)
        with pytest.raises(TTAClientError) as stream:
            list(client.stream([b"x"], labels))
        errors = [call.value, stream.value, *asyncio.run(ask())]
        assert {(error.code, error.field) for error in errors} == {(grpc.StatusCode.INVALID_ARGUMENT, "labels")}
        (sentence,) = {error.sentence for error in errors}
        assert sentence.startswith("labels: ") and not peer.puts and not peer.opened
        if not isinstance(labels, str):
            with pytest.raises(TTAClientError, match=r"^INVALID_ARGUMENT: label_set: ") as put:
                client.put_labels(labels)
            assert put.value.sentence.removeprefix("label_set: ") == sentence.removeprefix("labels: ")
        if labels is not None:  # a frame without labels has the stream's
            frames = [Frame(1, b"x"), Frame(2, b"x", labels=labels), Frame(3, b"x")]
            first, failure, last = client.stream(frames, ("cat", "dog"))
            assert isinstance(first, FrameAnswer) and isinstance(last, FrameAnswer)
            assert failure.error.sentence == f"frame.{sentence}"


def test_lists_in_a_label_set_are_as_good_as_tuples(client: Client, peer: Peer) -> None:
    assert client.classify(b"four", LabelSet(["cat", "dog", "bird"])).label == "dog"  # type: ignore[arg-type]
    assert client.classify(b"four", LabelSet(("cat", "dog", "bird"))).label == "dog"
    assert peer.puts == 1
