"""The model of `peers_fastapi.py` behind LitServe: `python peers_litserve.py PORT`.

Requests of up to 10 ms share a forward of at most 16.
"""

import base64
import sys

import litserve
import torch
from peers_fastapi import Model


class API(litserve.LitAPI):
    """In a process of its own, to which LitServe sends it: so it is at the top of a module."""

    def setup(self, device: str) -> None:
        self.model = Model()

    def decode_request(self, request: dict[str, str]) -> torch.Tensor:
        return self.model.prepare(base64.b64decode(request["image"]))

    def batch(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack(inputs)

    def predict(self, pixels: torch.Tensor) -> list[dict[str, float]]:
        return self.model.answer(pixels)

    def unbatch(self, output: list[dict[str, float]]) -> list[dict[str, float]]:
        return output

    def encode_response(self, output: dict[str, float]) -> dict[str, float]:
        return output


if __name__ == "__main__":
    server = litserve.LitServer(API(max_batch_size=16, batch_timeout=0.01), accelerator="cpu", timeout=False)
    server.run(port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
