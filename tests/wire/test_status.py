"""Every error becomes a status with a sentence, a reason, and the field that is wrong."""

from __future__ import annotations

import logging

import grpc
import pytest
from google.rpc import error_details_pb2 as details
from google.rpc import status_pb2

from tta_service.core import errors
from tta_service.http.problems import describe
from tta_service.rpc.status import code_of
from tta_service.wire.status import CODES, LONGEST, http_code_of, to_status, to_tta_error


def detail(status: status_pb2.Status, kind):
    for packed in status.details:
        if packed.Is(kind.DESCRIPTOR):
            found = kind()
            packed.Unpack(found)
            return found
    return None


def every_error() -> list[type[errors.TTAError]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.TTAError)]


@pytest.mark.parametrize("kind", every_error())
def test_every_error_has_a_status(kind):
    assert kind in CODES
    assert code_of(kind("no")) is not grpc.StatusCode.OK
    assert 400 <= http_code_of(kind("no")) < 600


def test_a_plug_in_may_refine_an_error():
    class Blurred(errors.BadImage):
        pass

    assert code_of(Blurred("too blurred")) is grpc.StatusCode.INVALID_ARGUMENT
    assert detail(to_status(Blurred("x")), details.ErrorInfo).reason == "BLURRED"


def test_the_sentence_and_the_violation_name_the_field():
    status = to_status(errors.BadParameters("views is 9999", "options.strategy.parameters.views"))
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert status.message == "options.strategy.parameters.views: views is 9999"
    violation = detail(status, details.BadRequest).field_violations[0]
    assert (violation.field, violation.description) == ("options.strategy.parameters.views", "views is 9999")
    info = detail(status, details.ErrorInfo)
    assert (info.reason, info.domain) == ("BAD_PARAMETERS", "tta.v1")


@pytest.mark.parametrize("field", ["options.strategy.parameters.views", "views"])
def test_a_field_is_named_once(field: str):
    status = to_status(errors.BadParameters("views: input should be an integer", field))
    assert status.message == f"{field}: input should be an integer"
    assert detail(status, details.BadRequest).field_violations[0].description == "input should be an integer"


def test_overload_has_a_retry_delay():
    retry = detail(to_status(errors.Overloaded("too many", retry_after=2.5)), details.RetryInfo)
    assert retry.retry_delay.ToTimedelta().total_seconds() == 2.5
    assert detail(to_status(errors.BadImage("no", "image")), details.RetryInfo) is None


def test_long_input_is_shortened_in_the_trailers():
    status = to_status(errors.BadParameters("x" * 1_000_000, "parameters." + "ü" * 1_000_000))
    assert len(status.message) <= 2 * LONGEST + 2
    assert len(status.SerializeToString()) < 4000


def test_an_unexpected_error_is_logged_and_reveals_no_internals(caplog):
    with caplog.at_level(logging.ERROR):
        status = to_status(to_tta_error(ValueError("secret path /srv/x")))
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert "secret" not in str(status)
    assert "secret" in caplog.text


def test_errors_for_the_caller_pass_through_unchanged():
    error = errors.BadImage("no")
    assert to_tta_error(error) is error


def test_a_quota_that_is_used_up_is_named():
    error = errors.Overloaded("two streams of yours are open already").of_quota("limits.client_streams")
    violation = detail(to_status(error), details.QuotaFailure).violations[0]
    assert (violation.subject, violation.description) == ("limits.client_streams", error.message)
    assert describe(error)["quota"] == "limits.client_streams"
    assert detail(to_status(errors.Overloaded("all are busy")), details.QuotaFailure) is None
