"""The configuration: one YAML file, every field also as an environment variable, none of it needed to start.

The shape is a contract; `docs/configuration.md` describes every field and a test holds it complete. Loading is
`backend.configuration.load_settings`; this module says what there is.
"""

from datetime import timedelta
from decimal import Decimal
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from backend.ingestion_settings import IngestionSettings
from backend.kernel.secrets import SecretRef
from backend.kernel.setting_types import (
    WINDOW_PATTERN,
    Bytes,
    Count,
    Duration,
    Limit,
    ModelName,
    Network,
    RedisUrl,
    Section,
    Slug,
    TimeZone,
    Usd,
    Words,
)
from backend.route_settings import SECRET_METADATA, RouteSettings


class NetworkSettings(Section):
    allow_private: tuple[Network, ...] = (IPv4Network("127.0.0.1/32"),)
    """Private networks that the operator's own upstreams may be in."""
    allow_private_fetch: tuple[Network, ...] = ()
    """Private networks that webhooks and image fetches may reach."""
    proxy: str | None = Field(default=None, repr=False)
    """May hold a user and a password."""
    ca_file: Path | None = None


class ServerSettings(Section):
    public_url: str | None = None
    """Where people reach this installation, such as https://bourse.example.org."""
    insecure_cookies: bool = False
    trusted_proxy_hops: int = Field(default=0, ge=0, le=10)
    """How many proxies in front of us write X-Forwarded-For; 0 = the header is not believed."""
    cors_origins: tuple[str, ...] = ()
    """Other origins whose pages may call `/v1` and the APIs; exact, such as https://app.example.org."""
    drain_delay: Duration = timedelta(seconds=3)
    """How long calls are still taken after SIGTERM, while `/readyz` says 503."""


class StoreSettings(Section):
    public: bool = True
    """Whether anybody may read models and prices; otherwise who is signed in or has a key."""


class CarbonSettings(Section):
    zone: str = Field(default="WOR", pattern="^[A-Z]{3}$")
    """Whose electricity estimates of emissions count with where nobody says: ISO 3166-1 alpha-3, or WOR for the world's mean."""


ProtocolName = Literal["openai", "azure", "anthropic", "gemini", "vertex", "bedrock", "openrouter", "huggingface", "litellm", "sandbox"]


class ProviderSettings(Section):
    protocol: ProtocolName = "openai"
    base_url: str | None = None
    api_key: SecretRef | None = None
    api_keys: dict[Slug, SecretRef] = Field(default_factory=dict)
    """More keys, by names for the ledger and the log; `api_key` is called default."""
    default_model: str | None = None
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    """Sent with every request; some are credentials."""
    max_parallel: Count = 1000
    """Calls that this process has there at once; 0 = no limit."""
    max_queue: Count = 100
    """Calls that wait for one of them to end, where no other candidate can answer."""
    cap_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    """What this server calls the cap on an answer; None = as the model's name suggests."""
    allow_fields: list[str] = Field(default_factory=list)
    """Fields of a body that this provider may be sent although nobody can bound what they cost: `backend.gateway.unbounded_fields`."""
    enabled: bool = True
    """Whether it is asked at all."""
    models: tuple[ModelName, ...] | None = None
    """Those of its models that callers may ask for without an alias, as it calls them; None = all."""
    metadata: dict[str, Any] = Field(default_factory=dict, repr=False)
    """What one protocol needs and others do not: api_version, region, bedrock_…"""

    @field_validator("base_url")
    @classmethod
    def _without_password(cls, url: str | None) -> str | None:
        if url is not None and urlsplit(url).username is not None:
            raise ValueError(
                "holds a name or a password, and is shown to people: a key belongs into api_key, or is stored (provider add-key)"
            )
        return url

    @model_validator(mode="after")
    def _base_url_given(self) -> "ProviderSettings":
        if self.base_url is None and self.protocol in ("openai", "azure"):
            raise ValueError(f"base_url is needed for protocol {self.protocol}")
        if self.base_url is not None and (urlsplit(self.base_url).scheme not in ("http", "https") or not urlsplit(self.base_url).hostname):
            raise ValueError("base_url must look like https://host/path")
        if self.api_key is not None and "default" in self.api_keys:
            raise ValueError("api_keys: the key of api_key is called default; give the other one another name")
        return self

    @property
    def keys(self) -> dict[str, SecretRef]:
        """Every key that is configured, by name."""
        first = {} if self.api_key is None else {"default": self.api_key}
        return first | self.api_keys


