// Records what Debezium's connectors for Oracle, SQL Server and Db2 write, without a database: their own classes for the source block,
// the value converters and the envelope are given column values as their drivers (Oracle: LogMiner's SQL) give them.
//
// java -cp '<plugin folder>/*:<connect-json and its jackson>' RecordEnvelopes.java oracle|sqlserver|db2 > <kind>.json
import io.debezium.config.*;
import io.debezium.connector.SnapshotRecord;
import io.debezium.data.Envelope;
import io.debezium.jdbc.*;
import io.debezium.relational.*;
import io.debezium.schema.*;
import io.debezium.spi.topic.TopicNamingStrategy;
import java.lang.reflect.*;
import java.nio.charset.StandardCharsets;
import java.sql.Timestamp;
import java.sql.Types;
import java.time.*;
import java.util.*;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.json.JsonConverter;

public class RecordEnvelopes {
    static final Instant COMMITTED = Instant.ofEpochMilli(1_700_000_000_000L);
    static String kind;
    static CommonConnectorConfig config;
    static Object source;
    static TableSchema schema;
    static JsonConverter json = new JsonConverter();
    static List<String> lines = new ArrayList<>();

    public static void main(String[] args) throws Exception {
        kind = args[0];
        json.configure(Map.of("schemas.enable", "false"), false);
        for (String precision : List.of("isostring", "adaptive")) {
            start(precision);
            record(precision);
        }
        System.out.println("[\n" + String.join(",\n", lines) + "\n]");
    }

    static void start(String precision) throws Exception {
        String prefix = "io.debezium.connector." + kind + "." + Map.of("oracle", "Oracle", "sqlserver", "SqlServer", "db2", "Db2").get(kind);
        Configuration said = Configuration.create().with("topic.prefix", "jinan.public_security").with("database.dbname", "HJ").with("database.names", "HJ")
                .with("database.hostname", "db").with("database.user", "capture").with("decimal.handling.mode", "string").with("time.precision.mode", precision)
                .with("schema.name.adjustment.mode", "avro").build();
        config = (CommonConnectorConfig) Class.forName(prefix + "ConnectorConfig").getConstructor(Configuration.class).newInstance(said);
        Constructor<?> made = Class.forName("io.debezium.connector." + kind + ".SourceInfo").getDeclaredConstructor(config.getClass());
        made.setAccessible(true);
        source = made.newInstance(config);
        TemporalPrecisionMode temporal = TemporalPrecisionMode.parse(precision);
        JdbcValueConverters.DecimalMode decimal = JdbcValueConverters.DecimalMode.STRING;
        Class<?> converters = Class.forName(prefix + "ValueConverters");
        ValueConverterProvider values = (ValueConverterProvider) switch (kind) {
            case "oracle" -> converters.getConstructors()[0].newInstance(config, Offline.made());
            case "sqlserver" -> converters.getConstructor(decimal.getClass(), temporal.getClass(), CommonConnectorConfig.BinaryHandlingMode.class)
                    .newInstance(decimal, temporal, CommonConnectorConfig.BinaryHandlingMode.BYTES);
            default -> converters.getConstructor(decimal.getClass(), temporal.getClass()).newInstance(decimal, temporal);
        };
        TableSchemaBuilder builder = new TableSchemaBuilder(values, config.schemaNameAdjuster(), new CustomConverterRegistry(List.of()),
                config.getSourceInfoStructMaker().schema(), SchemaFactory.get().transactionBlockSchema(), FieldNameSelector.defaultSelector(config.schemaNameAdjuster()), false,
                config.getEventConvertingFailureHandlingMode());
        TopicNamingStrategy<?> topics = config.getTopicNamingStrategy(CommonConnectorConfig.TOPIC_NAMING_STRATEGY);
        schema = builder.create(topics, table(), null, null, ((RelationalDatabaseConnectorConfig) config).getKeyMapper());
    }

    static TableId tableId() {
        return kind.equals("sqlserver") ? new TableId("HJ", "dbo", name("t_czrk")) : new TableId(kind.equals("db2") ? null : "HJ", "HJ", name("t_czrk"));
    }

    static String name(String lower) {
        return kind.equals("sqlserver") ? lower : lower.toUpperCase();
    }

    static Column column(String column, int type, String typeName, int length, Integer scale, boolean optional) {
        ColumnEditor editor = Column.editor().name(name(column)).jdbcType(type).type(typeName).length(length).optional(optional);
        return (scale == null ? editor : editor.scale(scale)).create();
    }

