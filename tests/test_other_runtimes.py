"""The service with its image tower in int8, compressed or in another runtime: the answer is right, and reducers that
were not named at start are refused."""

from __future__ import annotations

import io

import grpc
import pytest
import skimage.data
import torch
from PIL import Image

from tta_service.app import Application
from tta_service.clip.hardware import why_not
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.settings import load
from tta_service.wire.v1 import tta_pb2 as pb

QUICK = {"server.port": 0, "metrics.enabled": False, "batch.max_rows": 4, "lanes.cores": 1}


def make_request(reducer: str, **parameters: float) -> pb.ClassifyRequest:
    file = io.BytesIO()
    Image.fromarray(skimage.data.coffee()).save(file, "JPEG", quality=90)
    labels = pb.Labels(label_set=pb.LabelSet(names=["airplane", "truck", "building", "cup of coffee"]))
    request = pb.ClassifyRequest(image=pb.Image(encoded=file.getvalue()), labels=labels)
    request.options.reduction.reducer.name = reducer
    request.options.reduction.reducer.parameters.update(parameters)
    return request


@pytest.mark.parametrize(
    ("runtime", "compress"), [("eager", "svd:72"), pytest.param("onnxruntime", "", marks=pytest.mark.slow)]
)
async def test_a_photograph_of_a_cup_of_coffee_is_labelled_so(runtime: str, compress: str):
    if why := why_not("int8", torch.device("cpu")):
        pytest.skip(why)
    if runtime != "eager":
        pytest.importorskip(runtime)
    form = {"precision": "int8", "runtime": runtime, "compress": compress, "reducers": "tome:keep=0.9"}
    settings = load(QUICK | {f"model.{name}": value for name, value in form.items()})
    async with Application(settings) as service, grpc.aio.insecure_channel(service.address) as channel:
        stub = AdaptationServiceStub(channel)
        assert (await stub.GetServerInfo(pb.GetServerInfoRequest())).precision == "int8"
        for request in (make_request("none"), make_request("tome", keep=0.9)):
            assert (await stub.Classify(request)).top[0].label == "cup of coffee"
        if runtime == "eager":
            assert (await stub.Classify(make_request("evit", keep=0.9))).top[0].label == "cup of coffee"
            return
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Classify(make_request("evit", keep=0.9))
        message = caught.value.details()
        assert f"the runtime {runtime} serves the reducers named at start (none, tome:keep=0.9" in message
        assert "not evit:keep=0.9" in message and message.startswith("options.reduction.reducer.name")
