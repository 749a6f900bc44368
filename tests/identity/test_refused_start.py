"""A configuration that cannot be carried out ends the start, with the reason, and does not serve a half of it."""

from collections.abc import Callable

import pytest

from tests.rig.server import AppServer


@pytest.mark.case("A11")
def test_production_does_not_start_with_the_demo_keys_secret(app_server: Callable[..., AppServer]) -> None:
    configuration = """
env: production
bootstrap:
  tenants: [{slug: acme}]
  api_keys: [{tenant: acme, name: ci, key: "env:CI_KEY"}]
"""
    with pytest.raises(RuntimeError, match="demo key's secret") as caught:
        app_server("gateway", configuration=configuration, env={"CI_KEY": "sk-ci.my-secret"})
    assert "ended with" in str(caught.value)
    assert "sk-ci.my-secret" not in str(caught.value)
