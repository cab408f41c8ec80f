package bench;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** One claim: state of its record, join, content; state, golden and finding records out. */
final class Resolve implements Processor<byte[], byte[], byte[], byte[]> {
    static final String STORE = "records", STATE = "state", GOLDEN = "golden", FINDING = "finding";
    private static final Duration LOOK_WHETHER_ALL_IS_DONE = Duration.ofMillis(20);

    private final Job job;
    private final Clock clock;
    private final Catalogue catalogue;
    private final Wire wire;
    private final Output out = new Output();
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<Bytes, RecordState> store;

    Resolve(Job job, Catalogue catalogue, Clock clock) {
        this.job = job;
        this.catalogue = catalogue;
        this.clock = clock;
        wire = new Wire(catalogue);
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        store = context.getStateStore(STORE);
        // At least once commits every 30 seconds by default: whoever measures cannot wait for it.
        context.schedule(LOOK_WHETHER_ALL_IS_DONE, PunctuationType.WALL_CLOCK_TIME, now -> {
            if (clock.waitsForCommit()) {
                context.commit();
            }
        });
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        clock.processed();
        byte[] key = record.key();
        Claim claim = wire.claim(job.payload(record.value()));
        RecordState found = store.get(Bytes.wrap(key));
        RecordState before = found == null ? RecordState.EMPTY : found;
        List<Claim> slots = new ArrayList<>(before.slots());
        int place = 0;
        while (place < slots.size() && !slots.get(place).sameSlot(claim)) {
            place++;
        }
        Claim slot = claim;
        if (place == slots.size()) {
            slots.add(claim);
        } else {
            Claim old = slots.get(place);
            slot = Claim.join(old, claim);
            if (slot == old || slot.sameWord(old)) {
                return;
            }
            slots.set(place, slot);
        }
        if (slot.raw == null) {
            wire.claim(out.clear(), slot);
            slot.raw = out.taken();
        }
        byte[] said = slot == claim ? record.value() : job.framed(job.claimPrefix, slot.raw);
        context.forward(new Record<>(slotKey(key, slot), said, record.timestamp()), STATE);
        store.put(Bytes.wrap(key), changed(key, before, slots, record.timestamp()));
    }

    private RecordState changed(byte[] key, RecordState before, List<Claim> slots, long timestamp) {
        Resolved resolved = new Resolved(catalogue, key, slots);
        byte[] digest = resolved.digest(out, key);
        RecordState after;
        if (Arrays.equals(digest, before.digest())) {
            after = new RecordState(slots, before.version(), digest, before.jurisdiction(), before.left(), resolved.findings);
        } else {
            long version = before.version() + 1;
            Map<Text, Long> left = left(before, resolved, version);
            after = new RecordState(slots, version, digest, resolved.jurisdiction, left, resolved.findings);
            long effectiveMs = Long.MIN_VALUE;
            for (Claim slot : slots) {
                effectiveMs = Math.max(effectiveMs, slot.effectiveMs);
            }
            out.clear().raw(job.goldenPrefix);
            wire.golden(out, resolved, version, digest, effectiveMs, left);
            context.forward(new Record<>(key, out.taken(), timestamp), GOLDEN);
        }
        tell(key, resolved.findings, before.findings(), true, timestamp);
        tell(key, before.findings(), resolved.findings, false, timestamp);
        return after;
    }

    /** Where the record has been, and the version that left. */
    private static Map<Text, Long> left(RecordState before, Resolved resolved, long version) {
        if (Objects.equals(resolved.jurisdiction, before.jurisdiction())) {
            return before.left();
        }
        Map<Text, Long> left = new HashMap<>(before.left());
        left.remove(resolved.jurisdiction);
        if (before.jurisdiction() != null) {
            left.put(before.jurisdiction(), version);
        }
        return left;
    }

    private void tell(byte[] key, List<Finding> these, List<Finding> others, boolean standing, long timestamp) {
        for (Finding finding : these) {
            if (!others.contains(finding)) {
                out.clear().raw(job.findingPrefix);
                wire.finding(out, finding, key, standing, System.currentTimeMillis());
                context.forward(new Record<>(finding.subject(catalogue.entity, key), out.taken(), timestamp), FINDING);
            }
        }
    }

    private byte[] slotKey(byte[] key, Claim slot) {
        out.clear().raw(key);
        for (Text part : new Text[] {slot.source.id, slot.row, slot.mapping}) {
            out.octet(Job.SEPARATOR);
            out.raw(part.bytes);
        }
        return out.taken();
    }
}
