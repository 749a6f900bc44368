"""The whole app in one process holds little memory."""

import pytest

from tests.rig.processes import resident_mib
from tests.rig.server import AppServer

WHOLE_MIB = 220

pytestmark = pytest.mark.browser


def test_the_whole_app_is_small_when_everything_is_loaded(site: AppServer) -> None:
    assert site.status("/") == 200
    assert resident_mib(site.pid) <= WHOLE_MIB
