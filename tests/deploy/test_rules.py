"""Rules and alerts under promtool; the runbook agrees with them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.queries import pages, panels
from tests.deploy.tools import DEPLOY, RULES, exported, names, program, registry
from tta_service.core.catalogue import strategies
from tta_service.settings import load

ALERTS = [
    "InstanceDown", "CanaryFailing", "HeartbeatStale", "ErrorBudgetBurn", "P99OverSLO", "FrameAgeOverSLO",
    "DropRatioHigh", "QueueSaturated", "AdmissionRejecting", "SessionEvictionsByCapacity", "SessionDoubtful", "CudaOOM",
    "MemoryNearLimit", "AdaptationFallbackHigh", "NoTrafficButStreamsOpen", "CertExpiring",
    "StoreUnavailable", "StoreRecordsDamaged", "AuditLogFailing",
]  # fmt: skip


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def promtool(*arguments: str, given: bytes = b"") -> None:
    done = subprocess.run([program("promtool"), *arguments], input=given, capture_output=True)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def test_the_rules_pass_promtool():
    promtool("check", "rules", "--lint-fatal", str(RULES))


@pytest.mark.parametrize("job", ["tta", "monitoring/cameras", "node 2"])
def test_each_alert_fires_when_it_should_and_only_then_whatever_the_job_is_called(job: str, tmp_path: Path):
    text = RULES.with_name("rules_test.yml").read_text()
    text, renamed = re.subn(r'(job(?:="|: ))tta\b', rf"\g<1>{job}", text)
    assert renamed > 50
    (tmp_path / "rules_test.yml").write_text(text)
    (tmp_path / RULES.name).write_text(RULES.read_text())
    promtool("test", "rules", str(tmp_path / "rules_test.yml"))


def test_each_alert_is_tested_both_quiet_and_firing():
    cases = yaml.safe_load(RULES.with_name("rules_test.yml").read_text())["tests"]
    seen = {(test["alertname"], bool(test["exp_alerts"])) for case in cases for test in case["alert_rule_test"]}
    assert seen == {(name, fires) for name in ALERTS for fires in (True, False)}


def test_our_metrics_are_well_formed():
    promtool("check", "metrics", given=registry().registry.render()[0])


def test_each_alert_has_a_severity_and_a_line_in_the_runbook():
    alerts = [rule for rule in rules() if "alert" in rule]
    assert list(dict.fromkeys(rule["alert"] for rule in alerts)) == ALERTS
    assert all(rule["labels"]["severity"] in {"page", "ticket"} and rule["annotations"]["summary"] for rule in alerts)
    lines = re.findall(r"^\| (\w+) \| ([^|]+) \| ([^|]+) \|$", (DEPLOY / "RUNBOOK.md").read_text(), re.MULTILINE)
    listed = {name: severities for name, severities, meaning in lines if len(meaning) > 40}
    assert list(listed)[1:] == ALERTS or list(listed) == ALERTS
    for rule in alerts:
        assert rule["labels"]["severity"] in listed[rule["alert"]]


def test_each_alert_has_the_address_of_its_section_in_the_runbook():
    text = (DEPLOY / "RUNBOOK.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n\n(.+?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert list(sections) == ALERTS and all(len(text.split()) > 15 for text in sections.values())
    for rule in (rule for rule in rules() if "alert" in rule):
        assert rule["annotations"]["runbook_url"] == f"deploy/RUNBOOK.md#{rule['alert'].lower()}"
        assert (DEPLOY.parent / rule["annotations"]["runbook_url"].partition("#")[0]).is_file()


def test_the_runbook_names_existing_panels_and_settings():
    text = " ".join((DEPLOY / "RUNBOOK.md").read_text().split())
    shown = {
        page["title"].removeprefix("TTA / "): {panel["title"] for panel in panels(page)} for page in pages().values()
    }
    asked = re.findall(r'\*([^*"]+)\*, "([^"]+)"', text)
    assert len(asked) > 6 and all(panel in shown[page] for page, panel in asked), asked
    known = load().model_dump()
    for section, knob in re.findall(r"`(\w+)\.(\w+)[\w.]*`", text):
        assert knob in known[section], (section, knob)


def test_rules_read_metrics_that_exist():
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for rule in rules():
        assert names(rule["expr"]) <= exported() | recorded, rule


def test_slow_strategies_are_those_that_need_gradients():
    (rule,) = (rule for rule in rules() if rule.get("alert") == "P99OverSLO")
    (slow,) = set(re.findall(r'strategy[!=]~"([^"]+)"', rule["expr"]))
    assert set(slow.split("|")) == {name for name in strategies.names() if strategies.build(name).needs().gradient}
