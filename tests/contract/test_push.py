"""Signed webhooks between our sender, our receiver and the reference library, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from sync_engine.runtime.push import ID, SIGNATURE, TIMESTAMP, InvalidSecret, NotVerified, PushResult, WebhookPusher, sign, verify
from sync_engine.runtime.receiver import Receiver

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()
TOO_SHORT, TOO_LONG = ("whsec_" + base64.b64encode(b"k" * size).decode() for size in (23, 65))
NOW = 1_795_000_000
PERSON = "张伟"


def body_of(version: int = 1, key: str = "k1") -> bytes:
    data = {"entity": "natural_person", "key": key, "version": version, "items": {"name": PERSON}}
    return json.dumps({"type": "natural_person.updated", "data": data}, ensure_ascii=False).encode()


def headers_of(signature: str, timestamp: int = NOW, webhook_id: str = "msg_1") -> dict[str, str]:
    return {ID: webhook_id, TIMESTAMP: str(timestamp), SIGNATURE: signature}


# --- signatures


def test_the_signature_is_the_one_of_the_specification() -> None:
    # Computed with openssl dgst -sha256 -hmac over "msg_1.1795000000.{}".
    assert sign([SECRET], "msg_1", NOW, b"{}") == "v1,5Wop/fDhZPANRBUUzYuDK2QHlfsSz0V3D75ehim/I5w="


def test_the_reference_library_believes_our_signature() -> None:
    now, body = int(time.time()), body_of()
    headers = headers_of(sign([SECRET], "msg_1", now, body), now)
    assert Webhook(SECRET).verify(body, headers)["data"]["items"]["name"] == PERSON
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(body, headers)


def test_we_believe_the_signature_of_the_reference_library() -> None:
    signature = Webhook(SECRET).sign("msg_1", datetime.fromtimestamp(NOW, UTC), body_of().decode())
    assert verify([SECRET], headers_of(signature), body_of(), now_seconds=NOW) == "msg_1"


def test_during_a_rotation_the_holder_of_either_secret_believes() -> None:
    now, body = int(time.time()), body_of()
    headers = headers_of(sign([OTHER, SECRET], "msg_1", now, body), now)
    for secret in (SECRET, OTHER):
        Webhook(secret).verify(body, headers)
        verify([secret], headers, body, now_seconds=now)


def test_a_receiver_may_hold_two_secrets_too() -> None:
    assert verify([OTHER, SECRET], headers_of(sign([SECRET], "msg_1", NOW, b"{}")), b"{}", now_seconds=NOW) == "msg_1"


def test_signatures_of_other_kinds_beside_ours_do_no_harm() -> None:
    signature = "v1a,AAAA= v2,x é " + sign([SECRET], "msg_1", NOW, b"{}")
    assert verify([SECRET], headers_of(signature), b"{}", now_seconds=NOW) == "msg_1"


def test_header_names_may_come_in_any_case() -> None:
    headers = {name.title(): value for name, value in headers_of(sign([SECRET], "msg_1", NOW, b"{}")).items()}
    assert verify([SECRET], headers, b"{}", now_seconds=NOW) == "msg_1"


@pytest.mark.parametrize(("skew", "believed"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)])
def test_a_timestamp_is_believed_for_five_minutes_either_way(skew: int, believed: bool) -> None:
    headers = headers_of(sign([SECRET], "msg_1", NOW, b"{}"))
    if believed:
        verify([SECRET], headers, b"{}", now_seconds=NOW + skew)
    else:
        with pytest.raises(NotVerified, match="replay"):
            verify([SECRET], headers, b"{}", now_seconds=NOW + skew)


FORGED: dict[str, Callable[[dict[str, str]], object]] = {
    "no id": lambda h: h.pop(ID),
    "another id": lambda h: h.update({ID: "msg_2"}),
    "an id with a full stop": lambda h: h.update({ID: "msg_1.1"}),
    "no timestamp": lambda h: h.pop(TIMESTAMP),
    "another timestamp": lambda h: h.update({TIMESTAMP: str(NOW + 1)}),
    "a fraction": lambda h: h.update({TIMESTAMP: f"{NOW}.0"}),
    "digits that are not ASCII": lambda h: h.update({TIMESTAMP: "１" * 10}),
    "no signature": lambda h: h.pop(SIGNATURE),
    "an empty signature": lambda h: h.update({SIGNATURE: ""}),
    "a signature of nothing": lambda h: h.update({SIGNATURE: "v1,"}),
    "the digest under another version": lambda h: h.update({SIGNATURE: h[SIGNATURE].replace("v1,", "v1a,")}),
    "half of the signature": lambda h: h.update({SIGNATURE: h[SIGNATURE][:20]}),
    "another secret's": lambda h: h.update({SIGNATURE: sign([OTHER], "msg_1", NOW, b"{}")}),
}


@pytest.mark.parametrize("how", FORGED)
def test_what_is_forged_is_not_believed(how: str) -> None:
    headers = headers_of(sign([SECRET], "msg_1", NOW, b"{}"))
    FORGED[how](headers)
    with pytest.raises(NotVerified):
        verify([SECRET], headers, b"{}", now_seconds=NOW)


def test_a_part_of_the_body_cannot_be_moved_into_the_id() -> None:
    # The signed content is the same: "msg_1" "." NOW "." "1795000001.{}" and "msg_1.NOW" "." 1795000001 "." "{}".
    signature = sign([SECRET], "msg_1", NOW, f"{NOW + 1}.{{}}".encode())
    with pytest.raises(NotVerified, match="malformed"):
        verify([SECRET], headers_of(signature, NOW + 1, f"msg_1.{NOW}"), b"{}", now_seconds=NOW)


@settings(deadline=None)  # the machine is shared
@given(data=st.data(), body=st.binary(max_size=200))
def test_not_one_changed_character_is_believed(data: st.DataObject, body: bytes) -> None:
    parts = [b"msg_1", str(NOW).encode(), sign([SECRET], "msg_1", NOW, body).encode(), body]
    which = data.draw(st.sampled_from([n for n, part in enumerate(parts) if part]))
    where = data.draw(st.integers(0, len(parts[which]) - 1))
    parts[which] = parts[which][:where] + bytes([parts[which][where] ^ data.draw(st.integers(1, 127))]) + parts[which][where + 1 :]
    webhook_id, timestamp, signature = (part.decode("latin-1") for part in parts[:3])
    with pytest.raises(NotVerified):
        verify([SECRET], {ID: webhook_id, TIMESTAMP: timestamp, SIGNATURE: signature}, parts[3], now_seconds=NOW)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        SECRET.removeprefix("whsec_"),
        SECRET.replace("whsec_", "whsk_"),
        "whsec_hunter2!",
        "whsec_é",
        SECRET + "!",
        TOO_SHORT,
        TOO_LONG,
    ],
)
def test_a_secret_that_is_none_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(InvalidSecret) as caught:
        sign([secret], "msg_1", NOW, b"{}")
    assert secret.removeprefix("whsec_") == "" or secret not in str(caught.value)
    with pytest.raises(InvalidSecret):
        sign([], "msg_1", NOW, b"{}")


@pytest.mark.parametrize("webhook_id", ["", "a.b", "a b", "a\nb", "民", "x" * 257])
def test_an_id_that_could_be_read_as_another_message_is_not_signed(webhook_id: str) -> None:
    with pytest.raises(ValueError, match="webhook id"):
        sign([SECRET], webhook_id, NOW, b"{}")


# --- over the wire


class Notes:
    """What a receiver's callback was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any], bool]] = []

    def __call__(self, webhook_id: str, payload: dict[str, Any], verified: bool) -> None:
        self.calls.append((webhook_id, payload, verified))


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
async def receiver(notes: Notes) -> AsyncIterator[Receiver]:
    async with Receiver([SECRET], notes, now=lambda: NOW) as running:
        yield running


