package bench;

import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/** From the first commit behind the warm-up to the first behind the last measured change; claims before this turn were committed in others. */
final class Clock {
    private final Job job;
    private final OperatingSystemMXBean system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    private final Map<TopicPartition, Long> positions = new HashMap<>();
    private final CountDownLatch ended = new CountDownLatch(1);
    private volatile long processed;
    private volatile long committed = -1;
    private long measuredFrom = -1;
    private long wall, cpu;
    String measured;

    Clock(Job job) {
        this.job = job;
        if (job.warmUp == 0) {
            begin(0);
        }
    }

    /** Only the one stream thread says this. */
    void processed() {
        processed++;
    }

    /** Whether the warm-up, what is measured, or everything is processed and not committed yet. */
    boolean waitsForCommit() {
        return processed >= job.warmUp && measuredFrom < 0 || processed >= job.changes - job.tail && measured == null
            || processed >= job.changes && committed < job.changes;
    }


    void committed(Map<TopicPartition, OffsetAndMetadata> offsets) {
        offsets.forEach((partition, next) -> positions.put(partition, next.offset()));
        long sum = -job.before;
        for (long position : positions.values()) {
            sum += position;
        }
        committed = sum;
        if (measuredFrom < 0 && sum >= job.warmUp) {
            begin(sum);
        } else if (sum >= job.changes - job.tail && measured == null) {
            double seconds = (System.nanoTime() - wall) / 1e9, used = (system.getProcessCpuTime() - cpu) / 1e9;
            measured = String.format("{\"changes\":%d,\"wall_seconds\":%f,\"cpu_seconds\":%f}", sum - measuredFrom, seconds, used);
        }
        if (sum == job.changes) {
            ended.countDown();
        }
    }

    private void begin(long sum) {
        measuredFrom = sum;
        wall = System.nanoTime();
        cpu = system.getProcessCpuTime();
    }

    CountDownLatch ended() {
        return ended;
    }
}
