"""The methods by HTTP: every way to give a picture, the same answers and sentences as by gRPC."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import grpc
import pytest

from tests.http.conftest import BothTransports, open_transports
from tests.patience import until
from tests.rpc.conftest import jpeg, question
from tta_service.core.events import Refused, Responded
from tta_service.http.bodies import BodyBudget
from tta_service.http.routes import ROUTES
from tta_service.wire.json_mapping import parse_json
from tta_service.wire.v1 import tta_pb2 as pb

NAMES = ["cat", "dog", "car"]
SET: dict[str, Any] = {"label_set": {"names": NAMES}}


def body(**more: Any) -> dict[str, Any]:
    return {"image": {"encoded": base64.b64encode(jpeg()).decode()}, "labels": SET, **more}


MEAN = '{"name": "mean", "parameters": {"views": 3}}'


@pytest.mark.parametrize(
    "fields",
    [
        {"strategy": MEAN},
        {"options.strategy": MEAN, "options.top_k": "2"},
        {"options": f'{{"strategy": {MEAN}}}'},
        {"strategy": "mean", "strategy.parameters.views": "3"},
        {"strategy": '{"name": "mean"}', "options.strategy.parameters.views": "3"},
    ],
)
async def test_a_forms_strategy_has_parameters_however_they_are_written(both: BothTransports, fields: dict[str, str]):
    reply = await both.http.post("/v1/classify", files={"image": jpeg()}, data={"labels": NAMES, **fields})
    assert reply.status_code == 200, reply.text
    assert (reply.json()["strategy"]["name"], reply.json()["strategy"]["parameters"]["views"]) == ("mean", 3)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"strategy": "mean", "strategy.parameters.magic": "3"}, "unknown parameter 'magic'; there are: "),
        ({"strategy": '{"name": "mean", "parameters": {"magic": 3}}'}, "unknown parameter 'magic'; there are: "),
        ({"strategy": "mean", "strategy.magic": "3"}, "options.strategy.magic: there is no such parameter"),
        ({"strategy": MEAN, "options": "{}"}, "options: this, or a part of it, is given too"),
    ],
)
async def test_a_forms_mistake_has_its_sentence(both: BothTransports, fields: dict[str, str], sentence: str):
    reply = await both.http.post("/v1/classify", files={"image": jpeg()}, data={"labels": NAMES, **fields})
    assert reply.status_code == 400 and sentence in reply.json()["detail"]


async def test_every_way_to_give_a_picture_has_the_answer_of_grpc(both: BothTransports):
    expected = await both.rpc.stub.Classify(question())
    picture, form = jpeg(), {"labels": NAMES, "options.top_k": "5"}
    replies = [
        await both.http.post("/v1/classify", json=body()),
        await both.http.post("/v1/classify", files={"image": picture}, data=form),
        await both.http.post("/v1/classify", files={"image": picture}, data={"labels": json.dumps(SET)}),
        await both.http.post(
            "/v1/classify", content=picture, params={"labels": "cat,dog,car"}, headers={"content-type": "image/jpeg"}
        ),
    ]
    for reply in replies:
        assert reply.status_code == 200, reply.text
        found = parse_json(pb.ClassifyResponse, reply.content)
        assert [(one.label, one.logit) for one in found.top] == [(one.label, one.logit) for one in expected.top]
        assert found.label_set_id == expected.label_set_id


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {}},
        {"labels": {"label_set": {"names": ["cat", "cat"]}}},
        {"labels": {"label_set": {"names": ["cat"], "templates": ["no place"]}}},
        {"labels": {"id": "nosuch"}},
        {"image": {}},
        {"image": {"encoded": base64.b64encode(b"no picture").decode()}},
        {"options": {"strategy": {"name": "nosuch"}}},
        {"options": {"strategy": {"name": "tda", "parameters": {"capacity": -1}}}},
        {"options": {"top_k": 0}},
        {"session_id": "no/slash"},
    ],
    ids=lambda change: json.dumps(change)[:40],
)
async def test_a_mistake_has_the_same_field_and_sentence_by_grpc(both: BothTransports, change: dict[str, Any]):
    given = body(**change)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await both.rpc.stub.Classify(parse_json(pb.ClassifyRequest, json.dumps(given)))
    reply = await both.http.post("/v1/classify", json=given)
    assert reply.status_code in (400, 404) and reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["detail"] == refused.value.details()
    assert both.rpc.of(Refused)[-1].method == "Classify"
    assert both.rpc.of(Responded)[-1].code == reply.status_code


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ("", ""),
        ("{", ""),
        ("[]", ""),
        ("NaN", ""),
        ("[" * 100_000, ""),
        ('{"options": {"nosuch": 1}}', "options.nosuch"),
        ('{"options": {"seed": "many"}}', "options.seed"),
        ('{"labels": {"label_set": {"names": "cat"}}}', "labels.label_set.names"),
        ('{"session_id": "a", "session_id": "b"}', ""),
    ],
    ids=lambda given: given[:20],
)
async def test_what_is_no_message_is_refused(both: BothTransports, given: str, field: str):
    reply = await both.http.post("/v1/classify", content=given, headers={"content-type": "application/json"})
    assert (reply.status_code, reply.json().get("field", "")) == (400, field)


async def test_an_empty_body_switches_nothing_off(both: BothTransports):
    assert (await both.http.put("/v1/strategies/tda")).status_code == 400
    assert not any(one["disabled"] for one in (await both.http.get("/v1/strategies")).json()["strategies"])


async def test_label_sets_and_sessions_live_as_by_grpc(both: BothTransports):
    http = both.http
    put = await http.post("/v1/label-sets", json={"names": NAMES})
    id = put.json()["info"]["id"]
    assert (await http.get("/v1/label-sets")).json()["infos"][0]["id"] == id
    assert (await http.get(f"/v1/label-sets/{id}")).json()["label_set"]["names"] == NAMES
    given = body(labels={"id": id}, session_id="gate-3", options={"strategy": {"name": "tda"}})
    assert (await http.post("/v1/classify", json=given)).json()["session"]["frames"] == "1"
    assert (await http.get("/v1/sessions/gate-3")).json()["session"]["strategies"] == ["tda"]
    copied = await http.get("/v1/sessions/gate-3/snapshot")
    snapshot = copied.json()["snapshot"]
    assert (await http.post("/v1/sessions/gate-3/reset")).status_code == 200
    assert (await http.delete("/v1/sessions/gate-3")).status_code == 200
    assert (await http.get("/v1/sessions/gate-3")).status_code == 404
    restored = await http.put("/v1/sessions/gate-3/snapshot", json=snapshot)
    assert restored.json()["session"]["session_id"] == "gate-3"
    as_it_came = await http.put("/v1/sessions/gate-3/snapshot", content=copied.content)
    assert as_it_came.json()["session"]["frames"] == "1"
    for given_elsewhere in (snapshot, copied.json()):
        elsewhere = await http.put("/v1/sessions/gate-4/snapshot", json=given_elsewhere)
        assert (elsewhere.status_code, elsewhere.json()["field"]) == (400, "snapshot.session_id")
    assert (await http.get("/v1/nosuch")).json()["status"] == 404
    taught = await http.post(
        "/v1/sessions/gate-3/lessons", json={"lessons": [{"image": given["image"], "labels": SET, "label": "dog"}]}
    )
    example = taught.json()["results"][0]["example_id"]
    assert (await http.get("/v1/sessions/gate-3/lessons")).json()["lessons"][0]["label"] == "dog"
    gone = await http.delete("/v1/sessions/gate-3/lessons", params={"example_ids": example})
    assert gone.json()["unlearnt"] == [example]
    assert (await http.delete(f"/v1/label-sets/{id}")).status_code == 200


def test_every_method_has_a_path_but_the_stream():
    methods = {method.name for method in pb.DESCRIPTOR.services_by_name["AdaptationService"].methods}
    assert {route.method for route in ROUTES} == methods - {"ClassifyStream"}


async def test_a_body_over_the_limit_is_refused_before_it_is_read_and_all_bodies_together_are_bounded():
    budget = BodyBudget(body_bytes=1000, total_bytes=1500, seconds=0.3)
    async with open_transports(budget=budget) as both:
        headers = {"content-type": "application/json"}
        assert (await both.http.post("/v1/classify", content=b"x" * 1001, headers=headers)).status_code == 413

        async def slowly() -> Any:
            yield b"x" * 600
            await asyncio.sleep(2)

        slow = asyncio.create_task(both.http.post("/v1/classify", content=slowly(), headers=headers))
        await asyncio.to_thread(until, lambda: budget.held > 0)
        busy = await both.http.post("/v1/classify", content=b"x" * 900, headers=headers)
        assert busy.status_code == 429 and busy.headers["retry-after"] == "1"
        late = await slow
        assert late.status_code == 400 and "did not arrive" in late.json()["detail"]
        assert budget.held == 0


async def test_the_header_of_the_time_limit_is_the_deadline(both: BothTransports):
    late = await both.http.post(
        "/v1/classify", json=body(options={"on_deadline": "ON_DEADLINE_FAIL"}), headers={"x-timeout-ms": "0.001"}
    )
    assert late.status_code == 504
    wrong = await both.http.post("/v1/classify", json=body(), headers={"x-timeout-ms": "soon"})
    assert (wrong.status_code, wrong.json()["field"]) == (400, "X-Timeout-Ms")


async def test_embeddings_are_those_of_grpc(both: BothTransports):
    picture = {"encoded": base64.b64encode(jpeg()).decode()}
    expected = await both.rpc.stub.Embed(pb.EmbedRequest(images=[pb.Image(encoded=jpeg())]))
    found = parse_json(pb.EmbedResponse, (await both.http.post("/v1/embed", json={"images": [picture]})).content)
    assert list(found.embeddings[0].values) == pytest.approx(list(expected.embeddings[0].values))
    wrong = await both.http.post("/v1/embed", json={"texts": [""]})
    assert (wrong.status_code, wrong.json()["field"]) == (400, "texts[0]")


async def test_lists_in_the_query_have_one_element_each_or_commas(both: BothTransports):
    picture = {"content": jpeg(), "headers": {"content-type": "image/jpeg"}}
    one = await both.http.post("/v1/classify", params=[("labels", "cat, grey"), ("labels", "dog")], **picture)
    assert {score["label"] for score in one.json()["top"]} == {"cat, grey", "dog"}
    twice = await both.http.post("/v1/classify?labels=cat,dog&session_id=a&session_id=b", **picture)
    assert (twice.status_code, twice.json()["field"]) == (400, "session_id")
    other = await both.http.post("/v1/sessions/a/lessons", json={"session_id": "b", "lessons": []})
    assert (other.status_code, other.json()["field"]) == (400, "session_id")
