"""Real photographs through JPEG, gRPC and the bundled model get the answers stated here, with every strategy."""

from __future__ import annotations

import io

import grpc
import pytest
import pytest_asyncio
import skimage.data
import sklearn.datasets
from google.protobuf import struct_pb2
from PIL import Image

from tta_service.app import Application
from tta_service.core import catalogue
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.settings import load
from tta_service.wire.v1 import tta_pb2 as pb

pytestmark = pytest.mark.asyncio(loop_scope="module")

PHOTOGRAPHS = {  # the right answer -> the photograph, and what else it might be
    "cat": (skimage.data.chelsea, ("airplane", "truck", "building")),
    "cup of coffee": (skimage.data.coffee, ("airplane", "truck", "building")),
    "roof": (lambda: sklearn.datasets.load_sample_image("china.jpg"), ("cat", "cup of coffee")),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stub():
    async with (
        Application(load({"server.port": 0, "metrics.enabled": False, "batch.max_rows": 16})) as service,
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        yield AdaptationServiceStub(channel)


@pytest.fixture(scope="module")
def jpegs() -> dict[str, bytes]:
    files = {}
    for label, (photograph, _) in PHOTOGRAPHS.items():
        file = io.BytesIO()
        Image.fromarray(photograph()).save(file, "JPEG", quality=90)
        files[label] = file.getvalue()
    return files


def make_options(name: str) -> pb.Options:
    """Few views where a strategy takes many."""
    parameters = struct_pb2.Struct()
    if any(parameter.name == "views" for parameter in catalogue.strategies.describe(name).parameters):
        parameters.update({"views": 16})
    return pb.Options(strategy=pb.Choice(name=name, parameters=parameters))


@pytest.mark.parametrize("label", PHOTOGRAPHS)
@pytest.mark.parametrize("name", catalogue.strategies.names())
async def test_a_photograph_gets_the_stated_label(stub, jpegs, name, label):
    labels = pb.Labels(label_set=pb.LabelSet(names=[*PHOTOGRAPHS[label][1], label]))
    request = pb.ClassifyRequest(image=pb.Image(encoded=jpegs[label]), labels=labels, options=make_options(name))
    response = await stub.Classify(request)
    assert response.strategy.name == name
    assert response.zero_shot[0].label == label
    assert response.top[0].label == label


async def test_a_prompt_that_does_not_fit_is_refused_naming_label_and_length(stub, jpegs):
    long = " ".join(f"{i}x{i}" for i in range(45))  # within 256 characters, but not within the text tower's context
    labels = pb.LabelSet(names=["cat", long])
    for call, field in (
        (stub.PutLabelSet(pb.PutLabelSetRequest(label_set=labels)), "label_set"),
        (
            stub.Classify(pb.ClassifyRequest(image=pb.Image(encoded=jpegs["cat"]), labels=pb.Labels(label_set=labels))),
            "labels.label_set",
        ),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert caught.value.details().startswith(f"{field}.names[1]: ")
    assert (await stub.PutLabelSet(pb.PutLabelSetRequest(label_set=pb.LabelSet(names=["cat"])))).info.classes == 1
