"""Prometheus metrics of one process, in a registry of its own. Labels are bounded: routes and models, never tenants, users or keys."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest

from backend.observability.tallies import Spread, Spreads, Tallies, Tally

LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_MOST_LABEL_SETS = 1000


class Metrics:
    """Every metric by name; whoever measures gets this object and calls the one it means."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        self.http_requests = Tallies("bourse_http_requests_total", "HTTP requests answered.", ["route", "method", "status"], self.registry)
        self.http_seconds = Spreads(
            "bourse_http_request_duration_seconds",
            "Time from the request's first byte to the answer's last.",
            ["route"],
            LATENCY_BUCKETS,
            self.registry,
        )
        self.calls = Tallies("bourse_calls_total", "Gateway calls by outcome.", ["provider", "outcome"], self.registry)
        self.attempts = Tallies(
            "bourse_attempts_total",
            "Tries at providers by outcome; where one failed, with the code of the error.",
            ["provider", "outcome", "error"],
            self.registry,
        )
        self.attempt_seconds = Spreads(
            "bourse_attempt_duration_seconds",
            "Time from asking a provider until its answer was complete, or its attempt had failed.",
            ["provider", "outcome"],
            LATENCY_BUCKETS,
            self.registry,
        )
        self.fallbacks = Counter(
            "bourse_fallbacks_total",
            "Calls whose last attempt was not at the first candidate, by who was asked last and how the call ended.",
            ["provider", "outcome"],
            registry=self.registry,
        )
        self.tokens = Tallies("bourse_tokens_total", "Tokens metered.", ["provider", "direction"], self.registry)
        self.charged_usd = Tallies("bourse_charged_usd_total", "USD charged to callers.", ["provider"], self.registry)
        self.first_token_seconds = Spreads(
            "bourse_first_token_seconds", "Time to the first token of a stream.", ["provider"], LATENCY_BUCKETS, self.registry
        )
        self.credentials_refused = Counter(
            "bourse_provider_credentials_refused_total",
            "Attempts that a provider refused for the operator's key or account.",
            ["provider"],
            registry=self.registry,
        )
        self.provider_keys_refused = Counter(
            "bourse_provider_keys_refused_total",
            "Times that a provider stopped accepting one of several keys, or a tenant's own.",
            ["provider"],
            registry=self.registry,
        )
        self.candidate_states = Gauge(
            "bourse_candidate_state",
            "Of candidates of aliases: 0 closed, 1 probing, 2 open, by the worst of their routes' breakers.",
            ["provider", "model"],
            registry=self.registry,
        )
        self.provider_reachable = Gauge(
            "bourse_provider_reachable", "1 if the newest look at a provider reached it.", ["provider"], registry=self.registry
        )
        self.overruns = Counter(
            "bourse_overruns_total", "Answers that went beyond the cap that the provider was sent.", ["provider"], registry=self.registry
        )
        self.cost_differences = Counter(
            "bourse_cost_differences_total",
            "Answers whose cost by the provider's own words differs from ours by more than 1 %.",
            ["provider"],
            registry=self.registry,
        )
        self.overrun_usd = Counter("bourse_overrun_usd_total", "USD charged beyond what was reserved.", registry=self.registry)
        self.retries_withheld = Counter(
            "bourse_retries_withheld_total", "Further attempts that the retry budget did not allow.", registry=self.registry
        )
        self.recoveries = Counter(
            "bourse_stream_recoveries_total",
            "Streams that broke after the caller had a part of them: gone on with by prefill or repeat, or failed.",
            ["by"],
            registry=self.registry,
        )
        self.malformed_events = Counter(
            "bourse_malformed_events_total",
            "Events of streams that were no JSON or no chunk, and left out.",
            ["provider"],
            registry=self.registry,
        )
        self.refusals = Counter(
            "bourse_refusals_total", "Calls of known keys that were refused before anybody was asked.", ["reason"], registry=self.registry
        )
        self.shed_calls = Counter(
            "bourse_shed_calls_total",
            "Calls refused because this process has too much to do: by its level, or because a queue or a wait was too long.",
            ["reason"],
            registry=self.registry,
        )
        self.load_level = Gauge("bourse_load_level", "0 normal, 1 high, 2 degraded.", registry=self.registry)
        self.load_lag = Gauge("bourse_loop_lag_seconds", "By how much the event loop was late at the last look.", registry=self.registry)
        self.gate_waiting = Gauge("bourse_gate_waiting", "Calls that wait for their turn, or to be refused, now.", registry=self.registry)
        self.limit_refusals = Counter(
            "bourse_limit_refusals_total", "Calls refused by a rate limit or quota.", ["scope", "limit"], registry=self.registry
        )
        self.downgraded_calls = Counter(
            "bourse_downgraded_calls_total", "Calls that a route's smaller model answers, and why.", ["reason"], registry=self.registry
        )
        self.cache_lookups = Tallies(
            "bourse_cache_lookups_total",
            "Calls on routes with a prompt cache: hit, miss or bypass, and where the answer was.",
            ["result", "source"],
            self.registry,
        )
        self.cache_not_kept = Counter("bourse_cache_not_kept_total", "Answers that were not kept.", ["reason"], registry=self.registry)
        self.cache_saved_usd = Counter(
            "bourse_cache_saved_usd_total", "What answers from the cache cost when they were bought.", registry=self.registry
        )
        self.cache_bytes = Gauge("bourse_cache_bytes", "Bytes of answers in this process's memory.", registry=self.registry)
        self.cache_entries = Gauge("bourse_cache_entries", "Answers in this process's memory.", registry=self.registry)
        self.cache_evictions = Counter(
            "bourse_cache_evictions_total", "Answers in this process's memory that made room for others.", registry=self.registry
        )
        self.replays = Counter(
            "bourse_replays_total",
            "Requests with an Idempotency-Key that made no call (replayed, joined or refused), and what became of the calls of the others.",
            ["event"],
            registry=self.registry,
        )
        self.responses_kept = Counter(
            "bourse_responses_total",
            "Responses that were to be kept, and what became of that: kept, too_large, full, failed.",
            ["event"],
            registry=self.registry,
        )
        self.cache_redis_up = Gauge("bourse_cache_redis_up", "1 while answers are kept in Redis as well.", registry=self.registry)
        self.cache_redis_failures = Counter(
            "bourse_cache_redis_failures_total",
            "Times that the cache lost Redis, or looked for it and did not find it.",
            registry=self.registry,
        )
        self.limits_degraded = Gauge(
            "bourse_limits_degraded", "1 while limits are counted as this process's share, without Redis.", registry=self.registry
        )
        self.limits_redis_failures = Counter(
            "bourse_limits_redis_failures_total", "Times that Redis was lost, or looked for and not found.", registry=self.registry
        )
        self.limits_redis_up = Gauge(
            "bourse_limits_redis_up", "1 while limits are counted in Redis; 0 also where there is none.", registry=self.registry
        )
        self.budget_waits = Counter(
            "bourse_budget_waits_total", "Calls whose reservation had to be asked of the database.", registry=self.registry
        )
        self.budget_waiting = Gauge("bourse_budget_waiting", "Calls that wait for such an answer now.", registry=self.registry)
        self.budget_recalls = Counter(
            "bourse_budget_recalls_total",
            "Times that other processes were asked for what they hold of a budget, and that this one answered such an ask.",
            ["direction"],
            registry=self.registry,
        )
        self.ingestions = Counter(
            "bourse_ingestions_total",
            "Ingestions that this process ran: changed, unchanged, partly, failed, died.",
            ["outcome"],
            registry=self.registry,
        )
        self.webhooks_given_up = Counter(
            "bourse_webhooks_given_up_total", "Reports that nobody took, however often it was tried.", registry=self.registry
        )
        self.budget_alerts = Counter(
            "bourse_budget_alerts_total", "Thresholds of budgets that this process reported.", ["kind", "scope"], registry=self.registry
        )
        self.leases = Gauge("bourse_budget_leases", "Slices of budgets that this process holds.", registry=self.registry)
        self.leased_usd = Gauge(
            "bourse_budget_leased_usd", "USD in these slices, added up over budgets.", ["state"], registry=self.registry
        )
        self.processes = Gauge("bourse_processes", "Processes that share budgets and limits, as this one knows.", registry=self.registry)
        self.journal_bytes = Gauge(
            "bourse_journal_backlog_bytes", "Bytes of the journal that are not in the database yet.", registry=self.registry
        )
        self.journal_seconds = Gauge(
            "bourse_journal_backlog_seconds", "Age of the oldest of them: how far the ledger is behind.", registry=self.registry
        )
        self.change_feed_seconds = Gauge(
            "bourse_change_feed_age_seconds",
            "Time since keys, limits and budgets were last known to be those of the database.",
            registry=self.registry,
        )
        self.unhandled = Counter("bourse_unhandled_errors_total", "Exceptions that nobody foresaw.", registry=self.registry)
        self.before_showing: list[Callable[[], None]] = []
        """Called when somebody looks: for gauges whose labels come and go."""
        self._requests: dict[tuple[str, str, int], tuple[Tally, Spread]] = {}
        self.ready = Gauge("bourse_ready", "1 once migrated, bootstrapped and loaded.", registry=self.registry)

    def observe_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request. Routes are our own names, so the remembered label sets stay few."""
        found = self._requests.get((route, method, status))
        if found is None:
            known = method if method in _METHODS else "other"
            found = self._requests[route, method, status] = (
                self.http_requests.labels(route, known, status),
                self.http_seconds.labels(route),
            )
            if len(self._requests) > _MOST_LABEL_SETS:
                self._requests.clear()
        found[0].inc()
        found[1].observe(seconds)

    def render(self) -> bytes:
        for show in self.before_showing:
            show()
        return generate_latest(self.registry)