@pytest.fixture
async def pusher() -> AsyncIterator[WebhookPusher]:
    async with WebhookPusher(timeout_seconds=5) as running:
        yield running


Push = Callable[..., Awaitable[PushResult]]


@pytest.fixture
def push(pusher: WebhookPusher, receiver: Receiver) -> Push:
    """Pushes version `version` of record `key` to the receiver."""

    async def one(
        version: int = 1, key: str = "k1", *, url: str = "", timestamp: int = NOW, secret: str = SECRET, wait: float = 5
    ) -> PushResult:
        body = body_of(version, key)
        return await pusher.push(url or receiver.url, [secret], f"msg_{key}_{version}", timestamp, body, timeout_seconds=wait)

    return one


async def test_a_push_arrives_verified_and_is_acknowledged(push: Push, receiver: Receiver, notes: Notes) -> None:
    assert await push() == PushResult(status=204, acknowledged=True, retry_after_seconds=None, disable=False, why="204: acknowledged")
    assert notes.calls == [("msg_k1_1", json.loads(body_of()), True)]
    assert receiver.versions == {("natural_person", "k1"): 1}
    assert (receiver.received, receiver.unverified) == (1, 0)


async def test_the_path_and_the_query_of_an_address_are_kept(push: Push, receiver: Receiver) -> None:
    assert (await push(url=receiver.url + "hooks/a?token=t")).acknowledged


