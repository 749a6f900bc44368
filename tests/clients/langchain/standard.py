"""LangChain's standard tests of a chat model, for `ChatOpenAI` in front of Bourse.

test_langchain.py runs them in an environment of LangChain's own, where nothing of ours can be imported.
BOURSE_URL says where Bourse is; its model `apt` is tests/clients/apt_model.py.
"""

import base64
import os
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests, chat_models
from langchain_tests.unit_tests import ChatModelUnitTests

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


@pytest.fixture(autouse=True)
def files_of_the_tests_are_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would come from the internet; what a file shows is nothing that a gateway looks at."""
    monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "nobody")
    monkeypatch.setattr(chat_models, "httpx", SimpleNamespace(get=lambda *_, **__: SimpleNamespace(content=PIXEL)))


class InFrontOfBourse:
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": "apt",
            "base_url": f"{os.environ['BOURSE_URL']}/v1",
            "api_key": "sk-demo.my-secret",
            "max_retries": 0,
            "stream_usage": True,
        }

    @property
    def supports_image_inputs(self) -> bool:
        return True

    supports_image_urls = supports_pdf_inputs = supports_audio_inputs = supports_json_mode = supports_anthropic_inputs = (
        supports_image_inputs
    )

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "apt-too"


class TestUnit(InFrontOfBourse, ChatModelUnitTests):
    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        environment = {"OPENAI_API_KEY": "sk-demo.my-secret", "OPENAI_API_BASE": f"{os.environ['BOURSE_URL']}/v1"}
        return environment, {"model": "apt"}, {"openai_api_key": "sk-demo.my-secret", "openai_api_base": environment["OPENAI_API_BASE"]}


class TestChatCompletions(InFrontOfBourse, ChatModelIntegrationTests):
    pass


class TestResponses(InFrontOfBourse, ChatModelIntegrationTests):
    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**super().chat_model_params, "use_responses_api": True}

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    supports_pdf_tool_message = supports_image_tool_message
