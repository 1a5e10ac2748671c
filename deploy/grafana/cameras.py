"""The dashboard of streams and sessions: age of answers, frames dropped, session memories, label sets."""

from __future__ import annotations

from .panels import HERE, Panel, quantile, rate, total

TITLE = "Cameras and sessions"
DESCRIPTION = "Streams and their sessions: age of answers, frames dropped by reason, session memories and why they end."

DROPPED = f"sum by (policy) (rate(tta_frames_dropped_total{{{HERE}}}[$__rate_interval]))"
RECEIVED = f"sum by (policy) (rate(tta_frames_received_total{{{HERE}}}[$__rate_interval]))"
STREAMS = f'{HERE}, grpc_method="ClassifyStream"'
USED = f"sum(tta_session_memory_bytes{{{HERE}}})"
ALLOWED = f"sum(tta_session_memory_limit_bytes{{{HERE}}})"

ROWS = {
    "Frames": [
        Panel(
            "Age of answers, median",
            "Time from a frame's arrival to its answer, median by policy.",
            "s",
            quantile(0.5, "tta_frame_age_seconds", "policy"),
            empty="no streams",
        ),
        Panel(
            "Age of answers, p95",
            "Time from a frame's arrival to its answer, 95th percentile by policy.",
            "s",
            quantile(0.95, "tta_frame_age_seconds", "policy"),
            limits=(0.5, 1),
            empty="no streams",
        ),
        Panel(
            "Frames answered",
            "Stream frames answered per second, by policy.",
            "ops",
            rate("tta_frames_answered_total", "policy"),
            stacked=True,
            empty="no streams",
        ),
        Panel(
            "Frames received",
            "Stream frames received per second, by policy.",
            "ops",
            rate("tta_frames_received_total", "policy"),
            stacked=True,
            empty="no streams",
        ),
        Panel(
            "Frames dropped",
            "Frames without an answer per second, by reason; superseded: policy latest took a newer frame instead.",
            "ops",
            rate("tta_frames_dropped_total", "reason"),
            stacked=True,
            empty="none dropped",
        ),
        Panel(
            "Share dropped",
            "Frames dropped / frames received, by policy.",
            "percentunit",
            {"{{policy}}": f"({DROPPED} or 0 * {RECEIVED}) / {RECEIVED}"},
            empty="no streams",
        ),
    ],
    "Streams": [
        Panel(
            "Open streams",
            "Open streams, by policy.",
            "none",
            total("tta_streams_open", "policy"),
            stacked=True,
            empty="no streams",
        ),
        Panel(
            "Stream messages",
            "Messages received and sent on streams per second, openings and status included.",
            "ops",
            {
                way: f"sum(rate(grpc_server_msg_{way}_total{{{STREAMS}}}[$__rate_interval]))"
                for way in ("received", "sent")
            },
        ),
        Panel(
            "Image bytes queued",
            "Bytes of images in stream buffers and in the batch queue.",
            "bytes",
            total("tta_queue_bytes", "queue"),
        ),
    ],
    "Sessions": [
        Panel(
            "Sessions",
            "Sessions in memory. Active: a stream is open on it; idle: none is.",
            "none",
            total("tta_sessions", "state"),
            stacked=True,
        ),
        Panel(
            "Sessions ended",
            "Sessions ended per second, by reason; capacity and bytes are evictions for want of space.",
            "ops",
            rate("tta_session_evictions_total", "reason"),
            empty="none ended",
        ),
        Panel(
            "Sessions restored",
            "Attempts to restore a session per second, by outcome.",
            "ops",
            rate("tta_session_restores_total", "outcome"),
            empty="none restored",
        ),
        Panel(
            "Session memories",
            "Bytes of all session memories, by strategy.",
            "bytes",
            total("tta_session_memory_bytes", "strategy"),
            stacked=True,
            width=12,
            empty="no session memory",
        ),
        Panel(
            "Session memory used",
            "Bytes of session memories / their limit; at 100 % the longest idle sessions are evicted.",
            "percentunit",
            {"used": f"({USED} or 0 * {ALLOWED}) / {ALLOWED}"},
            limits=(0.75, 0.9),
            width=12,
        ),
        Panel(
            "Flips and rejections of the worst sessions",
            "Share of a session's recent answers that adapting changed, or that no memory gave; five sessions by rank.",
            "percentunit",
            {"{{sign}} {{rank}}": f'max by (sign, rank) (tta_session_worst{{{HERE}, sign=~"flips|rejections"}})'},
            limits=(0.25, 0.5),
            width=12,
        ),
        Panel(
            "Drift and resets of the worst sessions",
            "Standard deviations by which a session's pictures fit its labels less than at first, and lost memories.",
            "none",
            {"{{sign}} {{rank}}": f'max by (sign, rank) (tta_session_worst{{{HERE}, sign=~"drift|resets"}})'},
            limits=(2, 3),
            width=12,
        ),
    ],
    "Label sets": [
        Panel(
            "Label sets",
            "Label sets with cached text features.",
            "none",
            {"cached": f"sum(tta_label_sets{{{HERE}}})"},
        ),
        Panel(
            "Text cache size",
            "Bytes of cached text features.",
            "bytes",
            {"cached": f"sum(tta_label_set_bytes{{{HERE}}})"},
        ),
        Panel(
            "Text cache",
            "Label sets found in the cache, encoded, and evicted, per second.",
            "ops",
            {
                name: f"sum(rate(tta_text_cache_{name}_total{{{HERE}}}[$__rate_interval]))"
                for name in ("hits", "misses", "evictions")
            },
        ),
    ],
}
