"""The first dashboard to look at: health, traffic, errors, latency, saturation."""

from __future__ import annotations

from .panels import CHOSEN, HERE, Panel, quantile, quantiles, rate, total

TITLE = "Overview"
DESCRIPTION = "Start here: health, traffic, errors, latency, frame age and saturation of all instances."
SERVER_ERRORS = (
    'code=~"INTERNAL|UNKNOWN|DATA_LOSS|UNAVAILABLE|RESOURCE_EXHAUSTED|DEADLINE_EXCEEDED"'  # not the caller's fault
)

REQUESTS = f"sum(rate(tta_requests_total{{{CHOSEN}}}[$__rate_interval]))"
ERRORS = f"sum(rate(tta_requests_total{{{CHOSEN}, {SERVER_ERRORS}}}[$__rate_interval]))"
AGES = f"sum by (le) (rate(tta_frame_age_seconds_bucket{{{HERE}}}[$__rate_interval]))"
LATENCIES = f"sum by (le) (rate(tta_request_duration_seconds_bucket{{{CHOSEN}}}[$__rate_interval]))"
FULL = f"max(tta_queue_depth{{{HERE}}} / on (job, instance, queue) tta_queue_limit{{{HERE}}})"


def number(
    title: str, description: str, unit: str, query: str, limits: tuple[float, float] | None = None, **more: str
) -> Panel:
    """A small panel that shows one number."""
    return Panel(title, description, unit, {title: query}, "stat", width=3, height=4, limits=limits, **more)


ROWS = {
    "Now": [
        Panel(
            "Up",
            "Instances that answer scrapes, of all instances.",
            "none",
            {"up": f"sum(up{{{HERE}}})", "of": f"count(up{{{HERE}}})"},
            "stat",
            3,
            4,
        ),
        Panel(
            "Serving",
            "1 while the device is healthy and requests are accepted; the worst instance.",
            "none",
            {"serving": f"min(tta_serving{{{HERE}}})"},
            "stat",
            3,
            4,
            limits=(1, 0.5),
            states=("not serving", "serving"),
        ),
        number("Requests", "Requests answered or refused per second.", "reqps", REQUESTS),
        number(
            "Server errors",
            "Share of requests that failed through the server's fault, not the caller's.",
            "percentunit",
            f"({ERRORS} or 0 * {REQUESTS}) / {REQUESTS}",
            (0.001, 0.01),
            empty="no traffic",
        ),
        number(
            "p95 latency",
            "Time from arrival to answer, 95th percentile of answered requests.",
            "s",
            f"histogram_quantile(0.95, {LATENCIES})",
            (0.5, 2),
        ),
        number(
            "p95 frame age",
            "Time from a frame's arrival to its answer, 95th percentile.",
            "s",
            f"histogram_quantile(0.95, {AGES})",
            (0.5, 1),
            empty="no streams",
        ),
        number("Queue", "Fill of the fullest queue; at 100 % requests are rejected.", "percentunit", FULL, (0.5, 0.8)),
        number("Streams", "Open streams.", "none", f"sum(tta_streams_open{{{HERE}}})", empty="none"),
    ],
    "Traffic and errors": [
        Panel(
            "Requests by outcome",
            "Requests per second, by gRPC code; OK: answered.",
            "reqps",
            rate("tta_requests_total", "code", CHOSEN),
            stacked=True,
        ),
        Panel(
            "Requests by strategy",
            "Answers by the strategy that gave them, refusals by the one asked for; unknown: not parsed yet.",
            "reqps",
            rate("tta_requests_total", "strategy", CHOSEN),
            stacked=True,
        ),
        Panel(
            "Rejected by admission",
            "Requests rejected before any work per second, by reason.",
            "reqps",
            rate("tta_admission_rejected_total", "reason"),
            empty="none refused",
        ),
    ],
    "Latency and freshness": [
        Panel(
            "Request latency",
            "Time from arrival to answer, unary and streamed, all selected strategies together.",
            "s",
            quantiles("tta_request_duration_seconds", CHOSEN),
        ),
        Panel(
            "Frame age",
            "Time from a frame's arrival to its answer, 95th percentile by policy.",
            "s",
            quantile(0.95, "tta_frame_age_seconds", "policy"),
            empty="no streams",
        ),
        Panel(
            "Calls by method",
            "Duration of unary gRPC calls, 95th percentile by method; health checks and listings included.",
            "s",
            quantile(0.95, "grpc_server_handling_seconds", "grpc_method"),
        ),
    ],
    "Saturation": [
        Panel(
            "Requests queued",
            "Requests queued for admission (calls, streams) and in the batch queue (tower).",
            "none",
            total("tta_queue_depth", "queue"),
        ),
        Panel(
            "In flight",
            "Requests admitted and not answered yet, and their views.",
            "none",
            {"requests": f"sum(tta_inflight_requests{{{HERE}}})", "views": f"sum(tta_inflight_rows{{{HERE}}})"},
        ),
        Panel(
            "Canary",
            "Duration of a canary: one row through the image tower, sent while the device is idle.",
            "s",
            quantiles("tta_canary_duration_seconds"),
            empty="no canary: the device is busy",
        ),
    ],
}
