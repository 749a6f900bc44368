"""What a webhook is told, how it knows that it is us, and what becomes of one that does not answer."""

import asyncio
import base64
import hashlib
import hmac
from datetime import timedelta

import orjson
import pytest

from backend.ingestion_settings import WebhookSettings
from backend.jobs import repository, webhook
from backend.jobs.events import WebhookGivenUp
from backend.jobs.leases import Leases
from backend.jobs.webhook import TRIES, signature, tell_waiting
from backend.kernel.addresses import AddressPolicy
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.errors import BadRequest, Conflict
from backend.kernel.http import OutboundClient
from backend.kernel.secrets import SecretRef
from tests.fakes.feed_server import FeedServer
from tests.jobs.conftest import Ingest
from tests.jobs.test_run import LIST


async def telling(db: Database) -> list[tuple[str, int]]:
    async with db.read() as session:
        return [(row.telling, row.attempts) for row in await repository.reports(session, before=None, limit=9, changed_only=False)]


async def test_what_changed_is_told_once_and_signed(
    ingest: Ingest, server: FeedServer, sqlite_database: Database, clock: FixedClock, http: OutboundClient
) -> None:
    settings = WebhookSettings(url=server.url("/hook"), secret=SecretRef("whsec_" + base64.b64encode(b"key of the hook").decode()))
    await ingest(uploads=[("ours", LIST)], tell=True)
    await ingest(uploads=[("ours", LIST)], tell=True)
    await ingest(uploads=[("ours", b"nonsense")], tell=True)
    assert await telling(sqlite_database) == [("waiting", 0), ("none", 0), ("waiting", 0)]
    assert await tell_waiting(sqlite_database, clock, http, settings) == 2
    assert await tell_waiting(sqlite_database, clock, http, settings) == 0
    messages = [orjson.loads(body) for _, body in server.taken]
    assert [message["type"] for message in messages] == ["store.changed", "ingestion.failed"]
    assert messages[0]["data"]["difference"]["new_offers"]["count"] == 5
    headers, body = server.taken[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(b"key of the hook", signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert (headers["webhook-timestamp"], headers["webhook-id"]) == (str(int(clock.now().timestamp())), messages[0]["data"]["id"])


async def test_a_webhook_that_refuses_is_tried_less_and_less_often_and_given_up_on(
    ingest: Ingest, server: FeedServer, sqlite_database: Database, clock: FixedClock, http: OutboundClient
) -> None:
    settings = WebhookSettings(url=server.url("/hook"))
    given_up: list[WebhookGivenUp] = []
    sqlite_database.events.subscribe(WebhookGivenUp, given_up.append)
    await ingest(uploads=[("ours", LIST)], tell=True)
    server.ill["/hook"] = [(500, {})] * TRIES
    for attempts in range(1, TRIES + 1):
        assert await tell_waiting(sqlite_database, clock, http, settings) == 0
        assert await telling(sqlite_database) == [("given_up" if attempts == TRIES else "waiting", attempts)]
        assert await tell_waiting(sqlite_database, clock, http, settings) == 0
        assert len(server.taken) == attempts, "it is not asked again at once"
        clock.advance(timedelta(hours=10))
    assert [(event.attempts, event.why) for event in given_up] == [(TRIES, "it answers 500")]
    assert all("webhook-signature" not in headers for headers, _ in server.taken)


async def test_what_is_told_again_is_known_by_its_id(
    ingest: Ingest, server: FeedServer, sqlite_database: Database, clock: FixedClock, http: OutboundClient
) -> None:
    settings = WebhookSettings(url=server.url("/hook"))
    await ingest(uploads=[("ours", LIST)], tell=True)
    server.ill["/hook"] = [(500, {}), (302, {"location": "/elsewhere"})]
    for _ in range(3):
        await tell_waiting(sqlite_database, clock, http, settings)
        clock.advance(timedelta(hours=10))
    assert await telling(sqlite_database) == [("told", 3)]
    assert len({headers["webhook-id"] for headers, _ in server.taken}) == 1
    assert len({headers["webhook-timestamp"] for headers, _ in server.taken}) == 3
    assert len({body for _, body in server.taken}) == 1


async def test_a_receiver_that_never_answers_costs_some_seconds_and_is_told_again(
    ingest: Ingest, server: FeedServer, sqlite_database: Database, clock: FixedClock, http: OutboundClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "ANSWER_SECONDS", 0.2)
    server.silent.add("/hook")
    settings = WebhookSettings(url=server.url("/hook"))
    await ingest(uploads=[("ours", LIST)], tell=True)
    assert await tell_waiting(sqlite_database, clock, http, settings) == 0
    assert await telling(sqlite_database) == [("waiting", 1)]
    server.silent.clear()
    clock.advance(timedelta(hours=1))
    assert await tell_waiting(sqlite_database, clock, http, settings) == 1


async def test_an_address_inside_is_not_called_unless_it_is_allowed(
    ingest: Ingest, server: FeedServer, sqlite_database: Database, clock: FixedClock
) -> None:
    closed = OutboundClient(AddressPolicy())
    await ingest(uploads=[("ours", LIST)], tell=True)
    assert await tell_waiting(sqlite_database, clock, closed, WebhookSettings(url=server.url("/hook"))) == 0
    await closed.close()
    assert (await telling(sqlite_database), server.taken) == ([("waiting", 1)], [])


async def test_of_several_processes_one_tells(
    ingest: Ingest, server: FeedServer, sqlite_database: Database, clock: FixedClock, http: OutboundClient
) -> None:
    settings = WebhookSettings(url=server.url("/hook"))
    await ingest(uploads=[("ours", LIST)], tell=True)
    async with Leases(sqlite_database, clock).held(webhook.JOB):
        with pytest.raises(Conflict):
            await tell_waiting(sqlite_database, clock, http, settings)
    done = await asyncio.gather(*(tell_waiting(sqlite_database, clock, http, settings) for _ in range(4)), return_exceptions=True)
    assert sum(one for one in done if isinstance(one, int)) == 1
    assert {type(one) for one in done} <= {int, Conflict}
    assert len(server.taken) == 1


async def test_it_can_be_tried_out(server: FeedServer, clock: FixedClock, http: OutboundClient) -> None:
    settings = WebhookSettings(url=server.url("/hook"), secret=SecretRef("a plain secret"))
    message_id, failure = await webhook.try_out(http, settings, clock.now())
    ((headers, body),) = server.taken
    assert (failure, headers["webhook-id"], orjson.loads(body)["type"]) == (None, message_id, "webhook.test")
    assert headers["webhook-signature"] == signature("a plain secret", message_id, int(clock.now().timestamp()), body)
    server.ill["/hook"] = [(410, {})]
    assert (await webhook.try_out(http, settings, clock.now()))[1] == "it answers 410"
    with pytest.raises(BadRequest, match=r"ingestion\.webhook\.url"):
        await webhook.try_out(http, WebhookSettings(), clock.now())


def test_a_signature_is_the_one_of_the_specification() -> None:
    """The example of standardwebhooks.com."""
    body = b'{"test": 2432232314}'
    found = signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
