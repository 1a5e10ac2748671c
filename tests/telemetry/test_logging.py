"""The format of log lines, what they hide, and observers that fail."""

from __future__ import annotations

import io
import json
import logging
import signal
import subprocess
import sys
import warnings

import pytest

from tta_service.core.events import Closed, Event
from tta_service.telemetry import combine_observers
from tta_service.telemetry.logging import LogFormat, configure_logging, get_logger


def test_a_label_cannot_forge_a_line():
    stream = io.StringIO()
    with configure_logging(stream, "console"):
        get_logger("tta_service.test").info("seen", label="cat\nlevel=error forged")
    assert len(stream.getvalue().splitlines()) == 1


def test_lines_of_libraries_have_the_same_format_and_the_configuration_is_restored():
    handlers, level = list(logging.getLogger().handlers), logging.getLogger("tta_service").level
    stream = io.StringIO()
    with configure_logging(stream, "json"):
        logging.getLogger("some.library").warning("slow %s", "disk")
    assert json.loads(stream.getvalue())["event"] == "slow disk"
    assert (list(logging.getLogger().handlers), logging.getLogger("tta_service").level) == (handlers, level)


def test_a_warning_of_python_is_a_line_of_the_log():
    stream = io.StringIO()
    with configure_logging(stream, "json"), warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)  # which pytest's own recorder has replaced
        warnings.warn("old way", DeprecationWarning, stacklevel=1)
    assert "old way" in json.loads(stream.getvalue())["event"]


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_secret_of_a_url_is_logged(form: LogFormat):
    """Libraries log the URL of the store, or of the collector, as it was configured."""
    stream = io.StringIO()
    with configure_logging(stream, form):
        logging.getLogger("some.library").warning("no answer of %s", "http://admin:SECRET@collector:4317/?token=SECRET")
        get_logger("tta_service.test").warning("store", url="redis://:SECRET@cache:6379/0")
        try:
            raise OSError("redis://:SECRET@cache")
        except OSError:
            logging.getLogger("some.library").exception("failed")
    text = stream.getvalue()
    assert "SECRET" not in text and "://***@collector:4317" in text and "redis://***@cache:6379/0" in text
    assert form == "console" or [json.loads(line) for line in text.splitlines()]


def test_an_observer_that_fails_is_logged_and_costs_nothing(caplog: pytest.LogCaptureFixture):
    observed: list[Event] = []

    def broken(event: Event) -> None:
        raise RuntimeError("meter broke")

    combine_observers({Closed: broken}, {Closed: observed.append})(Closed("idle", 1))
    assert observed == [Closed("idle", 1)]
    assert "meter broke" in caplog.text


@pytest.mark.slow
def test_a_server_that_logs_json_writes_nothing_else():
    """Python's warnings, refusals and the end included, on stdout and on stderr."""
    from tta_client import Client, TTAClientError

    from tests.rpc.conftest import jpeg

    flags = ["--port=0", "--no-http", "--set=metrics.enabled=false", "--set=batch.max_rows=4", "--log-format=json"]
    command = [sys.executable, "-W", "always", "-m", "tta_service", "serve", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            first = json.loads(server.stdout.readline())
            assert first["event"] == "serving"
            with Client(first["grpc"]) as client:
                client.classify(jpeg(), ["cat", "dog"])
                with pytest.raises(TTAClientError):
                    client.classify(b"no picture", ["cat", "dog"])
            server.send_signal(signal.SIGTERM)
            out, err = server.communicate(timeout=60)
        finally:
            server.kill()
    events = [json.loads(line)["event"] for line in (out + err).splitlines()]
    assert "answered" in events and "refused" in events
