"""Every expression of every panel and rule has data from a real Prometheus that scrapes a real service at work."""

from __future__ import annotations

import asyncio
import re
import ssl
import subprocess
import urllib.request
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from tta_client import TLS
from tta_client.aio.client import AsyncClient

from deploy.grafana.queries import queries
from tests.certificates import Authority
from tests.deploy.scraper import Prometheus, free_port, prometheus
from tests.deploy.tools import RULES, names, program, silent
from tests.deploy.traffic import everyday, faults, moves, pictures
from tests.patience import PATIENCE
from tests.wire.test_keys import add
from tta_service.app import Application
from tta_service.core.catalogue import reducers
from tta_service.core.reducer import Reduction
from tta_service.settings import load
from tta_service.wire.keys import Role

ROUNDS = 4  # the second sees every series that the first has made grow
WINDOW = "1m"


def expressions() -> dict[str, str]:
    """All that is asked, by where it stands. An alert is asked for its two sides: compared, it is empty while well."""
    asked = {f"{query.page} / {query.panel} / {query.legend}": query.expression for query in queries(WINDOW)}
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for number, rule in enumerate(group["rules"]):
            name = rule.get("record") or f"{rule['alert']} ({number})"
            asked[name] = re.sub(r" (==|!=|>=|<=|>|<) (?=\d)", r" \1 bool ", rule["expr"])
    return asked


async def find_empty(asked: dict[str, str], scraped: Prometheus) -> dict[str, str]:
    """Those that have no data, but for the silent ones."""
    quiet = silent()
    return {
        place: expression
        for place, expression in asked.items()
        if not names(expression) & quiet.keys() and not await scraped.ask(expression)
    }


@pytest.mark.slow
async def test_every_panel_and_rule_has_data_from_a_service_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    program("promtool")
    metrics, images, asked = free_port(), pictures(), expressions()
    (tmp_path / "peaks").write_text('{"strategy": "zero", "device": "cpu", "bytes": 57393152}\n')
    authority, token = Authority(tmp_path), "a token of sixteen or more"
    pair, key = authority.server(), add(tmp_path / "keys", "ann", Role.TEACH)
    access = {
        "scheme": "https",
        "tls_config": {"ca_file": str(authority.ca)},
        "authorization": {"credentials": token},
    }
    settings = load(
        {
            "server.keys": str(tmp_path / "keys"),
            "server.tls.certificate": str(pair.certificate),
            "server.tls.key": str(pair.key),
            "metrics.token": token,
            "server.port": 0,
            "metrics.port": metrics,
            "model.device": "cpu",
            "batch.max_rows": 16,
            "batch.waiting": 2,
            "lanes.cores": 1,
            "sessions.most": 7,
            "metrics.peaks": str(tmp_path / "peaks"),
        }
    )
    # Prometheus first, so that it sees the counters of the start at zero
    async with prometheus(f"127.0.0.1:{metrics}", tmp_path, access) as scraped, Application(settings) as service:
        async with AsyncClient(service.address, timeout=PATIENCE, token=key, tls=TLS(authority.ca)) as client:
            for _ in range(ROUNDS):
                for work in (everyday, faults, moves):
                    await work(client, images)
                await send_canary(service)
                await until_scraped(scraped, service)
                if not (left := await find_empty(asked, scraped)):
                    break
            assert not left, "\n".join(f"{place}: {expression}" for place, expression in left.items())
        if not torch.cuda.is_available():
            present = [name for name in silent() if await scraped.ask(f"count({name})")]
            assert not present, "these have data here: no line in silent.txt"
        text = await asyncio.to_thread(fetch, service.metrics_url, token, authority.ca)
        check = partial(subprocess.run, [program("promtool"), "check", "metrics"], input=text, capture_output=True)
        done = await asyncio.to_thread(check)
        assert done.returncode == 0, (done.stdout + done.stderr).decode()


async def send_canary(service: Application) -> None:
    """The service itself sends a canary only while it is idle."""
    runtime = service.runtime
    blank = torch.zeros(1, 3, runtime.clip.image_size, runtime.clip.image_size, dtype=torch.uint8)
    assert not await runtime.health.probe(lambda: runtime.batcher.encode(blank, Reduction(reducers.build("none"))))


async def until_scraped(scraped: Prometheus, service: Application) -> None:
    """Waits until Prometheus has scraped all answers given by now and evaluated the rules after that."""
    (now,) = await scraped.ask("vector(time())")
    async with asyncio.timeout(PATIENCE):
        await scraped.until(f"timestamp(tta_serving) > {now}")
        await scraped.until(f"timestamp(job:tta_requests:rate5m) > {now + 1}")


def fetch(url: str, token: str, authority: Path) -> bytes:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    context = ssl.create_default_context(cafile=authority)
    with urllib.request.urlopen(request, timeout=PATIENCE, context=context) as reply:
        return reply.read()
