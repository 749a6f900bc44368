"""The error table of the wire contract: one example per row, and every class of the tree is in it."""

import pytest

from backend.kernel import errors
from backend.kernel.errors import BourseError, as_openai, as_rest, as_toast, response_headers, status_of

TABLE = [
    (errors.BadRequest, 400, "invalid_request_error", None),
    (errors.ContextLengthExceeded, 400, "invalid_request_error", "context_length_exceeded"),
    (errors.ContentPolicyViolation, 400, "invalid_request_error", "content_policy_violation"),
    (errors.UnsupportedParameter, 400, "invalid_request_error", "unsupported_parameter"),
    (errors.InvalidApiKey, 401, "invalid_request_error", "invalid_api_key"),
    (errors.SignInRequired, 401, "invalid_request_error", "sign_in_required"),
    (errors.PermissionDenied, 403, "permission_error", "permission_denied"),
    (errors.ModelNotAllowed, 403, "permission_error", "model_not_allowed"),
    (errors.TenantSuspended, 403, "permission_error", "tenant_suspended"),
    (errors.AddressNotAllowed, 403, "permission_error", "ip_not_allowed"),
    (errors.InsufficientQuota, 403, "insufficient_quota", "budget_exceeded"),
    (errors.BudgetExceeded, 403, "insufficient_quota", "budget_exceeded"),
    (errors.PriceUnknown, 403, "insufficient_quota", "price_unknown"),
    (errors.NotFound, 404, "invalid_request_error", "not_found"),
    (errors.ModelNotFound, 404, "invalid_request_error", "model_not_found"),
    (errors.MethodNotAllowed, 405, "invalid_request_error", "method_not_allowed"),
    (errors.RequestTimeout, 408, "invalid_request_error", "request_timeout"),
    (errors.Conflict, 409, "invalid_request_error", "conflict"),
    (errors.IdempotencyInProgress, 409, "invalid_request_error", "idempotency_in_progress"),
    (errors.PreconditionFailed, 412, "invalid_request_error", "precondition_failed"),
    (errors.RequestTooLarge, 413, "invalid_request_error", "request_too_large"),
    (errors.UnsupportedEncoding, 415, "invalid_request_error", "unsupported_encoding"),
    (errors.Unprocessable, 422, "invalid_request_error", "unprocessable"),
    (errors.IdempotencyMismatch, 422, "invalid_request_error", "idempotency_mismatch"),
    (errors.SchemaValidationFailed, 422, "invalid_response_error", "schema_validation_failed"),
    (errors.GroundingFailed, 422, "invalid_response_error", "grounding_failed"),
    (errors.RateLimited, 429, "rate_limit_error", "rate_limit_exceeded"),
    (errors.ParallelLimitExceeded, 429, "rate_limit_error", "parallel_limit_exceeded"),
    (errors.QuotaExceeded, 429, "rate_limit_error", "quota_exceeded"),
    (errors.UpstreamRateLimited, 429, "rate_limit_error", "upstream_rate_limited"),
    (errors.InternalError, 500, "api_error", "internal_error"),
    (errors.UpstreamError, 502, "api_error", "upstream_error"),
    (errors.UpstreamCredentials, 502, "api_error", "upstream_credentials"),
    (errors.Unavailable, 503, "api_error", "unavailable"),
    (errors.Restarting, 503, "api_error", "unavailable"),
    (errors.NoAvailableProvider, 503, "api_error", "no_available_provider"),
    (errors.StorageUnavailable, 503, "api_error", "storage_unavailable"),
    (errors.Overloaded, 503, "api_error", "overloaded"),
    (errors.UpstreamTimeout, 504, "api_error", "upstream_timeout"),
]


def _tree(kind: type[BourseError]) -> set[type[BourseError]]:
    return {kind}.union(*(_tree(below) for below in kind.__subclasses__())) if kind.__subclasses__() else {kind}


@pytest.mark.parametrize(("kind", "status", "type_", "code"), TABLE, ids=lambda value: getattr(value, "__name__", None))
def test_each_error_has_the_status_type_and_code_of_the_contract(
    kind: type[BourseError], status: int, type_: str, code: str | None
) -> None:
    error = kind("what happened", param="model")
    assert error.status == status
    assert as_openai(error) == {"error": {"message": "what happened", "type": type_, "param": "model", "code": code}}
    assert status_of(code) == status


def test_every_error_of_the_kernel_is_in_the_table() -> None:
    here = {kind for kind in _tree(BourseError) if kind.__module__ == errors.__name__} - {BourseError}
    assert here == {row[0] for row in TABLE}


def test_every_error_of_the_tree_is_drawn_at_the_top_of_its_file() -> None:
    drawing = errors.__doc__ or ""
    assert [row[0].__name__ for row in TABLE if row[0].__name__ not in drawing] == []


@pytest.mark.parametrize("kind", [row[0] for row in TABLE])
def test_every_error_says_something_without_being_told_what(kind: type[BourseError]) -> None:
    assert kind().message.endswith(".")


def test_only_rest_bodies_carry_details_and_only_where_there_are_any() -> None:
    error = errors.BadRequest("no", details={"fields": ["name"]})
    assert as_rest(error)["error"]["details"] == {"fields": ["name"]}
    assert "details" not in as_openai(error)["error"]
    assert "details" not in as_rest(errors.BadRequest("no"))["error"]


def test_a_budget_refusal_tells_sdks_not_to_retry() -> None:
    assert response_headers(errors.BudgetExceeded())["x-should-retry"] == "false"
    assert response_headers(errors.PriceUnknown())["x-should-retry"] == "false"
    assert "x-should-retry" not in response_headers(errors.RateLimited())


@pytest.mark.parametrize(("seconds", "header"), [(0, "0"), (0.2, "1"), (1, "1"), (1.01, "2"), (59.5, "60"), (-3, "0")])
def test_retry_after_is_whole_seconds_and_never_too_early(seconds: float, header: str) -> None:
    assert response_headers(errors.RateLimited(retry_after=seconds))["retry-after"] == header


def test_a_toast_quotes_the_request_and_blames_the_right_side() -> None:
    assert as_toast(errors.BadRequest("Name is empty."), "req_1") == {
        "title": "Please check what you entered",
        "message": "Name is empty.",
        "request_id": "req_1",
    }
    assert as_toast(errors.InternalError(), "req_1")["title"] == "That did not work"