    static Table table() {
        List<Column> columns = switch (kind) {
            case "oracle" -> List.of(
                    column("rybh", Types.NUMERIC, "NUMBER", 18, 0, false), column("gmsfhm", Types.CHAR, "CHAR", 20, null, false),
                    column("xm", Types.NVARCHAR, "NVARCHAR2", 60, null, true), column("xb", Types.CHAR, "CHAR", 2, null, true),
                    column("csrq", Types.TIMESTAMP, "DATE", 0, null, true), column("mz", Types.VARCHAR, "VARCHAR2", 20, null, true),
                    column("swbz", Types.NUMERIC, "NUMBER", 1, 0, true), column("hjqh", Types.NUMERIC, "NUMBER", 6, 0, true),
                    column("hjdz", Types.VARCHAR, "VARCHAR2", 200, null, true), column("qrrq", Types.TIMESTAMP, "TIMESTAMP(6)", 6, null, true),
                    column("lxdh", Types.NUMERIC, "NUMBER", 0, null, true), column("djsj", Types.TIMESTAMP, "TIMESTAMP(9)", 9, null, true));
            case "sqlserver" -> List.of(
                    column("rybh", Types.BIGINT, "bigint", 19, 0, false), column("gmsfhm", Types.CHAR, "char", 20, null, false),
                    column("xm", Types.NVARCHAR, "nvarchar", 60, null, true), column("xb", Types.CHAR, "char", 2, null, true),
                    column("csrq", Types.DATE, "date", 10, 0, true), column("mz", Types.NVARCHAR, "nvarchar", 20, null, true),
                    column("swbz", Types.BIT, "bit", 1, 0, true), column("hjqh", Types.INTEGER, "int", 10, 0, true),
                    column("hjdz", Types.NVARCHAR, "nvarchar", 2147483647, null, true), column("qrrq", Types.TIMESTAMP, "datetime", 23, 3, true),
                    column("lxdh", Types.DECIMAL, "decimal", 20, 0, true), column("djsj", Types.TIMESTAMP, "datetime2", 27, 7, true));
            default -> List.of(
                    column("rybh", Types.BIGINT, "BIGINT", 19, 0, false), column("gmsfhm", Types.CHAR, "CHAR", 20, null, false),
                    column("xm", Types.VARCHAR, "VARCHAR", 60, null, true), column("xb", Types.CHAR, "CHAR", 2, null, true),
                    column("csrq", Types.DATE, "DATE", 10, 0, true), column("mz", Types.VARCHAR, "VARCHAR", 20, null, true),
                    column("swbz", Types.SMALLINT, "SMALLINT", 5, 0, true), column("hjqh", Types.INTEGER, "INTEGER", 10, 0, true),
                    column("hjdz", Types.VARCHAR, "VARCHAR", 200, null, true), column("qrrq", Types.TIMESTAMP, "TIMESTAMP", 26, 6, true),
                    column("lxdh", Types.DECIMAL, "DECIMAL", 20, 0, true), column("djsj", Types.TIMESTAMP, "TIMESTAMP", 26, 6, true));
        };
        return Table.editor().tableId(tableId()).setColumns(columns).setPrimaryKeyNames(name("rybh")).create();
    }

    // As the driver gives them; in Oracle's stream, as LogMiner writes them.
    static Object[] row(String address, boolean stream) {
        if (kind.equals("oracle") && stream) {
            return new Object[]{ "1", "341502199003071235  ", "张三", "1 ", "TO_DATE('1990-03-07 00:00:00', 'YYYY-MM-DD HH24:MI:SS')", "汉族", "0", "341502",
                    address, "TO_TIMESTAMP('2010-09-01 12:30:45.123456')", "13900000001", "TO_TIMESTAMP('2024-01-01 00:00:00.123456789')" };
        }
        Object born = kind.equals("oracle") ? Timestamp.valueOf("1990-03-07 00:00:00") : java.sql.Date.valueOf("1990-03-07");
        Object id = kind.equals("oracle") ? new java.math.BigDecimal(1) : 1L;
        Object dead = switch (kind) { case "sqlserver" -> false; case "oracle" -> new java.math.BigDecimal(0); default -> (short) 0; };
        Object region = kind.equals("oracle") ? new java.math.BigDecimal(341502) : 341502;
        return new Object[]{ id, "341502199003071235  ", "张三", "1 ", born, "汉族", dead, region, address,
                Timestamp.valueOf("2010-09-01 12:30:45.123456"), new java.math.BigDecimal("13900000001"), Timestamp.valueOf("2024-01-01 00:00:00.123456789") };
    }

    static void set(String setter, Object value) throws Exception {
        for (Class<?> each = source.getClass(); each != null; each = each.getSuperclass()) {
            for (Method method : each.getDeclaredMethods()) {
                if (method.getName().equals(setter) && (value == null || wrapped(method.getParameterTypes()[0]).isInstance(value))) {
                    method.setAccessible(true);
                    method.invoke(source, value);
                    return;
                }
            }
        }
        throw new IllegalArgumentException(setter);
    }

    static Class<?> wrapped(Class<?> type) {
        return type == long.class ? Long.class : type;
    }

    static Object of(String type, Object value) throws Exception {
        Class<?> of = Class.forName("io.debezium.connector." + kind + "." + type);
        for (Class<?> kindOfArgument : List.of(String.class, long.class)) {
            try {
                return of.getMethod("valueOf", kindOfArgument).invoke(null, value);
            }
            catch (NoSuchMethodException | IllegalArgumentException next) {
            }
        }
        throw new IllegalArgumentException(type);
    }

