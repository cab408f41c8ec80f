"""The departments' databases of the demo: three systems with names and codes as different as real ones, in one PostgreSQL server.

公安 and 人社 of 金安区, 教育厅 of the province. The capture role may read and write the heartbeat table only.
"""

import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg

from sync_engine.model.declaration import Declarations, Department
from sync_engine.provision.database import heartbeat_beat, heartbeat_ddl, publication_ddl, quoted
from sync_engine.runtime.demo.people import REGION, Person

ROLE = "capture"

TABLES = {
    "jinan/public_security": (
        """CREATE TABLE hj.t_czrk (rybh bigint PRIMARY KEY, gmsfhm varchar(18) NOT NULL, xm varchar(60), xb char(1), csrq date,
        mz varchar(20), swbz char(1) NOT NULL DEFAULT '0', hjqh char(6), hjdz text, qrrq date, lxdh varchar(20),
        djsj timestamptz DEFAULT now())""",
        "hj",
    ),
    "jinan/human_resources": (
        """CREATE TABLE si.ac01 (aac001 bigint PRIMARY KEY, aac002 varchar(18) NOT NULL, aac003 varchar(60), aac004 char(1), aac006 date,
        aae005 varchar(20), aab004 varchar(120), aac008 char(1), aac049 date, aae036 timestamptz DEFAULT now())""",
        "si",
    ),
    "anhui/education": (
        """CREATE TABLE edu.graduate (certificate_no varchar(20) PRIMARY KEY, id_card varchar(18) NOT NULL, level varchar(20),
        graduated_on date)""",
        "edu",
    ),
}


def database_of(department: Department) -> str:
    return f"demo_{department.node}_{department.name}"


class Departments:
    """`server` = postgresql:// URL of a superuser."""

    def __init__(self, server: str, declarations: Declarations) -> None:
        self._server = server
        self._declarations = declarations

    def connect(self, department: str) -> "psycopg.Connection[Any]":
        """A connection to a department's database, as its own clerk."""
        database = database_of(self._declarations.departments[department])
        return psycopg.connect(self._server.rsplit("/", 1)[0] + "/" + database)

    def make(self, password_file: Path) -> bool:
        """Create what does not exist; write the capture role's password where Connect reads it. Returns whether anything was made."""
        password = secrets.token_urlsafe(16)
        made = False
        with psycopg.connect(self._server, autocommit=True) as server:
            if server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone() is None:
                server.execute(f"CREATE ROLE {ROLE} LOGIN REPLICATION PASSWORD '{password}'")
                password_file.parent.mkdir(parents=True, exist_ok=True)
                password_file.write_text(f"password={password}\n")
            for department in self._declarations.departments.values():
                name = database_of(department)
                if server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
                    server.execute(f"CREATE DATABASE {name}")
                    self._make_tables(department)
                    made = True
        return made

    def _make_tables(self, department: Department) -> None:
        table, schema = TABLES[department.id]
        with self.connect(department.id) as connection:
            connection.execute(f"CREATE SCHEMA {schema}")
            connection.execute(table)
            connection.execute(heartbeat_ddl(department))
            # There from the beginning: a snapshot's READ of it tells where the snapshot stands.
            connection.execute(heartbeat_beat(department))
            connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {ROLE}")
            connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {ROLE}")
            connection.execute(f"GRANT INSERT, UPDATE ON {quoted(department.heartbeat_table)} TO {ROLE}")
            for source in department.sources:
                connection.execute(f"ALTER TABLE {quoted(source.table)} REPLICA IDENTITY FULL")
            # The publication is the owner's to make: the capture role owns nothing.
            connection.execute(publication_ddl(department))

    def fill(self, people: Iterable[Person]) -> None:
        """The people as each department knows them; they agree."""
        residents, insured, graduates = [], [], []
        for one in people:
            residents.append(
                (one.number, one.id_number, one.name, one.sex, one.birth_date, "汉族", REGION, one.address, one.moved_in_on, one.mobile)
            )
            if one.number % 4:
                insured.append(
                    (one.number, one.id_number, one.name, one.sex, one.birth_date, one.mobile, one.employer, "1", one.insured_since)
                )
            if one.number % 3 == 0:
                graduates.append(
                    (f"AH{one.number:08d}", one.id_number, "BACHELOR", one.birth_date.replace(year=one.birth_date.year + 22, day=1))
                )
        self._insert("jinan/public_security", "hj.t_czrk (rybh, gmsfhm, xm, xb, csrq, mz, hjqh, hjdz, qrrq, lxdh)", residents)
        self._insert("jinan/human_resources", "si.ac01 (aac001, aac002, aac003, aac004, aac006, aae005, aab004, aac008, aac049)", insured)
        self._insert("anhui/education", "edu.graduate (certificate_no, id_card, level, graduated_on)", graduates)

    def _insert(self, department: str, into: str, rows: list[tuple[Any, ...]]) -> None:
        with self.connect(department) as connection, connection.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {into} VALUES ({', '.join(['%s'] * len(rows[0]))})", rows)  # noqa: S608
