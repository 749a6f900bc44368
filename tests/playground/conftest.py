"""The gateway in front of fake upstreams, as its own tests have it."""

from tests.gateway.conftest import gateway, other, upstream  # noqa: F401 - fixtures
