"""litellm in a thread of its own, with an event loop of its own, imported when it is called first.

It takes seconds to import and 180 MB, and for some providers it waits for an answer without giving the loop back: it fetches a token, or
asks a server what a model can. Nothing of that may hold up the calls that need no litellm. One thread for the process: what litellm keeps
is for one loop.
"""

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable
from functools import cache
from importlib import import_module
from importlib.metadata import version
from typing import Any, TypeVar

import structlog

log = structlog.get_logger(__name__)

T = TypeVar("T")
_ENVIRONMENT = {
    # Read while it is imported: no .env file, no price map and no lists from the network, no log of its own.
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOG": "ERROR",
    "LITELLM_TELEMETRY": "False",
}


class LitellmThread:
    """Runs what is given to it with the module `litellm` in the thread's loop. The thread ends with the process."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._module: Any = None
        threading.Thread(target=self._loop.run_forever, name="litellm", daemon=True).start()

    async def run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """What `work` comes to. Who is cancelled here is cancelled there, and does not wait for it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._with_module(work), self._loop))

    def leave(self, work: Callable[[], Awaitable[None]]) -> None:
        """Have it done; nobody waits. What it raises is of no interest."""

        async def quietly() -> None:
            try:
                await work()
            except Exception:
                log.debug("litellm.not_closed", exc_info=True)

        asyncio.run_coroutine_threadsafe(quietly(), self._loop)

    async def _with_module(self, work: Callable[[Any], Awaitable[T]]) -> T:
        if self._module is None:
            self._module = _imported()
        return await work(self._module)


@cache
def litellm_thread() -> LitellmThread:
    """The one of this process, from the first call on."""
    return LitellmThread()


def _imported() -> Any:
    log.info("litellm.importing")
    started = time.monotonic()
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    module: Any = import_module("litellm")
    module.suppress_debug_info = True  # it prints
    module.drop_params = False  # what cannot be said is refused by name
    module.modify_params = False
    module.num_retries = 0
    module.disable_hf_tokenizer_download = True
    for callbacks in ("callbacks", "success_callback", "failure_callback", "input_callback", "service_callback"):
        setattr(module, callbacks, [])
    _nothing_afterwards(import_module("litellm.litellm_core_utils.litellm_logging").Logging)
    _nobody_is_asked(import_module("litellm.utils").ProviderConfigManager)
    log.info("litellm.imported", version=version("litellm"), seconds=round(time.monotonic() - started, 1))
    return module


def _nothing_afterwards(logging: Any) -> None:
    """After each call it reckons costs for callbacks that there are none of, and asks some providers about the model for it, waiting."""

    def nothing(*_: Any, **__: Any) -> None:
        return None

    async def nothing_async(*_: Any, **__: Any) -> None:
        return None

    logging.success_handler = logging.failure_handler = nothing
    logging.async_success_handler = logging.async_failure_handler = nothing_async


def _nobody_is_asked(configs: Any) -> None:
    """To know a model, it asks some providers at their usual address, whatever address they have here: Ollama at a port of this machine."""
    configs.get_provider_model_info = staticmethod(lambda *_, **__: None)
