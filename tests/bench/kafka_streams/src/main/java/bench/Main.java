package bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.zip.CRC32;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.StreamPartitioner;
import org.apache.kafka.streams.processor.internals.DefaultKafkaClientSupplier;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.Stores;

/** Arguments: job.json, where to write what was measured, entity.json, the processing guarantee. */
public final class Main {
    public static void main(String[] arguments) throws Exception {
        Job job = new Job(new File(arguments[0]));
        Catalogue catalogue = new Catalogue(new ObjectMapper().readTree(new File(arguments[2])));
        Clock clock = new Clock(job);
        Throwable[] failure = new Throwable[1];
        KafkaStreams streams = new KafkaStreams(topology(job, catalogue, clock), settings(job, arguments[3]), new Clients(clock));
        streams.setUncaughtExceptionHandler(thrown -> {
            failure[0] = thrown;
            clock.ended().countDown();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.start();
        boolean inTime = clock.ended().await((long) job.giveUpSeconds, TimeUnit.SECONDS);
        streams.close();
        if (!inTime || failure[0] != null) {
            throw new IllegalStateException("the changes were not all done", failure[0]);
        }
        Files.writeString(Path.of(arguments[1]), clock.measured);
    }

    private static Topology topology(Job job, Catalogue catalogue, Clock clock) {
        Map<String, String> topics = Map.of(
            Resolve.STATE, job.node + ".state." + job.entity, Resolve.GOLDEN, job.node + ".golden." + job.entity,
            Resolve.FINDING, job.node + ".finding");
        Topology topology = new Topology();
        topology.addSource("claims", new ByteArrayDeserializer(), new ByteArrayDeserializer(), job.claims);
        topology.addProcessor("resolve", () -> new Resolve(job, catalogue, clock), "claims");
        KeyValueBytesStoreSupplier onDisk = Stores.persistentKeyValueStore(Resolve.STORE);
        topology.addStateStore(Stores.keyValueStoreBuilder(onDisk, Serdes.Bytes(), new StateSerde(catalogue)), "resolve");
        StreamPartitioner<byte[], byte[]> partitioner = Main::partition;
        topics.forEach((sink, topic) ->
            topology.addSink(sink, topic, new ByteArraySerializer(), new ByteArraySerializer(), partitioner, "resolve"));
        return topology;
    }

    /** CRC-32 of the entity key, as everywhere in the bench. */
    private static Optional<Set<Integer>> partition(String topic, byte[] key, byte[] value, int partitions) {
        int length = 0;
        while (length < key.length && key[length] != Job.SEPARATOR) {
            length++;
        }
        CRC32 crc = new CRC32();
        crc.update(key, 0, length);
        return Optional.of(Set.of((int) (crc.getValue() % partitions)));
    }

    private static Properties settings(Job job, String guarantee) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, job.node + ".streams");
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, job.bootstrap);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, job.directory);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 * 1024);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 128L * 1024 * 1024);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.mainConsumerPrefix(ConsumerConfig.GROUP_INSTANCE_ID_CONFIG), "0");
        return settings;
    }

    /** The clients that Kafka Streams makes itself, but that the clock hears of commits. */
    private static final class Clients extends DefaultKafkaClientSupplier {
        private final Clock clock;

        Clients(Clock clock) {
            this.clock = clock;
        }

        @Override
        public Consumer<byte[], byte[]> getConsumer(Map<String, Object> config) {
            return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer()) {
                @Override
                public void commitSync(Map<TopicPartition, OffsetAndMetadata> offsets) {
                    super.commitSync(offsets);
                    clock.committed(offsets);
                }
            };
        }

        @Override
        public Producer<byte[], byte[]> getProducer(Map<String, Object> config) {
            return new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer()) {
                private final Map<TopicPartition, OffsetAndMetadata> sent = new HashMap<>();

                @Override
                public void sendOffsetsToTransaction(Map<TopicPartition, OffsetAndMetadata> offsets, ConsumerGroupMetadata group) {
                    super.sendOffsetsToTransaction(offsets, group);
                    sent.putAll(offsets);
                }

                @Override
                public void commitTransaction() {
                    super.commitTransaction();
                    clock.committed(sent);
                }
            };
        }
    }
}
