"""Every pushed series with its name, labels and buckets. Label values come from closed sets: never a user's text."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import Counter, Gauge

from .registry import Registry

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # 2 ms on a GPU … TPT on a CPU
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
SHARE = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)


class Instruments:
    """The instruments, one attribute each."""

    def __init__(self, to: Registry, latencies: Sequence[float] = SECONDS) -> None:
        by_outcome, by_strategy, by_policy, by_reducer = (
            ("method", "strategy", "code"),
            ("strategy",),
            ("policy",),
            ("reducer",),
        )
        timed = to.histogram
        self.requests = Counter("tta_requests", "Requests by outcome (gRPC code).", by_outcome, registry=to)
        self.duration = timed("tta_request_duration_seconds", "Arrival to answer.", by_outcome, latencies)
        self.stage = timed("tta_stage_duration_seconds", "Time in one stage.", ("stage", "strategy"), latencies)
        self.rejected = Counter("tta_admission_rejected", "Requests refused at the door.", ("reason",), registry=to)

        self.streams_open = Gauge("tta_streams_open", "Streams that are open.", by_policy, registry=to)
        self.frames_received = Counter("tta_frames_received", "Stream frames that came in.", by_policy, registry=to)
        self.frames_answered = Counter("tta_frames_answered", "Stream frames answered.", by_policy, registry=to)
        self.frames_dropped = Counter(
            "tta_frames_dropped", "Stream frames that got no answer.", ("reason", "policy"), registry=to
        )
        self.frame_age = timed("tta_frame_age_seconds", "Arrival of a frame to its answer.", by_policy, latencies)

        self.flips = Counter(
            "tta_prediction_flips", "Answers whose adapted label is not the zero-shot one.", by_strategy, registry=to
        )
        self.entropy_before = timed("tta_entropy_before", "Zero-shot entropy over ln(classes).", by_strategy, SHARE)
        self.entropy_after = timed("tta_entropy_after", "Adapted entropy over ln(classes).", by_strategy, SHARE)
        self.drift_entropy = Gauge(
            "tta_drift_entropy", "Recent minus initial mean zero-shot entropy.", by_strategy, registry=to
        )
        self.drift_feature = Gauge(
            "tta_drift_feature", "Distance of the recent from the initial mean feature.", by_strategy, registry=to
        )
        self.steps = Counter("tta_adaptation_steps", "Gradient steps done for answers.", by_strategy, registry=to)
        self.fallback = Counter(
            "tta_adaptation_fallback", "Answers with less done than asked.", ("strategy", "reason"), registry=to
        )
        self.memory_resets = Counter(
            "tta_memory_resets", "Answers with which a lost memory began anew.", by_strategy, registry=to
        )
        self.out_of_memory = Counter("tta_cuda_oom", "Requests that found no device memory.", by_strategy, registry=to)
        self.evictions = Counter("tta_session_evictions", "Sessions ended.", ("reason",), registry=to)
        self.restores = Counter("tta_session_restores", "Sessions brought back.", ("outcome",), registry=to)

        self.rss_peak = Gauge(
            "tta_strategy_rss_delta_bytes", "Most that one answer took, measured alone.", by_strategy, registry=to
        )
        self.cuda_peak = Gauge(
            "tta_strategy_cuda_peak_bytes", "The same on a GPU.", ("strategy", "device"), registry=to
        )

        # one answer in sixteen is explained for these
        self.views_kept = timed("tta_views_kept_ratio", "Share of views that count.", by_strategy, SHARE)
        self.tokens_pruned = timed(
            "tta_tokens_pruned_ratio", "Share of patch tokens taken out, mean over blocks.", by_reducer, SHARE
        )
        self.fill = Gauge("tta_cache_fill_ratio", "Share of a memory's slots in use, lately.", by_strategy, registry=to)
        self.admissions = Counter(
            "tta_memory_admissions", "Frames let into a memory or not.", ("strategy", "outcome"), registry=to
        )

        self.batch_size = timed("tta_batch_size", "Rows that shared one pass.", ("stage", "reducer"), ROWS)
        self.batch_requests = timed("tta_batch_requests", "Requests that shared a forward.", by_reducer, ROWS)
        self.forward = timed("tta_forward_duration_seconds", "One forward of the image tower.", by_reducer, latencies)
        self.forward_failures = Counter("tta_forward_failures", "Forwards that raised.", by_reducer, registry=to)
        self.canary = timed("tta_canary_duration_seconds", "One row through an idle house.", (), latencies)
        self.canary_failures = Counter("tta_canary_failures", "Canaries that did not come back.", registry=to)

        call = ("grpc_service", "grpc_method", "grpc_type")
        self.started = Counter("grpc_server_started", "Calls that began.", call, registry=to)
        self.handled = Counter("grpc_server_handled", "Calls that ended.", (*call, "grpc_code"), registry=to)
        self.handling = timed("grpc_server_handling_seconds", "Duration of unary calls.", call, latencies)
        self.msg_received = Counter("grpc_server_msg_received", "Messages that came in.", call, registry=to)
        self.msg_sent = Counter("grpc_server_msg_sent", "Messages that went out.", call, registry=to)

        self.memory_limit = Gauge("tta_memory_limit_bytes", "What this process may take at most.", registry=to)
        build = ("version", "torch", "model", "device")
        self.build = Gauge("tta_build_info", "Always 1; what runs stands in the labels.", build, registry=to)
        self.model_loaded = Gauge("tta_model_loaded", "1 while the model can be used.", ("model",), registry=to)
