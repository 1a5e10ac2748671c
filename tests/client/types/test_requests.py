"""Values of a wrong type are refused by every call of both clients, naming the field, and nothing is sent."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from tta_client import Ask, AsyncClient, Cascade, Choice, Client, Frame, Options, Smooth, Snapshot, TTAClientError
from tta_client.types.frames import FrameNumbers
from tta_client.types.options import make_options_message

from tests.client.peer import Peer

NAMES = ("cat", "dog")


async def stream(client: Any, **how: Any) -> list[Any]:
    results = client.stream([b"x"], NAMES, **how)
    return list(results) if isinstance(client, Client) else [result async for result in results]


CALLS = {
    "get_labels": ("id", lambda client, value: client.get_labels(value)),
    "delete_labels": ("id", lambda client, value: client.delete_labels(value)),
    "session": ("session_id", lambda client, value: client.session(value)),
    "reset_session": ("session_id", lambda client, value: client.reset_session(value)),
    "close_session": ("session_id", lambda client, value: client.close_session(value)),
    "snapshot": ("session_id", lambda client, value: client.snapshot(value)),
    "restore": ("snapshot", lambda client, value: client.restore(value)),
    "restore a snapshot of": ("snapshot.session_id", lambda client, value: client.restore(Snapshot(value, 1, b""))),
    "health": ("service", lambda client, value: client.health(value)),
    "classify with the session": ("session_id", lambda client, value: client.classify(b"x", NAMES, session=value)),
    "classify with the id": ("request_id", lambda client, value: client.classify(b"x", NAMES, request_id=value)),
    "classify with the options": ("options", lambda client, value: client.classify(b"x", NAMES, options=value)),
    "stream with the options": ("open.options", lambda client, value: stream(client, options=value)),
    "stream with the session": ("session_id", lambda client, value: stream(client, session=value)),
    "stream with the token": ("open.resume_token", lambda client, value: stream(client, resume_token=value)),
    "stream with the budget": ("open.frame_budget", lambda client, value: stream(client, frame_budget=value)),
}
BYTES = ("restore", "stream with the token")  # which take them


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("value", [5, b"cat", ["cat"], "caf\udce9"], ids=repr)
def test_a_value_of_a_wrong_type_is_refused_naming_its_field(address: str, peer: Peer, call: str, value: Any) -> None:
    if (call in BYTES and isinstance(value, bytes)) or (call == "stream with the budget" and value == 5):
        return
    field, ask = CALLS[call]

    async def ask_async() -> TTAClientError:
        async with AsyncClient(address) as client:
            with pytest.raises(TTAClientError) as caught:
                await ask(client, value)
        return caught.value

    with Client(address) as client, pytest.raises(TTAClientError) as caught:
        result = ask(client, value)
        if asyncio.iscoroutine(result):
            asyncio.run(result)
    for error in (caught.value, asyncio.run(ask_async())):
        assert (error.code, error.field) == (grpc.StatusCode.INVALID_ARGUMENT, field)
        assert error.sentence.startswith(f"{field}: ")
    assert not peer.opened and not peer.frames


def test_the_guard_is_left_to_the_server_unless_an_option_says_otherwise() -> None:
    assert not make_options_message(Options()).HasField("guard")
    assert [make_options_message(Options(guard=on)).guard for on in (True, False)] == [True, False]
    assert make_options_message(Options(guard=False)).HasField("guard")


WRONG: list[tuple[Options, str, str]] = [
    (Options(ask=Ask("x")), "asking.per_hour", "'x' is not a number"),  # type: ignore[arg-type]
    (Options(ask=Ask(None)), "asking.per_hour", "None is not a number"),  # type: ignore[arg-type]
    (Options(coverage="x"), "coverage", "'x' is not a number"),  # type: ignore[arg-type]
    (Options(defer_below=[]), "defer_below", "[] is not a number"),  # type: ignore[arg-type]
    (Options(smooth=Smooth(enter="x")), "smooth.enter", "'x' is not a number"),  # type: ignore[arg-type]
    (Options(cascade=Cascade(Choice("tpt"), "x")), "cascade.above", "'x' is not a number"),  # type: ignore[arg-type]
    (Options(smooth=5), "smooth", "5 is no Smooth(…)"),  # type: ignore[arg-type]
    (Options(cascade="tpt"), "cascade", "'tpt' is no Cascade(…)"),  # type: ignore[arg-type]
    (Options(strategy=7), "strategy", "7 is no Choice(…)"),  # type: ignore[arg-type]
    (Options(reducer=7), "reduction.reducer", "7 is no Choice(…)"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("options", "field", "sentence"), WRONG, ids=lambda one: one if isinstance(one, str) else "")
def test_an_option_of_a_wrong_type_is_refused_with_a_sentence(options: Options, field: str, sentence: str) -> None:
    with pytest.raises(TTAClientError) as caught:
        make_options_message(options)
    assert (caught.value.field, caught.value.sentence) == (f"options.{field}", f"options.{field}: {sentence}")


def test_a_capture_time_that_is_no_number_is_refused_with_a_sentence() -> None:
    with pytest.raises(TTAClientError, match="'noon' is not a number") as caught:
        FrameNumbers().make_frame(Frame(1, b"x", captured="noon"))  # type: ignore[arg-type]
    assert caught.value.field == "frame.captured"
