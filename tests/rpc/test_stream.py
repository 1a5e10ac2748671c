"""Streams: order, dropped frames, faults of one frame, take-over, and the end."""

from __future__ import annotations

import asyncio
import gc
import itertools
import time

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2

from tta_service.core import catalogue
from tta_service.core.events import Dropped, Messaged, Received, Refused, Streaming
from tta_service.core.request import Report
from tta_service.methods.stream import MOST_AT_ONCE
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.wire.v1 import tta_pb2 as pb

from .conftest import LABELS, busy, choice, frame, jpeg, open_harness, opening, options, question, until

BLOCK = pb.OpenStream.POLICY_BLOCK


async def talk(harness, *messages) -> list[pb.ClassifyStreamResponse]:
    """All replies to a stream that sends these messages and ends, without status messages."""
    replies = [reply async for reply in harness.stub.ClassifyStream(iter(messages))]
    assert replies[0].WhichOneof("kind") == "status"
    return [reply for reply in replies if reply.WhichOneof("kind") != "status"]


async def next_but_status(call) -> pb.ClassifyStreamResponse:
    while (reply := await call.read()).WhichOneof("kind") == "status":
        pass
    return reply


async def rest(call) -> list[pb.ClassifyStreamResponse]:
    replies = []
    while (reply := await call.read()) is not grpc.aio.EOF:
        replies.append(reply)
    return replies


async def test_the_first_reply_has_session_and_credits(harness):
    call = harness.stub.ClassifyStream()
    await call.write(opening(session_id="cam", policy=BLOCK, buffer=3))
    status = (await call.read()).status
    assert (status.session.session_id, status.credits, status.load) == ("cam", 3, 0.0)
    assert status.session.origin == pb.SessionStatus.ORIGIN_FRESH
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def test_block_answers_every_frame_in_order(harness):
    ids = [3, 4, 9, 10, 11, 20, 21, 22, 30, 31]
    replies = await talk(harness, opening(policy=BLOCK, buffer=2), *(frame(id) for id in ids))
    assert [reply.answer.frame_id for reply in replies] == ids
    assert {reply.answer.dropped_since_last for reply in replies} == {0}
    assert replies[-1].answer.response.session.frames == len(ids)


async def test_the_answers_of_a_stream_are_those_of_single_calls(harness):
    asked = options("zero", views=4)
    asked.seed = 100
    [reply] = await talk(harness, opening(options=asked, policy=BLOCK), frame(7))
    asked.seed = 107  # a frame adds its id
    alone = await harness.stub.Classify(question(image=pb.Image(encoded=jpeg(7)), options=asked))
    assert reply.answer.response.top == alone.top


async def test_a_frame_may_have_labels_and_options_of_its_own(harness):
    own = pb.Labels(label_set=pb.LabelSet(names=["tree", "flower"]))
    replies = await talk(
        harness,
        opening(options=options("mean", views=3), policy=BLOCK),
        frame(0),
        frame(1, options=options("zero", views=5, keep=0.5)),
        frame(2, labels=own),
        frame(3, options=pb.Options(strategy=choice("mta", views=4), top_k=1)),
        frame(4),
    )
    responses = [reply.answer.response for reply in replies]
    assert [response.strategy.name for response in responses] == ["mean", "zero", "mean", "mta", "mean"]
    assert [response.views for response in responses] == [3, 5, 3, 4, 3]
    assert responses[1].strategy.parameters["keep"] == 0.5
    assert {score.label for score in responses[2].top} == {"tree", "flower"} and len(responses[3].top) == 1


async def test_the_cameras_clock_is_echoed(harness):
    [reply] = await talk(harness, opening(), frame(1, capture_time=Timestamp(seconds=12345, nanos=678)))
    assert (reply.answer.capture_time.seconds, reply.answer.capture_time.nanos) == (12345, 678)


async def test_latest_answers_the_newest_and_counts_what_it_dropped(harness):
    call = harness.stub.ClassifyStream()
    async with busy(harness):
        await call.write(opening())
        await call.read()
        await call.write(frame(0))
        await until(lambda: harness.parts.admission.running_rows == 1)  # frame 0 is in the engine
        for id in range(1, 10):
            await call.write(frame(id))
        await until(lambda: len(harness.of(Dropped)) == 8)  # 1 to 8 gave way to 9
    await call.done_writing()
    replies = [reply.answer for reply in await rest(call) if reply.WhichOneof("kind") == "answer"]
    assert [(answer.frame_id, answer.dropped_since_last) for answer in replies] == [(0, 0), (9, 8)]
    assert {(event.reason, event.policy) for event in harness.of(Dropped)} == {("superseded", "latest")}


