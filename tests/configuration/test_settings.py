"""The configuration file and its variables: refused with file, line and field; overlaid by variables; strict in production."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from backend.configuration import ConfigurationError, load_settings, not_yet_alive
from backend.kernel.secrets import SecretRef
from backend.settings import LATER, Settings

Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """`load("yaml text", NAME="value")`: the settings of that file and those variables."""
    file = tmp_path / "bourse.yaml"

    def load(text: str = "", **variables: str) -> Settings:
        file.write_text(text)
        return load_settings({"BOURSE_CONFIG": str(file), **variables})

    return load


WHOLE = """\
env: development
data_dir: .data
database_url: null
redis_url: null
network: {allow_private: ["127.0.0.1/32"], allow_private_fetch: [], proxy: null, ca_file: null}
server: {public_url: null, insecure_cookies: false}
store: {public: true}
providers:
  acme:
    protocol: openai
    base_url: http://127.0.0.1:9100/v1
    api_key: env:ACME_KEY
models:
  - alias: fast
    strategy: ordered
    candidates:
      - {provider: acme, model: gpt-4o-mini, weight: 3}
      - {provider: acme, model: other-model, weight: 1, price: {input: 0.15, output: 0.60}}
    timeouts: {connect: 5s, attempt: 300s, first_token: 60s, idle: 30s, total: 600s}
    max_output_tokens: null
    retries: {per_candidate: 2}
    breaker: {failures: 3, open: 300s, probe_interval: 10s}
    recover: auto
    cache: {ttl: 0s}
rate_limits: {default: {requests_per_minute: 600, tokens_per_minute: 1000000, parallel: 64}}
budgets: {default: {limit_usd: 100, window: calendar_month, warn_at: [0.8], on_unknown_price: refuse}}
reporting: {timezone: UTC}
observability: {enable_metrics: true, enable_otlp: false, otlp_endpoint: null}
bootstrap:
  admin_users: [{email: ops@example.org, password: env:ADMIN_PASSWORD}]
  tenants: [{slug: acme, name: Acme, budget: {limit_usd: 50, window: rolling_7d}, models: [fast]}]
  memberships: [{tenant: acme, email: ops@example.org, role: owner}]
  api_keys:
    - {tenant: acme, name: ci, key: "sk-ci.local-only",
       budget: {limit_usd: 5, window: calendar_day}, rate_limit: {requests_per_minute: 0, tokens_per_minute: 0, parallel: 0}}
