package bench;

import java.util.List;
import java.util.Map;

/** What the store keeps of a record: its slots, what golden last said of it, the findings that stand. */
record RecordState(List<Claim> slots, long version, byte[] digest, Text jurisdiction, Map<Text, Long> left, List<Finding> findings) {
    static final RecordState EMPTY = new RecordState(List.of(), 0, new byte[0], null, Map.of(), List.of());
}
