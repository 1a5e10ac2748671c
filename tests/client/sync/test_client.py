"""Unary calls on the wire: labels by id, errors with their details, retries, pages."""

from __future__ import annotations

import grpc
import numpy as np
import pytest
from tta_client import Choice, Client, LabelSet, Options, Reduction, TTAClientError

from tests.client.peer import Peer

NAMES = ("cat", "dog", "bird")


def test_labels_are_registered_once_and_then_named_by_id(client: Client, peer: Peer) -> None:
    answers = [client.classify(b"four", NAMES) for _ in range(3)]
    assert [a.label for a in answers] == ["dog"] * 3
    assert peer.puts == 1 and list(peer.labels) == [answers[0].label_set_id]


def test_labels_are_registered_again_when_the_service_forgot_them(client: Client, peer: Peer) -> None:
    by_id = client.put_labels(NAMES).id
    peer.forget()
    assert client.classify(b"four", NAMES).label == "dog"
    peer.forget()
    assert client.classify(b"four", by_id).label == "dog"
    assert peer.puts == 3


def test_an_id_of_another_client_is_not_registered(client: Client, peer: Peer) -> None:
    with pytest.raises(TTAClientError) as caught:
        client.classify(b"four", "0" * 32)
    assert caught.value.code is grpc.StatusCode.NOT_FOUND and caught.value.field == "labels.id"
    assert peer.puts == 0


def test_templates_make_another_label_set(client: Client, peer: Peer) -> None:
    client.classify(b"four", NAMES)
    client.classify(b"four", LabelSet(NAMES, ("a sketch of a {}.",)))
    assert sorted(list(s.templates) for s in peer.labels.values()) == [[], ["a sketch of a {}."]]


def test_an_error_carries_code_field_sentence_and_pause(client: Client) -> None:
    with pytest.raises(TTAClientError) as caught:
        client.classify(b"bad", NAMES)
    error = caught.value
    assert (error.code, error.field) == (grpc.StatusCode.INVALID_ARGUMENT, "image")
    assert (error.sentence, error.retry_after) == ("the image is no image", 2.5)
    assert str(error) == "INVALID_ARGUMENT: the image is no image [image]"


def test_a_status_without_details_is_an_error_as_well(client: Client) -> None:
    with pytest.raises(TTAClientError, match="UNIMPLEMENTED") as caught:
        client.info()
    assert caught.value.field == "" and not caught.value.transient


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
def test_transient_errors_are_retried(client: Client, peer: Peer, code: grpc.StatusCode) -> None:
    """CANCELLED is what a proxy says that has lost its server."""
    client.put_labels(NAMES)
    peer.refusals = [code] * 2
    assert client.classify(b"four", NAMES).label == "dog"


def test_other_errors_are_not_retried(client: Client, peer: Peer) -> None:
    peer.refusals = [grpc.StatusCode.RESOURCE_EXHAUSTED] * 2
    with pytest.raises(TTAClientError, match="not now"):
        client.classify(b"four", NAMES)
    assert len(peer.refusals) == 1


def test_an_absent_service_is_a_transient_error() -> None:
    with Client("127.0.0.1:1", timeout=5) as client, pytest.raises(TTAClientError) as caught:
        client.info()
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE and caught.value.transient


def test_listings_follow_the_pages(client: Client) -> None:
    ids = {client.put_labels([name]).id for name in NAMES}
    assert {info.id for info in client.list_labels()} == ids


def test_the_session_is_in_the_metadata_for_proxies(client: Client, peer: Peer) -> None:
    """Every question about a session, and the labels it is asked with: the servers of a fleet share neither."""
    client.classify(b"four", NAMES, session="door-1")
    list(client.stream([b"four"], NAMES[:1], session="door-1"))
    client.restore(client.snapshot("door-1"))
    assert [headers.get("x-session-id") for headers in peer.headers] == ["door-1"] * 6


def test_options_arrive_and_come_back(client: Client, address: str, peer: Peer) -> None:
    options = Options(reducer=Reduction(Choice("tome", {"rate": 8}), "augmented"), top_k=3, seed=0, explain=True)
    answer = client.classify(b"four", NAMES, Choice("mta", {"views": 16}), options=options)
    assert str(answer.strategy) == "mta(views=16)" and answer.flipped


def test_an_array_travels_as_raw_pixels(client: Client) -> None:
    assert client.classify(np.zeros((2, 4, 3), np.uint8), NAMES).label == NAMES[24 % 3]
    assert client.classify(np.zeros((2, 4), np.uint8)[:, ::2], NAMES).label == NAMES[4 % 3]
    with pytest.raises(ValueError, match="float32"):
        client.classify(np.zeros((2, 4, 3), np.float32), NAMES)


def test_a_session_is_snapshot_and_restored(client: Client) -> None:
    kept = client.snapshot("door")
    assert (kept.session_id, kept.epoch, kept.state) == ("door", 3, b"of door")
    assert [client.restore(what).epoch for what in (kept, kept.state)] == [4, 1]
    assert client.restore(kept).session_id == "door"
