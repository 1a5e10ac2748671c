"""The InferenceService of KServe: its own fields by KServe's documentation, the rest as a Pod of Kubernetes."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

import httpx
import pytest
import yaml
from jsonschema import Draft7Validator

from tests.deploy.tools import DEPLOY
from tta_service.app.access import check_access
from tta_service.http.app import Backend, make_app
from tta_service.settings import load, unknown_variables

INTEGER, TEXT, TEXTS = (
    {"type": "integer", "minimum": 0},
    {"type": "string"},
    {"additionalProperties": {"type": "string"}},
)
COMPONENT = {  # the fields that KServe adds to a Pod's (v1beta1, ComponentExtensionSpec), without those with parts
    "minReplicas": INTEGER,
    "maxReplicas": INTEGER,
    "scaleTarget": INTEGER,
    "scaleMetric": {"enum": ["cpu", "memory", "concurrency", "rps"]},
    "containerConcurrency": INTEGER,
    "timeout": INTEGER,
    "canaryTrafficPercent": {**INTEGER, "maximum": 100},
    "labels": TEXTS,
    "annotations": TEXTS,
}
SCHEMA = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "serving.kserve.io/v1beta1"},
        "kind": {"const": "InferenceService"},
        "metadata": {
            "required": ["name"],
            "additionalProperties": False,
            "properties": {
                "name": {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"},
                "namespace": TEXT,
                "labels": TEXTS,
                "annotations": {
                    **TEXTS,
                    "properties": {
                        "serving.kserve.io/deploymentMode": {
                            "enum": ["Serverless", "RawDeployment", "Knative", "Standard"]
                        }
                    },
                },
            },
        },
        "spec": {
            "required": ["predictor"],
            "additionalProperties": False,
            "properties": {"predictor": {"type": "object", "required": ["containers"], "properties": COMPONENT}},
        },
    },
}
MANIFEST: dict[str, Any] = yaml.safe_load((DEPLOY / "kserve.yaml").read_text())
POD = {key: value for key, value in MANIFEST["spec"]["predictor"].items() if key not in COMPONENT}
CONTAINER = POD["containers"][0]
ENV = {one["name"]: one.get("value", "a token of sixteen or more") for one in CONTAINER["env"]}


def test_it_is_what_kserve_documents():
    assert not list(Draft7Validator(SCHEMA).iter_errors(MANIFEST))
    wrong = deepcopy(MANIFEST)
    wrong["spec"]["predictor"]["minReplicas"] = "1"
    wrong["metadata"]["anotations"] = {}
    assert len(list(Draft7Validator(SCHEMA).iter_errors(wrong))) == 2


def test_the_rest_is_a_pod():
    kubernetes = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tta"}, "spec": POD}
    kubernetes.validate(pod, "1.30", strict=True)
    with pytest.raises(kubernetes.ValidationError):
        kubernetes.validate({**pod, "spec": {**POD, "minReplica": 1}}, "1.30", strict=True)


def test_the_service_starts_with_its_variables(monkeypatch: pytest.MonkeyPatch):
    assert not unknown_variables(ENV)
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    settings = load({"server.host": "0.0.0.0", "metrics.host": "0.0.0.0"})  # as the image has it
    check_access(settings)
    name = MANIFEST["metadata"]["name"]
    assert {f"{name}-predictor", f"{name}-predictor.default.svc.cluster.local"} <= set(settings.http.hosts)
    assert POD["terminationGracePeriodSeconds"] >= settings.server.pre_stop + settings.server.drain + 15


async def test_ports_probes_and_volumes_are_those_of_the_image():
    ports = {one["containerPort"] for one in CONTAINER["ports"]}
    (exposed,) = re.findall(r"^EXPOSE (.*)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert ports < {int(port) for port in exposed.split()}
    app = httpx.ASGITransport(make_app(Backend(lambda: None, lambda: True)))
    async with httpx.AsyncClient(transport=app, base_url="http://10.0.0.1:8080") as kubelet:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = CONTAINER[probe]["httpGet"]
            assert asked["port"] in ports and (await kubelet.get(asked["path"])).status_code == 200
    assert {one["name"] for one in CONTAINER["volumeMounts"]} == {one["name"] for one in POD["volumes"]}
