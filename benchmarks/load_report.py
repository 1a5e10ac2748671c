"""The report of load.py as JSON, Markdown and a picture."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

HEAD = """# {cameras} cameras, {overload:g} times what the service can answer

`python benchmarks/load.py`: {cameras} cameras of {fps:.2f} frames/s each under `{policy}` for {seconds} s, whatever the
service does; it answers {capacity:.1f} frames/s when cameras wait. {cores} cores ({cpu}), pocket model. Service and
cameras share the machine, whose load average was {load_before:.1f} before and {load_after:.1f} after (2 to 4 are of the
run). A full batch is {rows} rows and takes {batch:.0f} ms alone{loaded_batch}.

## Age of the answers

Milliseconds, p50 / p95 / p99. Server: from arrival to answer on the server's clock. Camera: from capture to the arrival
of the answer on the camera's. Bound: one frame interval, two full batches, and the request's own decode, look and
adapt, the latter three and the batch measured alone; p95 on the server's clock is to stay below it.

| request | answers | server | bound | p95 / bound | camera |
|---|---|---|---|---|---|"""
ROW = "| {name} | {answers} | {server} | {bound:.0f} | **{share:.2f}** | {camera} |"
STAGES = ("decode", "look", "queue", "encode", "text", "turn", "adapt")


def save(report: dict[str, Any], at: Path) -> str:
    """Writes all three; returns the Markdown."""
    at.parent.mkdir(exist_ok=True)
    text = table(report)
    at.with_suffix(".json").write_text(json.dumps(_without_nan(report), indent=1) + "\n")
    at.with_suffix(".md").write_text(text)
    _picture(report, at.with_suffix(".png"))
    return text


def table(report: dict[str, Any]) -> str:
    result, batch, naive = report["service"], report["batch"], report.get("naive")
    loaded = result["batch_seconds"]
    lines = [
        HEAD.format(
            **report["arguments"],
            **{"cpu": "processor not recorded"} | report["machine"],
            fps=report["fps"],
            capacity=report["capacity"],
            rows=batch["rows"],
            batch=1e3 * batch["seconds"],
            loaded_batch="" if math.isnan(loaded) else f", {1e3 * loaded:.0f} ms under this load",
        )
    ]
    lines += [_row(name, one) for name, one in result["kinds"].items()]
    lines += ["", *_growth(result), *_losses(result), "", "## Where the time goes", "", *_stages(result)]
    lines += ["", "## A simple loop", "", *_naive(naive)] if naive else []
    return "\n".join(lines) + "\n"


def _row(name: str, one: dict[str, Any]) -> str:
    server, camera = one["ages"]["server"], one["ages"]["camera"]
    share = server[1] / one["bound"]
    return ROW.format(
        name=name,
        answers=one["answers"],
        server=_spread(server),
        camera=_spread(camera),
        bound=1e3 * one["bound"],
        share=share,
    )


def _growth(result: dict[str, Any]) -> list[str]:
    first, last = (result["ends"][end] for end in ("first", "last"))
    memory = result["memory"]
    text = f"First and last minute (of runs under five minutes: fifth), server's clock: {_spread(first['server'])} and "
    text += f"{_spread(last['server'])}; camera's clock: {_spread(first['camera'])} and {_spread(last['camera'])}."
    lines = [text]
    if memory:
        lines.append(
            f"Server: {memory['first']:.0f} MB resident after a fifth of the time, {memory['last']:.0f} MB at the end, "
            f"{memory['per_minute']:+.2f} MB a minute in between; {_mean_cpu(result):.2f} cores; at most "
            f"{result['most']['waiting'] / 1e3:.0f} kB of frames waited, {result['most']['inside']:.0f} rows were in "
            f"flight, {result['most']['fds']:.0f} files open."
        )
    return lines


def _losses(result: dict[str, Any]) -> list[str]:
    counts, each = result["counts"], result["answers_of_a_camera"]
    drops = ", ".join(f"{reason} {count}" for reason, count in result["drops"].items()) or "none"
    return [
        f"{counts['sent']} frames sent, {counts.get('skipped', 0)} more replaced on the camera while nothing could be "
        f"sent; {counts['answers']} answered ({result['answers_per_second']:.1f} a second; each camera between "
        f"{each['fewest']} and {each['most']}); dropped by the server: {drops}."
    ]


def _stages(result: dict[str, Any]) -> list[str]:
    lines = ["Milliseconds, p50 (p95). `queue` is the wait in the stream buffer, for admission and for the tower.", ""]
    lines += [f"| request | {' | '.join(STAGES)} |", "|---" * (1 + len(STAGES)) + "|"]
    for name, one in result["kinds"].items():
        cells = (one["stages"][stage] for stage in STAGES)
        lines.append(f"| {name} | " + " | ".join(f"{1e3 * p50:.1f} ({1e3 * p95:.1f})" for p50, p95, _ in cells) + " |")
    return lines


def _naive(naive: dict[str, Any]) -> list[str]:
    first, last = (naive["ends"][end]["camera"] for end in ("first", "last"))
    text = (
        f"The same cameras for {naive['seconds']} s at a server that reads a frame, asks the same model, answers, and "
    )
    text += (
        f"reads the next one: {naive['answers_per_second']:.1f} answers a second, which are {_spread(first)} ms old "
    )
    text += f"on the camera's clock in the first fifth of the time and {_spread(last)} in the last; "
    text += f"{naive['counts'].get('never sent', 0)} frames could not even be sent."
    return [text]


def _mean_cpu(result: dict[str, Any]) -> float:
    used = [cores for _, cores in result["cpu"]]
    return sum(used) / len(used) if used else math.nan


def _spread(seconds: list[float]) -> str:
    return " / ".join(f"{1e3 * value:.0f}" for value in seconds)


def _without_nan(value: Any) -> Any:
    """JSON knows no NaN."""
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 6)
    return value


def _picture(report: dict[str, Any], at: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    result = report["service"]
    figure, (ages, memory) = pyplot.subplots(2, 1, figsize=(9, 7), sharex=True, layout="constrained")
    for name, label, color in (("service", "service", "tab:blue"), ("naive", "naive loop", "tab:red")):
        if name in report:
            windows = [one for one in report[name]["windows"] if one["answers"]]
            for place, style in ((0, "-"), (1, "--")):
                values = [one["ages"]["camera"][place] for one in windows]
                shown = f"{label}, p{(50, 95)[place]}"
                ages.plot([one["from"] for one in windows], values, style, color=color, label=shown)
    ages.axhline(max(one["bound"] for one in result["kinds"].values()), color="gray", lw=0.8, label="largest bound")
    ages.set(yscale="log", ylabel="age of answers, s (camera's clock)")
    ages.legend(loc="upper left")
    memory.plot(*zip(*result["rss"]), color="tab:blue", label="service")
    if report.get("naive"):
        memory.plot(*zip(*report["naive"]["rss"]), color="tab:red", label="naive loop")
    memory.set(ylabel="server's resident memory, MB", xlabel="s")
    memory.set_ylim(bottom=0)
    memory.legend(loc="lower left")
    arguments = report["arguments"]
    figure.suptitle(
        f"{arguments['cameras']} cameras × {report['fps']:.1f} frames/s, {arguments['overload']:g}× overload"
    )
    figure.savefig(at, dpi=110)
    pyplot.close(figure)
