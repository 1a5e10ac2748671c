"""Is it up, is it fast, is it wrong, is it full?"""

from __future__ import annotations

from .panels import CHOSEN, HERE, Panel, quantile, quantiles, rate, total

TITLE = "Overview"
SAID = "The first page to look at: traffic, errors, latency, freshness and saturation of every instance."
OURS = 'code=~"INTERNAL|UNKNOWN|DATA_LOSS|UNAVAILABLE|RESOURCE_EXHAUSTED|DEADLINE_EXCEEDED"'  # not the caller's fault

REQUESTS = f"sum(rate(tta_requests_total{{{CHOSEN}}}[$__rate_interval]))"
ERRORS = f"sum(rate(tta_requests_total{{{CHOSEN}, {OURS}}}[$__rate_interval]))"
AGES = f"sum by (le) (rate(tta_frame_age_seconds_bucket{{{HERE}}}[$__rate_interval]))"
LATENCIES = f"sum by (le) (rate(tta_request_duration_seconds_bucket{{{CHOSEN}}}[$__rate_interval]))"
FULL = f"max(tta_queue_depth{{{HERE}}} / on (job, instance, queue) tta_queue_limit{{{HERE}}})"


def number(
    title: str, said: str, unit: str, query: str, limits: tuple[float, float] | None = None, **more: str
) -> Panel:
    return Panel(title, said, unit, {title: query}, "stat", width=3, height=4, limits=limits, **more)


ROWS = {
    "Now": [
        Panel(
            "Up",
            "Instances that answer a scrape, of those that should.",
            "none",
            {"up": f"sum(up{{{HERE}}})", "of": f"count(up{{{HERE}}})"},
            "stat",
            3,
            4,
        ),
        Panel(
            "Serving",
            "1 while the device answers and requests are taken; the worst instance.",
            "none",
            {"serving": f"min(tta_serving{{{HERE}}})"},
            "stat",
            3,
            4,
            limits=(1, 0.5),
            states=("not serving", "serving"),
        ),
        number("Answers and refusals", "Questions that got an answer or an error, in a second.", "reqps", REQUESTS),
        number(
            "Our errors",
            "Share of them that failed for a reason that is not the caller's.",
            "percentunit",
            f"({ERRORS} or 0 * {REQUESTS}) / {REQUESTS}",
            (0.001, 0.01),
            empty="no traffic",
        ),
        number(
            "p95 latency",
            "From arrival to answer, of answered requests.",
            "s",
            f"histogram_quantile(0.95, {LATENCIES})",
            (0.5, 2),
        ),
        number(
            "p95 frame age",
            "How old a camera's picture is when its answer leaves.",
            "s",
            f"histogram_quantile(0.95, {AGES})",
            (0.5, 1),
            empty="no streams",
        ),
        number(
            "Queue", "How full the fullest queue is; at 100 % callers are sent away.", "percentunit", FULL, (0.5, 0.8)
        ),
        number("Streams", "Cameras that are connected.", "none", f"sum(tta_streams_open{{{HERE}}})", empty="none"),
    ],
    "Traffic and errors": [
        Panel(
            "Requests by outcome",
            "Answers and refusals by gRPC code; OK is an answer.",
            "reqps",
            rate("tta_requests_total", "code", CHOSEN),
            stacked=True,
        ),
        Panel(
            "Requests by strategy",
            "Answers by who gave them, refusals by who was asked for; unknown: not even that.",
            "reqps",
            rate("tta_requests_total", "strategy", CHOSEN),
            stacked=True,
        ),
        Panel(
            "Refused at the door",
            "Requests sent away before any work, by reason.",
            "reqps",
            rate("tta_admission_rejected_total", "reason"),
            empty="none refused",
        ),
    ],
    "Latency and freshness": [
        Panel(
            "Request latency",
            "Arrival to answer, unary and streamed, over all strategies chosen above.",
            "s",
            quantiles("tta_request_duration_seconds", CHOSEN),
        ),
        Panel(
            "Frame age",
            "Arrival of a frame to its answer, by policy, 95 of 100 frames.",
            "s",
            quantile(0.95, "tta_frame_age_seconds", "policy"),
            empty="no streams",
        ),
        Panel(
            "Calls by method",
            "Duration of unary gRPC calls, 95 of 100, health checks and listings included.",
            "s",
            quantile(0.95, "grpc_server_handling_seconds", "grpc_method"),
        ),
    ],
    "Saturation": [
        Panel(
            "Waiting",
            "Requests that wait, at the door and before the image tower.",
            "none",
            total("tta_queue_depth", "queue"),
        ),
        Panel(
            "Inside",
            "Requests and views of them that are being worked on.",
            "none",
            {"requests": f"sum(tta_inflight_requests{{{HERE}}})", "views": f"sum(tta_inflight_rows{{{HERE}}})"},
        ),
        Panel(
            "Canary",
            "What one row through the whole tower takes; sent when the house is idle.",
            "s",
            quantiles("tta_canary_duration_seconds"),
            empty="busy: no canary",
        ),
    ],
}
