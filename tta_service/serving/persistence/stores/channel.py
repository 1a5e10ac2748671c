"""Questions to all servers that share a Redis."""

# pyright: reportUnknownMemberType=false
# (Redis's client is only partly typed)
from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from redis import RedisError

ASKED, ANSWERED = "tta:asked", "tta:answered:"  # the channel, and before the keys of lists of answers
YES, NO = b"1", b"0"
KEPT = 10  # seconds that an answer waits for who asked
PAUSE, SILENCE = 1.0, 60.0  # seconds before the next attempt to listen, and of one wait
ID = 16  # bytes of one who asks
log = logging.getLogger(__name__)


class RedisChannel:
    """Each question goes to every other server that listens, and each of them answers it."""

    def __init__(self, client: Any) -> None:
        self._client, self._id = client, secrets.token_bytes(ID)

    async def ask(self, question: bytes, seconds: float) -> None:
        """Returns when a server has said yes, when all have said no, and after so many seconds, or if Redis fails."""
        answers = ANSWERED + secrets.token_hex(ID)
        try:
            async with asyncio.timeout(seconds):
                asked = await self._client.publish(ASKED, self._id + answers.encode() + question)
                for _ in range(asked - 1):  # without this one
                    if await self._client.blpop([answers], timeout=seconds) in (None, (answers.encode(), YES)):
                        return
        except (RedisError, OSError, TimeoutError):
            return

    async def listen(self, answer: Callable[[bytes], Awaitable[bool]]) -> None:
        """Answers the others' questions by `answer(question)` until cancelled."""
        async with asyncio.TaskGroup() as answering:
            while True:
                try:
                    async with self._client.pubsub(ignore_subscribe_messages=True) as questions:
                        await questions.subscribe(ASKED)
                        while True:
                            if message := await questions.get_message(timeout=SILENCE):
                                answering.create_task(self._reply(message["data"], answer))
                except (RedisError, OSError):
                    await asyncio.sleep(PAUSE)

    async def _reply(self, message: bytes, answer: Callable[[bytes], Awaitable[bool]]) -> None:
        length = ID + len(ANSWERED) + 2 * ID
        asker, key, question = message[:ID], message[ID:length], message[length:]
        if asker == self._id or not key.startswith(ANSWERED.encode()):
            return
        try:
            reply = YES if await answer(question) else NO
            await self._client.pipeline().rpush(key, reply).expire(key, KEPT).execute()
        except (RedisError, OSError):
            return
        except Exception:  # of one question; the others are still answered
            log.exception("a question of another server was not answered")
