"""One form of one image tower in a process of its own: what runtime.py asks on stdin is answered on stdout."""

from __future__ import annotations

import gc
import json
import sys
import time
from typing import Any

import open_clip
import psutil
import torch

from tta_service.clip.encoder_config import make_encoder_config
from tta_service.clip.load import load
from tta_service.clip.model import FrozenCLIP

CPU = torch.device("cpu")


def model_of(name: str, form: dict[str, str]) -> FrozenCLIP:
    """The bundled model, or the image tower of a named one with random weights beside the smallest of text towers."""
    if name == "pocket":
        return load(device="cpu", **form)
    torch.manual_seed(0)
    config = open_clip.get_model_config(name)
    config["text_cfg"]["layers"] = 1
    parts = {"precision": "float32", "runtime": "eager", "compress": "", **form}
    served = make_encoder_config(parts["precision"], parts["runtime"], parts["compress"], (), CPU)
    return FrozenCLIP(open_clip.CLIP(**config), open_clip.get_tokenizer(name), name=name, config=served)


def main() -> None:
    name, threads, form = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
    torch.set_num_threads(threads)
    process = psutil.Process()
    open_clip.get_tokenizer("ViT-B-16")
    gc.collect()
    before, began = process.memory_info().rss, time.process_time()
    clip = model_of(name, form)
    start = time.process_time() - began

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if "rows" in request:
            pixels = torch.randn(request["rows"], 3, clip.image_size, clip.image_size)
            began = time.process_time()
            clip.encode_image(pixels)
            return {"seconds": time.process_time() - began}
        if "pictures" in request:
            given = torch.load(request["pictures"])
            rows = given["pixels"].split(64)
            torch.save(torch.cat([clip.encode_image(some) for some in rows]), request["features"])
            return {}
        if "text" in request:
            from tta_service.core.labels import LabelSet

            torch.save(clip.text_space(LabelSet(tuple(request["text"]))).features, request["features"])
            return {}
        clip.encode_image(torch.randn(8, 3, clip.image_size, clip.image_size))
        gc.collect()
        return {"bytes": process.memory_info().rss - before, "start": start, "size": clip.image_size}

    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
