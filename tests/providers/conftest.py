"""The wire is tested on both event loops that we may run on."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

_LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.hookimpl(tryfirst=True)
def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return _LOOPS if item.path.name.startswith("test_http") else {"uvloop": uvloop.new_event_loop}
