"""The engine for asyncio: a loaded model and its sessions. `blocking` has the same for everybody else."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..app.parts import Runtime
from ..app.runtime import build_runtime
from ..app.server_info import make_server_info
from ..clip.text.templates import expand_templates
from ..core.errors import BadRequest, TTAError
from ..core.labels import LabelSet, check_texts
from ..core.request import Request
from ..settings import make
from ..wire.catalogue import make_label_set
from ..wire.json_mapping import from_json
from ..wire.requests import parse_label_set
from ..wire.server_info import ServerInfo
from ..wire.v1 import tta_pb2 as pb
from .answers import Answer
from .images import Picture, check_pictures, read_picture
from .session import AsyncSession, parse_chosen, read_session

Names = Sequence[str] | LabelSet
AT_ONCE = 32  # pictures of one call in the engine
PUBLIC = "a file without a secret of its own"  # signs files of `save`, which then protects against accidents only


@asynccontextmanager
async def load_async(
    model: str = "pocket",
    *,
    pretrained: str = "",
    checkpoint: str | os.PathLike[str] = "",
    device: str = "auto",
    precision: str = "float32",
    runtime: str = "eager",
    secret: str = "",
    settings: Mapping[str, Any] | None = None,
) -> AsyncIterator[AsyncModel]:
    """Load a model for the `async with` block: `pocket`, or a name of open_clip with `pretrained` or `checkpoint`.

    `settings` are any of the service's, by dotted name; its files and variables are not read. `secret`, of at least 16
    characters, encrypts what `save` writes; a service with the same `sessions.secret` restores it.

    Raises `BadSettings`, `CannotLoad`.
    """
    chosen = {"name": model, "pretrained": pretrained, "checkpoint": os.fspath(checkpoint)}
    chosen |= {"device": device, "precision": precision, "runtime": runtime}
    own = {f"model.{name}": value for name, value in chosen.items()}
    own |= {"sessions.secret": secret or PUBLIC, "batch.max_rows": 32}
    made = make({**own, **(settings or {})})
    async with build_runtime(made) as parts:
        yield AsyncModel(parts, make_server_info(made, parts.clip))


class AsyncModel:
    """A loaded model, from `load_async`. All its calls may run at once: they share batches."""

    def __init__(self, parts: Runtime, info: ServerInfo) -> None:
        self._parts, self._info = parts, info

    @property
    def name(self) -> str:
        """Of the model."""
        return self._info.model

    @property
    def dimension(self) -> int:
        """Of its features."""
        return self._info.dimension

    def session(
        self,
        labels: Names,
        strategy: str = "",
        *,
        name: str = "",
        group: str = "",
        templates: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> AsyncSession:
        """Open a session: pictures one after the other, from which the strategy learns, and lessons.

        `parameters` are the strategy's. `options` are those of a call of the service by name (`reduction`, `seed`,
        `calibrate`, `coverage`, `smooth`, `explain` …). `templates` are sentences with {} for the name, or `openai` and
        `simple`. Sessions of one `group` share their lessons. A `name` that is open goes on.

        Raises `BadLabels`, `UnknownStrategy`, `BadParameters` or `BadRequest`, naming the field.
        """
        chosen = self._request(labels, strategy, templates, options, parameters)
        return self._open(chosen, name or secrets.token_hex(8), group)

    async def classify(
        self,
        pictures: Iterable[Picture],
        labels: Names,
        strategy: str = "",
        *,
        templates: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> list[Answer]:
        """Answer pictures independently of one another, many at a time. Raises as `session`, and `BadImage`."""
        request = parse_chosen(self._request(labels, strategy, templates, options, parameters), self._info)
        return await self._each(pictures, request, Answer)

    async def features(self, pictures: Iterable[Picture]) -> NDArray[np.float32]:
        """Unit features of pictures, [n, dimension]. Raises `BadImage`."""
        options = pb.Options()
        options.strategy.name, options.reduction.reducer.name = "zero_shot", "none"
        chosen = pb.ClassifyRequest(options=options)
        chosen.labels.label_set.MergeFrom(make_label_set(LabelSet(("picture",), ("{}",))))
        rows = await self._each(pictures, parse_chosen(chosen, self._info), lambda report: report.feature)
        return np.stack([row.float().numpy() for row in rows]) if rows else np.zeros((0, self.dimension), np.float32)

    async def text_features(self, texts: Sequence[str], templates: Sequence[str] = ("{}",)) -> NDArray[np.float32]:
        """Unit features of texts, [n, dimension]; `templates` have {} where the text goes. Raises `BadLabels`."""
        labels = LabelSet(check_texts(texts, "texts"), expand_templates(templates), allow_duplicates=True)
        space = await self._parts.text_spaces.get(parse_label_set(make_label_set(labels), self._info, ""))
        return space.features.float().cpu().numpy()

    async def restore(self, file: str | os.PathLike[str]) -> AsyncSession:
        """The session in a file of `save` goes on here, under another name where its own is in use.

        Raises `BadRequest` for another model's file or a wrong secret, OSError.
        """
        chosen, state = await asyncio.to_thread(read_session, Path(file))
        in_use = self._parts.sessions.registry.get("", chosen.session_id) is not None
        name = secrets.token_hex(8) if in_use else chosen.session_id
        restored = await self._parts.persistence.restore("", state, name)
        return AsyncSession(self._parts, chosen, replace(parse_chosen(chosen, self._info), session=restored.id))

    def _request(
        self,
        labels: Names,
        strategy: str,
        templates: Sequence[str],
        options: Mapping[str, Any] | None,
        parameters: Mapping[str, Any],
    ) -> pb.ClassifyRequest:
        if not isinstance(labels, LabelSet):
            given = expand_templates(templates)
            labels = LabelSet(labels, given) if given else LabelSet(labels)  # type: ignore[arg-type] # it makes tuples
        if not isinstance(options, Mapping | None):
            raise BadRequest(f"options are a mapping from names to values, not a {type(options).__name__}", "options")
        value = dict(options or {})
        if "strategy" in value:
            raise BadRequest("the strategy is an argument of its own", "options.strategy")
        if strategy or parameters:
            value["strategy"] = {"name": strategy or self._info.strategy, "parameters": parameters}
        chosen = pb.ClassifyRequest(options=from_json(pb.Options, value))
        chosen.labels.label_set.MergeFrom(make_label_set(labels))
        return chosen

    def _open(self, chosen: pb.ClassifyRequest, name: str, group: str) -> AsyncSession:
        request = replace(parse_chosen(chosen, self._info), session=name, group=group)
        return AsyncSession(self._parts, chosen, request)

    async def _each(self, pictures: Iterable[Picture], request: Request, result: Any) -> list[Any]:
        places = asyncio.Semaphore(AT_ONCE)

        async def answer(place: int, picture: Picture) -> Any:
            async with places:
                try:
                    image = await asyncio.to_thread(read_picture, picture)
                    return result(await self._parts.engine.classify(replace(request, image=image)))
                except TTAError as error:
                    error.field = f"pictures[{place}]" if error.field in ("", "image") else error.field
                    raise

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(answer(*one)) for one in enumerate(check_pictures(pictures))]
        except* Exception as several:
            raise several.exceptions[0] from None
        return [task.result() for task in tasks]
