"""The application: the runtime behind gRPC and /metrics, from start to drain."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import torch

from ..clip.model import FrozenCLIP
from ..core.catalogue import reducers, strategies
from ..core.events import Observe
from ..http.app import Handlers
from ..http.server import HttpServer
from ..methods.audit import MayChange, allow
from ..methods.service import AdaptationService
from ..rpc.server import Server
from ..rpc.status import code_of
from ..serving.batching.device_health import DeviceHealth
from ..settings import Settings
from ..telemetry.metrics import Metrics
from ..wire.server_info import ServerInfo
from .access import check_access, make_audit_log, make_certificates, make_identity
from .memory_peaks import load_peaks, measure_peaks
from .observers import make_gate, make_observer, make_tracing
from .parts import Runtime
from .ports import check_bindable, make_answers, make_server, make_uploads, serve_metrics, start_http, start_server
from .runtime import build_runtime, save_sessions
from .server_info import check_limits, make_counts, make_server_info

log = logging.getLogger(__name__)


class Application:
    """`async with Application(settings) as application`: it answers within the block, and drains at its end.

    `clip` takes the place of the model that the settings name. Raises `TTAError` when the model cannot be loaded,
    OSError when an address is taken.
    """

    def __init__(self, settings: Settings, clip: FrozenCLIP | None = None) -> None:
        self._settings, self._clip = settings, clip
        self._stack, self._stop_requested = AsyncExitStack(), asyncio.Event()
        self._server: Server | None = None
        self._tracing = make_tracing(settings.tracing.endpoint, settings.tracing.share)
        trace_of = self._tracing.trace_of if self._tracing else None
        check_access(settings)
        self._identity, self._certificates = make_identity(settings), make_certificates(settings)
        self._uploads, self._audit = make_uploads(settings), make_audit_log(settings)
        names = strategies.names(), reducers.names()
        self.metrics = Metrics(*names, lambda error: code_of(error).name, trace_of, settings.metrics.latency_buckets)
        self._answers: Handlers | None = None  # by HTTP, once the model is loaded
        self._http: HttpServer | None = None
        self.address = self.http_address = self.certificate_address = ""  # host:port
        self.metrics_address = self.metrics_url = ""

    @property
    def facts(self) -> dict[str, str]:
        """Addresses, model, device and precision, and whether access is open: what `serve` prints."""
        clip, scheme = self.runtime.clip, "https" if self._certificates else "http"
        page = f"{scheme}://{self.http_address}/" if self.http_address else "off"
        facts = {"grpc": self.address, "metrics": self.metrics_url or "off", "http": page, "model": clip.name}
        facts |= {"device": str(clip.device), "precision": clip.precision, "certificates": self.certificate_address}
        facts |= {"INSECURE": "server.insecure is set" * self._settings.server.insecure}
        return {name: fact for name, fact in facts.items() if fact}

    async def __aenter__(self) -> Application:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._stack.aclose()

    def stop(self) -> None:
        """End `wait`."""
        self._stop_requested.set()

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stop_requested.is_set()

    async def wait(self) -> None:
        """Return after `stop`. Raises RuntimeError when a background task ended."""
        stopping = asyncio.create_task(self._stop_requested.wait())
        ended, _ = await asyncio.wait({stopping, *self.runtime.background_tasks}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for task in ended - {stopping}:
            cause = None if task.cancelled() else task.exception()
            raise RuntimeError("a background task of the service ended by itself") from cause

    async def _start(self, stack: AsyncExitStack) -> None:
        settings, observe = self._settings, make_observer(stack, self._tracing, self._audit, self.metrics)
        for catalogue, default in ((strategies, settings.defaults.strategy), (reducers, settings.defaults.reducer)):
            catalogue.get(default)  # a name that does not exist fails now
        check_limits(settings.limits.parameters)
        peaks_file = settings.metrics.peaks
        stored = load_peaks(Path(peaks_file)) if peaks_file else []
        if settings.server.insecure:
            log.warning("server.insecure is set: others may reach this server without a key, and read along")
        check_bindable(settings.server.host, settings.server.port)
        if settings.metrics.enabled:
            check_bindable(settings.metrics.host, settings.metrics.port)
            running = serve_metrics(settings, self.metrics.registry, self._certificates, self._is_serving)
            stack.callback(running.close)
            self.metrics_address, self.metrics_url = running.address, running.url
        server = make_server(settings, self._uploads, observe, self._identity)
        self.address, self.certificate_address = await start_server(settings, server, self._certificates)
        stack.push_async_callback(server.stop, 0.0)
        await self._open_http(stack)
        health = DeviceHealth(on_change=self._on_health_change, on_fatal=_exit_on_device_loss, observe=observe)
        self.runtime = runtime = await stack.enter_async_context(
            build_runtime(settings, self._clip, observe=observe, health=health, address=lambda: self.address)
        )
        info = make_server_info(settings, runtime.clip)
        patches = max(runtime.clip.tokens_left(reducers.build("none")), default=0)
        self.metrics.set_build_info(info.version, torch.__version__, info.model, info.device, patches)
        on_gpu = runtime.clip.device.type == "cuda"
        peaks = [peak async for peak in measure_peaks(runtime)] if on_gpu and not peaks_file else stored
        for peak in peaks:
            self.metrics.set_memory_peak(peak.strategy, peak.device, peak.bytes)
        service = make_service(runtime, info, observe, make_gate(self._audit))
        queues = service.buffered, self._uploads, service.permits
        self.metrics.register_counts(partial(make_counts, settings, runtime, *queues, self._certificates, self._audit))
        server.serve(service)
        self._answers = make_answers(settings, service, server.open_inference, self._identity, observe)
        self._server = server
        stack.push_async_callback(self._drain, server)
        server.health.set_serving(health.serving)

    async def _open_http(self, stack: AsyncExitStack) -> None:
        if self._settings.http.enabled:
            ready = (lambda: self._answers), self._is_serving, self.metrics.registry
            self._http, self.http_address = await start_http(self._settings, *ready, self._certificates)
            stack.push_async_callback(self._http.stop, 0.0)

    def _is_serving(self) -> bool:
        return self._server is not None and self._server.health.serving

    async def _drain(self, server: Server) -> None:
        """First NOT_SERVING, then `pre_stop` seconds for load balancers, then `drain` seconds for running requests.

        Streams that are asked to resume elsewhere then do not come back here. Sessions are in the store before another
        server can be asked for them.
        """
        pre_stop, grace = self._settings.server.pre_stop, self._settings.server.drain
        ends = asyncio.get_running_loop().time() + pre_stop + grace
        self.runtime.health.drain()
        self.runtime.persistence.drain()
        await save_sessions(self.runtime.persistence)
        if pre_stop:
            await asyncio.sleep(pre_stop)
        await save_sessions(self.runtime.persistence, streams=True)
        server.drain(grace)
        http = [self._http.stop(grace)] if self._http else []
        await asyncio.gather(server.stop(grace), *http)
        await save_sessions(self.runtime.persistence, seconds=ends - asyncio.get_running_loop().time())

    def _on_health_change(self, serving: bool, reason: str) -> None:
        level = logging.INFO if serving or reason == "draining" else logging.WARNING
        log.log(level, "serving" if serving else f"not serving: {reason}")
        if self._server:
            self._server.health.set_serving(serving)


def make_service(
    runtime: Runtime, info: ServerInfo, observe: Observe, may_change: MayChange = allow
) -> AdaptationService:
    """The gRPC methods over the parts of `runtime`."""
    texts = runtime.text_spaces, runtime.label_sets
    parts = runtime.engine, runtime.teaching, *texts, runtime.sessions, runtime.persistence, runtime.switches
    return AdaptationService(*parts, info, lambda: runtime.admission.load, observe, may_change)


def _exit_on_device_loss(error: BaseException) -> None:
    """A sticky CUDA error: only a new process recovers from it, so the supervisor must start one."""
    log.critical("the device is lost; the process ends", exc_info=error)
    os._exit(70)
