"""What a department's PostgreSQL, MariaDB or MySQL must be like to be captured without loss: questions and their answers.

Asked by `sync-engine check --databases` as the connector's own user. The surprise: the replica identity is asked for, as with the default
one a delete does not say whose record the row was. MariaDB's and MySQL's counterpart is the row image; what a session may set for itself
there (`sql_log_bin`, `binlog_format`, `binlog_row_image`) no question can see: only its administrator should have that privilege.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from sync_engine.model.declaration import Department, Source, Title

BINLOG_KINDS = ("mariadb", "mysql")


@dataclass(frozen=True)
class DatabaseCheck:
    """`sql` (parameters as `%(name)s`) gives one row of one text; it must be `expected`, else `remedy` is what to do."""

    subject: str
    sql: str
    parameters: Mapping[str, str | list[str]]
    expected: str
    remedy: Title


_CORRECT_COLUMNS = Title("更正声明, 或向该部门询问何处有变", "correct the declaration, or ask the department what has changed")
_CORRECT_KEY = Title("更正声明中的 primary_key: 行靠它区分", "correct primary_key in the declaration: rows are told apart by it")


def _as_it_is(sql: str) -> Title:
    return Title(sql, sql)


def _granted(grant: str) -> Title:
    return Title(f"对采集用户执行 {grant}", f"{grant} to the connector's user")


_WAL_LEVEL = "SELECT current_setting('wal_level')"

_ROLE = "SELECT (rolreplication OR rolsuper)::text FROM pg_roles WHERE rolname = current_user"

# By name from the catalogue, not by to_regclass: that raises where the user may not use the schema.
_PRIVILEGES = """
    SELECT coalesce(bool_and(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, privilege)), false)::text
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, unnest(%(privileges)s::text[]) AS privilege
    WHERE n.nspname = %(schema)s AND c.relname = %(table)s"""

_COLUMNS = """
    SELECT coalesce(string_agg(a.attname, ',' ORDER BY a.attname COLLATE "C"), '')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE n.nspname = %(schema)s AND c.relname = %(table)s AND a.attnum > 0 AND NOT a.attisdropped"""

_PRIMARY_KEY = """
    SELECT coalesce(string_agg(a.attname, ',' ORDER BY array_position(i.indkey::int2[], a.attnum)), '')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
    WHERE n.nspname = %(schema)s AND c.relname = %(table)s"""

_REPLICA_IDENTITY = """
    SELECT coalesce(bool_or(c.relreplident = 'f') OR array_agg(a.attname::text) @> %(columns)s::text[], false)::text
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_index i ON i.indrelid = c.oid
        AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
    WHERE n.nspname = %(schema)s AND c.relname = %(table)s"""


_DEFAULTS = """
    SELECT coalesce(string_agg(a.attname, ',' ORDER BY a.attname COLLATE "C"), '')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE n.nspname = %(schema)s AND c.relname = %(table)s AND a.attnum > 0 AND NOT a.attisdropped
        AND a.atthasdef AND NOT a.attnotnull AND a.attgenerated = '' AND a.attname = ANY (%(columns)s::text[])"""

_PUBLICATION = """
    SELECT coalesce((
        SELECT string_agg(format('%%s.%%s', t.schemaname, t.tablename), ',' ORDER BY t.schemaname COLLATE "C", t.tablename COLLATE "C")
        FROM pg_publication_tables t JOIN pg_publication p ON p.pubname = t.pubname
        WHERE p.pubname = %(publication)s AND p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate), '')"""

_IDENTIFIER_BYTES_MAX = 63
"""PostgreSQL's limit for the name of a replication slot and of a publication."""


def capture_name(department: Department) -> str:
    """Of the replication slot and of the publication. Declared names have no `__` of their own, so no two departments share one."""
    name = f"sync_{department.node}__{department.name}"
    if len(name) <= _IDENTIFIER_BYTES_MAX:
        return name
    digest = blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{name[: _IDENTIFIER_BYTES_MAX - 2 - len(digest)]}__{digest}"


def captured_tables(department: Department) -> tuple[str, ...]:
    """Every table of the department's connector, sorted: the sources' and the heartbeat's."""
    return tuple(sorted({department.heartbeat_table, *(source.table for source in department.sources)}))


def publication_ddl(department: Department) -> str:
    """Makes the publication, where the database's owner does it (publication mode `disabled`)."""
    tables = ", ".join(quoted(table) for table in captured_tables(department))
    return f"CREATE PUBLICATION {capture_name(department)} FOR TABLE {tables} WITH (publish = 'insert, update, delete, truncate')"