    // Where a change stands. Oracle: commit SCN, SCN, number in the transaction. Else: commit LSN, change LSN, serial number (SQL Server).
    static void at(String major, String minor, Long serial, SnapshotRecord snapshot) throws Exception {
        set("setSnapshot", snapshot);
        set("setSourceTime", COMMITTED);
        if (kind.equals("oracle")) {
            set("tableEvent", tableId());
            set("setEventCommitScn", major == null ? null : of("Scn", major));
            set("setEventScn", of("Scn", minor));
            set("setTransactionSequence", serial);
            set("setTransactionId", serial == null ? null : "0a001b00c4050000");
            set("setRsId", serial == null ? null : " 0x000011.00023f2a.0010 ");
            set("setRedoThread", 1);
            return;
        }
        set("setTableId", tableId());
        set("setCommitLsn", of("Lsn", major));
        set("setChangeLsn", of("Lsn", minor == null ? "NULL" : minor));
        if (kind.equals("sqlserver")) {
            set("setEventSerialNo", serial);
        }
    }

    static Struct origin() throws Exception {
        Method struct = io.debezium.connector.AbstractSourceInfo.class.getMethod("struct");
        return (Struct) struct.invoke(source);
    }

    static void add(String what, String precision, Struct envelope) {
        String text = new String(json.fromConnectData("t", envelope.schema(), envelope), StandardCharsets.UTF_8);
        lines.add("{\"what\": \"" + what + "\", \"time.precision.mode\": \"" + precision + "\", \"envelope\": " + text + "}");
    }

    static void record(String precision) throws Exception {
        Envelope envelope = schema.getEnvelopeSchema();
        String[][] places = switch (kind) {
            case "oracle" -> new String[][]{ { null, "2868546" }, { "2868600", "2868550" }, { "2868600", "2868550" }, { "2868700", "2868540" }, { "2868700", "2868700" } };
            case "sqlserver" -> new String[][]{ { "00000027:00000ac0:0002", null }, { "00000027:00000b10:0003", "00000027:00000b10:0002" },
                    { "00000027:00000b10:0003", "00000027:00000b10:0002" }, { "00000027:00000b10:0014", "00000027:00000ae8:0001" },
                    { "00000027:00000b10:0014", "00000027:00000ae8:0001" } };
            default -> new String[][]{ { "00000000:00000000:000000000004fd10", null }, { "00000000:00000000:00000000000511f3", "00000000:00000000:00000000000511a0" },
                    { "00000000:00000000:00000000000511f3", "00000000:00000000:00000000000511c8" }, { "00000000:00000000:0000000000052077", "00000000:00000000:00000000000510ff" },
                    { "00000000:00000000:0000000000052077", "00000000:00000000:00000000000510ff" } };
        };
        if (precision.equals("adaptive")) {
            at(places[1][0], places[1][1], 1L, SnapshotRecord.FALSE);
            add("INSERT", precision, envelope.create(schema.valueFromColumnData(row("皖西路1号", true)), origin(), COMMITTED));
            return;
        }
        at(places[0][0], places[0][1], null, SnapshotRecord.LAST);
        add("last READ of the snapshot", precision, envelope.read(schema.valueFromColumnData(row("皖西路1号", false)), origin(), COMMITTED));
        at(places[1][0], places[1][1], 1L, SnapshotRecord.FALSE);
        add("INSERT", precision, envelope.create(schema.valueFromColumnData(row("皖西路1号", true)), origin(), COMMITTED));
        at(places[2][0], places[2][1], 3L, SnapshotRecord.FALSE);
        add("UPDATE in the same transaction", precision, envelope.update(schema.valueFromColumnData(row("皖西路1号", true)),
                schema.valueFromColumnData(row("皖西路2号", true)), origin(), COMMITTED));
        at(places[3][0], places[3][1], 1L, SnapshotRecord.FALSE);
        add("DELETE in a transaction that began before it and was committed after it", precision,
                envelope.delete(schema.valueFromColumnData(row("皖西路2号", true)), origin(), COMMITTED));
        at(places[4][0], places[4][1], 1L, SnapshotRecord.INCREMENTAL);
        add("READ of an incremental snapshot", precision, envelope.read(schema.valueFromColumnData(row("皖西路2号", false)), origin(), COMMITTED));
    }
}

// What the Oracle converters ask a connection for: the character sets of the database. There is none, so the usual ones.
class Offline extends io.debezium.connector.oracle.OracleConnection {
    Offline() {
        super((io.debezium.jdbc.JdbcConfiguration) null, false);
    }

    static Offline made() throws Exception {
        java.lang.reflect.Field field = sun.misc.Unsafe.class.getDeclaredField("theUnsafe");
        field.setAccessible(true);
        return (Offline) ((sun.misc.Unsafe) field.get(null)).allocateInstance(Offline.class);
    }

    @Override
    public oracle.sql.CharacterSet getNationalCharacterSet() {
        return oracle.sql.CharacterSet.make(oracle.sql.CharacterSet.AL16UTF16_CHARSET);
    }

    @Override
    public oracle.sql.CharacterSet getDatabaseCharacterSet() {
        return oracle.sql.CharacterSet.make(oracle.sql.CharacterSet.AL32UTF8_CHARSET);
    }
}