async def test_a_wrong_secret_and_a_replayed_timestamp_are_refused(push: Push, receiver: Receiver, notes: Notes) -> None:
    for result in (await push(secret=OTHER), await push(timestamp=NOW - 301), await push(timestamp=NOW + 301)):
        assert (result.status, result.acknowledged, result.why) == (401, False, "401: Unauthorized")
    assert [verified for _, _, verified in notes.calls] == [False] * 3
    assert (receiver.received, receiver.unverified, receiver.versions) == (0, 3, {})


async def test_a_receiver_in_a_rotation_takes_both_secrets_and_then_only_the_new_one(push: Push, receiver: Receiver) -> None:
    receiver.secrets = (OTHER, SECRET)
    assert (await push(1)).acknowledged
    assert (await push(2, secret=OTHER)).acknowledged
    receiver.secrets = (OTHER,)
    assert not (await push(3)).acknowledged


async def test_repeats_and_versions_that_fall_are_counted_apart(push: Push, receiver: Receiver) -> None:
    for version, key in ((1, "a"), (2, "a"), (2, "a"), (5, "b"), (4, "b"), (1, "a")):
        assert (await push(version, key)).acknowledged
    assert (receiver.received, receiver.duplicates, receiver.regressions) == (6, 2, 1)
    assert receiver.versions == {("natural_person", "a"): 2, ("natural_person", "b"): 5}


ANSWERS = {
    200: (True, False, "200: acknowledged"),
    299: (True, False, "299: acknowledged"),
    301: (False, False, "301: redirects are not followed; put the new address into the settings"),
    304: (False, False, "304: redirects are not followed; put the new address into the settings"),
    404: (False, False, "404: Not Found"),
    410: (False, True, "410: the receiver wants no more of this: it is asked again in an hour"),
    429: (False, False, "429: the receiver asks for a slower pace"),
    500: (False, False, "500: Internal Server Error"),
    502: (False, False, "502: the receiver's proxy does not reach it"),
    503: (False, False, "503: the receiver is not ready"),
    599: (False, False, "599: no known status"),
}


@pytest.mark.parametrize("status", ANSWERS)
async def test_each_status_has_its_meaning(status: int, push: Push, receiver: Receiver) -> None:
    receiver.fail(status, {"Location": receiver.url + "elsewhere"})
    result = await push()
    assert (result.status, (result.acknowledged, result.disable, result.why)) == (status, ANSWERS[status])
    assert receiver.requests == 1
    receiver.work()
    assert (await push()).acknowledged


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("999999999", 86400),
        (formatdate(NOW + 90, usegmt=True), 90),
        (formatdate(NOW - 90, usegmt=True), 0),
        (formatdate(NOW + 10**8, usegmt=True), 86400),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("1e3", None),
    ],
)
async def test_a_wish_for_a_pause_is_read_and_bounded(header: str, seconds: float | None, push: Push, receiver: Receiver) -> None:
    receiver.fail(503, {"Retry-After": header})
    assert (await push()).retry_after_seconds == seconds