def heartbeat_ddl(department: Department) -> str:
    """Makes the heartbeat table: the only thing of ours in a department's database."""
    if department.kind in BINLOG_KINDS:
        table = quoted(department.heartbeat_table, department.kind)
        # A DATETIME would be captured as a number without a zone, a TIMESTAMP as a text in UTC.
        return f"CREATE TABLE IF NOT EXISTS {table} (id int PRIMARY KEY, beat_at timestamp(6) NOT NULL DEFAULT current_timestamp(6))"
    return f"CREATE TABLE IF NOT EXISTS {quoted(department.heartbeat_table)} (id integer PRIMARY KEY, beat_at timestamptz NOT NULL)"


def heartbeat_beat(department: Department) -> str:
    """Writes a beat with the database's own time."""
    # Declared table names hold letters, digits and `_` only.
    if department.kind in BINLOG_KINDS:
        return (
            f"INSERT INTO {quoted(department.heartbeat_table, department.kind)} (id, beat_at) VALUES (1, sysdate(6)) "  # noqa: S608
            "ON DUPLICATE KEY UPDATE beat_at = VALUES(beat_at)"
        )
    return (
        f"INSERT INTO {quoted(department.heartbeat_table)} (id, beat_at) VALUES (1, clock_timestamp()) "  # noqa: S608
        "ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at"
    )


def check_queries(department: Department, publication_mode: str = "filtered") -> Iterator[DatabaseCheck]:
    """What must hold before the department is captured. In mode `disabled` PostgreSQL's publication must be there, too."""
    if department.kind in BINLOG_KINDS:
        yield from _binlog_queries(department)
        return
    yield DatabaseCheck(
        "wal_level",
        _WAL_LEVEL,
        {},
        "logical",
        Title("设 wal_level = logical, 并重启服务器", "set wal_level = logical and restart the server"),
    )
    yield DatabaseCheck(
        "role", _ROLE, {}, "true", Title("对采集用户执行 ALTER ROLE … REPLICATION", "ALTER ROLE … REPLICATION for the connector's user")
    )
    heartbeat = department.heartbeat_table
    yield _columns(heartbeat, {"id", "beat_at"}, _as_it_is(heartbeat_ddl(department)))
    yield _privileges(heartbeat, ["SELECT", "INSERT", "UPDATE"])
    for source in department.sources:
        yield _columns(source.table, source.columns, _CORRECT_COLUMNS)
        yield _privileges(source.table, ["SELECT"])
        yield DatabaseCheck(
            f"{source.table}: primary key",
            _PRIMARY_KEY,
            _named(source.table),
            ",".join(source.primary_key),
            _CORRECT_KEY,
        )
        yield _replica_identity(source)
        yield _defaults(source)
    if publication_mode == "disabled":
        tables = ",".join(captured_tables(department))
        yield DatabaseCheck(
            "publication", _PUBLICATION, {"publication": capture_name(department)}, tables, _as_it_is(publication_ddl(department))
        )


def _columns(table: str, columns: frozenset[str] | set[str], remedy: Title) -> DatabaseCheck:
    return DatabaseCheck(f"{table}: columns", _COLUMNS, _named(table), ",".join(sorted(columns)), remedy)


def _privileges(table: str, privileges: list[str]) -> DatabaseCheck:
    remedy = _granted(f"GRANT {', '.join(privileges)} ON {quoted(table)}")
    return DatabaseCheck(f"{table}: privileges", _PRIVILEGES, {**_named(table), "privileges": privileges}, "true", remedy)


def _replica_identity(source: Source) -> DatabaseCheck:
    keys = sorted({*source.primary_key, *(mapping.key_column for mapping in source.mappings)})
    alter = f"ALTER TABLE {quoted(source.table)} REPLICA IDENTITY FULL"
    return DatabaseCheck(
        f"{source.table}: replica identity",
        _REPLICA_IDENTITY,
        {**_named(source.table), "columns": keys},
        "true",
        Title(
            f"{alter}, 或 USING INDEX 一个含 {', '.join(keys)} 的索引: 否则删除或改键时不知是谁的记录",
            f"{alter}, or USING INDEX with one that holds {', '.join(keys)}: "
            "else a delete or a changed key does not say whose record it was",
        ),
    )


def _defaults(source: Source) -> DatabaseCheck:
    """Kafka Connect gives a column's default for a NULL in it (KAFKA-8713), and the registry's converter has no setting for that: an item
    that the authority has emptied would get the default's value."""
    return DatabaseCheck(
        f"{source.table}: defaults",
        _DEFAULTS,
        {**_named(source.table), "columns": sorted(source.columns - source.ignored)},
        "",
        Title(
            f"ALTER TABLE {quoted(source.table)} ALTER … DROP DEFAULT, 或 SET NOT NULL: NULL 会被采集成默认值",
            f"ALTER TABLE {quoted(source.table)} ALTER … DROP DEFAULT, or SET NOT NULL: a NULL is captured as the default",
        ),
    )