class VaultSettings(Section):
    """HashiCorp Vault or OpenBao, where `vault:PATH#FIELD` leads."""

    address: str | None = None
    """Such as https://vault.example.org:8200."""
    namespace: str | None = None
    mount: str = "secret"
    """Of the key-value engine that paths are in; a path whose beginning is another names its mount itself."""
    kv_version: Literal[1, 2] = 2
    auth: Literal["token", "approle", "kubernetes"] = "token"
    auth_mount: str | None = None
    """None = approle or kubernetes."""
    token: SecretRef | None = None
    role_id: SecretRef | None = None
    secret_id: SecretRef | None = None
    role: str | None = None
    """Of Kubernetes."""
    jwt_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    refresh: Annotated[Duration, Field(ge=timedelta(seconds=1))] = timedelta(seconds=300)
    """How often secrets are read again; sooner where their lease is shorter."""
    timeout: Limit = timedelta(seconds=5)

    @model_validator(mode="after")
    def _can_sign_in(self) -> "VaultSettings":
        if self.address is None:
            return self
        if urlsplit(self.address).scheme not in ("http", "https") or not urlsplit(self.address).hostname:
            raise ValueError("address must look like https://host:port")
        needed = {"token": ("token",), "approle": ("role_id", "secret_id"), "kubernetes": ("role",)}[self.auth]
        for field in needed:
            if getattr(self, field) is None:
                raise ValueError(f"{field} is needed for auth {self.auth}")
        return self


class RetryBudgetSettings(Section):
    """Attempts beyond the first of each call that a process makes, over all calls and within any ten seconds."""

    share: float = Field(default=0.2, ge=0, le=10)
    """Per call."""
    floor: float = Field(default=3.0, ge=0, le=10_000)
    """Per second, however few calls there are."""


class RateLimit(Section):
    """0 = no limit. A day is one of the tenant's time zone."""

    requests_per_minute: Count = 600
    tokens_per_minute: Count = 1_000_000
    parallel: Count = 64
    requests_per_day: Count = 0
    tokens_per_day: Count = 0
    quota: Literal["hard", "soft"] = "hard"
    """What a used-up day does: refuse the call, or let it pass with a mark."""


class OwnRateLimit(Section):
    """What differs from `rate_limits.default`; None = as that says, 0 = no limit."""

    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    parallel: Count | None = None
    requests_per_day: Count | None = None
    tokens_per_day: Count | None = None
    quota: Literal["hard", "soft"] | None = None


class PromptCacheSettings(Section):
    """Where answers are kept for routes with a `cache.ttl`; in Redis as well where there is one."""

    memory: Bytes = Field(default="64MiB", validate_default=True)
    """Of this process; 0 = nothing is kept in memory."""
    max_entry: Bytes = Field(default="1MiB", validate_default=True)
    """A larger answer is not kept."""


class ReplaySettings(Section):
    """What becomes of an Idempotency-Key."""

    enabled: bool = True
    keep: Limit = timedelta(hours=24)
    """How long an answer is given again."""
    lease: Limit = timedelta(seconds=60)
    """How long a key stays in progress after its process died."""
    max_bytes: Bytes = 8 * 1024**2
    """A longer answer is not kept."""


class ResponsesSettings(Section):
    """What `/v1/responses` keeps."""

    store: Literal["default", "asked", "never"] = "default"
    """Which responses: all but those that say `store: false`; only those that say `store: true`; none."""
    keep: Limit = timedelta(days=30)
    """For how long, from the last response that goes on from it."""
    max_bytes: Bytes = 8 * 1024**2
    """A response that is larger, with its input, is not kept."""
    max_tenant_bytes: Bytes = 1024**3
    """Beyond it a tenant's oldest responses go first."""


class RateLimitSettings(Section):
    default: RateLimit = RateLimit()


class HealthCheckSettings(Section):
    """Looking at providers in the background, by asking for their lists of models, which costs nothing."""

    enabled: bool = True
    interval: Annotated[Duration, Field(ge=timedelta(seconds=1))] = timedelta(seconds=60)
    timeout: Limit = timedelta(seconds=5)


class OverloadSettings(Section):
    """What a process does that has more to do than it can. Times are seconds by which its loop is late, smoothed over one or two."""

    high: Limit = timedelta(milliseconds=200)
    """From here on calls of `shed_first` are refused."""
    degraded: Limit = timedelta(seconds=1)
    """From here on all others but `shed_last` are refused where their tenant has calls waiting already."""
    queue: int = Field(default=1000, ge=1, le=100_000)
    """Calls of one tenant that may wait in a process for their turn."""
    wait: Limit = timedelta(seconds=10)
    """How long one may wait."""
    shed_first: Words = ("free",)
    """Tiers of tenants and keys."""
    shed_last: Words = ("premium",)

    @model_validator(mode="after")
    def _in_order(self) -> "OverloadSettings":
        if self.high > self.degraded:
            raise ValueError("high must not be beyond degraded")
        if both := set(self.shed_first) & set(self.shed_last):
            raise ValueError(f"the tier {min(both)!r} cannot be shed first and last")
        return self