async def test_a_receiver_that_hangs_costs_the_timeout_and_no_more(push: Push, receiver: Receiver) -> None:
    receiver.hang()
    async with asyncio.timeout(2):
        result = await push(wait=0.2)
    assert (result.status, result.acknowledged, result.why) == (None, False, "no answer within 0.2 s")
    assert (receiver.requests, receiver.received) == (1, 0)
    receiver.work()
    assert (await push()).acknowledged


async def test_a_push_may_have_had_its_effect_though_nobody_answered(push: Push, receiver: Receiver) -> None:
    receiver.hang(receives=True)
    assert not (await push(wait=0.2)).acknowledged
    receiver.work()
    assert (await push()).acknowledged
    assert (receiver.received, receiver.duplicates, receiver.regressions) == (2, 1, 0)


async def test_a_connection_that_breaks_is_a_failure(push: Push, receiver: Receiver) -> None:
    receiver.reset()
    result = await push()
    assert (result.status, result.acknowledged) == (None, False)
    assert result.why in ("the connection was reset", "the connection was closed without an answer")
    assert receiver.requests == 1, "not tried twice behind the caller's back"


async def test_a_receiver_that_is_gone_is_a_failure(push: Push) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = await push(url=f"http://127.0.0.1:{unused.getsockname()[1]}/")
    assert (result.status, result.why) == (None, "no connection: refused, or no way there")


@asynccontextmanager
async def raw_server(answer: bytes, *, then_hang: bool = False) -> AsyncIterator[str]:
    """Answers every connection with these bytes as soon as something was asked."""
    over = asyncio.Event()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        await writer.drain()
        if then_hang:
            await over.wait()
        writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        over.set()
        server.close()
        await server.wait_closed()


async def test_what_is_no_http_is_a_failure(push: Push) -> None:
    async with raw_server(b"SSH-2.0-OpenSSH_9\r\n\r\n") as place:
        result = await push(url=f"http://{place}")
        assert (result.status, result.why) == (None, "the answer is not HTTP")
        assert (await push(url=f"https://{place}")).why == "no TLS connection could be made"


async def test_an_answer_without_an_end_is_an_answer(push: Push) -> None:
    async with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx", then_hang=True) as place:
        assert (await push(url=f"http://{place}", wait=2)).acknowledged


@pytest.mark.parametrize(
    "url", ["", "receiver", "ftp://receiver/", "http://", "http://[::1", "http://a..b/", f"http://{'x' * 64}.cn/", "http://x:99999/"]
)
async def test_an_address_that_is_none_is_a_failure_not_an_exception(url: str, pusher: WebhookPusher) -> None:
    result = await pusher.push(url, [SECRET], "msg_1", NOW, b"{}")
    assert (result.status, result.acknowledged) == (None, False)
    assert result.why in ("the address is no http or https URL: correct it in the settings", "the receiver's name does not resolve")


async def test_nothing_personal_gets_into_the_reason(push: Push, receiver: Receiver) -> None:
    echo = f"HTTP/1.1 400 {PERSON}\r\nContent-Length: 6\r\nRetry-After: {PERSON}\r\n\r\n{PERSON}".encode()
    async with raw_server(echo) as place:
        result = await push(url=f"http://{place}?token=hunter2")
    assert (result.status, result.why, result.retry_after_seconds) == (400, "400: Bad Request", None)
    for url in ("http://hunter2.invalid/", "http://127.0.0.1:1/hunter2"):
        assert "hunter2" not in repr(await push(url=url))