# --- what stands in a captured table: its rows are compared with what came of them ---


def database_now(kind: str) -> str:
    """The database's own time of this moment, as `heartbeat_beat` writes it, in milliseconds, cut off."""
    if kind in BINLOG_KINDS:
        return "SELECT CAST(floor(unix_timestamp(sysdate(6)) * 1000) AS signed)"
    return "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"


def read_columns(source: Source) -> tuple[str, ...]:
    """The columns that the table's mappings need; no other is read."""
    return tuple(sorted({*(source.columns - source.ignored), *source.primary_key}))


def rows_behind(source: Source, kind: str, limit: int, *, begins: bool) -> str:
    """The next `limit` rows in the order of the primary key. But where it `begins`, `%s` are the key of the row before (`key_behind`)."""
    keys = [_quote(column, kind) for column in source.primary_key]
    # Not as one row (a, b) > (x, y): MariaDB finds no index for that.
    steps = [" AND ".join([*(f"{each} = %s" for each in keys[:depth]), f"{key} > %s"]) for depth, key in enumerate(keys)]
    where = "" if begins else f" WHERE {' OR '.join(f'({step})' for step in steps)}"
    return f"{_select(source, kind)}{where} ORDER BY {', '.join(keys)} LIMIT {limit}"


def key_behind(key: Sequence[object]) -> list[object]:
    """The parameters of `rows_behind` for the key of the row before."""
    return [value for depth in range(len(key)) for value in key[: depth + 1]]


def rows_named(source: Source, kind: str, count: int) -> str:
    """So many rows by their primary keys, which are the parameters."""
    keys = ", ".join(_quote(column, kind) for column in source.primary_key)
    key = f"({', '.join(['%s'] * len(source.primary_key))})"
    return f"{_select(source, kind)} WHERE ({keys}) IN ({', '.join([key] * count)})"


def _select(source: Source, kind: str) -> str:
    columns = ", ".join(_quote(column, kind) for column in read_columns(source))
    return f"SELECT {columns} FROM {quoted(source.table, kind)}"  # noqa: S608  # declared names hold letters, digits and `_` only


def _quote(column: str, kind: str) -> str:
    mark = "`" if kind in BINLOG_KINDS else '"'
    return f"{mark}{column}{mark}"


def _named(table: str) -> dict[str, str | list[str]]:
    schema, _, name = table.partition(".")
    return {"schema": schema, "table": name}


def quoted(table: str, kind: str = "postgresql") -> str:
    """schema.table as an SQL name that keeps its case."""
    mark = "`" if kind in BINLOG_KINDS else '"'
    return ".".join(f"{mark}{part}{mark}" for part in table.split("."))


# --- MariaDB, MySQL ---


@dataclass(frozen=True)
class _Dialect:
    """What differs between the two."""

    variables: str
    """Where the server's settings are read."""
    privilege: str
    """What lets the connector ask where the binlog ends."""


_DIALECTS: Mapping[str, _Dialect] = {
    "mariadb": _Dialect("information_schema.global_variables", "BINLOG MONITOR"),
    "mysql": _Dialect("performance_schema.global_variables", "REPLICATION CLIENT"),
}

_BINLOG_VARIABLES = (
    ("LOG_BIN", "ON", Title("以 log_bin 启动服务器", "start the server with log_bin")),
    (
        "BINLOG_FORMAT",
        "ROW",
        Title("设 binlog_format = ROW: 语句不说明改了哪些行", "set binlog_format = ROW: statements do not say which rows they changed"),
    ),
    (
        "BINLOG_ROW_IMAGE",
        "FULL",
        Title(
            "设 binlog_row_image = FULL: 否则变更不说明是谁的记录",
            "set binlog_row_image = FULL: else a change does not say whose record the row was",
        ),
    ),
)

_MYSELF = "concat(quote(substring_index(current_user(), '@', 1)), '@', quote(substring_index(current_user(), '@', -1)))"

_BINLOG_ROLE = f"""
    SELECT CASE WHEN count(*) = 3 THEN 'true' ELSE 'false' END FROM information_schema.user_privileges
    WHERE grantee = {_MYSELF} AND privilege_type IN ('RELOAD', 'REPLICATION SLAVE', %(privilege)s)"""  # noqa: S608

