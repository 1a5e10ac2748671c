"""A simulation in virtual time: cameras with a pacer each, and one service that keeps a waiting frame of each.

The service takes the cameras in turn, one frame at a time; a newer frame replaces the one that waits. After an answer
it reports its credits and the rate at which it answers, as the real one does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

TICK = 0.005  # seconds
Waiting = tuple[int, float, float]  # frame, when it was captured, when its camera began to wait


@dataclass
class Camera:
    pacer: Any
    phase: float
    seen: int = -1  # the last picture taken
    unanswered: list[int] = field(default_factory=list)
    waiting: Waiting | None = None
    behind: Waiting | None = None  # waits for the answer before it
    seconds: float = 0.0  # from arrival to answer, moving average


@dataclass
class Outcome:
    sent: int = 0
    answers: int = 0
    ages: list[float] = field(default_factory=list)  # at the camera, capture to answer

    def age(self, fraction: float) -> float:
        """A quantile of the ages after the first fifth, in which the pacers adapt."""
        settled = sorted(self.ages[len(self.ages) // 5 :])
        return settled[int(fraction * len(settled))]


def simulate_overload(
    cameras: int, service: float, pacer: Callable[[], Any], fps: float = 30.0, way: float = 0.005
) -> Outcome:
    """Simulates twenty seconds. `service` and `way` (to the service, and back) are seconds."""
    fleet, turn, counts = (
        [Camera(pacer(), number / fps / cameras) for number in range(cameras)],
        deque[int](),
        Outcome(),
    )
    going, coming = deque[tuple[float, int, int, float]](), deque[tuple[float, int, int, float, bool]]()
    busy: tuple[float, int, Waiting] | None = None
    for camera in fleet:
        camera.pacer.update_credits(1, 0.0, 0.0)
    for tick in range(int(20 / TICK)):
        now = tick * TICK
        while going and going[0][0] <= now:
            _, index, frame, captured = going.popleft()
            camera = fleet[index]
            if camera.waiting:
                camera.waiting = (frame, captured, camera.waiting[2])
            elif busy and busy[1] == index:
                camera.behind = (frame, captured, now)
            else:
                camera.waiting = (frame, captured, now)
                turn.append(index)
        if busy and busy[0] <= now:
            _, index, (frame, captured, since) = busy
            camera, busy = fleet[index], None
            camera.seconds += (now - since - camera.seconds) / (8 if camera.seconds else 1)
            coming.append((now + way, index, frame, captured, camera.behind is None))
            if camera.behind:
                camera.waiting, camera.behind = camera.behind, None
                turn.append(index)
        if busy is None and turn:
            camera = fleet[turn[0]]
            assert camera.waiting
            busy, camera.waiting = (now + service, turn.popleft(), camera.waiting), None
        while coming and coming[0][0] <= now:
            _, index, frame, captured, room = coming.popleft()
            camera = fleet[index]
            camera.unanswered = [other for other in camera.unanswered if other > frame]
            camera.pacer.record_answer(now)
            camera.pacer.update_credits(int(room), 1 / camera.seconds, now)
            counts.answers += 1
            counts.ages.append(now - captured)
        for index, camera in enumerate(fleet):
            picture = int((now + camera.phase) * fps)
            if picture != camera.seen and camera.pacer.wait(len(camera.unanswered), now) == 0:
                camera.seen = picture
                camera.pacer.record_sent(len(camera.unanswered), now)
                camera.unanswered.append(picture)
                going.append((now + way, index, picture, now))
                counts.sent += 1
    return counts
