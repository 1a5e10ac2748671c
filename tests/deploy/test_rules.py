"""Rules and alerts under promtool; the runbook agrees with them."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import yaml
from prometheus_client import generate_latest

from tests.deploy.tools import DEPLOY, RULES, exported, names, program, registry, silent
from tta_service.core.catalogue import strategies

FIFTEEN = [
    "InstanceDown", "CanaryFailing", "HeartbeatStale", "ErrorBudgetBurn", "P99OverSLO", "FrameAgeOverSLO",
    "DropRatioHigh", "QueueSaturated", "AdmissionRejecting", "SessionEvictionsByCapacity", "CudaOOM",
    "MemoryNearLimit", "AdaptationFallbackHigh", "CertExpiring", "NoTrafficButStreamsOpen",
]  # fmt: skip


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def promtool(*arguments: str, given: bytes = b"") -> None:
    done = subprocess.run([program("promtool"), *arguments], input=given, capture_output=True)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def test_the_rules_are_sound():
    promtool("check", "rules", "--lint-fatal", str(RULES))


def test_each_alert_fires_when_it_should_and_only_then():
    promtool("test", "rules", str(RULES.with_name("rules_test.yml")))


def test_each_alert_has_been_seen_both_quiet_and_firing():
    cases = yaml.safe_load(RULES.with_name("rules_test.yml").read_text())["tests"]
    seen = {(test["alertname"], bool(test["exp_alerts"])) for case in cases for test in case["alert_rule_test"]}
    assert seen == {(name, fires) for name in FIFTEEN for fires in (True, False)}


def test_what_a_scrape_of_us_says_is_well_formed():
    promtool("check", "metrics", given=generate_latest(registry().registry))


def test_there_are_the_fifteen_each_with_a_severity_and_a_line_in_the_runbook():
    alerts = [rule for rule in rules() if "alert" in rule]
    assert list(dict.fromkeys(rule["alert"] for rule in alerts)) == FIFTEEN
    assert all(rule["labels"]["severity"] in {"page", "ticket"} and rule["annotations"]["summary"] for rule in alerts)
    lines = re.findall(r"^\| (\w+) \| ([^|]+) \| ([^|]+) \|$", (DEPLOY / "RUNBOOK.md").read_text(), re.MULTILINE)
    told = {name: severities for name, severities, said in lines if len(said) > 40}
    assert list(told)[1:] == FIFTEEN or list(told) == FIFTEEN
    for rule in alerts:
        assert rule["labels"]["severity"] in told[rule["alert"]]


def test_rules_read_metrics_that_exist():
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    waited_for = {"tta_certificate_expiry_timestamp_seconds"} & set(silent())
    for rule in rules():
        assert names(rule["expr"]) <= exported() | recorded | waited_for, rule


def test_slow_strategies_are_those_that_learn_by_gradient():
    (rule,) = (rule for rule in rules() if rule.get("alert") == "P99OverSLO")
    (slow,) = set(re.findall(r'strategy[!=]~"([^"]+)"', rule["expr"]))
    assert set(slow.split("|")) == {name for name in strategies.names() if strategies.build(name).needs().gradient}
