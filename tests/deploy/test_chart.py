"""The Helm chart, rendered and checked against the schemas of Kubernetes and the parser of HAProxy."""

from __future__ import annotations

import json
import os
import re
import subprocess
import textwrap
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from tests.deploy.chart import CHART, manifests, values
from tests.deploy.tools import DEPLOY, exported, names, program
from tta_service.app.access import check_access
from tta_service.settings import load, unknown_variables

NAME = "blue-tta-service"
STORED = {"store": "redis://cache:6379/0", "secret": "confidential, with sixteen"}
SECRETS: dict[str, Any] = {"access": {"existingSecret": "access"}, "tls": {"existingSecret": "certificate"}}
ALL: dict[str, Any] = SECRETS | {
    "networkPolicy": {
        "httpFrom": [{"namespaceSelector": {"matchLabels": {"name": "people"}}}],
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
    },
    "sessions": STORED,
    "autoscaling": {"enabled": True},
    "serviceMonitor": {"enabled": True, "labels": {"release": "monitoring"}},
    "gpu": {"count": 1},
    "settings": {"TTA_LIMITS__VIEWS": 256, "TTA_DEFAULTS__STRATEGY": "tda"},
    "models": {"existingClaim": "models"},
    "imagePullSecrets": [{"name": "registry"}],
    "nodeSelector": {"gpu": "yes"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "podAnnotations": {"team": "vision"},
}
KEDA: dict[str, Any] = ALL | {"autoscaling": {"enabled": True, "prometheus": "http://prometheus.monitoring:9090"}}
LEAST: dict[str, Any] = {
    "proxy": {"enabled": False},
    "access": {"insecure": True},
    "networkPolicy": {"enabled": False},
}


TEXT, WHOLE = {"type": "string"}, {"type": "integer", "minimum": 0}


def _of(required: str = "", **properties: Any) -> dict[str, Any]:
    """The schema of an object with these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


SCALED_OBJECT = _of(  # keda.sh/v1alpha1, as its CustomResourceDefinition has it: what the chart uses of it
    "apiVersion kind metadata spec",
    apiVersion={"const": "keda.sh/v1alpha1"},
    kind={"const": "ScaledObject"},
    metadata={"type": "object"},
    spec=_of(
        "scaleTargetRef triggers",
        scaleTargetRef=_of("name", apiVersion=TEXT, kind=TEXT, name=TEXT, envSourceContainerName=TEXT),
        minReplicaCount=WHOLE,
        maxReplicaCount=WHOLE,
        idleReplicaCount=WHOLE,
        pollingInterval=WHOLE,
        cooldownPeriod=WHOLE,
        initialCooldownPeriod=WHOLE,
        fallback=_of("failureThreshold replicas", failureThreshold=WHOLE, replicas=WHOLE, behavior=TEXT),
        advanced=_of(
            restoreToOriginalReplicaCount={"type": "boolean"},
            horizontalPodAutoscalerConfig=_of(name=TEXT, behavior={"type": "object"}),
        ),
        triggers={
            "type": "array",
            "items": _of(
                "type metadata",
                type=TEXT,
                name=TEXT,
                metricType={"enum": ["AverageValue", "Value", "Utilization"]},
                metadata={"type": "object", "additionalProperties": TEXT},
                useCachedMetrics={"type": "boolean"},
                authenticationRef=_of("name", name=TEXT, kind=TEXT),
            ),
        },
    ),
)


def container(chosen: dict[str, Any], kind: str = "StatefulSet", name: str = NAME) -> dict[str, Any]:
    (one,) = manifests(chosen)[kind, name]["spec"]["template"]["spec"]["containers"]
    return one


@pytest.mark.parametrize(
    "chosen", [SECRETS, ALL, KEDA, LEAST], ids=["as it is", "with everything", "with KEDA", "with little"]
)
def test_rendered_manifests_fit_the_schemas_of_kubernetes(chosen: dict[str, Any]):
    kubernetes = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for (kind, _), one in manifests(chosen).items():
        if kind not in ("ServiceMonitor", "ScaledObject"):  # no schema of Kubernetes' own
            kubernetes.validate(one, "1.30", strict=True)


def test_every_option_renders_its_resource():
    few, many = {kind for kind, _ in manifests(LEAST)}, {kind for kind, _ in manifests(ALL)}
    assert few == {"StatefulSet", "Service", "PodDisruptionBudget"}
    optional = {"Secret", "HorizontalPodAutoscaler", "ServiceMonitor", "ConfigMap", "Deployment", "NetworkPolicy"}
    assert many - few == optional
    assert "replicas" not in manifests(ALL)["StatefulSet", NAME]["spec"]  # the scaler's affair
    assert manifests(SECRETS)["StatefulSet", NAME]["spec"]["replicas"] == 2


def test_the_grace_period_covers_the_notice_the_drain_and_what_comes_after():
    pod = manifests(SECRETS | {"drain": {"preStop": 7, "grace": 60}})["StatefulSet", NAME]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 7 + 60 + 15
    env = {one["name"]: one.get("value") for one in container(SECRETS | {"drain": {"preStop": 7, "grace": 60}})["env"]}
    assert (env["TTA_SERVER__PRE_STOP"], env["TTA_SERVER__DRAIN"]) == ("7", "60")


@pytest.mark.parametrize("chosen, scheme", [(SECRETS, "HTTPS"), (LEAST, "HTTP")])
def test_health_is_asked_by_http_and_a_draining_server_leaves_before_its_notice_ends(
    chosen: dict[str, Any], scheme: str
):
    """Kubernetes' gRPC probe speaks no TLS."""
    asked = container(chosen)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert asked[probe]["httpGet"] == {"path": "/healthz", "port": "metrics", "scheme": scheme}
    ready = asked["readinessProbe"]
    assert ready["periodSeconds"] * ready["failureThreshold"] <= values({})["drain"]["preStop"]


@pytest.mark.parametrize(("kind", "name"), [("StatefulSet", NAME), ("Deployment", f"{NAME}-proxy")])
def test_containers_have_no_capabilities_and_a_read_only_file_system(kind: str, name: str):
    pod = manifests(ALL)[kind, name]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
    for one in pod["containers"]:
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_selectors_match_their_pods():
    found = manifests(ALL)
    pods = {
        kind: found[kind, name]["spec"]["template"]["metadata"]["labels"]
        for kind, name in (("StatefulSet", NAME), ("Deployment", f"{NAME}-proxy"))
    }
    for (kind, name), of in {
        ("Service", f"{NAME}-servers"): "StatefulSet",
        ("Service", NAME): "Deployment",
        ("PodDisruptionBudget", NAME): "StatefulSet",
        ("PodDisruptionBudget", f"{NAME}-proxy"): "Deployment",
    }.items():
        asked = found[kind, name]["spec"]["selector"]
        asked = asked.get("matchLabels", asked)
        assert {other: asked.items() <= labels.items() for other, labels in pods.items()} == {
            other: other == of for other in pods
        }
    monitor = found["ServiceMonitor", NAME]["spec"]
    servers = found["Service", f"{NAME}-servers"]
    assert monitor["selector"]["matchLabels"].items() <= servers["metadata"]["labels"].items()
    assert {end["port"] for end in monitor["endpoints"]} <= {port["name"] for port in servers["spec"]["ports"]}
    proxied = found["Service", NAME]["metadata"]["labels"]
    assert not monitor["selector"]["matchLabels"].items() <= proxied.items()
    assert found["StatefulSet", NAME]["spec"]["serviceName"] == f"{NAME}-servers"


def test_the_scaler_reads_metrics_that_there_are():
    scaler = manifests(ALL)["HorizontalPodAutoscaler", NAME]["spec"]
    read = [one["pods"]["metric"]["name"] for one in scaler["metrics"]]
    assert read[0] in exported()
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": NAME}
    (rules,) = re.findall(r"(?ms)^    (rules:\n.*?)\n\n", (DEPLOY / "README.md").read_text() + "\n\n")
    adapted = yaml.safe_load(textwrap.dedent("    " + rules))["rules"]
    assert [one.get("name", {}).get("as", one["seriesQuery"].partition("{")[0]) for one in adapted] == read
    for one in adapted:
        assert names(one["metricsQuery"].replace("<<.LabelMatchers>>", "").replace("<<.GroupBy>>", "pod")) <= exported()


def test_keda_reads_metrics_that_there_are_and_takes_what_it_is_given(tmp_path: Path):
    found = manifests(KEDA)
    scaled = found["ScaledObject", NAME]
    Draft7Validator.check_schema(SCALED_OBJECT)
    assert not list(Draft7Validator(SCALED_OBJECT).iter_errors(scaled))
    wrong = deepcopy(scaled)
    wrong["spec"]["minReplicas"], wrong["spec"]["triggers"][0]["metadata"]["threshold"] = 2, 8
    assert len(list(Draft7Validator(SCALED_OBJECT).iter_errors(wrong))) == 2
    assert not any(kind == "HorizontalPodAutoscaler" for kind, _ in found)  # KEDA makes one
    assert scaled["spec"]["scaleTargetRef"]["name"] == NAME and "replicas" not in found["StatefulSet", NAME]["spec"]
    behavior = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior == manifests(ALL)["HorizontalPodAutoscaler", NAME]["spec"]["behavior"]
    queries = [one["metadata"]["query"] for one in scaled["spec"]["triggers"]]
    assert all(names(query.replace("vector", "")) <= exported() and 'job="blue"' in query for query in queries)
    rules = {"groups": [{"name": "keda", "rules": [{"record": f"r{i}", "expr": one} for i, one in enumerate(queries)]}]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    checked = subprocess.run([program("promtool"), "check", "rules", str(tmp_path / "rules.yml")], capture_output=True)
    assert checked.returncode == 0, checked.stdout


def test_pods_are_spread_over_zones_and_nodes_and_replaced_one_by_one():
    found = manifests(SECRETS)
    for kind, name in (("StatefulSet", NAME), ("Deployment", f"{NAME}-proxy")):
        pod = found[kind, name]["spec"]["template"]
        spread = pod["spec"]["topologySpreadConstraints"]
        assert [one["topologyKey"] for one in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        assert all(one["labelSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items() for one in spread)
    assert found["StatefulSet", NAME]["spec"]["updateStrategy"] == {"type": "RollingUpdate"}
    assert found["PodDisruptionBudget", NAME]["spec"]["maxUnavailable"] == 1


def test_variables_are_settings_of_the_service(monkeypatch: pytest.MonkeyPatch):
    env = container(ALL)["env"]
    secret = manifests(ALL)["Secret", f"{NAME}-sessions"]["stringData"]
    assert not unknown_variables(one["name"] for one in env)
    secret |= {"metrics-token": "a token of sixteen or more"}
    for one in env:
        monkeypatch.setenv(one["name"], one.get("value") or secret[one["valueFrom"]["secretKeyRef"]["key"]])
    settings = load({"server.host": "0.0.0.0", "metrics.host": "0.0.0.0"})  # as the image has it
    check_access(settings)
    assert (settings.sessions.store, settings.limits.views, settings.server.pre_stop) == (STORED["store"], 256, 5.0)


def test_without_keys_and_certificates_nothing_is_installed_unless_it_is_told_to():
    for given in ({}, {"tls": SECRETS["tls"]}, {"access": SECRETS["access"]}):
        with pytest.raises(Exception, match=r"\.existingSecret: a Secret with"):
            manifests(given)
    names = {one["name"]: one.get("value") for one in container(LEAST)["env"]}
    assert names["TTA_SERVER__INSECURE"] == "true" and "TTA_SERVER__KEYS" not in names


def test_secrets_are_mounted_for_their_reader_alone_and_no_service_is_announced():
    found = manifests(ALL)
    for kind, name in (("StatefulSet", NAME), ("Deployment", f"{NAME}-proxy")):
        pod = found[kind, name]["spec"]["template"]["spec"]
        assert pod["enableServiceLinks"] is False
        mounted = {one["name"]: one["secret"]["defaultMode"] for one in pod["volumes"] if "secret" in one}
        assert mounted == {"tls": 0o440} | ({"access": 0o440} if kind == "StatefulSet" else {})
        assert pod["securityContext"]["fsGroup"]


def test_servers_are_reached_by_the_proxy_and_scraped_with_the_token_and_the_authority():
    found = manifests(ALL)
    by_grpc, by_http, by_scrapers = found["NetworkPolicy", NAME]["spec"]["ingress"]
    proxy = found["Deployment", f"{NAME}-proxy"]["spec"]["template"]["metadata"]["labels"]
    assert by_grpc["from"][0]["podSelector"]["matchLabels"].items() <= proxy.items()
    for rule, name in ((by_http, "httpFrom"), (by_scrapers, "metricsFrom")):
        assert rule["from"] == ALL["networkPolicy"][name]
    ports = {one["name"] for one in container(ALL)["ports"]}
    assert {one["port"] for rule in (by_grpc, by_http, by_scrapers) for one in rule["ports"]} == ports
    (end,) = found["ServiceMonitor", NAME]["spec"]["endpoints"]
    assert end["scheme"] == "https" and end["tlsConfig"]["ca"]["secret"] == {"name": "certificate", "key": "ca.crt"}
    assert end["authorization"]["credentials"] == {"name": "access", "key": "metrics-token"}


def test_a_store_without_a_secret_is_refused():
    with pytest.raises(Exception, match="without one no other server can read"):
        manifests(SECRETS | {"sessions": {"store": "redis://cache:6379/0"}})


def test_values_are_checked_before_anything_is_rendered():
    schema = json.loads((CHART / "values.schema.json").read_text())
    Draft7Validator.check_schema(schema)
    known = Draft7Validator(schema)
    for chosen in ({}, ALL, LEAST):
        known.validate(values(chosen))
    for wrong in ({"replicas": 0}, {"settings": {"VIEWS": 1}}, {"drain": {"preStop": "5s"}}, {"autoscale": {}}):
        assert list(known.iter_errors(values(wrong))), wrong


def test_the_proxy_of_the_chart_is_the_one_that_is_tested_with_the_servers_of_the_chart(tmp_path: Path):
    configuration = manifests(SECRETS | {"autoscaling": {"maxReplicas": 3}})["ConfigMap", f"{NAME}-proxy"]["data"][
        "haproxy.cfg"
    ]
    ours = (DEPLOY / "haproxy" / "haproxy.cfg").read_text().splitlines()
    unchanged, added = (
        [line for line in ours if line in configuration.splitlines()],
        set(configuration.splitlines()) - set(ours),
    )
    assert [line.split()[:2] for line in ours if line not in unchanged] == [["server", "a"], ["server", "b"]]
    servers = [line.split() for line in configuration.splitlines() if line.startswith("    server ")]
    assert [(one[1], one[2], one[4]) for one in servers] == [
        (f"s{i}", f"{NAME}-{i}.{NAME}-servers.cameras.svc.cluster.local:50051", str(i + 1)) for i in range(3)
    ]
    assert len(added) == len(servers) + 4  # and the resolvers
    (tmp_path / "haproxy.cfg").write_text(configuration + "\n")
    assert_sound(tmp_path / "haproxy.cfg")


def test_haproxy_accepts_its_configuration():
    assert_sound(DEPLOY / "haproxy" / "haproxy.cfg")


def assert_sound(configuration: Path) -> None:
    """HAProxy reads it and has nothing to say but that it is sound."""
    here = {"TTA_A": "127.0.0.1:1", "TTA_B": "127.0.0.1:2"}
    command = [program("haproxy"), "-c", "-f", str(configuration)]
    done = subprocess.run(command, env=os.environ | here, capture_output=True, text=True)
    assert done.returncode == 0 and "[WARNING]" not in done.stderr, done.stderr


def test_the_chart_is_of_this_version_of_the_service():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (DEPLOY.parent / "pyproject.toml").read_text()
    assert f'version = "{chart["appVersion"]}"' in project
