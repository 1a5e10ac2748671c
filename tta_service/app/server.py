"""The running server, with its doors."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import AsyncExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..core.catalogue import reducers, strategies
from ..core.events import Observe
from ..rpc.methods.classify import AdaptationService
from ..rpc.server import Server
from ..rpc.status import code_of
from ..serving.batching.health import DeviceHealth
from ..settings import BadSettings, Settings
from ..telemetry import each
from ..telemetry import http as exposition
from ..telemetry.access_log import AnswerLog
from ..telemetry.metrics import Metrics
from .addresses import address, bindable
from .memory_peaks import measured, recorded
from .runtime import assembled, kept
from .server_info import check_limits, counts, terms

if TYPE_CHECKING:
    from ..telemetry.tracing import Tracing

log = logging.getLogger(__name__)


class Service:
    """`async with Service(settings) as service`: it answers; leaving the block drains it first.

    Raises `TTAError` when the model cannot be had, OSError when an address is taken.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._stack, self._told = settings, AsyncExitStack(), asyncio.Event()
        self._server: Server | None = None
        self._tracing = _tracing(settings.tracing.endpoint, settings.tracing.share)
        trace_of = self._tracing.trace_of if self._tracing else lambda report: ""
        self.metrics = Metrics(
            strategies.names(),
            reducers.names(),
            lambda error: code_of(error).name,
            trace_of,
            settings.metrics.latency_buckets,
        )
        self.address = self.metrics_address = ""  # host:port

    @property
    def line(self) -> str:
        """One line for whoever started us."""
        clip, metrics = self.parts.clip, f"http://{self.metrics_address}/metrics" if self.metrics_address else "off"
        about = f"model={clip.name} device={clip.device} precision={clip.precision}"
        return f"SERVING grpc={self.address} metrics={metrics} {about}"

    async def __aenter__(self) -> Service:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._stack.aclose()

    def stop(self) -> None:
        """Ends `wait`."""
        self._told.set()

    @property
    def stopping(self) -> bool:
        return self._told.is_set()

    async def wait(self) -> None:
        """Returns after `stop`. Raises when something in the background broke."""
        told = asyncio.create_task(self._told.wait())
        ended, _ = await asyncio.wait({told, *self.parts.works}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        for work in ended - {told}:
            why = None if work.cancelled() else work.exception()
            raise RuntimeError("a part of the service has ended by itself") from why

    async def _start(self, stack: AsyncExitStack) -> None:
        settings, traced = self._settings, [self._tracing.observe] if self._tracing else []
        observe = each(*traced, self.metrics.observe, AnswerLog().observe)
        if self._tracing:
            stack.push_async_callback(asyncio.to_thread, self._tracing.close)
        for catalogue, default in ((strategies, settings.defaults.strategy), (reducers, settings.defaults.reducer)):
            catalogue.get(default)  # what does not exist fails now
        check_limits(settings.limits.parameters)
        where = settings.metrics.peaks
        filed = recorded(Path(where)) if where else []
        bindable(settings.server.host, settings.server.port)
        if settings.metrics.enabled:
            bindable(settings.metrics.host, settings.metrics.port)
            shown = exposition.serve(self.metrics.registry, settings.metrics.host, settings.metrics.port)
            stack.callback(shown.close)
            self.metrics_address = shown.address
        server = await self._opened(stack, observe)
        pulse = DeviceHealth(on_change=self._turned, on_fatal=_die, observe=observe)
        self.parts = parts = await stack.enter_async_context(assembled(settings, observe, pulse, lambda: self.address))
        known = terms(settings, parts.clip)
        patches = max(parts.clip.tokens_left(reducers.build("none")), default=0)
        self.metrics.built(known.version, torch.__version__, known.model, known.device, patches)
        on_gpu = parts.clip.device.type == "cuda"
        peaks = [peak async for peak in measured(parts)] if on_gpu and not where else filed
        for peak in peaks:
            self.metrics.measured(peak.strategy, peak.device, peak.bytes)
        service = AdaptationService(
            parts.engine, parts.text_spaces, parts.sessions, parts.archive, known, lambda: parts.door.load, observe
        )
        self.metrics.pull(partial(counts, settings, parts, service.buffered))
        server.serve(service)
        self._server = server
        stack.push_async_callback(self._drain, server)
        server.health.set_serving(pulse.serving)

    async def _opened(self, stack: AsyncExitStack, observe: Observe) -> Server:
        """The port is open, and says NOT_SERVING while we warm up."""
        host, wished = self._settings.server.host, self._settings.server.port
        most, age = self._settings.limits.message_bytes, self._settings.server.connection_age
        server = Server(message_bytes=most, connection_age=age, observe=observe)
        try:
            port = await server.start(address(host, wished))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {host}:{wished}: {error}") from None
        stack.push_async_callback(server.stop, 0.0)
        self.address = address(host, port)
        return server

    async def _drain(self, server: Server) -> None:
        """NOT_SERVING first; then load balancers get their moment, lest streams that are told to go on elsewhere come
        back here; then requests under way get theirs.

        What a session has learnt is in the store before another server may be asked for it.
        """
        pre_stop, grace = self._settings.server.pre_stop, self._settings.server.drain
        self.parts.pulse.drain()
        self.parts.archive.drain()
        await kept(self.parts.archive)
        if pre_stop:
            await asyncio.sleep(pre_stop)
        await kept(self.parts.archive, streams=True)
        server.drain(grace)
        await server.stop(grace)

    def _turned(self, serving: bool, reason: str) -> None:
        level = logging.INFO if serving or reason == "draining" else logging.WARNING
        log.log(level, "serving" if serving else f"not serving: {reason}")
        if self._server:
            self._server.health.set_serving(serving)


def _tracing(endpoint: str, share: float) -> Tracing | None:
    """Raises `BadSettings` when spans are wanted and OpenTelemetry is not installed."""
    if not endpoint:
        return None
    try:
        from ..telemetry.tracing import otlp
    except ImportError as error:
        raise BadSettings(f"tracing.endpoint needs `pip install tta-service[tracing]`: {error}") from None
    return otlp(endpoint, share, version("tta-service"))


def _die(error: BaseException) -> None:
    """A sticky CUDA error: nothing in this process can recover, its supervisor can."""
    log.critical("the device is lost, this process ends", exc_info=error)
    os._exit(70)