"""


def test_the_whole_shape_of_the_contract_is_accepted_and_typed(load: Load) -> None:
    settings = load(WHOLE)
    assert settings.network.allow_private == (ip_network("127.0.0.1/32"),)
    assert settings.providers["acme"].api_key == SecretRef("env:ACME_KEY")
    route = settings.models[0]
    assert route.timeouts.first_token == timedelta(seconds=60)
    assert route.candidates[1].price is not None
    assert route.candidates[1].price.output == Decimal("0.60")
    assert settings.bootstrap.tenants[0].budget is not None
    assert settings.bootstrap.tenants[0].budget.limit_usd == 50
    assert settings.bootstrap.api_keys[0].rate_limit is not None
    assert settings.bootstrap.api_keys[0].rate_limit.parallel == 0


def test_the_values_in_the_contract_are_the_defaults(load: Load) -> None:
    written, default = load(WHOLE), load("")
    for section in (
        "env",
        "data_dir",
        "database_url",
        "network",
        "server",
        "store",
        "rate_limits",
        "budgets",
        "reporting",
        "observability",
    ):
        assert getattr(written, section) == getattr(default, section), section
    bare = load("{providers: {a: {base_url: http://h/v1}}, models: [{alias: m, candidates: [{provider: a, model: x}]}]}").models[0]
    for part in ("timeouts", "max_output_tokens", "retries", "breaker", "recover", "cache"):
        assert getattr(written.models[0], part) == getattr(bare, part), part


def test_nothing_is_needed_to_start(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings({}) == load("") == Settings()


def test_a_configuration_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.yaml: there is no such file"):
        load_settings({"BOURSE_CONFIG": str(tmp_path / "absent.yaml")})


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("env: development\nservr: {}\n", 2, "servr: there is no such setting"),
        ("server:\n  public_url: null\n  insecure_cookie: true\n", 3, "server.insecure_cookie: there is no such setting"),
        ("env: staging\n", 1, "env:"),
        ("reporting:\n  timezone: Mars/Olympus\n", 2, "must be an IANA time zone"),
        ("providers:\n  acme:\n    protocol: openai\n", 2, "base_url is needed"),
        ("providers:\n  acme:\n    base_url: ftp://example.org\n", 2, "must look like https://host"),
        ("providers:\n  acme:\n    base_url: http:///v1\n", 2, "must look like https://host"),
        ("providers:\n  acme:\n    base_url: https://ann:canary@h/v1\n", 3, "a key belongs into api_key"),
        ("providers:\n  acme:\n    base_url: http://h/v1\n    api_key: 5\n", 4, "must be a reference such as env:NAME"),
        ("models:\n  - alias: a\n    candidates: []\n", 3, "candidates"),
        ("models:\n  - alias: a\n    candidates:\n      - {provider: sandbox, model: m, wieght: 2}\n", 4, "wieght: there is no"),
        ("models:\n  - candidates:\n      - {provider: sandbox, model: m}\n", 2, "alias: this is needed"),
        ("models:\n  - alias: a\n    timeouts: {idle: soon}\n    candidates: [{provider: sandbox, model: m}]\n", 3, "must be a duration"),
        ("models:\n  - alias: a\n    timeouts: {total: 0s}\n    candidates: [{provider: sandbox, model: m}]\n", 3, "greater than"),
        ("budgets:\n  default:\n    limit_usd: -1\n", 3, "limit_usd"),
        ("budgets:\n  default:\n    limit_usd: .nan\n", 3, "limit_usd"),
        ("budgets:\n  default:\n    window: fortnight\n", 3, "window"),
        ("bootstrap:\n  tenants:\n    - slug: 'No Spaces'\n", 3, "slug"),
        ("network:\n  allow_private: [10.0.0.1/8]\n", 2, "allow_private"),
        ("env: development\nenv: production\n", 2, "env is there twice"),
        ("a: [1, 2\nb: 3\n", 2, "not valid YAML"),
        ("- a\n- b\n", 1, "must be a mapping"),
        ("when: !!python/object/apply:os.system ['true']\n", 1, "not valid YAML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_file_line_and_field(load: Load, tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        load(text)
    assert f"{tmp_path / 'bourse.yaml'}:{line}: " in str(refusal.value)
    assert words in str(refusal.value)


def test_every_mistake_is_told_at_once_one_per_line(load: Load) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        load("servr: {}\nenv: staging\nstore: {pubic: true}\n")
    assert len(str(refusal.value).splitlines()) == 3


@pytest.mark.case("S1")
def test_a_refusal_never_quotes_a_secret(load: Load) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        load(
            "providers:\n  acme: {base_url: http://h, api_key: [sk-canary-one]}\n"
            "bootstrap: {admin_users: [{email: x, password: sk-canary-two}]}\n"
        )
    assert "canary" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models:\n  - {alias: a, candidates: [{provider: nobody, model: m}]}\n", "'nobody', which is not under providers"),
        ("models:\n" + "  - {alias: a, candidates: [{provider: sandbox, model: m}]}\n" * 2, "the alias 'a' is there twice"),
        ("database_url: mysql://h/d\n", "database_url must be"),
        ("redis_url: http://h:6379/0\n", "redis_url: must be redis://"),
        *[(f"redis_url: redis://h/0?socket_timeout={text}\n", "socket_timeout must be") for text in ("0", "11", "-1", "nan", "soon")],
    ],
)
def test_parts_that_do_not_fit_together_are_refused(load: Load, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load(text)


# ── variables ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_variable_wins_over_the_file_and_reaches_every_depth(load: Load) -> None:
    settings = load(
        WHOLE,
        BOURSE_ENV="development",
        BOURSE_DATA_DIR="/srv/bourse",
        BOURSE_SERVER__PUBLIC_URL="https://bourse.example.org",
        BOURSE_SERVER__INSECURE_COOKIES="true",
        BOURSE_PROVIDERS__ACME__BASE_URL="http://127.0.0.1:9200/v1",
        BOURSE_MODELS__0__TIMEOUTS__IDLE="45s",
        BOURSE_MODELS__0__CANDIDATES__1__WEIGHT="7",
        BOURSE_BUDGETS__DEFAULT__LIMIT_USD="12.50",
        BOURSE_NETWORK__ALLOW_PRIVATE="[10.0.0.0/8, '::1/128']",
        BOURSE_DATABASE_URL="postgresql://u:p@db/bourse",
    )
    assert settings.data_dir == Path("/srv/bourse")
    assert settings.server.public_url == "https://bourse.example.org"
    assert settings.server.insecure_cookies is True
    assert settings.providers["acme"].base_url == "http://127.0.0.1:9200/v1"
    assert settings.models[0].timeouts.idle == timedelta(seconds=45)
    assert settings.models[0].candidates[1].weight == 7
    assert settings.budgets.default.limit_usd == Decimal("12.50")
    assert settings.network.allow_private == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    assert settings.database == "postgresql://u:p@db/bourse"


def test_variables_alone_can_add_a_provider_and_a_route(load: Load) -> None:
    settings = load(
        BOURSE_PROVIDERS__ACME__PROTOCOL="openai",
        BOURSE_PROVIDERS__ACME__BASE_URL="http://127.0.0.1:9100/v1",
        BOURSE_PROVIDERS__ACME__API_KEY="env:ACME_KEY",
        BOURSE_MODELS="[{alias: fast, candidates: [{provider: acme, model: m}]}]",
    )
    assert settings.models[0].candidates[0].provider == "acme"
    assert settings.providers["acme"].api_key == SecretRef("env:ACME_KEY")


def test_a_name_with_a_dash_is_spelled_with_an_underscore(load: Load) -> None:
    settings = load("providers: {acme-eu: {base_url: http://old/v1}}", BOURSE_PROVIDERS__ACME_EU__BASE_URL="http://new/v1")
    assert settings.providers["acme-eu"].base_url == "http://new/v1"


def test_text_that_looks_like_a_number_stays_text_where_text_is_wanted(load: Load) -> None:
    settings = load(BOURSE_REPORTING__TIMEZONE="UTC", BOURSE_BOOTSTRAP__TENANTS='[{slug: "007", name: "1e5"}]')
    assert settings.bootstrap.tenants[0].name == "1e5"


def test_an_empty_variable_is_no_variable(load: Load) -> None:
    assert load("store: {public: false}", BOURSE_STORE__PUBLIC="", BOURSE_DATABASE_URL="").store.public is False


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("BOURSE_SERVR__PUBLIC_URL", "x", "there is no such setting"),
        ("BOURSE_ENV__MODE", "x", ""),
        ("BOURSE_STORE__PUBLIC", "perhaps", "BOURSE_STORE__PUBLIC: "),
        ("BOURSE_MODELS__5__ALIAS", "x", ""),
        ("BOURSE_NETWORK__ALLOW_PRIVATE", "[10.0.0.0/8", "BOURSE_NETWORK__ALLOW_PRIVATE: "),
    ],
)
def test_a_wrong_variable_is_named(load: Load, name: str, value: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        load("env: development\nmodels: []\n", **{name: value})
    assert name in str(refusal.value)
    assert words in str(refusal.value)


# ── production ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text",
    [
        "providers: {acme: {base_url: http://h/v1, api_key: sk-literal-canary}}",
        "providers: {aws: {protocol: bedrock, metadata: {aws_secret_access_key: literal-canary}}}",
        "provider_metadata: {bedrock: {aws_session_token: literal-canary}}",
        "bootstrap: {admin_users: [{email: a@example.org, password: literal-canary}]}",
        "bootstrap: {tenants: [{slug: acme}], api_keys: [{tenant: acme, name: ci, key: sk-ci.literal-canary}]}",
        "bootstrap: {tenants: [{slug: demo}]}",
    ],
)
def test_production_refuses_literal_secrets_and_the_demo_tenant(load: Load, text: str) -> None:
    load(text)
    with pytest.raises(ConfigurationError) as refusal:
        load(text, BOURSE_ENV="production")
    assert "production" in str(refusal.value) or "development" in str(refusal.value)
    assert "canary" not in str(refusal.value)


def test_production_accepts_references(load: Load) -> None:
    settings = load(
        "env: production\nproviders: {acme: {base_url: https://h/v1, api_key: env:ACME_KEY}}\n"
        "provider_metadata: {bedrock: {region: us-east-1, aws_access_key_id: AKID, aws_secret_access_key: env:AWS_SECRET}}\n"
        "bootstrap: {admin_users: [{email: a@example.org, password: file:/run/secrets/admin}]}"
    )
    assert settings.is_production


# ── what the settings are once loaded ────────────────────────────────────────────────────────────────────────────────


def test_settings_cannot_be_changed_afterwards(load: Load) -> None:
    settings = load(WHOLE)
    with pytest.raises(ValidationError):
        settings.env = "production"
    with pytest.raises(ValidationError):
        settings.models[0].alias = "other"


def test_without_a_database_url_there_is_a_sqlite_file_in_the_data_folder(load: Load, tmp_path: Path) -> None:
    assert load(f"data_dir: {tmp_path}").database == f"sqlite+aiosqlite:///{tmp_path}/bourse.db"


def test_settings_that_wait_for_a_later_release_are_named_only_when_given(load: Load) -> None:
    assert not_yet_alive(load("")) == []
    given_ = not_yet_alive(load(WHOLE))
    assert any(note.startswith("budgets: ") for note in given_) == ("budgets" in LATER)
    provider = "providers: {a: {base_url: http://h/v1, default_model: m}}"
    assert [note.partition(":")[0] for note in not_yet_alive(load(provider))] == ["providers.default_model"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("5s", 5), ("250ms", 0.25), ("5m", 300), ("2h", 7200), ("1d", 86400), ("1.5s", 1.5), ("90", None), ("30", None)]
)
def test_durations_have_a_unit(load: Load, text: str, seconds: float | None) -> None:
    route = "models: [{alias: a, candidates: [{provider: sandbox, model: m}], timeouts: {idle: '%s'}}]"
    if seconds is None:
        with pytest.raises(ConfigurationError, match="must be a duration"):
            load(route % text)
    else:
        assert load(route % text).models[0].timeouts.idle == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["-5s", "nans", "infs", "1e999s", "s", "5fortnights"])
def test_absurd_durations_are_refused(load: Load, text: str) -> None:
    with pytest.raises(ConfigurationError):
        load(f"models: [{{alias: a, candidates: [{{provider: sandbox, model: m}}], timeouts: {{idle: '{text}'}}}}]")


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*Settings.model_fields, "x"]), inner, max_size=3)
)


@given(st.dictionaries(st.sampled_from([*Settings.model_fields, "x"]), trees, max_size=4))
def test_any_file_is_settings_or_a_configuration_error(tmp_path_factory: pytest.TempPathFactory, tree: dict[str, object]) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    file.write_text(yaml.safe_dump(tree))
    try:
        load_settings({"BOURSE_CONFIG": str(file)})
    except ConfigurationError as refusal:
        assert "fuzzed.yaml" in str(refusal)  # noqa: PT017 - either outcome is right, another exception is not


def test_a_route_to_the_sandbox_needs_it_under_providers_in_production(load: Load) -> None:
    text = "env: production\nmodels:\n  - alias: a\n    candidates: [{provider: sandbox, model: chat}]\n"
    with pytest.raises(ConfigurationError, match="'sandbox', which is not under providers"):
        load(text)
    assert load(text + "providers: {sandbox: {protocol: sandbox}}\n").protocol_of("sandbox") == "sandbox"
