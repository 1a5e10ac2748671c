"""How much of a GPU the service leaves to its callers: requests of 64 views by gRPC beside the tower alone.

For each form of the tower: the best rate that it reaches alone, over large batches of rows that are on the device
already; then the service with this form, 16 streams that send the next picture when they have their answer, rows a
second as a fraction of that rate. Also how long 64 views take, cut on the device and on one core.

    python benchmarks/gpu.py [--model ViT-B-16] [--views 64] [--streams 16] [--seconds 20] [--max-rows 0]
        [--forms float16:cudagraphs,bfloat16:cudagraphs,float16:compile,float16:eager,float32:eager]

Weights are random, so what is measured is speed. Writes benchmarks/results/gpu.json and .md. Needs a CUDA device: where
there is none it says so, and ends with 2.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import torch
from load_numbers import ROWS, TOTAL, VIEWS, spread, together
from load_runs import camera, run
from load_servers import SERVING, start_server
from safetensors.torch import save_file
from torch import Tensor

from tta_service.clip.encoder_config import PRECISIONS, RUNTIMES
from tta_service.clip.hardware import why_not
from tta_service.clip.load import load
from tta_service.clip.model import FrozenCLIP
from tta_service.clip.weights.config import CONFIG
from tta_service.images.gpu.views import look_on_device
from tta_service.images.views import look

RESULTS = Path(__file__).resolve().parent / "results"
FORMS = "float16:cudagraphs,bfloat16:cudagraphs,float16:compile,float16:eager,float32:eager"
BATCHES = (64, 128, 256, 512)
PICTURES = ((500, 375), (1920, 1080))
ROUNDS = 20
SIZE = (448, 336)  # of what the streams send
Form = tuple[str, str]  # precision, runtime


def main(arguments: list[str] | None = None) -> int:
    args = _arguments(arguments)
    if not torch.cuda.is_available():
        print("gpu.py measures a CUDA device, and there is none here", file=sys.stderr)
        return 2
    if args.alone:
        print(json.dumps(alone(args.alone, args.forms[0], args.views)))
        return 0
    report: dict[str, Any] = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "rows": []}
    report |= {name: getattr(args, name) for name in ("model", "views", "streams", "seconds", "max_rows")}
    with tempfile.TemporaryDirectory() as folder:
        weights = str(random_weights(args.model, Path(folder)))
        for form in args.forms:
            if why := why_not(form[0], torch.device("cuda", 0)):
                print(why, file=sys.stderr)
                continue
            row = {"precision": form[0], "runtime": form[1], **in_a_process(weights, form, args.views)}
            row |= through_grpc(weights, form, args)
            row["fraction"] = row["rows_per_second"] / row["best"]
            report["rows"].append(row)
            print("{precision} {runtime}: {rows_per_second:.0f} of {best:.0f} rows/s, {fraction:.3f}".format(**row))
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / "gpu.json").write_text(json.dumps(report, indent=1) + "\n")
            (RESULTS / "gpu.md").write_text(table(report))
    return 0


def random_weights(model: str, folder: Path) -> Path:
    """A checkpoint of that architecture, as `--checkpoint` takes it."""
    torch.manual_seed(0)
    config = open_clip.get_model_config(model)
    assert config
    (folder / CONFIG).write_text(json.dumps({"model_cfg": config}))
    state = open_clip.create_model(model, pretrained=None).state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, weights := folder / "random.safetensors")
    return weights


def in_a_process(weights: str, form: Form, views: int) -> dict[str, Any]:
    """`alone`, whose memory is free afterwards."""
    command = [
        sys.executable,
        str(Path(__file__)),
        "--alone",
        weights,
        "--forms",
        ":".join(form),
        "--views",
        str(views),
    ]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def alone(weights: str, form: Form, views: int, device: str = "cuda") -> dict[str, Any]:
    """Rows a second of each large batch and the best of them; milliseconds of `views` views, there and on one core."""
    torch.set_num_threads(1)
    clip = load(checkpoint=weights, device=device, precision=form[0], runtime=form[1])
    rates = {rows: rows / fastest(clip, rows) for rows in BATCHES}
    result: dict[str, Any] = {"rates": rates, "best": max(rates.values()), "look_ms": {}}
    for width, height in PICTURES:
        result["look_ms"][f"{width}x{height}"] = cut(clip, width, height, views)
    return result


def cut(clip: FrozenCLIP, width: int, height: int, views: int) -> dict[str, float]:
    """Milliseconds of the views of noise, and grey levels between the two ways."""
    draw = torch.Generator().manual_seed(0)
    noise = torch.randint(256, (height, width, 3), dtype=torch.uint8, generator=draw).permute(2, 0, 1)

    def there() -> Tensor:
        return look_on_device(clip.device, noise, clip.image_size, views, 0).pixels

    def here() -> Tensor:
        return look(noise, clip.image_size, views, 0).pixels

    apart = (there().cpu().int() - here().int()).abs()
    # The host's part is what it takes to ask for them; an item of them is there when all of them are.
    seconds = {
        "device": _seconds(lambda: there()[0, 0, 0, 0].item()),
        "launch": _seconds(there),
        "core": _seconds(here),
    }
    levels = {"levels_apart": float(apart.max()), "mean_apart": float(apart.float().mean())}
    return {name: 1e3 * some for name, some in seconds.items()} | levels


def fastest(clip: FrozenCLIP, rows: int) -> float:
    """Seconds of a forward of so many rows that lie on the device, the median; its answer comes back to the host."""
    pixels = torch.zeros(rows, 3, clip.image_size, clip.image_size, dtype=torch.uint8, device=clip.device)
    return _seconds(lambda: clip.encode_image(pixels))


def through_grpc(weights: str, form: Form, args: argparse.Namespace) -> dict[str, Any]:
    """Rows a second of the service, milliseconds from arrival to answer, rows of its forwards."""
    chosen = ["--checkpoint", weights, "--device", "cuda", "--precision", form[0], "--runtime", form[1]]
    streams = [camera("mta", {"views": float(args.views)}, SIZE) | {"width": 2} for _ in range(args.streams)]
    with start_server([*SERVING, *chosen, "--set", f"batch.max_rows={args.max_rows}"]) as server:
        seconds, _ = run(server, streams, args.seconds, ":".join(form), "")
    steady = together(seconds[2 : args.seconds])
    return {
        "rows_per_second": sum(answer[VIEWS] for answer in steady) / (args.seconds - 2),
        "answer_ms": [1e3 * some for some in spread(answer[TOTAL] for answer in steady)],
        "batch_rows": statistics.median(answer[ROWS] for answer in steady),
    }


def table(report: dict[str, Any]) -> str:
    lines = [
        f"{report['model']}, {report['views']} views, {report['streams']} streams, {report['device']}",
        "",
        "| form | alone, rows/s | service, rows/s | fraction | answer p50/p95/p99 ms | rows of a forward |",
        "|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        ages = "/".join(f"{some:.0f}" for some in row["answer_ms"])
        rates = f"{row['best']:.0f} | {row['rows_per_second']:.0f} | {row['fraction']:.3f}"
        lines.append(f"| {row['precision']} {row['runtime']} | {rates} | {ages} | {row['batch_rows']:.0f} |")
    for picture, spent in (report["rows"][0]["look_ms"] if report["rows"] else {}).items():
        text = "{device:.1f} ms on the device ({launch:.1f} of them the host's), {core:.1f} ms on a core".format(
            **spent
        )
        apart = "{levels_apart:.0f} grey levels at most, {mean_apart:.4f} on average".format(**spent)
        lines += ["", f"{report['views']} views of {picture}: {text}; pixels apart: {apart}."]
    return "\n".join(lines) + "\n"


def _seconds(work: Callable[[], object]) -> float:
    """The median of some rounds, after two that compile and allocate."""
    times: list[float] = []
    for _ in range(ROUNDS + 2):
        began = time.monotonic()
        work()
        times.append(time.monotonic() - began)
    return statistics.median(times[2:])


def forms(text: str) -> list[Form]:
    """From `float16:cudagraphs,float32:eager`."""
    chosen: list[Form] = []
    for word in text.split(","):
        precision, _, runtime = word.partition(":")
        if precision not in PRECISIONS or runtime not in RUNTIMES:
            raise argparse.ArgumentTypeError(f"{word!r} is no form: write PRECISION:RUNTIME, as float16:cudagraphs")
        chosen.append((precision, runtime))
    return chosen


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", default="ViT-B-16")
    parser.add_argument("--views", type=int, default=64)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=20, help="of load; the first two do not count")
    parser.add_argument("--max-rows", type=int, default=0, help="of a forward; 0: what the service measures")
    parser.add_argument("--forms", type=forms, default=forms(FORMS), help=FORMS)
    parser.add_argument("--alone", default="", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.seconds < 5:
        parser.error("--seconds: five at least, of which two do not count")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
