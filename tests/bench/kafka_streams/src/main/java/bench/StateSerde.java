package bench;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serializer;

/** The state as compact bytes: a slot is the Avro of its claim, which is at hand and is not encoded again. */
final class StateSerde implements Serde<RecordState> {
    private final Output out = new Output();
    private final Wire wire;

    StateSerde(Catalogue catalogue) {
        wire = new Wire(catalogue);
    }

    @Override
    public Serializer<RecordState> serializer() {
        return (topic, state) -> state == null ? null : bytesOf(state);
    }

    @Override
    public Deserializer<RecordState> deserializer() {
        return (topic, bytes) -> bytes == null ? null : stateOf(ByteBuffer.wrap(bytes));
    }

    private byte[] bytesOf(RecordState state) {
        out.clear();
        fixed(state.version());
        sized(state.digest());
        sized(state.jurisdiction() == null ? new byte[0] : state.jurisdiction().bytes);
        out.octet(state.left().size());
        state.left().forEach((region, at) -> {
            sized(region.bytes);
            fixed(at);
        });
        out.octet(state.findings().size());
        state.findings().forEach(this::finding);
        out.octet(state.slots().size());
        for (Claim slot : state.slots()) {
            sized(slot.raw);
        }
        return out.taken();
    }

    private void finding(Finding finding) {
        sized(finding.kind().bytes);
        sized(finding.rule().bytes);
        sized(finding.item().bytes);
        out.octet(finding.pairs().size());
        for (Finding.Pair pair : finding.pairs()) {
            sized(pair.source().bytes);
            out.octet(pair.value() instanceof Text ? 0 : pair.value() instanceof Long ? 1 : 2);
            sized(pair.value() instanceof Text text ? text.bytes : pair.value().toString().getBytes());
        }
    }

    private void fixed(long value) {
        out.raw(ByteBuffer.allocate(8).putLong(value).array());
    }

    private void sized(byte[] bytes) {
        out.octet(bytes.length >> 8);
        out.octet(bytes.length);
        out.raw(bytes);
    }

    private RecordState stateOf(ByteBuffer in) {
        long version = in.getLong();
        byte[] digest = sized(in), region = sized(in);
        int regions = in.get();
        Map<Text, Long> left = regions == 0 ? Map.of() : new HashMap<>();
        for (int n = 0; n < regions; n++) {
            left.put(new Text(sized(in)), in.getLong());
        }
        int count = in.get();
        List<Finding> findings = count == 0 ? List.of() : new ArrayList<>(count);
        for (int n = 0; n < count; n++) {
            findings.add(finding(in));
        }
        Claim[] slots = new Claim[in.get()];
        for (int n = 0; n < slots.length; n++) {
            slots[n] = wire.claim(sized(in));
        }
        return new RecordState(Arrays.asList(slots), version, digest, region.length == 0 ? null : new Text(region), left, findings);
    }

    private static Finding finding(ByteBuffer in) {
        Text kind = new Text(sized(in)), rule = new Text(sized(in)), item = new Text(sized(in));
        List<Finding.Pair> pairs = new ArrayList<>();
        for (int n = in.get(); n > 0; n--) {
            Text source = new Text(sized(in));
            int type = in.get();
            Text value = new Text(sized(in));
            pairs.add(new Finding.Pair(source, switch (type) {
                case 0 -> value;
                case 1 -> Long.valueOf(value.toString());
                default -> Boolean.valueOf(value.toString());
            }));
        }
        return new Finding(kind, rule, item, pairs);
    }

    private static byte[] sized(ByteBuffer in) {
        byte[] bytes = new byte[Short.toUnsignedInt(in.getShort())];
        in.get(bytes);
        return bytes;
    }
}
