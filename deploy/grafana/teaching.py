"""The dashboard of teaching and trust: what people are asked and say, and what makes answers less trustworthy."""

from __future__ import annotations

from .panels import CHOSEN, HERE, Panel, mean, rate

TITLE = "Teaching and trust"
DESCRIPTION = "Questions and lessons, answers that the guard replaced, warnings, and memories that began anew."

WAITING = f"sum(tta_questions_waiting{{{HERE}}})"
ANSWERED = f"sum(rate(tta_questions_answered_total{{{HERE}}}[$__rate_interval]))"
GUARDED = f"sum by (strategy) (rate(tta_guarded_total{{{CHOSEN}}}[$__rate_interval]))"
ANSWERS = f'sum by (strategy) (rate(tta_requests_total{{{CHOSEN}, code="OK"}}[$__rate_interval]))'
LESSONS = f'sum by (grpc_method) (rate(grpc_server_handled_total{{{HERE}, grpc_method=~"TeachSession|Unlearn"}}[$__rate_interval]))'  # noqa: E501
WARNED = f"sum by (warning) (rate(tta_warnings_total{{{HERE}}}[$__rate_interval]))"
ALL = f'sum(rate(tta_requests_total{{{HERE}, code="OK"}}[$__rate_interval]))'
DECIDED = f"sum by (strategy) (rate(tta_decisions_total{{{CHOSEN}}}[$__rate_interval]))"
DEFERRED = f'sum by (strategy) (rate(tta_decisions_total{{{CHOSEN}, decision="defer"}}[$__rate_interval]))'
CHECKED = f"sum(tta_prediction_sets_checked_total{{{HERE}}})"
HELD = f'sum(tta_prediction_sets_checked_total{{{HERE}, outcome="held"}})'
NAMED = f"sum(tta_drawn_answers_total{{{HERE}}})"
RIGHT = f'sum(tta_drawn_answers_total{{{HERE}, outcome="right"}})'
CONFIDENCE = f"sum(tta_drawn_confidence_total{{{HERE}}})"

ROWS = {
    "Questions and lessons": [
        Panel(
            "Questions waiting",
            "Questions that wait until a person says what the picture shows.",
            "none",
            {"waiting": WAITING},
            empty="no session",
        ),
        Panel(
            "Questions asked",
            "Questions per second by reason: asked, drawn uniformly, deferred, informative, collapsed.",
            "ops",
            rate("tta_questions_asked_total", "reason", HERE),
            empty="none asked",
        ),
        Panel(
            "Questions answered",
            "Questions per second that a lesson has answered.",
            "ops",
            {"answered": ANSWERED},
            empty="none answered",
        ),
        Panel(
            "Questions lost",
            "Questions per second that left without an answer, by what was exceeded.",
            "ops",
            rate("tta_questions_evicted_total", "reason", HERE),
            empty="none lost",
        ),
        Panel(
            "Calls that teach",
            "Calls per second that teach or take lessons back, whatever became of them; not lessons within streams.",
            "reqps",
            {"{{grpc_method}}": LESSONS},
            empty="nobody teaches",
        ),
    ],
    "Confidence": [
        Panel(
            "Deferred",
            "Share of the answers to requests that may defer that were left to a person, by strategy.",
            "percentunit",
            {"{{strategy}}": f"{DEFERRED} / {DECIDED}"},
            empty="none deferred",
        ),
        Panel(
            "Prediction sets",
            "Mean number of labels in a prediction set, by strategy.",
            "none",
            mean("tta_prediction_set_size", "strategy", CHOSEN),
            empty="no guarantee",
        ),
        Panel(
            "Coverage",
            "Share of prediction sets that held the label, of frames that chance drew and a person has named.",
            "percentunit",
            {"held": f"{HELD} / {CHECKED}"},
            empty="none named",
        ),
        Panel(
            "Confidence against correctness",
            "Mean confidence of answers to frames that chance drew and a person has named, and how many are right.",
            "percentunit",
            {"confidence": f"{CONFIDENCE} / {NAMED}", "right": f"{RIGHT} / {NAMED}"},
            empty="none named",
        ),
    ],
    "Trust": [
        Panel(
            "Guarded answers",
            "Share of answers that the guard gave without the session's memory, by strategy.",
            "percentunit",
            {"{{strategy}}": f"{GUARDED} / {ANSWERS}"},
            empty="none guarded",
        ),
        Panel(
            "Warnings",
            "Share of answers that go with a warning, by kind.",
            "percentunit",
            {"{{warning}}": f"{WARNED} / ignoring (warning) group_left () {ALL}"},
            empty="no warnings",
        ),
        Panel(
            "Entropy of plain answers",
            "Mean zero-shot entropy / ln(classes) by strategy; pictures that fit none of the names are above 0.6.",
            "percentunit",
            mean("tta_entropy_before", "strategy", CHOSEN),
        ),
        Panel(
            "Memory resets",
            "Answers whose session memory was lost or reset and began anew, per second.",
            "ops",
            rate("tta_memory_resets_total", "strategy", CHOSEN),
            empty="none",
        ),
    ],
}
