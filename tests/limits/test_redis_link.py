"""The pipelined connection: how it signs in, how it reads, how it ends."""

import asyncio
import shutil
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backend.limits.redis_link import MOST_IN_FLIGHT, MOST_QUEUED, LinkDown, RedisLink, Script, packed
from tests.limits.conftest import PATIENT
from tests.rig.processes import Server, free_port


async def connect(
    url: str, *, timeout: float = PATIENT, on_down: Callable[[LinkDown], None] = lambda _: None, **options: object
) -> RedisLink:
    return await RedisLink.connect(url, timeout=timeout, on_down=on_down, **options)  # type: ignore[arg-type]


@pytest.fixture
def redis_with() -> Iterator[Callable[..., Path]]:
    """Starts a Redis with these arguments; gives its folder."""
    started: list[tuple[Server, Path]] = []

    def start(*arguments: str, folder: Path, ready: Path) -> Path:
        program = shutil.which("redis-server")
        assert program is not None
        command = [program, "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *arguments]
        server = Server(command, log=folder / "log")
        started.append((server, folder))
        server.wait_until(lambda: "ready to accept" in (folder / "log").read_text().lower(), seconds=10, what="Redis")
        return ready

    yield start
    for server, _ in started:
        server.stop(seconds=5)


async def test_a_password_and_a_database_are_taken_from_the_url(redis_with: Callable[..., Path], tmp_path: Path) -> None:
    port = free_port()
    redis_with("--port", str(port), "--requirepass", "s/cret", folder=tmp_path, ready=tmp_path)
    link = await connect(f"redis://default:s%2Fcret@127.0.0.1:{port}/3")
    assert await link.call("SET", "a", "1") == b"OK"
    assert b"db=3" in await link.call("CLIENT", "INFO")
    link.close()
    for wrong in (f"redis://127.0.0.1:{port}/0", f"redis://:wrong@127.0.0.1:{port}/0", f"http://127.0.0.1:{port}"):
        with pytest.raises(LinkDown):
            await connect(wrong)


async def test_a_unix_socket_will_do(redis_with: Callable[..., Path], tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    redis_with("--port", "0", "--unixsocket", str(path), folder=tmp_path, ready=path)
    link = await connect(f"unix://{path}?db=2")
    assert b"db=2" in await link.call("CLIENT", "INFO")
    link.close()


async def test_a_certificate_is_checked(redis_with: Callable[..., Path], tmp_path: Path) -> None:
    key, certificate = tmp_path / "private", tmp_path / "certificate"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2", *names]
    subprocess.run(command, check=True, capture_output=True)
    port = free_port()
    tls = ["--tls-port", str(port), "--port", "0", "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    redis_with(*tls, "--tls-auth-clients", "no", "--tls-ca-cert-file", str(certificate), folder=tmp_path, ready=certificate)
    link = await connect(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}")
    assert await link.call("PING") == b"PONG"
    link.close()
    with pytest.raises(LinkDown):
        await connect(f"rediss://127.0.0.1:{port}/0")


async def test_thousands_of_commands_are_answered_in_order(redis_url: str) -> None:
    link = await connect(redis_url)
    numbers = range(3 * MOST_IN_FLIGHT * 10)
    assert await asyncio.gather(*[link.call("ECHO", str(number)) for number in numbers]) == [b"%d" % number for number in numbers]
    for number in numbers:
        link.tell(packed(("INCRBY", "sum", number)))
    assert int(await link.call("GET", "sum")) == sum(numbers)
    link.close()


async def test_an_error_is_one_callers_and_the_link_goes_on(redis_url: str) -> None:
    link = await connect(redis_url)
    with pytest.raises(LinkDown, match="unknown command"):
        await link.call("NONSENSE")
    assert await link.call("GET", "nothing") == b"-1"
    assert await link.call("PING") == b"PONG"
    assert link.down is None
    link.close()
    with pytest.raises(LinkDown):
        await link.call("PING")


async def test_silence_ends_the_link_for_everybody_who_waits(redis_url: str) -> None:
    reasons: list[LinkDown] = []
    link = await connect(redis_url, timeout=0.4, on_down=reasons.append)
    await link.call("PING")
    answers = await asyncio.gather(link.call("CLIENT", "PAUSE", 1500), *[link.call("GET", "a") for _ in range(200)], return_exceptions=True)
    assert answers[0] == b"OK"
    assert all(isinstance(answer, LinkDown) for answer in answers[1:])
    assert [str(reason) for reason in reasons] == ["no answer within 400 ms"]


async def test_the_url_may_say_how_long_redis_may_be_silent(redis_url: str) -> None:
    reasons: list[LinkDown] = []
    link = await connect(f"{redis_url}?socket_timeout=0.3", on_down=reasons.append)
    answers = await asyncio.gather(link.call("CLIENT", "PAUSE", 1500), link.call("GET", "a"), return_exceptions=True)
    assert (answers[0], [str(reason) for reason in reasons]) == (b"OK", ["no answer within 300 ms"])
    # Who is given longer than the pause is answered after it.
    link = await connect(f"{redis_url}?socket_timeout=9", timeout=0.05)
    assert await asyncio.gather(link.call("CLIENT", "PAUSE", 500), link.call("ECHO", "late")) == [b"OK", b"late"]
    link.close()


async def test_a_caller_who_left_does_not_shift_the_answers(redis_url: str) -> None:
    link = await connect(redis_url)
    calls = [link.call("ECHO", str(number)) for number in range(100)]
    await asyncio.sleep(0)
    for number in range(0, 100, 3):
        calls[number].cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(answer == b"%d" % number for number, answer in enumerate(answers) if number % 3)
    link.close()


async def test_what_redis_cannot_keep_up_with_is_not_kept(redis_url: str) -> None:
    link = await connect(redis_url)
    for _ in range(MOST_QUEUED + 1):
        link.tell(packed(("PING",)))
    assert isinstance(link.down, LinkDown)
    with pytest.raises(LinkDown):
        await link.call("PING")


async def test_scripts_are_there_after_connecting(redis_url: str) -> None:
    script = Script("return 'für ' .. ARGV[1]")
    link = await connect(redis_url, scripts=(script,))
    assert await link.call("EVALSHA", script.sha, 0, "dich") == "für dich".encode()
    link.close()


ANSWERS = st.lists(
    st.one_of(
        st.binary(max_size=40).map(lambda text: (b"$%d\r\n%b\r\n" % (len(text), text), text)),
        st.integers().map(lambda number: (b":%d\r\n" % number, b"%d" % number)),
        st.text(alphabet="abc 123", max_size=20).map(lambda text: (b"+" + text.encode() + b"\r\n", text.encode())),
        st.just((b"$-1\r\n", b"-1")),
    ),
    min_size=1,
    max_size=12,
)


@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(answers=ANSWERS, cuts=st.lists(st.integers(0, 400), max_size=12))
async def test_answers_may_come_in_any_pieces(answers: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    link = RedisLink(PATIENT, lambda _: None)
    futures: list[asyncio.Future[bytes]] = [asyncio.get_running_loop().create_future() for _ in answers]
    link._waiting.extend((0.0, future) for future in futures)
    wire = b"".join(text for text, _ in answers)
    edges = sorted({0, len(wire), *[min(cut, len(wire)) for cut in cuts]})
    for start, end in pairwise(edges):
        link.data_received(wire[start:end])
    assert [future.result() for future in futures] == [value for _, value in answers]


@pytest.mark.parametrize("wire", [b"*1\r\n:1\r\n", b"HTTP/1.1 400 Bad Request\r\n", b"+OK\r\n+OK\r\n"])
async def test_what_was_not_asked_for_ends_the_link(wire: bytes) -> None:
    link = RedisLink(PATIENT, lambda _: None)
    future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    link._waiting.append((0.0, future))
    link.data_received(wire)
    assert link.down is not None
    if future.done():
        future.exception()