class BudgetLimit(Section):
    limit_usd: Usd
    window: str = Field(default="calendar_month", pattern=WINDOW_PATTERN)
    warn_at: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.8,)


class UnknownPrice(Section):
    """The fallback price of what has none, USD per 1M tokens."""

    input: Usd
    output: Usd


class DefaultBudget(BudgetLimit):
    limit_usd: Usd = Decimal(100)
    on_unknown_price: Literal["refuse"] | UnknownPrice = "refuse"


class BudgetSettings(Section):
    default: DefaultBudget = DefaultBudget()


class ReportingSettings(Section):
    timezone: TimeZone = "UTC"
    classify_tasks: bool = False
    """Whether the ledger says of every call what class of work it is; otherwise where a rule asks or the caller says it."""


class ObservabilitySettings(Section):
    enable_metrics: bool = True
    enable_otlp: bool = False
    """Whether calls and their attempts are sent to a collector as OpenTelemetry spans."""
    otlp_endpoint: str | None = None
    """Such as http://127.0.0.1:4318; None = as the environment variables of OpenTelemetry say."""

    @model_validator(mode="after")
    def _speaks_http(self) -> "ObservabilitySettings":
        if self.otlp_endpoint is not None and urlsplit(self.otlp_endpoint).scheme not in ("http", "https"):
            raise ValueError("otlp_endpoint must look like http://host:4318")
        return self


class BootstrapUser(Section):
    email: str = Field(min_length=3, max_length=255)
    password: SecretRef
    name: str = ""


class BootstrapTenant(Section):
    slug: Slug
    name: str = Field(default="", max_length=255)
    timezone: TimeZone | None = None
    budget: BudgetLimit | None = None
    models: tuple[str, ...] | None = None
    default_model: ModelName | None = None
    """What `auto` stands for; None = as `default_model` of the installation says."""
    tier: Slug | None = None


class BootstrapMembership(Section):
    tenant: Slug
    email: str
    role: Literal["viewer", "member", "admin", "owner"] = "member"


class EndUserBudget(Section):
    limit_usd: Usd
    window: str = Field(default="calendar_month", pattern=WINDOW_PATTERN)


class EndUserRateLimit(Section):
    """0 = no limit."""

    requests_per_minute: Count = 0
    tokens_per_minute: Count = 0
    parallel: Count = 0


class EndUserSettings(Section):
    """What each end user of a key may have, named by the body's `user`."""

    budget: EndUserBudget | None = None
    rate_limit: EndUserRateLimit | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> "EndUserSettings":
        if self.budget is None and (self.rate_limit is None or not any(self.rate_limit.model_dump().values())):
            raise ValueError("name a budget or a rate_limit that each end user has")
        return self


class BootstrapKey(Section):
    tenant: Slug
    name: str = Field(min_length=1, max_length=255)
    key: SecretRef
    owner: str | None = None
    models: tuple[str, ...] | None = None
    budget: BudgetLimit | None = None
    rate_limit: OwnRateLimit | None = None
    end_users: EndUserSettings | None = None
    tier: Slug | None = None
    """None = the tenant's."""


class BootstrapSettings(Section):
    admin_users: tuple[BootstrapUser, ...] = ()
    tenants: tuple[BootstrapTenant, ...] = ()
    memberships: tuple[BootstrapMembership, ...] = ()
    api_keys: tuple[BootstrapKey, ...] = ()


