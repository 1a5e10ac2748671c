"""Features of a device without torch beside the service's own: agreement, time, memory and bytes on the wire.

A process with one core and `--memory` MB of address space (RLIMIT_AS) cuts and encodes the frames of a virtual camera,
as `tta-camera --encode-on-device --checkpoint tower.onnx` does. It imports neither torch nor tta_service.

    python benchmarks/edge.py --frames 300 --views 16 [--int8]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--views", type=int, default=16)
    parser.add_argument("--memory", type=int, default=512, help="MB of address space of the device's process")
    parser.add_argument("--int8", action="store_true")
    parser.add_argument("--device", nargs=2, metavar=("FOLDER", "FINGERPRINT"), help="used by the script itself")
    options = parser.parse_args()
    if options.device:
        return run_device(Path(options.device[0]), options.device[1], options)
    with tempfile.TemporaryDirectory() as folder:
        report(compare(Path(folder), options), options)
    return None


def run_device(folder: Path, fingerprint: str, options: argparse.Namespace) -> None:
    """The part without torch: writes features, prints times and memory as JSON."""
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    resource.setrlimit(resource.RLIMIT_AS, (options.memory << 20,) * 2)
    import numpy as np
    from tta_client import Choice
    from tta_client.camera.edge import EdgeEncoder

    server: Any = SimpleNamespace(model="", model_fingerprint=fingerprint)
    encoder, strategy = EdgeEncoder(str(folder / "tower.onnx"), server), Choice("mta", {"views": options.views})
    encoder.features((folder / "1.jpg").read_bytes(), strategy, 0)
    rows, seconds, busy = list[Any](), list[float](), list[float]()
    for number in range(1, options.frames + 1):
        data = (folder / f"{number}.jpg").read_bytes()
        began, worked = time.perf_counter(), time.process_time()
        rows.append(encoder.features(data, strategy, number).rows)
        seconds.append(time.perf_counter() - began)
        busy.append(time.process_time() - worked)  # what others on the core do not change
    assert not {"torch", "tta_service"} & set(sys.modules)
    np.save(folder / "rows.npy", np.stack(rows))
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak = int(status["VmHWM"].split()[0]) / 1024  # that of getrusage includes the parent before exec
    times = {"ms": 1000 * float(np.median(seconds)), "cpu_ms": 1000 * float(np.median(busy))}
    print(json.dumps(times | {"peak_rss_mb": peak}))


def compare(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Everything that is measured."""
    import numpy as np
    import torch
    from tta_client.camera import VirtualSource, encode_jpegs
    from tta_client.camera.photographs import LABELS

    from tta_service import LabelSet
    from tta_service.app.edge_export import export_edge
    from tta_service.clip.load import load
    from tta_service.core.request import Encoded
    from tta_service.images.decode import decode
    from tta_service.images.views import look
    from tta_service.strategies import catalogue as strategies

    clip = load(device="cpu", exportable=True)
    written = export_edge(clip, strategies, folder / "tower.onnx", int8=options.int8)
    source = VirtualSource(frames=options.frames, width=640, height=480)
    jpegs = [bytes(frame.image) for frame in encode_jpegs(source)]
    for number, data in enumerate(jpegs, 1):
        (folder / f"{number}.jpg").write_bytes(data)
    words = [sys.executable, __file__, f"--frames={options.frames}", f"--views={options.views}"]
    words += [f"--memory={options.memory}", "--device", str(folder), clip.fingerprint]
    device = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    found = torch.from_numpy(np.load(folder / "rows.npy"))
    own = torch.stack(
        [
            clip.encode_image(look(decode(Encoded(data)), clip.image_size, options.views, number).pixels)
            for number, data in enumerate(jpegs, 1)
        ]
    )
    text = clip.text_space(LabelSet(LABELS)).features.T
    cosines = (found * own).sum(-1)
    same = {
        name: float((made(found) == made(own)).double().mean())
        for name, made in {
            "zero_shot": lambda rows: (rows[:, 0] @ text).argmax(-1),
            "mean of views": lambda rows: (clip.scale * rows @ text).softmax(-1).mean(1).argmax(-1),
        }.items()
    }
    return device | {
        "file_mb": written.size / 1e6,
        "export_says": {"cosine_least": written.cosine, "equal": written.equal, "rows": written.rows},
        "cosine_mean": float(cosines.mean()),
        "cosine_least": float(cosines.min()),
        "same_top1": same,
        "bytes_features": found[0].numel() * 4,
        "bytes_jpeg": sum(map(len, jpegs)) / len(jpegs),
    }


def report(numbers: dict[str, Any], options: argparse.Namespace) -> None:
    """Prints the numbers and appends them to the results."""
    from machine import load_average, processor

    entry = {"frames": options.frames, "views": options.views, "int8": options.int8, "memory_mb": options.memory}
    entry |= numbers | {"processor": processor(), "load": load_average(), "date": time.strftime("%Y-%m-%d")}
    print(json.dumps(entry, indent=1))
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "edge.jsonl").open("a") as file:
        file.write(json.dumps(entry) + "\n")


if __name__ == "__main__":
    main()
