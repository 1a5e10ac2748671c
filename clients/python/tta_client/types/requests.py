"""The requests of both clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from ..channel import parse_group, parse_session, to_timeout
from ..errors import blame_field
from ..v1 import tta_pb2
from .frames import Image, make_image_message
from .limits import Limits
from .options import Options, make_options_message
from .values import parse_number, parse_text, parse_unsigned

Policy = Literal["latest", "block", "drop_oldest", "drop_newest"]
POLICIES: Mapping[str, Any] = {
    name: tta_pb2.OpenStream.Policy.Value(f"POLICY_{name.upper()}") for name in get_args(Policy)
}


def make_classify_request(
    image: Image, options: Options, session: str, request_id: str, limits: Limits, lesson_group: str = ""
) -> tta_pb2.ClassifyRequest:
    """A request without its labels. Raises `Refused`, naming the field, for what cannot be sent."""
    message = tta_pb2.ClassifyRequest(
        image=make_image_message(image, "image", limits),
        options=make_options_message(options),
        session_id=parse_session(session),
        request_id=parse_text(request_id, "request_id"),
        lesson_group=parse_group(lesson_group),
    )
    limits.check_message(message, "")
    return message


def make_embed_request(
    images: Sequence[Image], texts: Sequence[str], templates: Sequence[str], limits: Limits
) -> tta_pb2.EmbedRequest:
    """A request for features. Raises `Refused`, naming the field, for what cannot be sent."""
    message = tta_pb2.EmbedRequest(
        images=[make_image_message(image, f"images[{place}]", limits) for place, image in enumerate(images)],
        texts=[parse_text(text, f"texts[{place}]") for place, text in enumerate(texts)],
        templates=[parse_text(text, f"templates[{place}]") for place, text in enumerate(templates)],
    )
    limits.check_message(message, "")
    return message


def make_opening(
    label_set_id: str,
    options: Options,
    session: str,
    policy: str,
    buffer: int | None,
    budget: float | None,
    resume_token: bytes = b"",
    lesson_group: str = "",
) -> tta_pb2.ClassifyStreamRequest:
    """The first message of a stream; `budget` is seconds for each frame.

    Raises ValueError for a policy that does not exist, and `Refused`, naming the field, for what cannot be sent.
    """
    if policy not in POLICIES:
        raise ValueError(f"no policy is called {policy!r}; there are {', '.join(POLICIES)}")
    message = tta_pb2.OpenStream(
        session_id=parse_session(session),
        lesson_group=parse_group(lesson_group, "open.lesson_group"),
        labels=tta_pb2.Labels(id=label_set_id),
        options=make_options_message(options, "open.options"),
        policy=POLICIES[policy],
        buffer=None if buffer is None else parse_unsigned(buffer, "open.buffer", bits=32),
    )
    with blame_field("open.resume_token"):
        message.resume_token = resume_token or b""
    if budget is not None and (budget := to_timeout(parse_number(budget, "open.frame_budget"))) is not None:
        with blame_field("open.frame_budget"):
            message.frame_budget.FromNanoseconds(round(budget * 1e9))
    return tta_pb2.ClassifyStreamRequest(open=message)