@pytest.mark.parametrize(
    "policy, answered",
    [
        ("drop_oldest", [(0, 0), (1, 0), (7, 5), (8, 0), (9, 0)]),
        ("drop_newest", [(0, 0), (1, 0), (2, 5), (3, 0), (4, 0)]),
    ],
)
async def test_a_buffer_that_is_full_drops_the_oldest_or_the_newest(harness, policy, answered):
    call = harness.stub.ClassifyStream()
    async with busy(harness):
        await call.write(opening(policy=f"POLICY_{policy.upper()}", buffer=3))
        assert (await call.read()).status.credits == 3
        for id in range(2):
            await call.write(frame(id))
            await until(lambda: harness.parts.admission.running_rows == id + 1)  # noqa: B023 - these two are in the engine
        for id in range(2, 10):
            await call.write(frame(id))
        await until(lambda: len(harness.of(Dropped)) == 5)
    await call.done_writing()
    replies = [reply.answer for reply in await rest(call) if reply.WhichOneof("kind") == "answer"]
    assert [(answer.frame_id, answer.dropped_since_last) for answer in replies] == answered
    assert {(event.reason, event.policy) for event in harness.of(Dropped)} == {("superseded", policy)}
    assert {report.request.policy for report in harness.of(Report) if report.request.streamed} == {policy}


async def test_credits_are_sent_when_they_change(harness):
    call = harness.stub.ClassifyStream()
    async with busy(harness):
        await call.write(opening(policy=pb.OpenStream.POLICY_DROP_OLDEST, buffer=4))
        assert (await call.read()).status.credits == 4
        for id in range(5):
            await call.write(frame(id))
        await until(lambda: harness.parts.admission.running_rows == 2)  # two in the engine, three wait
    await call.done_writing()
    replies = await rest(call)
    kinds = "".join(reply.WhichOneof("kind")[0] for reply in replies)
    assert kinds.count("a") == 5 and "s" in kinds and "ss" not in kinds  # at most one for each answer
    assert [reply.status.credits for reply in replies if reply.WhichOneof("kind") == "status"][-1] == 4
    assert replies[-1].WhichOneof("kind") == "answer" or replies[-1].status.suggested_fps > 0


async def test_a_stream_that_blocks_has_as_many_frames_in_the_engine_as_come_and_answers_in_order(harness):
    call = harness.stub.ClassifyStream()
    async with busy(harness):
        await call.write(opening(options=options("tda", views=2), policy=BLOCK))
        for id in range(20):
            await call.write(frame(id))
        await until(lambda: harness.parts.admission.running_rows == 2 * MOST_AT_ONCE)  # the others wait
    await call.done_writing()
    replies = [reply.answer for reply in await rest(call) if reply.WhichOneof("kind") == "answer"]
    assert [answer.frame_id for answer in replies] == list(range(20))
    assert max(answer.response.batch_rows for answer in replies) > 2  # frames share batches


async def test_frames_of_a_stream_that_blocks_share_batches_and_are_answered_as_one_by_one(harness):
    asked, numbers, call = options("tda", views=3), range(20), harness.stub.ClassifyStream()
    async with busy(harness):
        await call.write(opening(options=asked, session_id="together", policy=BLOCK))
        for id in numbers:
            await call.write(frame(id))
        await until(lambda: harness.parts.admission.running_rows == 3 * MOST_AT_ONCE)
    await call.done_writing()
    together = [reply.answer.response for reply in await rest(call) if reply.WhichOneof("kind") == "answer"]
    alone = []
    for id in numbers:
        asked.seed = id
        image = pb.Image(encoded=jpeg(id))
        alone.append(await harness.stub.Classify(question(image=image, options=asked, session_id="alone")))
    assert max(answer.batch_rows for answer in together) > max(answer.batch_rows for answer in alone)
    assert [answer.session.frames for answer in together] == [answer.session.frames for answer in alone]
    for mine, theirs in zip(together, alone, strict=True):
        assert [one.label for one in mine.top] == [one.label for one in theirs.top]
        assert [one.score for one in mine.top] == pytest.approx([one.score for one in theirs.top], abs=1e-3)


