"""The README's examples of growth, as they are written there: an entity, a node, a department and a subscriber, on a network that runs."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from sync_engine import declared
from sync_engine.model import names
from sync_engine.model.avro import golden_of_datum
from sync_engine.model.golden import Golden
from sync_engine.runtime.localstack.process import Child
from sync_engine.runtime.reads import address_file
from sync_engine.runtime.registry import SchemaRegistry
from sync_engine.runtime.schemas import AvroCodec, all_schemas
from tests.e2e.network import CITY, COUNTY, DECLARATIONS, PROVINCE, Network
from tests.e2e.test_9_provisioning import epoch, set_epoch  # noqa: F401  (a fixture)

pytestmark = pytest.mark.stack

README = (DECLARATIONS / "README.md").read_text(encoding="utf-8")
FILES = re.findall(r"```yaml\n# ((?:connectors|schemas)/\S+)\n(.*?)```", README, re.DOTALL)
(PREPARED,) = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)
NEW = "shucheng"
TABLE = "CREATE TABLE jj.jdc (xh bigint PRIMARY KEY, clsbdh varchar(17), hphm varchar(10), syxz varchar(10), djqh char(6))"


def grown(folder: Path, stands_at: int) -> Path:
    """The sample's declarations with the README's files written beside them, and its lines of network.yaml put in."""
    for part in ("connectors", "topics", "schemas"):
        shutil.copytree(DECLARATIONS / part, folder / part)
    for path, text in FILES:
        file = folder / path
        if path != "connectors/network.yaml":
            assert not file.exists()
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            continue
        known = file.read_text(encoding="utf-8")
        for section, lines in re.findall(r"^(\w+):\n((?: .*\n)+)", text, re.MULTILINE):
            assert f"\n{section}:\n" in known
            known = known.replace(f"\n{section}:\n", f"\n{section}:\n{lines}")
        file.write_text(known, encoding="utf-8")
    set_epoch(folder, stands_at)
    return folder


def prepare(network: Network) -> Path:
    """What the owner of the department's database does. Returns the settings with a section more."""
    server = sa.make_url(network.stack.endpoints.postgres)
    with psycopg.connect(server.render_as_string(hide_password=False), autocommit=True) as owner:
        owner.execute("CREATE DATABASE traffic")
    with traffic(network) as owner:
        owner.execute("CREATE SCHEMA jj")
        owner.execute(TABLE)
        for statement in PREPARED.split(";"):
            owner.execute(statement)
        owner.execute("INSERT INTO jj.jdc VALUES (1, 'LSVAA00000000001', '皖N00001', '非营运', '341502')")
    text = network.settings_file.read_text(encoding="utf-8")
    like = re.search(r"\[databases\.\w+\]\n(port = " + str(server.port) + r"\n(?:.+\n)+)", text)  # any other one of PostgreSQL
    assert like
    file = network.settings_file.with_name("grown.toml")
    section = re.sub(r"dbname = .*", 'dbname = "traffic"', like[1])
    file.write_text(f"{text}\n[databases.traffic_police]\n{section}", encoding="utf-8")
    return file


def traffic(network: Network) -> "psycopg.Connection[tuple[object, ...]]":
    server = sa.make_url(network.stack.endpoints.postgres).set(database="traffic")
    return psycopg.connect(server.render_as_string(hide_password=False))


def test_what_the_readme_adds_works_as_written(network: Network, tmp_path: Path, epoch: int) -> None:  # noqa: F811
    folder, settings = grown(tmp_path, epoch), prepare(network)

    def command(*arguments: str) -> list[str]:
        words = network.command(*arguments)
        words[words.index("--declarations") + 1] = str(folder)
        words[words.index("--settings") + 1] = str(settings)
        return words

    def told(*arguments: str) -> str:
        done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    told("check")
    told("check", "--databases", "--department", f"{COUNTY}/traffic_police")
    new = {action["name"] for action in json.loads(told("plan", "-o", "json"))}
    assert {names.golden(NEW, "vehicle"), names.golden(COUNTY, "vehicle"), "jinan.cdc.traffic_police", "parking.vehicles"} <= new
    told("apply")
    network.catch_up()
    before = dict(network.golden(CITY))

    after = declared.read(folder)
    codec = AvroCodec(SchemaRegistry(network.stack.endpoints.registry), all_schemas(after))
    nodes = {
        name: Child(
            f"node {name}", command("run", "--node", name), network.log_of(name), address_file(network.home / "state", name, "0").exists
        )
        for name in after.nodes
    }
    for name in network.nodes:
        network.hold(name).stop(20)
    try:
        for name, child in nodes.items():
            address_file(network.home / "state", name, "0").unlink(missing_ok=True)
            child.start()
        for child in nodes.values():
            child.wait_ready(90)

        def vehicles(node: str) -> dict[str, Golden]:
            records = network.reader(names.golden(node, "vehicle")).more()
            return {
                (record.key or b"").decode(): golden_of_datum("vehicle", (record.key or b"").decode(), codec.decode(record.value or b"")[1])
                for record in records
            }

        def everywhere(key: str) -> bool:
            return all(key in vehicles(node) for node in (COUNTY, CITY, PROVINCE))

        network.wait("the captured row is everywhere above", lambda: everywhere("LSVAA00000000001"), 60)
        with traffic(network) as owner:
            owner.execute("INSERT INTO jj.jdc VALUES (2, 'LSVAA00000000002', '皖N00002', '营运', '341523')")
        network.wait("so is a new one", lambda: everywhere("LSVAA00000000002"), 30)
        network.wait("and in the new county, as it lies there", lambda: vehicles(NEW).keys() == {"LSVAA00000000002"}, 30)
        assert {item: value for item, _, value in vehicles(NEW)["LSVAA00000000002"].content.items} == {
            "plate": "皖N00002",
            "use": "commercial",
            "region": "341523",
        }
        network.wait("the subscriber has both", lambda: len({record.key for record in network.reader("parking.vehicles").more()}) == 2, 30)
        assert network.golden(CITY) == before, "nobody else's record is touched"
    finally:
        for child in nodes.values():
            child.stop(20)
        for name in network.nodes:
            network.release(name)
    network.catch_up()
