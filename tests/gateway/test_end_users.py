"""End users over the gateway: a key that limits each of them, and the body's `user` that names one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import yaml

from backend.identity.end_users import EndUserTerms
from backend.identity.principal import system
from tests.fakes.openai_upstream import OpenAIUpstream
from tests.gateway.conftest import Rig, open_gateway
from tests.gateway.errors import assert_error
from tests.gateway.test_money import CALL, TEN, TILL, honours_the_cap
from tests.gateway.test_money import configuration as money

ONE_EACH, PACED = "sk-each.local-only", "sk-paced.local-only"
OPERATOR = system("test")


@pytest.fixture
async def club(tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream, other: OpenAIUpstream) -> AsyncIterator[Rig]:
    """Each end user of ONE_EACH has money for one call a day, each of PACED two calls a minute."""
    settings = money(upstream.base_url, other.base_url)
    one = {"budget": {"limit_usd": CALL / 10**9, "window": "calendar_day"}}
    settings["bootstrap"]["api_keys"] += [
        {"tenant": "shop", "name": "each", "key": ONE_EACH, "end_users": one, "rate_limit": {"requests_per_minute": 0, "parallel": 0}},
        {"tenant": "shop", "name": "paced", "key": PACED, "end_users": {"rate_limit": {"requests_per_minute": 2}}},
    ]
    file = tmp_path / "bourse.yaml"
    file.write_text(yaml.safe_dump(settings))
    upstream.script(honours_the_cap)
    async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
        yield rig


def by(name: object, **more: Any) -> dict[str, Any]:
    return {**TEN, "user": name, **more}


async def accounts(rig: Rig) -> list[tuple[str, int]]:
    async with rig.runtime.db.read() as session:
        rows = await session.execute(sa.text("SELECT name, limit_nano FROM budget WHERE scope = 'end_user' ORDER BY name"))
        return [(name, limit) for name, limit in rows]


@pytest.mark.case("B6")
async def test_of_50_first_calls_of_a_new_end_user_exactly_one_is_admitted(club: Rig, upstream: OpenAIUpstream) -> None:
    answers = await asyncio.gather(*(club.post(by("ann"), key=ONE_EACH) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] + [403] * 49
    assert len(upstream.requests) == 1
    refused = next(answer for answer in answers if answer.status_code == 403)
    assert_error(refused, 403, "insufficient_quota", "budget_exceeded")
    assert float(refused.headers["x-budget-limit"]) == CALL / 10**9
    assert refused.json()["error"]["message"].startswith("The end user's budget of $0.01 (calendar_day) does not cover this call")
    assert (await club.post(by("bob"), key=ONE_EACH)).status_code == 200, "somebody else has an account of his own"
    assert await accounts(club) == [("ann", CALL), ("bob", CALL)]
    rows = await club.rows()
    assert sum(row["charged_nano"] for row in rows if row["end_user"] == "ann") == CALL


@pytest.mark.case("B6")
@pytest.mark.case("W7")
async def test_a_name_has_one_form_and_one_account(club: Rig) -> None:
    codes = [(await club.post(by(same), key=ONE_EACH)).status_code for same in ("Zo\u00eb", " Zoe\u0308 ", "Zo\u00eb\t")]
    assert codes == [200, 403, 403]
    assert [name for name, _ in await accounts(club)] == ["Zo\u00eb"]
    for wrong in ("", "   ", "a\u202eb", "a\u200bb", "x" * 256, 7):
        assert_error(await club.post(by(wrong), key=ONE_EACH), 400, "invalid_request_error", None, "user")
    assert len(await accounts(club)) == 1


async def test_a_call_must_name_its_end_user_by_user_or_safety_identifier(club: Rig) -> None:
    assert_error(await club.post(TEN, key=ONE_EACH), 400, "invalid_request_error", None, "user")
    assert (await club.post({**TEN, "safety_identifier": "ann"}, key=ONE_EACH)).status_code == 200
    assert (await club.post(by("ann"), key=ONE_EACH)).status_code == 403
    assert [row["end_user"] for row in await club.rows()] == [None, "ann", "ann"]


async def test_a_key_that_says_nothing_of_end_users_takes_user_as_a_tag(club: Rig) -> None:
    answers = [await club.post(by("ann"), key=TILL) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert await accounts(club) == []
    assert [row["end_user"] for row in await club.rows()] == ["ann", "ann"]


async def test_the_same_name_under_another_key_is_somebody_else(club: Rig) -> None:
    keys = club.runtime.identity.keys
    mine = club.runtime.auth.authenticate(f"Bearer {ONE_EACH}", address="")
    second = await keys.create(OPERATOR, mine.tenant_id, name="second")
    await keys.set_end_users(OPERATOR, mine.tenant_id, second.view.id, mine.end_users)
    await reload(club)
    assert (await club.post(by("ann"), key=ONE_EACH)).status_code == 200
    assert (await club.post(by("ann"), key=second.text)).status_code == 200
    assert (await club.post(by("ann"), key=ONE_EACH)).status_code == 403
    assert await accounts(club) == [("ann", CALL), ("ann", CALL)]


async def test_each_end_user_has_limits_of_his_own(club: Rig) -> None:
    codes = [(await club.post(by(name), key=PACED)).status_code for name in ("ann", "ann", "bob", "ann", "bob", "bob")]
    assert codes == [200, 200, 200, 429, 200, 429]
    refused = await club.post(by("ann"), key=PACED)
    assert_error(refused, 429, "rate_limit_error", "rate_limit_exceeded")
    assert refused.json()["error"]["message"].startswith("The limit of 2 requests per minute of this end user")
    assert refused.headers["x-ratelimit-limit-requests"] == "2"
    assert await accounts(club) == [], "limits alone need no account"


async def test_what_an_operator_says_is_in_force_for_accounts_that_are_there(club: Rig) -> None:
    assert [(await club.post(by("ann"), key=ONE_EACH)).status_code for _ in range(2)] == [200, 403]
    key = club.runtime.auth.authenticate(f"Bearer {ONE_EACH}", address="")
    two = EndUserTerms.checked(limit_nano=2 * CALL, window="calendar_day", rate_limit={})
    await club.runtime.identity.keys.set_end_users(OPERATOR, key.tenant_id, key.key_id, two)
    await reload(club)
    assert [(await club.post(by("ann"), key=ONE_EACH)).status_code for _ in range(2)] == [200, 403], "what was spent counts on"
    await club.runtime.identity.keys.set_end_users(OPERATOR, key.tenant_id, key.key_id, None)
    await reload(club)
    assert (await club.post(by("ann"), key=ONE_EACH)).status_code == 200
    assert await accounts(club) == []


async def test_one_end_user_can_have_more_than_the_others_for_a_while(club: Rig) -> None:
    key = club.runtime.auth.authenticate(f"Bearer {ONE_EACH}", address="")
    for name in ("ann", "bob"):
        assert (await club.post(by(name), key=ONE_EACH)).status_code == 200
    account = key.end_user("ann").payer_id
    await club.runtime.budgets.set(OPERATOR, key.tenant_id, "end_user", account, limit_nano=3 * CALL)
    await reload(club)
    assert [(await club.post(by(name), key=ONE_EACH)).status_code for name in ("ann", "ann", "ann", "bob")] == [200, 200, 403, 403]
    view = await club.runtime.budgets.get(OPERATOR, key.tenant_id, "end_user", account)
    assert (view.name, view.limit_nano, view.is_default) == ("ann", 3 * CALL, False)


async def test_a_program_can_ask_how_one_of_its_end_users_stands(club: Rig) -> None:
    async def ask(key: str, query: str = "") -> httpx.Response:
        return await club.http.get(f"/v1/budget{query}", headers={"authorization": f"Bearer {key}"})

    assert {one["scope"] for one in (await ask(ONE_EACH, "?user=ann")).json()["budgets"]} == {"tenant"}
    assert await accounts(club) == [], "asking makes no account"
    assert (await club.post(by("ann"), key=ONE_EACH)).status_code == 200
    told = (await ask(ONE_EACH, "?user=%20ann%20")).json()
    assert (told["scope"], told["remaining_usd"], told["exceeded"]) == ("end_user", 0, True)
    assert (await ask(ONE_EACH)).json()["scope"] == "tenant"
    assert (await ask(ONE_EACH, "?user=")).status_code == 400
    assert_error(await ask(TILL, "?user=ann"), 400, "invalid_request_error", None, "user")


async def reload(rig: Rig) -> None:
    """As the change feed does it, in its order."""
    for load in (rig.runtime.keeper.load, rig.runtime.limit_book.load, rig.runtime.auth.load):
        await load()
