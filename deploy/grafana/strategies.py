"""The dashboard of strategies: what adaptation costs, and what it changes."""

from __future__ import annotations

from .panels import CHOSEN, Panel, mean, quantile, rate, total

TITLE = "Strategies"
DESCRIPTION = (
    "Each strategy: latency by stage, session memory, how often it changes the label, and entropy before and after."
)


def by_strategy(counter: str, more: str = "", by: str = "strategy") -> str:
    """A counter's rate, summed by strategy; `more` label matchers."""
    return f"sum by ({by}) (rate({counter}{{{CHOSEN}{more}}}[$__rate_interval]))"


ANSWERED = by_strategy("tta_requests_total", ', code="OK"')
FLIPS = by_strategy("tta_prediction_flips_total")
FALLBACKS = by_strategy("tta_adaptation_fallback_total", by="strategy, reason")
ADMITTED = by_strategy("tta_memory_admissions_total", ', outcome="admitted"')
SAMPLED = by_strategy("tta_memory_admissions_total")
COMPARED = by_strategy("tta_entropy_after_count")  # all answers, counted from the same moment as their flips
STAGES = f"sum by (stage) (rate(tta_stage_duration_seconds_sum{{{CHOSEN}}}[$__rate_interval]))"
CERTAINTY = {
    "{{strategy}}": f"{mean('tta_entropy_before', 'strategy', CHOSEN)['{{strategy}}']}"
    f" - {mean('tta_entropy_after', 'strategy', CHOSEN)['{{strategy}}']}"
}

ROWS = {
    "Latency": [
        Panel(
            "Answers", "Answered requests per second, by strategy.", "reqps", {"{{strategy}}": ANSWERED}, stacked=True
        ),
        Panel(
            "p95 latency",
            "Time from arrival to answer, 95th percentile by strategy.",
            "s",
            quantile(0.95, "tta_request_duration_seconds", "strategy", CHOSEN),
        ),
        Panel(
            "p99 latency",
            "Time from arrival to answer, 99th percentile by strategy; the alert P99OverSLO watches it.",
            "s",
            quantile(0.99, "tta_request_duration_seconds", "strategy", CHOSEN),
        ),
        Panel(
            "Time by stage",
            "Seconds spent in each stage per second; above 1 requests overlap.",
            "s",
            {"{{stage}}": STAGES},
            width=12,
            stacked=True,
        ),
        Panel(
            "Adaptation time",
            "Time in the strategy itself, 95th percentile by strategy.",
            "s",
            quantile(0.95, "tta_stage_duration_seconds", "strategy", CHOSEN + ', stage="adapt"'),
            width=12,
        ),
    ],
    "What adaptation does": [
        Panel(
            "Flips",
            "Share of answers whose label adaptation changed.",
            "percentunit",
            {"{{strategy}}": f"{FLIPS} / {COMPARED}"},
        ),
        Panel(
            "Entropy before",
            "Mean zero-shot entropy / ln(classes): 0 is certain, 1 uniform.",
            "percentunit",
            mean("tta_entropy_before", "strategy", CHOSEN),
        ),
        Panel(
            "Entropy reduction",
            "Mean entropy before minus after; below 0 the strategy makes answers less certain.",
            "percentunit",
            CERTAINTY,
        ),
        Panel(
            "Views kept",
            "Mean share of views used by the strategy, of one answer in 16.",
            "percentunit",
            mean("tta_views_kept_ratio", "strategy", CHOSEN),
            empty="no sample",
        ),
        Panel(
            "Steps",
            "Gradient or solver steps per second, by strategy.",
            "ops",
            rate("tta_adaptation_steps_total", "strategy", CHOSEN),
            empty="no strategy with steps",
        ),
        Panel(
            "Degraded answers",
            "Answers with fewer views or less adaptation than asked per second, by strategy and reason.",
            "reqps",
            {"{{strategy}} {{reason}}": FALLBACKS},
            empty="none degraded",
        ),
    ],
    "Memory and drift": [
        Panel(
            "Session memories",
            "Bytes of all session memories, by strategy; exact.",
            "bytes",
            total("tta_session_memory_bytes", "strategy", CHOSEN),
            stacked=True,
            empty="no session memory",
        ),
        Panel(
            "Cache fill",
            "Share of a session memory's slots in use, of one answer in 16.",
            "percentunit",
            {"{{strategy}}": f"avg by (strategy) (tta_cache_fill_ratio{{{CHOSEN}}})"},
            empty="no sample",
        ),
        Panel(
            "Memory admissions",
            "Share of frames that the session memory admitted, of one answer in 16.",
            "percentunit",
            {"{{strategy}}": f"{ADMITTED} / {SAMPLED}"},
            empty="no sample",
        ),
        Panel(
            "Entropy drift",
            "Recent mean zero-shot entropy minus that of the first 64 answers.",
            "percentunit",
            {"{{strategy}}": f"avg by (strategy) (tta_drift_entropy{{{CHOSEN}}})"},
            empty="fewer than 64 answers",
        ),
        Panel(
            "Feature drift",
            "Distance between the mean image features of recent and the first 64 answers: 0 … 2.",
            "none",
            {"{{strategy}}": f"avg by (strategy) (tta_drift_feature{{{CHOSEN}}})"},
            empty="fewer than 64 answers",
        ),
        Panel(
            "Memory resets",
            "Answers whose session memory was lost or reset and began anew, per second.",
            "ops",
            rate("tta_memory_resets_total", "strategy", CHOSEN),
            empty="none",
        ),
    ],
    "Peak memory": [
        Panel(
            "Peak GPU memory",
            "Peak GPU memory of one answer above the resident model, by strategy.",
            "bytes",
            {"{{strategy}}": f"max by (strategy) (tta_strategy_cuda_peak_bytes{{{CHOSEN}}})"},
            width=12,
            empty="no CUDA device",
        ),
        Panel(
            "Peak process memory",
            "Peak memory that one answer added to the process, measured alone (tta-service measure).",
            "bytes",
            {"{{strategy}}": f"max by (strategy) (tta_strategy_rss_delta_bytes{{{CHOSEN}}})"},
            width=12,
            empty="not measured",
        ),
    ],
    "Image tower": [
        Panel("Batch size", "Mean rows per forward, by token reducer.", "none", mean("tta_batch_size", "reducer")),
        Panel(
            "Forward",
            "Duration of one image tower pass, 95th percentile by token reducer.",
            "s",
            quantile(0.95, "tta_forward_duration_seconds", "reducer"),
        ),
        Panel(
            "Tokens left",
            "Mean share of patch tokens that a reducer keeps, of one answer in 16.",
            "percentunit",
            {"{{reducer}}": f"1 - {mean('tta_tokens_pruned_ratio', 'reducer')['{{reducer}}']}"},
            empty="no reducer in use",
        ),
    ],
}
