"""Is a replay what the service does to a picture? Some are sent as pixels, and must get the same answers."""

from __future__ import annotations

import grpc
import numpy as np
from tta_client.v1 import tta_pb2 as pb
from tta_client.v1.tta_pb2_grpc import AdaptationServiceStub

from .cells import Cell
from .features import change_picture
from .study import Study

STRATEGY, VIEWS = "mean", 8
CLOSE = 2e-3  # of a probability: forwards of other sizes round otherwise


class Differs(RuntimeError):
    """The service sees something else than was encoded here."""


def check(study: Study, cell: Cell, pictures: int = 4) -> float:
    """The largest difference of a probability. Raises `Differs`."""
    made, clip = study.set(cell), study.extractor.clip
    chosen = study.chosen(cell)[:pictures]
    rows = study.extractor.rows(cell, "crop", VIEWS, chosen, lambda n: None)
    labels = pb.Labels(label_set=pb.LabelSet(names=made.names, templates=made.templates))
    worst = 0.0
    with grpc.insecure_channel(study.address) as channel:
        stub = AdaptationServiceStub(channel)
        for i in chosen.tolist():
            features = rows.rows(i, VIEWS)
            pixels = change_picture(made, cell, i)
            raw = pb.RawImage(width=pixels.shape[2], height=pixels.shape[1], format=pb.RawImage.FORMAT_RGB24)
            raw.pixels = pixels.permute(1, 2, 0).contiguous().numpy().tobytes()
            sent = pb.Features(
                views=VIEWS, dimension=features.shape[1], values=features.tobytes(), model=clip.fingerprint
            )
            answers = []
            for image in (pb.Image(raw=raw), pb.Image(features=sent)):
                options = pb.Options(top_k=len(made.names), seed=i)
                options.strategy.name = STRATEGY
                options.strategy.parameters.update({"views": VIEWS, "confident": 0.5})
                reply = stub.Classify(pb.ClassifyRequest(image=image, labels=labels, options=options), timeout=600)
                scores = np.zeros(len(made.names))
                scores[[score.index for score in reply.top]] = [score.score for score in reply.top]
                answers.append(scores)
            worst = max(worst, float(np.abs(answers[0] - answers[1]).max()))
    if worst > CLOSE:
        raise Differs(f"{cell}: a probability differs by {worst:.4f} between the picture and its features")
    return worst