@pytest.mark.parametrize("most", [1, 3])
async def test_a_stream_that_fills_the_quota_of_its_caller_waits_for_its_own_frames(most: int):
    async with open_harness(client_requests=most) as harness:
        replies = await talk(harness, opening(policy=BLOCK, buffer=32), *map(frame, range(12)))
        assert [reply.answer.frame_id for reply in replies if reply.HasField("answer")] == list(range(12))


async def test_a_rate_is_sent_once_it_is_known_even_with_equal_credits(harness):
    call = harness.stub.ClassifyStream()
    await call.write(opening(policy=BLOCK, buffer=4))
    statuses = [(await call.read()).status]
    await call.write(frame(0))
    assert (await call.read()).WhichOneof("kind") == "answer"
    statuses.append((await call.read()).status)
    assert [status.credits for status in statuses] == [4, 4]
    assert statuses[0].suggested_fps == 0 < statuses[1].suggested_fps
    call.cancel()


async def test_only_a_sender_above_the_rate_limit_waits():
    """The frames read of it stay within the limit, its answers stay fresh, and another stream is served."""
    async with open_harness(stream_fps=50) as harness:
        flood, began = harness.stub.ClassifyStream(), time.monotonic()
        await flood.write(opening())
        await flood.read()

        async def flood_frames() -> None:
            for id in itertools.count():
                await flood.write(frame(id, large))

        large = jpeg(size=400)
        async with asyncio.TaskGroup() as group:
            flooding = group.create_task(flood_frames())
            others = await talk(harness, opening(policy=BLOCK), *(frame(id) for id in range(100)))
            last = None
            while last is None or last.frame_id < 50:
                last = (await next_but_status(flood)).answer
            read = harness.of(Received).count(Received("latest"))
            assert read <= 50 * (time.monotonic() - began + 0.25) + 2
            assert [reply.answer.frame_id for reply in others] == list(range(100))
            flooding.cancel()
        flood.cancel()


async def test_bad_pictures_are_answered_and_a_good_one_ends_the_waiting(harness):
    frames = [frame(i, None if i in (12, 13) else b"junk") for i in range(14)]
    replies = await talk(harness, opening(policy=BLOCK), *frames)
    assert ["answer" if reply.HasField("answer") else "failure" for reply in replies] == 12 * ["failure"] + 2 * [
        "answer"
    ]


async def test_one_corrupt_jpeg_fails_alone(harness):
    good = [0, 1, 3, 4]
    replies = await talk(
        harness, opening(policy=BLOCK), *(frame(i, None if i in good else jpeg(i)[:-300] + b"?") for i in range(5))
    )
    kinds = [reply.WhichOneof("kind") for reply in replies]
    assert kinds == ["answer", "answer", "error", "answer", "answer"]
    error = replies[2].error
    assert (error.frame_id, error.status.code) == (2, code_pb2.INVALID_ARGUMENT)
    assert error.status.message.startswith("frame.image.encoded: ")
    assert [event.method for event in harness.of(Refused)] == ["ClassifyStream"]


async def test_faults_of_a_frame_name_their_field_and_the_stream_goes_on(harness):
    bad = {
        1: (frame(1, b""), "frame.image.encoded"),
        2: (frame(2, options=options("mean", views=0)), "frame.options.strategy.parameters.views"),
        3: (frame(3, options=options("telepathy")), "frame.options.strategy.name"),
        4: (frame(4, labels=pb.Labels(id="nobody")), "frame.labels.id"),
        5: (frame(5, labels=pb.Labels()), "frame.labels"),
        6: (frame(6, labels=pb.Labels(label_set=pb.LabelSet(names=["a", "a"]))), "frame.labels.label_set.names[1]"),
        7: (pb.ClassifyStreamRequest(frame=pb.Frame(frame_id=7)), "frame.image"),
    }
    replies = await talk(harness, opening(policy=BLOCK), *(message for message, _ in bad.values()), frame(8))
    for (id, (_, field)), reply in zip(bad.items(), replies):
        assert (reply.error.frame_id, reply.error.status.message.split(": ")[0]) == (id, field)
    assert replies[-1].answer.frame_id == 8


