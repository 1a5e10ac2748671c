"""The same for callers without asyncio: the engine runs in a thread of its own, so notebooks may call it too."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..core.lessons import LessonResult
from .answers import Answer
from .images import Picture
from .model import AsyncModel, Names, load_async
from .session import AsyncSession

T = TypeVar("T")


def load(model: str = "pocket", **given: Any) -> Model:
    """Load a model; arguments and errors are those of `load_async`. It stays until `close`, or the end of a `with`."""
    return Model(EngineThread(model, given))


def restore(file: str | os.PathLike[str], model: Model | None = None) -> Session:
    """The session in a file of `save` goes on, with the pocket model unless another one is given."""
    return (model or load()).restore(file)


class EngineThread:
    """A thread with an event loop and a loaded model."""

    def __init__(self, model: str, given: dict[str, Any]) -> None:
        self._pid, self._loop = os.getpid(), asyncio.new_event_loop()
        self._stop = asyncio.Event()
        ready = Future[AsyncModel]()
        self._thread = threading.Thread(target=self._run, args=(model, given, ready), name="tta-engine", daemon=True)
        self._thread.start()
        self.model = ready.result()

    def call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of `work()` in the loop. Ctrl-C cancels it. Raises RuntimeError in a forked process, or closed."""
        if os.getpid() != self._pid:
            raise RuntimeError("a model does not survive a fork: load it in each worker, or start workers with spawn")
        if self._loop.is_closed():
            raise RuntimeError("the model is closed")
        future = asyncio.run_coroutine_threadsafe(work(), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Ends the thread, which takes the model along."""
        if os.getpid() == self._pid and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _run(self, model: str, given: dict[str, Any], ready: Future[AsyncModel]) -> None:
        async def serve() -> None:
            try:
                async with load_async(model, **given) as loaded:
                    ready.set_result(loaded)
                    await self._stop.wait()
            except BaseException as error:
                if ready.done():
                    raise
                ready.set_exception(error)

        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(serve())


class Model:
    """A loaded model, from `load`. Threads may share it: their pictures share batches."""

    def __init__(self, engine: EngineThread) -> None:
        self._engine, self._model = engine, engine.model
        self.close = weakref.finalize(self, engine.close)
        self.close.atexit = False  # by then the threads of the interpreter have ended

    @property
    def name(self) -> str:
        """Of the model."""
        return self._model.name

    @property
    def dimension(self) -> int:
        """Of its features."""
        return self._model.dimension

    def session(self, labels: Names, strategy: str = "", **given: Any) -> Session:
        """Open a session. Arguments and errors are those of `AsyncModel.session`."""

        async def open() -> AsyncSession:
            return self._model.session(labels, strategy, **given)

        return Session(self, self._engine, self._engine.call(open))

    def classify(self, pictures: Iterable[Picture], labels: Names, strategy: str = "", **given: Any) -> list[Answer]:
        """Answer pictures independently of one another. Arguments and errors are those of `AsyncModel.classify`."""
        return self._engine.call(lambda: self._model.classify(pictures, labels, strategy, **given))

    def features(self, pictures: Iterable[Picture]) -> NDArray[np.float32]:
        """Unit features of pictures, [n, dimension]. Raises `BadImage`."""
        return self._engine.call(lambda: self._model.features(pictures))

    def text_features(self, texts: Sequence[str], templates: Sequence[str] = ("{}",)) -> NDArray[np.float32]:
        """Unit features of texts, [n, dimension]; `templates` have {} where the text goes. Raises `BadLabels`."""
        return self._engine.call(lambda: self._model.text_features(texts, templates))

    def restore(self, file: str | os.PathLike[str]) -> Session:
        """The session in a file of `save` goes on here. Raises `BadRequest` for another model's, or a wrong secret."""
        return Session(self, self._engine, self._engine.call(lambda: self._model.restore(file)))

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Session:
    """The frames of one camera or the pictures of one task. From `Model.session`; ends with `close` or its model."""

    def __init__(self, model: Model, engine: EngineThread, session: AsyncSession) -> None:
        self._model = model  # which lives as long as a session of it
        self._engine, self._session = engine, session

    @property
    def name(self) -> str:
        """Its id."""
        return self._session.name

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self._session.labels

    def __call__(self, picture: Picture, *, frame: int | None = None, seed: int | None = None) -> Answer:
        """The answer to a picture; see `AsyncSession.__call__`."""
        return self._engine.call(lambda: self._session(picture, frame=frame, seed=seed))

    def teach(self, about: Picture | Answer, label: str | None) -> LessonResult:
        """Say what a picture, or that of an answer, shows; None: none of the classes. See `AsyncSession.teach`."""
        return self._engine.call(lambda: self._session.teach(about, label))

    def unlearn(self, lessons: Iterable[LessonResult | Answer | str]) -> list[str]:
        """Take lessons back: results of `teach`, answers or example ids. The ids of those that there were."""
        return self._engine.call(lambda: self._session.unlearn(lessons))

    def reset(self) -> None:
        """Forget what was learnt from pictures. Lessons stay."""
        self._engine.call(self._session.reset)

    def save(self, file: str | os.PathLike[str]) -> None:
        """Write the session to a file for `restore`. Without a `secret` whoever has the file can read it."""
        self._engine.call(lambda: self._session.save(file))

    def close(self) -> None:
        """End the session and forget what it learnt. A second call does nothing."""

        async def close() -> None:
            self._session.close()

        self._engine.call(close)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
