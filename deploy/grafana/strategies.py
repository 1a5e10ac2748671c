"""What adaptation costs, and what it changes."""

from __future__ import annotations

from .panels import CHOSEN, Panel, mean, quantile, rate, total

TITLE = "Strategies"
SAID = "Each strategy: its latency by stage, its memory, how often it changes the label and how sure it leaves it."


def by_strategy(counter: str, more: str = "", by: str = "strategy") -> str:
    return f"sum by ({by}) (rate({counter}{{{CHOSEN}{more}}}[$__rate_interval]))"


ANSWERED = by_strategy("tta_requests_total", ', code="OK"')
FLIPS = by_strategy("tta_prediction_flips_total")
FALLBACKS = by_strategy("tta_adaptation_fallback_total", by="strategy, reason")
ADMITTED = by_strategy("tta_memory_admissions_total", ', outcome="admitted"')
SAMPLED = by_strategy("tta_memory_admissions_total")
LOOKED_AT = by_strategy("tta_entropy_after_count")  # all answers, counted from the same moment as their flips
STAGES = f"sum by (stage) (rate(tta_stage_duration_seconds_sum{{{CHOSEN}}}[$__rate_interval]))"
CERTAINTY = {
    "{{strategy}}": f"{mean('tta_entropy_before', 'strategy', CHOSEN)['{{strategy}}']}"
    f" - {mean('tta_entropy_after', 'strategy', CHOSEN)['{{strategy}}']}"
}

ROWS = {
    "Latency": [
        Panel("Answers", "Answered requests a second, by strategy.", "reqps", {"{{strategy}}": ANSWERED}, stacked=True),
        Panel(
            "p95 latency",
            "Arrival to answer, 95 of 100 requests, by strategy.",
            "s",
            quantile(0.95, "tta_request_duration_seconds", "strategy", CHOSEN),
        ),
        Panel(
            "p99 latency",
            "Arrival to answer, 99 of 100 requests; what the alert P99OverSLO looks at.",
            "s",
            quantile(0.99, "tta_request_duration_seconds", "strategy", CHOSEN),
        ),
        Panel(
            "Where the time goes",
            "Seconds spent in each stage per second; over 1 they overlap.",
            "s",
            {"{{stage}}": STAGES},
            width=12,
            stacked=True,
        ),
        Panel(
            "Adapting",
            "Time in the strategy's own mathematics, 95 of 100 requests.",
            "s",
            quantile(0.95, "tta_stage_duration_seconds", "strategy", CHOSEN + ', stage="adapt"'),
            width=12,
        ),
    ],
    "What adaptation does": [
        Panel(
            "Flips",
            "Share of answers whose adapted label is not the zero-shot one.",
            "percentunit",
            {"{{strategy}}": f"{FLIPS} / {LOOKED_AT}"},
        ),
        Panel(
            "Entropy before",
            "Mean zero-shot entropy over ln(classes): 0 sure, 1 clueless.",
            "percentunit",
            mean("tta_entropy_before", "strategy", CHOSEN),
        ),
        Panel(
            "Entropy taken away",
            "Mean entropy before minus after; below 0 the strategy leaves less certain answers.",
            "percentunit",
            CERTAINTY,
        ),
        Panel(
            "Views kept",
            "Mean share of the views that the strategy trusted, from sampled explanations.",
            "percentunit",
            mean("tta_views_kept_ratio", "strategy", CHOSEN),
            empty="no views explained",
        ),
        Panel(
            "Steps",
            "Gradient or solver steps a second.",
            "ops",
            rate("tta_adaptation_steps_total", "strategy", CHOSEN),
            empty="no strategy with steps",
        ),
        Panel(
            "Less done than asked",
            "Answers cut short by deadline, overload or memory, a second.",
            "reqps",
            {"{{strategy}} {{reason}}": FALLBACKS},
            empty="all done as asked",
        ),
    ],
    "Memory and drift": [
        Panel(
            "Session memories",
            "Bytes of all sessions' tensors, by strategy; exact.",
            "bytes",
            total("tta_session_memory_bytes", "strategy", CHOSEN),
            stacked=True,
            empty="nothing remembered",
        ),
        Panel(
            "Cache fill",
            "Filled share of the strategies' caches, from sampled explanations.",
            "percentunit",
            {"{{strategy}}": f"avg by (strategy) (tta_cache_fill_ratio{{{CHOSEN}}})"},
            empty="no cache explained",
        ),
        Panel(
            "Taken into memory",
            "Share of sampled answers whose image went into the strategy's memory.",
            "percentunit",
            {"{{strategy}}": f"{ADMITTED} / {SAMPLED}"},
            empty="no memory explained",
        ),
        Panel(
            "Entropy drift",
            "Recent mean entropy minus that of the first 64 answers.",
            "percentunit",
            {"{{strategy}}": f"avg by (strategy) (tta_drift_entropy{{{CHOSEN}}})"},
            empty="fewer than 64 answers",
        ),
        Panel(
            "Feature drift",
            "Distance of the recent mean image feature from that of the first 64 answers: 0 … 2.",
            "none",
            {"{{strategy}}": f"avg by (strategy) (tta_drift_feature{{{CHOSEN}}})"},
            empty="fewer than 64 answers",
        ),
        Panel(
            "Memories begun anew",
            "Answers of sessions whose memory had been lost or reset before, a second.",
            "ops",
            rate("tta_memory_resets_total", "strategy", CHOSEN),
            empty="none",
        ),
    ],
    "Peak memory": [
        Panel(
            "Peak on the device",
            "Most CUDA memory above the resident model that a strategy took.",
            "bytes",
            {"{{strategy}}": f"max by (strategy) (tta_strategy_cuda_peak_bytes{{{CHOSEN}}})"},
            width=12,
            empty="no CUDA device",
        ),
        Panel(
            "Peak of the process",
            "What a strategy, measured alone, added to resident memory (tta-service measure).",
            "bytes",
            {"{{strategy}}": f"max by (strategy) (tta_strategy_rss_delta_bytes{{{CHOSEN}}})"},
            width=12,
            empty="not measured",
        ),
    ],
    "Image tower": [
        Panel("Rows in a forward", "Mean batch of views, by token reducer.", "none", mean("tta_batch_size", "reducer")),
        Panel(
            "Forward",
            "One pass of the image tower, 95 of 100, by token reducer.",
            "s",
            quantile(0.95, "tta_forward_duration_seconds", "reducer"),
        ),
        Panel(
            "Tokens left",
            "Mean share of patch tokens that a reducer leaves, from sampled explanations.",
            "percentunit",
            {"{{reducer}}": f"1 - {mean('tta_tokens_pruned_ratio', 'reducer')['{{reducer}}']}"},
            empty="no reducer in use",
        ),
    ],
}
