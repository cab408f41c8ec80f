"""Bad input: put aside with its reason, place and bytes, while everything else goes on; and nothing of it in a log or a metric."""

import json
import random
import secrets
import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import Any

import confluent_kafka as ck
import pytest

from sync_engine.model import names
from sync_engine.model.record import Record
from tests.e2e.network import COUNTY, POLICE, Network, more_people
from tests.e2e.oracle_check import assert_all_hold_what_is_owed

pytestmark = pytest.mark.stack

Letter = tuple[str, str, int, bytes]
"""(reason, topic, offset, the bytes as they came)"""


class BadInput:
    """What this file gives the network: unique words that must turn up in dead letters and nowhere else, and readers of both topics."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.words: list[str] = []
        self.topic = names.cdc(network.declarations.departments[POLICE], "hj.t_czrk")
        self.dead = network.reader(names.dead(COUNTY)).skip()
        self.captured = network.reader(self.topic).skip()
        self.kept: list[Letter] = []
        self.came: dict[int, Record] = {}

    def word(self, length: int = 16) -> str:
        self.words.append("QX" + secrets.token_hex(length)[: length - 2])
        return self.words[-1]

    def letters(self) -> list[Letter]:
        """The dead letters since the last call; they must name and hold what stands in the captured topic."""
        found = []
        self.came |= {record.offset: record for record in self.captured.more()}
        for record in self.dead.more():
            if record.value is None:
                continue  # put back, or given up
            letter = self.network.codec.decode(record.value or b"")[1]
            at = self.came[letter["offset"]]
            assert (letter["stage"], letter["topic"], letter["partition"]) == ("ingest", self.topic, 0)
            assert (letter["key"], letter["value"]) == (at.key, at.value)
            assert [(header["name"], header["value"]) for header in letter["headers"]] == list(at.headers)
            found.append((letter["reason"], letter["topic"], letter["offset"], letter["value"]))
        self.kept += found
        return found

    def reasons(self) -> list[str]:
        return [reason for reason, *_ in self.letters()]


@pytest.fixture(scope="module")
def bad(network: Network) -> Iterator[BadInput]:
    for node in network.nodes:
        assert network.reader(names.dead(node)).more() == [], "nothing was put aside before"
    return BadInput(network)


def test_rows_that_cannot_be_read_are_put_aside_and_mark_their_record(network: Network, bad: BadInput) -> None:
    one, another = more_people(2, 4501)
    insert = "INSERT INTO hj.t_czrk (rybh, gmsfhm, xm, mz, hjqh, hjdz, lxdh) VALUES (%s, %s, %s, %s, '341502', %s, %s)"
    network.execute(POLICE, insert, [4501, bad.word(18), bad.word(), "汉族", bad.word(), bad.word()])
    network.execute(POLICE, insert, [4502, one.id_number, bad.word(), bad.word(), bad.word(), bad.word()])
    network.execute(POLICE, insert, [4503, another.id_number, bad.word(), "汉族", bad.word(201), bad.word()])
    network.execute(POLICE, "UPDATE hj.t_czrk SET mz = %s, hjdz = %s WHERE rybh = 101", [bad.word(), bad.word()])
    network.execute(POLICE, "UPDATE hj.t_czrk SET hjqh = '3415', xm = %s WHERE rybh = 102", [bad.word()])
    network.execute(POLICE, "UPDATE hj.t_czrk SET gmsfhm = %s WHERE rybh = 103", [bad.word(18)])
    network.execute(POLICE, "UPDATE hj.t_czrk SET lxdh = %s WHERE rybh = 106", [bad.word()])
    network.execute(POLICE, "UPDATE hj.t_czrk SET hjdz = '长安路7号' WHERE rybh = 104")
    assert_all_hold_what_is_owed(network)
    expected = ["invalid_identifier", "unknown_code", "invalid_value", "unknown_code", "invalid_value", "invalid_identifier", "broken_rule"]
    assert bad.reasons() == expected
    assert network.metric(COUNTY, "syncengine_dlq_messages_total", stage="ingest", reason="unknown_code") == 2


def test_rows_that_are_put_right_are_verified_again(network: Network, bad: BadInput) -> None:
    back = more_people(1, 103)[0].id_number
    right = "UPDATE hj.t_czrk SET mz = '满族', hjdz = '长安路8号', hjqh = '341502', xm = '周正', lxdh = NULL WHERE rybh IN (4502, 4503)"
    network.execute(POLICE, right)
    network.execute(POLICE, "UPDATE hj.t_czrk SET lxdh = '13900000106' WHERE rybh = 106")
    for person in more_people(2, 101):
        right = "UPDATE hj.t_czrk SET mz = '汉族', hjqh = '341502', hjdz = '长安路9号', xm = %s WHERE rybh = %s"
        network.execute(POLICE, right, [person.name, person.number])
    network.execute(POLICE, "UPDATE hj.t_czrk SET gmsfhm = %s WHERE rybh = 103", [back])
    assert_all_hold_what_is_owed(network)
    assert bad.reasons() == []


def test_messages_that_nobody_can_read_are_put_aside(network: Network, bad: BadInput) -> None:
    network.execute(POLICE, "UPDATE hj.t_czrk SET hjdz = %s WHERE rybh = 105", [address := bad.word()])
    network.catch_up()
    real = bad.captured.more()[-1].value or b""
    beat = network.reader(names.cdc(network.declarations.departments[POLICE], "hj.sync_heartbeat")).more()[-1].value
    epoch = ("x-epoch", b"1")
    sent: list[tuple[bytes, tuple[str, bytes], str]] = [
        (b"\xff\xfe" + bad.word().encode(), epoch, "undecodable"),
        (b"\x00\x01", epoch, "undecodable"),
        (b"\xff" + bad.word().encode() + random.Random(1).randbytes(1_048_000), epoch, "undecodable"),  # as large as Kafka lets it be
        (b"\x00\x7f\xff\xff\xfe" + bad.word().encode(), epoch, "unknown_schema"),
        (b"\x00\xff\xff\xff\xff" + bad.word().encode(), epoch, "unknown_schema"),
        (real[:5] + bad.word().encode(), epoch, "undecodable"),
        *((real[:length], epoch, "undecodable") for length in (5, 40, len(real) - 60)),
        (real, ("other", b"header"), "invalid_position"),
        (beat or b"", epoch, "unknown_column"),
    ]
    producer = ck.Producer({"bootstrap.servers": network.stack.endpoints.kafka, "message.max.bytes": 2_000_000})
    for value, header, _ in sent:
        producer.produce(bad.topic, value, b"a key", 0, headers=[header])
    assert producer.flush(10) == 0
    network.execute(POLICE, "UPDATE hj.t_czrk SET hjdz = '长安路10号' WHERE rybh = 106")
    assert_all_hold_what_is_owed(network)
    letters = bad.letters()
    assert [(reason, value) for reason, _, _, value in letters] == [(reason, value) for value, _, reason in sent]
    assert address.encode() in letters[-2][3], "the whole change, as it came"


def test_a_column_that_nobody_declared_puts_aside_what_is_written_with_it(network: Network, bad: BadInput) -> None:
    network.execute(POLICE, "ALTER TABLE hj.t_czrk ADD COLUMN beizhu text")
    network.execute(POLICE, "UPDATE hj.t_czrk SET beizhu = %s, hjdz = %s WHERE rybh = 107", [bad.word(), bad.word()])
    try:
        assert_all_hold_what_is_owed(network)
        assert bad.reasons() == ["unknown_column"]
    finally:
        with network.commit(POLICE) as police:
            police.execute("ALTER TABLE hj.t_czrk DROP COLUMN beizhu")
            police.execute("UPDATE hj.t_czrk SET hjdz = '长安路11号' WHERE rybh = 107")
    assert_all_hold_what_is_owed(network)
    assert bad.reasons() == []


def test_what_was_put_aside_is_shown_put_back_and_given_up(network: Network, bad: BadInput) -> None:
    """Nothing of it is mended, so all is put aside again, and nothing of the old takes the place of the new."""

    def told(command: str, *arguments: str) -> str:
        whole = network.command("dead", command, "--node", COUNTY, *arguments)
        done = subprocess.run(whole, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def standing() -> list[dict[str, Any]]:
        return json.loads(told("list", "-o", "json"))  # type: ignore[no-any-return]

    bad.letters()
    letters = standing()
    assert Counter(letter["reason"] for letter in letters) == Counter(reason for reason, *_ in bad.kept)
    assert not any(word in json.dumps(letters) for word in bad.words)
    one = next(letter["id"] for letter in letters if letter["reason"] == "unknown_code")
    assert json.loads(told("show", one, "-o", "json"))["id"] == one
    network.wait("its department is not caught up", lambda: behind(network) == {POLICE}, 20)
    fires = [alert["labels"]["source"] for alert in network.status(COUNTY)["alerts"] if alert["kind"] == "dead_letters"]
    assert fires == [POLICE]

    at = {letter["id"]: letter["at_ms"] for letter in letters}
    told("retry", "--source", POLICE, "--all")
    network.wait("all are put aside again", lambda: all_later(standing(), at), 20)
    assert_all_hold_what_is_owed(network)

    told("discard", one)
    assert one not in {letter["id"] for letter in standing()}
    told("discard", "--all")
    assert standing() == []
    network.wait("its department is caught up", lambda: behind(network) == set(), 20)
    network.wait("the alert is resolved", lambda: not network.status(COUNTY)["alerts"], 20)


def behind(network: Network) -> set[str]:
    return {lag["source"] for lag in network.status(COUNTY)["lags"] if lag["place"] == "golden" and lag["state"] != "caught_up"}


def all_later(standing: list[dict[str, Any]], at: dict[str, int]) -> bool:
    return {letter["id"] for letter in standing} == at.keys() and all(letter["at_ms"] > at[letter["id"]] for letter in standing)


def test_nothing_of_it_is_in_a_log_or_a_metric(network: Network, bad: BadInput) -> None:
    bad.letters()
    kept = b"".join(value for *_, value in bad.kept)
    assert [word for word in bad.words if word.encode() not in kept] == [], "every word was put aside"
    for node in network.nodes:
        said = {"log": network.log_of(node).read_bytes()}
        for path in ("/metrics", "/status"):
            answer = network.ask(node, path)
            assert answer is not None
            said[path] = answer.content
        assert [(node, place, word) for place, text in said.items() for word in bad.words if word.encode() in text] == []
        assert all(said.values())
    for node in network.nodes.keys() - {COUNTY}:
        assert network.reader(names.dead(node)).more() == []
