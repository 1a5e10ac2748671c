"""Every metric that events update: its name, HELP text, labels and buckets.

Label values come from closed sets: text that callers write never becomes a series.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from prometheus_client import Counter, Gauge

from .registry import Registry

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # 2 ms on a GPU … TPT on a CPU
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
SHARE = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)


class Instruments:
    """The metrics, one attribute each, in the registry `to`. `latencies` are the buckets of durations in seconds."""

    def __init__(self, to: Registry, latencies: Sequence[float] = SECONDS) -> None:
        by_outcome, by_strategy, by_policy, by_reducer = (
            ("method", "strategy", "code"),
            ("strategy",),
            ("policy",),
            ("reducer",),
        )
        timed = to.histogram
        self.requests = Counter("tta_requests", "Requests by outcome (gRPC code).", by_outcome, registry=to)
        self.duration = timed("tta_request_duration_seconds", "Time from arrival to answer.", by_outcome, latencies)
        self.stage = timed("tta_stage_duration_seconds", "Time in one stage.", ("stage", "strategy"), latencies)
        self.rejected = Counter("tta_admission_rejected", "Requests refused by admission.", ("reason",), registry=to)

        self.streams_open = Gauge("tta_streams_open", "Open streams.", by_policy, registry=to)
        self.frames_received = Counter("tta_frames_received", "Stream frames received.", by_policy, registry=to)
        self.frames_answered = Counter("tta_frames_answered", "Stream frames answered.", by_policy, registry=to)
        self.frames_dropped = Counter(
            "tta_frames_dropped", "Stream frames dropped without an answer.", ("reason", "policy"), registry=to
        )
        self.frame_age = timed("tta_frame_age_seconds", "Time from arrival to answer.", by_policy, latencies)

        self.flips = Counter(
            "tta_prediction_flips", "Answers whose label adaptation changed.", by_strategy, registry=to
        )
        self.entropy_before = timed("tta_entropy_before", "Zero-shot entropy / ln(classes), 0..1.", by_strategy, SHARE)
        self.entropy_after = timed("tta_entropy_after", "Adapted entropy / ln(classes), 0..1.", by_strategy, SHARE)
        self.drift_entropy = Gauge(
            "tta_drift_entropy", "Recent minus initial mean of tta_entropy_before.", by_strategy, registry=to
        )
        self.drift_feature = Gauge(
            "tta_drift_feature", "Distance of recent from initial mean image feature.", by_strategy, registry=to
        )
        self.steps = Counter("tta_adaptation_steps", "Gradient steps taken for answers.", by_strategy, registry=to)
        self.fallback = Counter(
            "tta_adaptation_fallback", "Answers with less done than asked.", ("strategy", "reason"), registry=to
        )
        self.memory_resets = Counter(
            "tta_memory_resets", "Answers whose session memory was lost and began anew.", by_strategy, registry=to
        )
        self.out_of_memory = Counter("tta_cuda_oom", "Requests out of GPU memory.", by_strategy, registry=to)
        self.evictions = Counter("tta_session_evictions", "Sessions ended.", ("reason",), registry=to)
        self.restores = Counter("tta_session_restores", "Attempts to restore a session.", ("outcome",), registry=to)

        self.rss_peak = Gauge(
            "tta_strategy_rss_delta_bytes", "Peak process memory of one answer.", by_strategy, registry=to
        )
        self.cuda_peak = Gauge(
            "tta_strategy_cuda_peak_bytes", "Peak GPU memory of one answer.", ("strategy", "device"), registry=to
        )

        # these come from explanations, and the engine explains only some answers (app's EXPLAIN_EVERY)
        self.views_kept = timed("tta_views_kept_ratio", "Share of views used by the strategy.", by_strategy, SHARE)
        self.tokens_pruned = timed(
            "tta_tokens_pruned_ratio", "Share of patch tokens removed, mean over blocks.", by_reducer, SHARE
        )
        self.fill = Gauge("tta_cache_fill_ratio", "Share of a session memory's slots in use.", by_strategy, registry=to)
        self.admissions = Counter(
            "tta_memory_admissions", "Frames that a memory admitted or refused.", ("strategy", "outcome"), registry=to
        )

        self.batch_size = timed("tta_batch_size", "Rows in one batch.", ("stage", "reducer"), ROWS)
        self.batch_requests = timed("tta_batch_requests", "Requests in one batch.", by_reducer, ROWS)
        self.forward = timed("tta_forward_duration_seconds", "Time of one image tower pass.", by_reducer, latencies)
        self.forward_failures = Counter("tta_forward_failures", "Failed image tower passes.", by_reducer, registry=to)
        self.canary = timed("tta_canary_duration_seconds", "Time of one canary on the idle device.", (), latencies)
        self.canary_failures = Counter("tta_canary_failures", "Canaries that failed or timed out.", registry=to)

        call = ("grpc_service", "grpc_method", "grpc_type")
        self.started = Counter("grpc_server_started", "Calls started.", call, registry=to)
        self.handled = Counter("grpc_server_handled", "Calls completed.", (*call, "grpc_code"), registry=to)
        self.handling = timed("grpc_server_handling_seconds", "Duration of unary calls.", call, latencies)
        self.msg_received = Counter("grpc_server_msg_received", "Messages received.", call, registry=to)
        self.msg_sent = Counter("grpc_server_msg_sent", "Messages sent.", call, registry=to)

        self.memory_limit = Gauge("tta_memory_limit_bytes", "Memory available to this process.", registry=to)
        build = ("version", "torch", "model", "device")
        self.build = Gauge("tta_build_info", "Always 1; the labels say what runs.", build, registry=to)
        self.model_loaded = Gauge("tta_model_loaded", "1 once the model is loaded.", ("model",), registry=to)


class LabelValues:
    """The names that may become values of one label. Any other name becomes "other", an empty one "unknown"."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def of(self, name: str) -> str:
        """The label value for `name`."""
        return name if name in self._names else ("other" if name else "unknown")
