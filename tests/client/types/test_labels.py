"""Label sets as the clients use them: two classes of one name, and names that nobody taught."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
from tta_client import AsyncClient, Client, LabelSet, TTAClientError
from tta_client.camera.cli import main

from tests.client.clips import jpeg

NAMES = ("missile", "cat", "crane", "missile", "crane")
TWINS = LabelSet(NAMES, allow_duplicates=True)
PICTURES = [jpeg(np.full((48, 64, 3), shade, np.uint8)) for shade in (30, 120, 210)]
STRANGE = ("qzxwv", "vxqzw")


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


def test_who_does_not_allow_duplicates_is_told_both_places(service: str) -> None:
    with Client(service) as client:
        client.put_labels(TWINS)
        for labels in (NAMES, LabelSet(NAMES)):
            with pytest.raises(TTAClientError, match="names 0 and 3 are both 'missile'") as refused:
                client.classify(PICTURES[0], labels)
            assert refused.value.field.endswith("names[3]")


def test_names_that_nobody_taught_are_told_with_every_kind_of_answer(service: str) -> None:
    names = ("cat", *STRANGE)

    async def asked() -> list[tuple[str, ...]]:
        async with AsyncClient(service) as client:
            first = (await client.classify(PICTURES[0], names)).unseen
            return [first] + [r.answer.unseen async for r in client.stream(PICTURES, names, policy="block")]

    with Client(service) as client:
        assert client.put_labels(names).unseen == STRANGE
        assert client.classify(PICTURES[0], names).unseen == client.classify(PICTURES[0], names).unseen == STRANGE
        assert client.classify(PICTURES[0], ("cat", "dog")).unseen == ()
    assert asyncio.run(asked()) == [STRANGE, STRANGE, (), ()]


@pytest.fixture
def folder(tmp_path: Path) -> str:
    for number, picture in enumerate(PICTURES):
        (tmp_path / f"{number}.jpg").write_bytes(picture)
    return str(tmp_path)


def test_the_camera_tells_of_them_once(service: str, folder: str, capsys) -> None:
    for flags in ([], ["--json"]):
        assert main([folder, "--server", service, "--labels", f"cat,{','.join(STRANGE)}", *flags]) == 0
        told = capsys.readouterr()
        assert told.err == "tta-camera: the text tower was never taught: qzxwv, vxqzw\n"
    assert json.loads(told.out.splitlines()[-1])["summary"]["unseen"] == [*STRANGE]
    many = [f"qz{letter}xwv" for letter in "abcdefghijk"]
    assert main([folder, "--server", service, "--labels", ",".join(["cat", *many])]) == 0
    assert capsys.readouterr().err.endswith("qzhxwv and 3 more\n")


def test_the_camera_takes_duplicates_when_it_is_told_to(service: str, folder: str, capsys) -> None:
    words = [folder, "--server", service, "--labels", ",".join(NAMES)]
    assert main(words) == 1
    assert "names 0 and 3 are both 'missile'" in capsys.readouterr().err
    assert main([*words, "--allow-duplicates", "--json"]) == 0
    for result in map(json.loads, capsys.readouterr().out.splitlines()[:-1]):
        assert result["index"] == result["top"][0]["index"] and result["label"] == NAMES[result["index"]]
        assert all(score["label"] == NAMES[score["index"]] for score in (*result["top"], *result["zero_shot"]))
