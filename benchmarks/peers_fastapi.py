"""What people run in front of CLIP: a server of FastAPI, `python peers_fastapi.py PORT`.

Zero-shot answers to JPEGs by open_clip's ViT-B-16 with random weights, text encoded at the start. It needs nothing of
this project, and runs with the Python of a virtual environment that `peers.py` makes.
"""

import base64
import io
import sys
from typing import Any

import open_clip
import torch
from PIL import Image

NAMES = ("dog", "cat", "horse", "ship", "truck", "frog", "deer", "bird", "car", "plane")


class Model:
    """The model, its transform and the text features."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        model, _, transform = open_clip.create_model_and_transforms("ViT-B-16")
        self.model: Any = model.eval()
        self.transform: Any = transform
        tokens = open_clip.get_tokenizer("ViT-B-16")([f"a photo of a {name}." for name in NAMES])
        with torch.inference_mode():
            self.text = torch.nn.functional.normalize(self.model.encode_text(tokens), dim=-1)

    def prepare(self, file: bytes) -> torch.Tensor:
        return self.transform(Image.open(io.BytesIO(file)).convert("RGB"))

    @torch.inference_mode()
    def answer(self, pixels: torch.Tensor) -> list[dict[str, float]]:
        features = torch.nn.functional.normalize(self.model.encode_image(pixels), dim=-1)
        chances = (100 * features @ self.text.T).softmax(-1)
        return [dict(zip(NAMES, row)) for row in chances.tolist()]


def serve_fastapi(port: int) -> None:
    """One request, one forward, in FastAPI's pool of threads."""
    import uvicorn
    from fastapi import FastAPI, Request
    from fastapi.concurrency import run_in_threadpool

    app, model = FastAPI(), Model()

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, float]:
        file = base64.b64decode((await request.json())["image"])
        return await run_in_threadpool(lambda: model.answer(model.prepare(file)[None])[0])

    uvicorn.run(app, port=port, log_level="warning")


if __name__ == "__main__":
    serve_fastapi(int(sys.argv[1]))