async def test_a_stream_without_labels_needs_them_in_every_frame(harness):
    first = pb.ClassifyStreamRequest(open=pb.OpenStream(policy=BLOCK))
    one, two = await talk(harness, first, frame(0), frame(1, labels=LABELS))
    assert one.error.status.message.startswith("frame.labels: ") and two.answer.frame_id == 1


@pytest.mark.parametrize(
    "field, messages, code",
    [
        ("open", [frame(0)], grpc.StatusCode.INVALID_ARGUMENT),
        ("open", [], grpc.StatusCode.INVALID_ARGUMENT),
        ("open", [opening(), opening()], grpc.StatusCode.INVALID_ARGUMENT),
        ("frame", [opening(), pb.ClassifyStreamRequest()], grpc.StatusCode.INVALID_ARGUMENT),
        ("frame.frame_id", [opening(), frame(5), frame(5)], grpc.StatusCode.INVALID_ARGUMENT),
        ("frame.frame_id", [opening(), frame(5), frame(4)], grpc.StatusCode.INVALID_ARGUMENT),
        ("open.session_id", [opening(session_id="a b")], grpc.StatusCode.INVALID_ARGUMENT),
        ("open.labels.id", [opening(labels=pb.Labels(id="nobody"))], grpc.StatusCode.NOT_FOUND),
        ("open.labels", [opening(labels=pb.Labels())], grpc.StatusCode.INVALID_ARGUMENT),
        ("open.options.strategy.name", [opening(options=options("telepathy"))], grpc.StatusCode.INVALID_ARGUMENT),
        ("open.options.top_k", [opening(options=pb.Options(top_k=0))], grpc.StatusCode.INVALID_ARGUMENT),
        ("open.buffer", [opening(buffer=0)], grpc.StatusCode.INVALID_ARGUMENT),
        ("open.policy", [opening(policy=99)], grpc.StatusCode.INVALID_ARGUMENT),
        ("open.frame_budget", [opening(frame_budget={"seconds": 0})], grpc.StatusCode.INVALID_ARGUMENT),
        ("open.frame_budget", [opening(frame_budget={"seconds": -1})], grpc.StatusCode.INVALID_ARGUMENT),
        ("open.resume_token", [opening(resume_token=b"x")], grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_mistakes_in_the_opening_message_end_the_stream(harness, field, messages, code):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        [reply async for reply in harness.stub.ClassifyStream(iter(messages))]
    assert caught.value.code() is code
    assert caught.value.details().startswith(f"{field}: ")
    assert (await talk(harness, opening(), frame(0)))[0].answer.frame_id == 0  # the server goes on


async def test_frames_before_the_one_that_ends_a_stream_are_answered(harness):
    call = harness.stub.ClassifyStream(iter([opening(policy=BLOCK), frame(1), frame(2), frame(2)]))
    answered = []
    with pytest.raises(grpc.aio.AioRpcError):
        async for reply in call:
            answered += [reply.answer.frame_id] if reply.WhichOneof("kind") == "answer" else []
    assert answered == [1, 2]


async def test_a_newer_stream_takes_the_session_over(harness):
    old = harness.stub.ClassifyStream()
    await old.write(opening(session_id="cam", options=options("tda", views=2)))
    await old.read()
    await old.write(frame(0))
    assert (await next_but_status(old)).answer.response.session.frames == 1
    new = harness.stub.ClassifyStream()
    await new.write(opening(session_id="cam", options=options("tda", views=2)))
    assert (await new.read()).status.session.frames == 1
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await next_but_status(old)
    assert caught.value.code() is grpc.StatusCode.ABORTED and "session taken over" in caught.value.details()
    await new.write(frame(0))
    assert (await next_but_status(new)).answer.response.session.frames == 2
    new.cancel()


async def test_closing_the_session_ends_its_stream(harness):
    call = harness.stub.ClassifyStream()
    await call.write(opening(session_id="cam"))
    await call.read()
    await harness.stub.CloseSession(pb.CloseSessionRequest(session_id="cam"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await next_but_status(call)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_named_session_outlives_its_stream(harness):
    asked = {"options": options("tda", views=2), "policy": BLOCK}
    await talk(harness, opening(session_id="cam", **asked), frame(0), frame(1))
    [reply] = await talk(harness, opening(session_id="cam", **asked), frame(0))
    session = reply.answer.response.session
    assert (session.frames, session.origin) == (3, pb.SessionStatus.ORIGIN_CONTINUED)


async def test_ten_killed_clients_leave_nothing_behind(harness):
    await talk(harness, opening(), frame(0))  # makes what is made once
    before = len(asyncio.all_tasks())
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{harness.port}") for _ in range(10)]
    async with busy(harness):
        for number, channel in enumerate(channels):
            call = AdaptationServiceStub(channel).ClassifyStream()
            await call.write(opening(options=options("tda", views=2), policy=BLOCK if number % 2 else 0))
            await call.read()
            for id in range(4):
                await call.write(frame(id))
        await until(lambda: harness.parts.admission.running_rows == 2 * (5 * 1 + 5 * 4))
        for channel in channels:
            await channel.close(grace=None)  # every call is cut off
        await until(lambda: harness.parts.sessions.counters.streams == 0)
    await until(lambda: harness.parts.sessions.counters.sessions == 0 and harness.parts.admission.running_rows == 0)
    gc.collect()
    await until(lambda: len(asyncio.all_tasks()) <= before)
    assert harness.parts.sessions.counters.bytes == 0
    assert (await talk(harness, opening(), frame(0)))[0].answer.frame_id == 0


async def test_a_receiver_that_does_not_read_delays_only_itself(harness):
    count, still = 60, [("grpc.http2.bdp_probe", 0)]  # a window that does not grow while the client does not read
    async with grpc.aio.insecure_channel(f"127.0.0.1:{harness.port}", still) as channel:
        lazy = AdaptationServiceStub(channel).ClassifyStream()
        many = pb.Labels(label_set=pb.LabelSet(names=[f"{i} {'long name ' * 20}" for i in range(900)]))
        await lazy.write(opening(labels=many, options=pb.Options(top_k=900), policy=BLOCK, buffer=64))
        for id in range(count):
            await lazy.write(frame(id))  # half a megabyte of answer to each
        replies = await talk(harness, opening(policy=BLOCK), *(frame(id) for id in range(count)))
        assert len(replies) == count
        answered = [report for report in harness.of(Report) if len(report.request.labels.names) == 900]
        assert len(answered) < count  # the rest waits until the client reads
        lazy.cancel()
        await until(lambda: harness.parts.sessions.counters.streams == 0)


async def test_bytes_that_are_no_message_end_the_stream(harness):
    call = harness.channel.stream_stream("/tta.v1.AdaptationService/ClassifyStream")(
        iter([opening().SerializeToString(), b"\xff\xff\xff\xff"])
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        [reply async for reply in call]
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_streams_frames_and_messages_are_observed(harness):
    broken = frame(2)
    broken.frame.image.encoded = b"no picture"
    await talk(harness, opening(policy=BLOCK), frame(1), broken, frame(3))
    await until(lambda: len(harness.of(Streaming)) == 2)
    assert harness.of(Streaming) == [Streaming("block", open=True), Streaming("block", open=False)]
    assert harness.of(Received) == [Received("block")] * 3
    assert [(event.strategy, event.policy) for event in harness.of(Refused)] == [("zero_shot", "block")]
    messages = [event.sent for event in harness.of(Messaged) if event.method == "ClassifyStream"]
    assert messages.count(False) == 4
    assert messages.count(True) >= 4  # three answers and at least one status
    assert (harness.service.buffered.frames, harness.service.buffered.bytes) == (0, 0)


async def test_a_frame_budget_is_met_or_refused_frame_by_frame(harness):
    ample = await talk(harness, opening(policy=BLOCK, frame_budget={"seconds": 60}), frame(1), frame(2))
    assert [reply.answer.frame_id for reply in ample] == [1, 2]
    assert not any(reply.answer.response.HasField("degraded") for reply in ample)
    short = await talk(harness, opening(policy=BLOCK, frame_budget={"nanos": 1}), frame(1), frame(2))
    assert [reply.error.status.code for reply in short] == [code_pb2.DEADLINE_EXCEEDED] * 2


async def test_an_answer_that_had_no_time_says_what_was_left_out(harness):
    asked = catalogue.strategies.build("tda", {"views": 16})
    slow = {"options": options("tda", views=16), "policy": BLOCK, "session_id": "cam"}
    for _ in range(9):
        harness.parts.costs.learn_adapt(asked, 3, 16, 1000.0)  # as if measured
    await talk(harness, opening(**slow), frame(0))
    replies = await talk(harness, opening(**slow, frame_budget={"seconds": 100}), frame(1), frame(2))
    for reply in replies:
        response = reply.answer.response
        assert response.degraded.zero_shot and response.degraded.reason == pb.Degraded.REASON_DEADLINE
        assert (response.degraded.views_asked, response.degraded.views_done, response.views) == (16, 1, 1)
        assert response.strategy.name == "zero_shot" and response.top == response.zero_shot
        assert response.session.last_frame_id == 0
    [after] = await talk(harness, opening(**slow), frame(3))
    assert after.answer.response.strategy.name == "tda" and not after.answer.response.HasField("degraded")
    assert after.answer.response.session.frames == 4 and not after.answer.response.session.memory_reset
    wants_all = options("tda", views=16)
    wants_all.on_deadline = pb.ON_DEADLINE_FAIL
    [reply] = await talk(harness, opening(**{**slow, "options": wants_all}, frame_budget={"seconds": 100}), frame(4))
    assert reply.error.status.code == code_pb2.DEADLINE_EXCEEDED


async def test_a_stream_without_a_first_message_is_ended():
    async with open_harness(first_message=0.05) as harness:
        with pytest.raises(grpc.aio.AioRpcError, match="the first message opens the stream") as caught:
            await harness.stub.ClassifyStream().read()
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert not harness.of(Streaming) and harness.parts.sessions.counters.sessions == 0


async def test_all_streams_share_a_bound_of_bytes():
    async with open_harness(all_streams_bytes=1024) as harness:
        async with busy(harness):
            calls = [harness.stub.ClassifyStream() for _ in range(3)]
            for call in calls:
                await call.write(opening(policy=pb.OpenStream.POLICY_DROP_OLDEST, buffer=8))
                await call.read()
                for id in range(6):
                    await call.write(frame(id))
            await until(lambda: len(harness.of(Received)) == 18)
            assert harness.service.buffered.frames <= 3  # one of each, besides what is in the engine
        await until(lambda: {event.reason for event in harness.of(Dropped)} == {"budget"})
        for call in calls:
            call.cancel()


async def test_a_stream_without_a_frame_is_ended():
    async with open_harness(first_frame=0.1) as harness:
        silent, used = harness.stub.ClassifyStream(), harness.stub.ClassifyStream()
        for call in (silent, used):
            await call.write(opening())
        await used.write(frame(1))
        with pytest.raises(grpc.aio.AioRpcError, match=r"no frame came within 0\.1 s") as caught:
            await rest(silent)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        await used.write(frame(2))
        await used.done_writing()
        assert len([reply for reply in await rest(used) if reply.WhichOneof("kind") == "answer"]) == 2


async def test_silent_streams_leave_room_for_others():
    async with open_harness(sessions={"most": 8}) as harness:
        camera = harness.stub.ClassifyStream()
        await camera.write(opening(session_id="camera"))
        await camera.write(frame(1))
        await next_but_status(camera)
        await harness.stub.Classify(question(session_id="calls", options=options("tda")))
        silent = [harness.stub.ClassifyStream() for _ in range(40)]
        for call in silent:
            await call.write(opening())
            assert (await call.read()).WhichOneof("kind") == "status"
        newcomer = await talk(harness, opening(session_id="newcomer"), frame(1))
        assert newcomer[0].answer.response.top
        open_ones = {session.id for session in harness.parts.sessions.list("")}
        assert {"camera", "calls", "newcomer"} <= open_ones and len(open_ones) == 8
        with pytest.raises(grpc.aio.AioRpcError, match="sent nothing") as caught:
            await rest(silent[0])
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await camera.write(frame(2))
        assert (await next_but_status(camera)).answer.response.session.frames == 2
        for call in (*silent, camera):
            call.cancel()