class Settings(Section):
    """Everything that an operator may set. Built by `load_settings`; frozen afterwards."""

    env: Literal["development", "production"] = "development"
    data_dir: Path = Path(".data")
    database_url: str | None = Field(default=None, repr=False)
    """None = SQLite in `data_dir`; use `database` for the resolved URL."""
    redis_url: RedisUrl | None = Field(default=None, repr=False)
    secret_key: SecretRef | None = None
    """What seals the secrets that are stored in the database: at least 32 signs. None = `secret_key_file`."""
    secret_key_file: Path | None = None
    secret_key_previous: SecretRef | None = None
    """Opens what was sealed before, while the key is changed."""
    secrets_file: Path = Path("secrets.yaml")
    """Keys of providers by section; may be absent."""
    network: NetworkSettings = NetworkSettings()
    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    carbon: CarbonSettings = CarbonSettings()
    vault: VaultSettings = VaultSettings()
    providers: dict[Slug, ProviderSettings] = Field(default_factory=dict)
    provider_metadata: dict[ProtocolName, dict[str, Any]] = Field(default_factory=dict, repr=False)
    """Metadata of all providers of a protocol, where they have none of their own."""
    models: tuple[RouteSettings, ...] = ()
    direct_models: bool = True
    """Whether names of the catalog and `provider/model` may be asked for without an alias."""
    default_model: ModelName | None = None
    """What `auto` stands for where a tenant says nothing else."""
    cache: PromptCacheSettings = PromptCacheSettings()
    rate_limits: RateLimitSettings = RateLimitSettings()
    budgets: BudgetSettings = BudgetSettings()
    health_check: HealthCheckSettings = HealthCheckSettings()
    ingestion: IngestionSettings = IngestionSettings()
    overload: OverloadSettings = OverloadSettings()
    retry_budget: RetryBudgetSettings = RetryBudgetSettings()
    replay: ReplaySettings = ReplaySettings()
    responses: ResponsesSettings = ResponsesSettings()
    reporting: ReportingSettings = ReportingSettings()
    observability: ObservabilitySettings = ObservabilitySettings()
    bootstrap: BootstrapSettings = BootstrapSettings()

    @property
    def is_production(self) -> bool:
        return self.env == "production"

    @property
    def database(self) -> str:
        """The database URL in force."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir.resolve() / 'bourse.db'}"

    def protocol_of(self, provider: str) -> str | None:
        """What a provider speaks; None for a name that stands for nobody. In development there is a sandbox without being asked for."""
        given = self.providers.get(provider)
        if given is not None:
            return given.protocol
        return "sandbox" if provider == "sandbox" and not self.is_production else None

    @model_validator(mode="after")
    def _default_is_a_model(self) -> "Settings":
        if "auto" in (self.default_model, *(tenant.default_model for tenant in self.bootstrap.tenants)):
            raise ValueError("default_model: 'auto' stands for the default model, so it cannot be that itself")
        return self

    @model_validator(mode="after")
    def _names_agree(self) -> "Settings":
        aliases = [route.alias for route in self.models]
        for alias in aliases:
            if aliases.count(alias) > 1:
                raise ValueError(f"models: the alias {alias!r} is there twice")
        for route in self.models:
            for candidate in route.candidates:
                if self.protocol_of(candidate.provider) is None:
                    raise ValueError(f"models: {route.alias!r} names the provider {candidate.provider!r}, which is not under providers")
            for name in route.unknown_names(aliases):
                raise ValueError(f"models: {route.alias!r} names {name!r}, which is neither a candidate of it nor another alias")
        if self.database_url and not self.database_url.startswith(("sqlite:", "sqlite+aiosqlite:", "postgres:", "postgresql")):
            raise ValueError("database_url must be sqlite+aiosqlite:///PATH or postgresql://…")
        return self

    @model_validator(mode="after")
    def _production_has_no_defaults(self) -> "Settings":
        if not self.is_production:
            return self
        for name, provider in self.providers.items():
            for called, reference in provider.keys.items():
                if reference.is_literal:
                    field = "api_key" if provider.api_key is reference else f"api_keys.{called}"
                    raise ValueError(f"providers.{name}.{field}: in production a secret is a reference (env:NAME or file:PATH)")
        written = [(f"providers.{name}.metadata", provider.metadata) for name, provider in self.providers.items()]
        written += [(f"provider_metadata.{protocol}", metadata) for protocol, metadata in self.provider_metadata.items()]
        for where, metadata in written:
            for field in SECRET_METADATA & metadata.keys():
                if SecretRef(str(metadata[field])).is_literal:
                    raise ValueError(f"{where}.{field}: in production a secret is a reference (env:NAME or file:PATH)")
        for field in ("token", "role_id", "secret_id"):
            named: SecretRef | None = getattr(self.vault, field)
            if named is not None and named.is_literal:
                raise ValueError(f"vault.{field}: in production a secret is a reference (env:NAME or file:PATH)")
        if self.ingestion.webhook.secret is not None and self.ingestion.webhook.secret.is_literal:
            raise ValueError("ingestion.webhook.secret: in production a secret is a reference (env:NAME or file:PATH)")
        for user in self.bootstrap.admin_users:
            if user.password.is_literal:
                raise ValueError(f"bootstrap.admin_users: the password of {user.email} must be a reference in production")
        for key in self.bootstrap.api_keys:
            if key.key.is_literal:
                raise ValueError(f"bootstrap.api_keys: the key {key.name!r} must be a reference in production")
        if any(tenant.slug == "demo" for tenant in self.bootstrap.tenants):
            raise ValueError("bootstrap.tenants: the demo tenant is for development only")
        return self


LATER: dict[str, str] = {
    "providers.default_model": "kept; no protocol of this release asks for it",
}
"""Settings that are read and checked today and brought to life later, with what to expect; said at start when one is given."""
