"""Every metric that events update: its name, HELP text, labels and buckets.

Label values come from closed sets: text that callers write never becomes a series.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from prometheus_client import Counter, Gauge

from .exposition import Registry

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # 2 ms on a GPU … TPT on a CPU
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
SIZES = (0, 1, 2, 3, 5, 10, 20, 50, 100, 1000)
SHARE = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)


class Instruments:
    """The metrics, one attribute each, in the registry `to`. `latencies` are the buckets of durations in seconds."""

    def __init__(self, to: Registry, latencies: Sequence[float] = SECONDS) -> None:
        by_outcome, by_strategy, by_policy = ("method", "strategy", "code"), ("strategy",), ("policy",)
        by_reducer = ("reducer",)
        counter, gauge, histogram = partial(Children, Counter, to), partial(Children, Gauge, to), to.histogram
        self.requests = counter("tta_requests", "Requests by outcome (gRPC code).", by_outcome)
        self.duration = histogram("tta_request_duration_seconds", "Time from arrival to answer.", by_outcome, latencies)
        self.stage = histogram("tta_stage_duration_seconds", "Time in one stage.", ("stage", "strategy"), latencies)
        self.rejected = counter("tta_admission_rejected", "Requests refused by admission.", ("reason",))

        self.streams_open = gauge("tta_streams_open", "Open streams.", by_policy)
        self.frames_received = counter("tta_frames_received", "Stream frames received.", by_policy)
        self.frames_answered = counter("tta_frames_answered", "Stream frames answered.", by_policy)
        self.frames_dropped = counter(
            "tta_frames_dropped", "Stream frames dropped without an answer.", ("reason", "policy")
        )
        self.frame_age = histogram("tta_frame_age_seconds", "Time from arrival to answer.", by_policy, latencies)

        self.flips = counter("tta_prediction_flips", "Answers whose label adaptation changed.", by_strategy)
        self.entropy_before = histogram(
            "tta_entropy_before", "Zero-shot entropy / ln(classes), 0..1.", by_strategy, SHARE
        )
        self.entropy_after = histogram("tta_entropy_after", "Adapted entropy / ln(classes), 0..1.", by_strategy, SHARE)
        self.drift_entropy = gauge("tta_drift_entropy", "Recent minus initial mean of tta_entropy_before.", by_strategy)
        self.drift_feature = gauge(
            "tta_drift_feature", "Distance of recent from initial mean image feature.", by_strategy
        )
        self.steps = counter("tta_adaptation_steps", "Gradient steps taken for answers.", by_strategy)
        self.fallback = counter("tta_adaptation_fallback", "Answers with less done than asked.", ("strategy", "reason"))
        self.memory_resets = counter(
            "tta_memory_resets", "Answers whose session memory was lost and began anew.", by_strategy
        )
        self.guarded = counter("tta_guarded", "Answers that the guard gave without the memory.", by_strategy)
        self.decisions = counter(
            "tta_decisions", "Answers that might have been deferred, by decision.", ("strategy", "decision")
        )
        self.set_size = histogram("tta_prediction_set_size", "Labels in a prediction set.", by_strategy, SIZES)
        self.warnings = counter("tta_warnings", "Answers that go with a warning.", ("warning",))
        self.out_of_memory = counter("tta_cuda_oom", "Requests out of GPU memory.", by_strategy)
        self.evictions = counter("tta_session_evictions", "Sessions ended.", ("reason",))
        self.restores = counter("tta_session_restores", "Attempts to restore a session.", ("outcome",))

        self.rss_peak = gauge("tta_strategy_rss_delta_bytes", "Peak process memory of one answer.", by_strategy)
        self.cuda_peak = gauge("tta_strategy_cuda_peak_bytes", "Peak GPU memory of one answer.", ("strategy", "device"))

        # these come from explanations, and the engine explains only some answers (app's EXPLAIN_EVERY)
        self.views_kept = histogram("tta_views_kept_ratio", "Share of views used by the strategy.", by_strategy, SHARE)
        self.tokens_pruned = histogram(
            "tta_tokens_pruned_ratio", "Share of patch tokens removed, mean over blocks.", by_reducer, SHARE
        )
        self.fill = gauge("tta_cache_fill_ratio", "Share of a session memory's slots in use.", by_strategy)
        self.admissions = counter(
            "tta_memory_admissions", "Frames that a memory admitted or refused.", ("strategy", "outcome")
        )

        self.batch_size = histogram("tta_batch_size", "Rows in one batch.", ("stage", "reducer"), ROWS)
        self.batch_requests = histogram("tta_batch_requests", "Requests in one batch.", by_reducer, ROWS)
        self.forward = histogram("tta_forward_duration_seconds", "Time of one image tower pass.", by_reducer, latencies)
        self.forward_failures = counter("tta_forward_failures", "Failed image tower passes.", by_reducer)
        self.canary = histogram("tta_canary_duration_seconds", "Time of one canary on the idle device.", (), latencies)
        self.canary_failures = Counter("tta_canary_failures", "Canaries that failed or timed out.", registry=to)

        call = ("grpc_service", "grpc_method", "grpc_type")
        self.started = counter("grpc_server_started", "Calls started.", call)
        self.handled = counter("grpc_server_handled", "Calls completed.", (*call, "grpc_code"))
        self.handling = histogram("grpc_server_handling_seconds", "Duration of unary calls.", call, latencies)
        self.msg_received = counter("grpc_server_msg_received", "Messages received.", call)
        self.msg_sent = counter("grpc_server_msg_sent", "Messages sent.", call)

        self.responses = counter("tta_http_requests", "Requests by HTTP.", ("method", "status"))
        self.responding = histogram("tta_http_seconds", "Duration of requests by HTTP.", ("method",), latencies)

        self.memory_limit = Gauge("tta_memory_limit_bytes", "Memory available to this process.", registry=to)
        build = ("version", "torch", "model", "device")
        self.build = gauge("tta_build_info", "Always 1; the labels say what runs.", build)
        self.model_loaded = gauge("tta_model_loaded", "1 once the model is loaded.", ("model",))


class Children(dict[tuple[str, ...], Any]):
    """The children of a counter or gauge by label values, each made on first use and then looked up once."""

    def __init__(self, kind: type, to: Registry, name: str, help: str, labels: Sequence[str]) -> None:
        self.name, self.label_names = name, tuple(labels)
        self._metric = kind(name, help, labels, registry=to)

    def __missing__(self, values: tuple[str, ...]) -> Any:
        return self.setdefault(values, self._metric.labels(*values))


class LabelValues(dict[str, str]):
    """The label value of each name that may be one. Any other name becomes "other", an empty one "unknown"."""

    def __init__(self, names: Collection[str]) -> None:
        super().__init__({name: name for name in names})

    def __missing__(self, name: str) -> str:
        return "other" if name else "unknown"
