"""Streams: how fresh the answers are, what is dropped, who remembers what."""

from __future__ import annotations

from .panels import HERE, Panel, quantile, rate, total

TITLE = "Cameras and sessions"
SAID = "Streams and the sessions behind them: age of answers, frames dropped by reason, memories and their ends."

DROPPED = f"sum by (policy) (rate(tta_frames_dropped_total{{{HERE}}}[$__rate_interval]))"
RECEIVED = f"sum by (policy) (rate(tta_frames_received_total{{{HERE}}}[$__rate_interval]))"
STREAMS = f'{HERE}, grpc_method="ClassifyStream"'
HELD = f"sum(tta_session_memory_bytes{{{HERE}}})"
ALLOWED = f"sum(tta_session_memory_limit_bytes{{{HERE}}})"

ROWS = {
    "Frames": [
        Panel(
            "Age of answers, median",
            "Arrival of a frame to its answer, by policy.",
            "s",
            quantile(0.5, "tta_frame_age_seconds", "policy"),
            empty="no streams",
        ),
        Panel(
            "Age of answers, p95",
            "The same for the slowest 5 of 100 frames.",
            "s",
            quantile(0.95, "tta_frame_age_seconds", "policy"),
            limits=(0.5, 1),
            empty="no streams",
        ),
        Panel(
            "Frames answered",
            "Answers to streamed frames, a second.",
            "ops",
            rate("tta_frames_answered_total", "policy"),
            stacked=True,
            empty="no streams",
        ),
        Panel(
            "Frames received",
            "What cameras send, a second.",
            "ops",
            rate("tta_frames_received_total", "policy"),
            stacked=True,
            empty="no streams",
        ),
        Panel(
            "Frames dropped",
            "Frames never answered, by reason; superseded is how policy latest stays fresh.",
            "ops",
            rate("tta_frames_dropped_total", "reason"),
            stacked=True,
            empty="none dropped",
        ),
        Panel(
            "Share dropped",
            "Dropped over received, by policy.",
            "percentunit",
            {"{{policy}}": f"({DROPPED} or 0 * {RECEIVED}) / {RECEIVED}"},
            empty="no streams",
        ),
    ],
    "Streams": [
        Panel(
            "Open streams",
            "Cameras that are connected, by policy.",
            "none",
            total("tta_streams_open", "policy"),
            stacked=True,
            empty="no streams",
        ),
        Panel(
            "Stream messages",
            "Messages that cameras sent and got, openings and status included, a second.",
            "ops",
            {
                way: f"sum(rate(grpc_server_msg_{way}_total{{{STREAMS}}}[$__rate_interval]))"
                for way in ("received", "sent")
            },
        ),
        Panel(
            "Bytes that wait",
            "Pictures held in stream buffers and before the tower.",
            "bytes",
            total("tta_queue_bytes", "queue"),
        ),
    ],
    "Sessions": [
        Panel(
            "Sessions",
            "Active: a stream is open on it; idle: its memory waits for the next frame or call.",
            "none",
            total("tta_sessions", "state"),
            stacked=True,
        ),
        Panel(
            "Sessions ended",
            "By reason; capacity and bytes mean that somebody's memory had to go.",
            "ops",
            rate("tta_session_evictions_total", "reason"),
            empty="none ended",
        ),
        Panel(
            "Sessions restored",
            "From snapshots, by outcome, a second.",
            "ops",
            rate("tta_session_restores_total", "outcome"),
            empty="none restored",
        ),
        Panel(
            "Memories",
            "Bytes of all session memories, by strategy.",
            "bytes",
            total("tta_session_memory_bytes", "strategy"),
            stacked=True,
            width=12,
            empty="nothing remembered",
        ),
        Panel(
            "Memory in use",
            "Session memories over their limit; at 100 % the longest idle ones go.",
            "percentunit",
            {"in use": f"({HELD} or 0 * {ALLOWED}) / {ALLOWED}"},
            limits=(0.75, 0.9),
            width=12,
        ),
    ],
    "Label sets": [
        Panel(
            "Label sets",
            "Label sets whose text features are cached.",
            "none",
            {"cached": f"sum(tta_label_sets{{{HERE}}})"},
        ),
        Panel("Their bytes", "Text features in the cache.", "bytes", {"cached": f"sum(tta_label_set_bytes{{{HERE}}})"}),
        Panel(
            "Text cache",
            "Label sets found encoded, encoded now, and given up, a second.",
            "ops",
            {
                name: f"sum(rate(tta_text_cache_{name}_total{{{HERE}}}[$__rate_interval]))"
                for name in ("hits", "misses", "evictions")
            },
        ),
    ],
}