async def test_a_slow_receiver_takes_only_its_own_places(receiver: Receiver) -> None:
    receiver.hang()
    async with Receiver([SECRET], now=lambda: NOW) as well, WebhookPusher(in_flight_max=2) as pusher:

        async def to(url: str, n: int) -> PushResult:
            return await pusher.push(url, [SECRET], f"msg_{n}", NOW, body_of(n), timeout_seconds=0.5)

        results = await asyncio.gather(*(to(receiver.url, n) for n in range(5)), *(to(well.url, n) for n in range(5)))
    assert receiver.requests == 2
    whys = [result.why for result in results]
    assert whys == ["no answer within 0.5 s"] * 2 + ["not sent: 2 others are waiting for this receiver"] * 3 + ["204: acknowledged"] * 5


async def test_a_connection_is_used_again() -> None:
    peers: set[object] = set()

    class Peers(Receiver):
        async def _meet(self, request: Any) -> Any:
            peers.add(request.transport.get_extra_info("peername"))
            return await super()._meet(request)

    async with Peers([SECRET], now=lambda: NOW) as receiver, WebhookPusher() as pusher:
        for n in range(3):
            await pusher.push(receiver.url, [SECRET], f"msg_{n}", NOW, body_of(n))
    assert len(peers) == 1


async def test_a_cancelled_push_leaves_its_place_to_the_next(receiver: Receiver) -> None:
    receiver.hang()
    async with WebhookPusher(in_flight_max=1) as pusher:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await pusher.push(receiver.url, [SECRET], "msg_1", NOW, b"{}")
        receiver.work()
        assert (await pusher.push(receiver.url, [SECRET], "msg_1", NOW, b"{}")).acknowledged


NETWORKS = [
    ("127.0.0.0/8", "127.0.0.1", True),
    ("127.0.0.0/8", "localhost", True),
    ("127.0.0.0/8", "[::ffff:127.0.0.1]", True),
    ("10.0.0.0/8", "127.0.0.1", False),
    ("10.0.0.0/8", "localhost", False),
    ("10.0.0.0/8", "127.1", False),
    ("10.0.0.0/8", "2130706433", False),
    ("10.0.0.0/8", "[::ffff:127.0.0.1]", False),
    ("::/0", "127.0.0.1", False),
]


@pytest.mark.parametrize(("network", "host", "allowed"), NETWORKS)
async def test_a_push_goes_only_into_the_allowed_networks(network: str, host: str, allowed: bool, receiver: Receiver) -> None:
    async with WebhookPusher(networks=[ipaddress.ip_network(network)]) as pusher:
        url = receiver.url.replace("127.0.0.1", host)
        result = await pusher.push(url, [SECRET], "msg_1", NOW, b"{}")
    assert result.acknowledged is allowed
    assert receiver.requests == (1 if allowed else 0)
    # 127.1 and the like are refused as no URL; whatever they are, the receiver was not reached.
    assert allowed or result.why.startswith(("the receiver's address is outside the allowed networks", "the address is no http"))


async def test_what_cannot_be_signed_is_not_sent(pusher: WebhookPusher, receiver: Receiver) -> None:
    for secrets, webhook_id in (([SECRET], "a.b"), (["hunter2"], "msg_1"), ([], "msg_1")):
        with pytest.raises(ValueError, match="webhook"):
            await pusher.push(receiver.url, secrets, webhook_id, NOW, b"{}")
    assert receiver.requests == 0


async def test_a_receiver_survives_a_body_that_is_no_object(pusher: WebhookPusher, receiver: Receiver, notes: Notes) -> None:
    for n, body in enumerate((b"", b"[1]", b"\xff", b'{"data":{"entity":1}}')):
        assert (await pusher.push(receiver.url, [SECRET], f"msg_{n}", NOW, body)).acknowledged
    assert [payload for _, payload, _ in notes.calls] == [{}, {}, {}, {"data": {"entity": 1}}]
    assert (receiver.received, receiver.versions) == (4, {})
