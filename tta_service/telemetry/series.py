"""Every pushed series with its name, labels and buckets. Label values come from closed sets: never a user's text."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # 2 ms on a GPU … TPT on a CPU
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
SHARE = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)


class Registry(CollectorRegistry):
    """A registry of its own for each server, without the `_created` series (a third of all).

    prometheus_client can only leave them out for the whole process.
    """

    def collect(self) -> Iterable[Metric]:
        for family in super().collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


class Series:
    """The instruments, one attribute each."""

    def __init__(self, to: CollectorRegistry) -> None:
        seen = ("method", "strategy", "code")
        self.requests = Counter("tta_requests", "Requests by outcome (gRPC code).", seen, registry=to)
        self.duration = Histogram(
            "tta_request_duration_seconds", "Arrival to answer.", seen, buckets=SECONDS, registry=to
        )
        self.stage = Histogram(
            "tta_stage_duration_seconds", "Time in one stage.", ("stage", "strategy"), buckets=SECONDS, registry=to
        )
        self.rejected = Counter("tta_admission_rejected", "Requests refused at the door.", ("reason",), registry=to)

        self.frame_age = Histogram(
            "tta_frame_age_seconds", "Arrival of a frame to its answer.", ("policy",), buckets=SECONDS, registry=to
        )
        self.frames_answered = Counter("tta_frames_answered", "Stream frames answered.", ("policy",), registry=to)
        self.frames_dropped = Counter(
            "tta_frames_dropped", "Stream frames never looked at.", ("reason", "policy"), registry=to
        )

        self.flips = Counter(
            "tta_prediction_flips", "Answers whose adapted label is not the zero-shot one.", ("strategy",), registry=to
        )
        self.entropy_before = Histogram(
            "tta_entropy_before", "Zero-shot entropy over ln(classes).", ("strategy",), buckets=SHARE, registry=to
        )
        self.entropy_after = Histogram(
            "tta_entropy_after", "Adapted entropy over ln(classes).", ("strategy",), buckets=SHARE, registry=to
        )
        self.fallback = Counter(
            "tta_adaptation_fallback", "Answers with less done than asked.", ("strategy", "reason"), registry=to
        )
        self.evictions = Counter("tta_session_evictions", "Sessions ended.", ("reason",), registry=to)

        self.batch_rows = Histogram("tta_batch_rows", "Rows of a forward.", ("reducer",), buckets=ROWS, registry=to)
        self.batch_requests = Histogram(
            "tta_batch_requests", "Requests that shared a forward.", ("reducer",), buckets=ROWS, registry=to
        )
        self.forward = Histogram(
            "tta_forward_duration_seconds",
            "One forward of the image tower.",
            ("reducer",),
            buckets=SECONDS,
            registry=to,
        )
        self.forward_failures = Counter("tta_forward_failures", "Forwards that raised.", ("reducer",), registry=to)

        call = ("grpc_service", "grpc_method", "grpc_type")
        self.started = Counter("grpc_server_started", "Calls that began.", call, registry=to)
        self.handled = Counter("grpc_server_handled", "Calls that ended.", (*call, "grpc_code"), registry=to)
        self.handling = Histogram(
            "grpc_server_handling_seconds", "Duration of unary calls.", call, buckets=SECONDS, registry=to
        )

        build = ("version", "torch", "model", "device")
        self.build = Gauge("tta_build_info", "Always 1; what runs stands in the labels.", build, registry=to)