_BINLOG_COLUMNS = """
    SELECT coalesce(group_concat(column_name ORDER BY binary column_name SEPARATOR ','), '')
    FROM information_schema.columns WHERE table_schema = %(schema)s AND table_name = %(table)s"""

_BINLOG_PRIMARY_KEY = """
    SELECT coalesce(group_concat(column_name ORDER BY seq_in_index SEPARATOR ','), '')
    FROM information_schema.statistics WHERE table_schema = %(schema)s AND table_name = %(table)s AND index_name = 'PRIMARY'"""

_BINLOG_DEFAULTS = """
    SELECT coalesce(group_concat(column_name ORDER BY binary column_name SEPARATOR ','), '')
    FROM information_schema.columns WHERE table_schema = %(schema)s AND table_name = %(table)s
    AND is_nullable = 'YES' AND column_default <> 'NULL' AND find_in_set(column_name, %(columns)s)"""

# Granted on everything, on the database, or on the table.
_BINLOG_PRIVILEGES = f"""
    SELECT CASE WHEN count(DISTINCT privilege_type) = %(count)s THEN 'true' ELSE 'false' END FROM (
        SELECT grantee, privilege_type FROM information_schema.user_privileges
        UNION ALL
        SELECT grantee, privilege_type FROM information_schema.schema_privileges WHERE %(schema)s LIKE table_schema
        UNION ALL
        SELECT grantee, privilege_type FROM information_schema.table_privileges
        WHERE table_schema = %(schema)s AND table_name = %(table)s
    ) AS granted
    WHERE grantee = {_MYSELF} AND find_in_set(privilege_type, %(privileges)s)"""  # noqa: S608


def _binlog_queries(department: Department) -> Iterator[DatabaseCheck]:
    kind, dialect = department.kind, _DIALECTS[department.kind]
    for name, expected, remedy in _BINLOG_VARIABLES:
        variable = f"SELECT variable_value FROM {dialect.variables} WHERE variable_name = %(name)s"  # noqa: S608
        yield DatabaseCheck(name.lower(), variable, {"name": name}, expected, remedy)
    grant = _granted(f"GRANT RELOAD, REPLICATION SLAVE, {dialect.privilege} ON *.*")
    yield DatabaseCheck("role", _BINLOG_ROLE, {"privilege": dialect.privilege}, "true", grant)
    heartbeat = department.heartbeat_table
    yield _binlog_columns(heartbeat, {"id", "beat_at"}, _as_it_is(heartbeat_ddl(department)))
    yield _binlog_privileges(kind, heartbeat, ["SELECT", "INSERT", "UPDATE"])
    for source in department.sources:
        yield _binlog_columns(source.table, source.columns, _CORRECT_COLUMNS)
        yield _binlog_privileges(kind, source.table, ["SELECT"])
        yield _binlog_defaults(kind, source)
        yield DatabaseCheck(
            f"{source.table}: primary key",
            _BINLOG_PRIMARY_KEY,
            _named(source.table),
            ",".join(source.primary_key),
            _CORRECT_KEY,
        )


def _binlog_columns(table: str, columns: frozenset[str] | set[str], remedy: Title) -> DatabaseCheck:
    return DatabaseCheck(f"{table}: columns", _BINLOG_COLUMNS, _named(table), ",".join(sorted(columns)), remedy)


def _binlog_defaults(kind: str, source: Source) -> DatabaseCheck:
    """Kafka Connect gives a column's default for a NULL in it (KAFKA-8713; the Apicurio converter has no setting for it): seen on MariaDB
    11.4 in snapshot and stream. So an item that the authority has emptied would get the default's value."""
    return DatabaseCheck(
        f"{source.table}: defaults",
        _BINLOG_DEFAULTS,
        {**_named(source.table), "columns": ",".join(sorted(source.columns - source.ignored))},
        "",
        Title(
            f"ALTER TABLE {quoted(source.table, kind)} ALTER … SET DEFAULT NULL, 或 NOT NULL: NULL 会被采集成默认值",
            f"ALTER TABLE {quoted(source.table, kind)} ALTER … SET DEFAULT NULL, or NOT NULL: a NULL is captured as the default",
        ),
    )


def _binlog_privileges(kind: str, table: str, privileges: list[str]) -> DatabaseCheck:
    remedy = _granted(f"GRANT {', '.join(privileges)} ON {quoted(table, kind)}")
    parameters = {**_named(table), "privileges": ",".join(privileges), "count": str(len(privileges))}
    return DatabaseCheck(f"{table}: privileges", _BINLOG_PRIVILEGES, parameters, "true", remedy)
