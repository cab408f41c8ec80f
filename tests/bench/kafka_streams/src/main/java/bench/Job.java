package bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;

/** What the bench tells a side (job.py), and the framing of the registry's schema ids. */
final class Job {
    static final int SEPARATOR = 0x1f;
    private static final int FRAME = 5;

    final String bootstrap, node, claims, entity, directory;
    final long before, warmUp, tail, changes;
    final double giveUpSeconds;
    final byte[] claimPrefix, goldenPrefix, findingPrefix;

    Job(File file) throws IOException {
        JsonNode said = new ObjectMapper().readTree(file);
        bootstrap = said.get("bootstrap").asText();
        node = said.get("node").asText();
        claims = said.get("claims").asText();
        entity = said.get("entity").asText();
        directory = said.get("directory").asText();
        before = said.get("before").asLong();
        warmUp = said.get("warm_up").asLong();
        tail = said.get("tail").asLong();
        changes = said.get("changes").asLong();
        giveUpSeconds = said.get("give_up_seconds").asDouble();
        claimPrefix = prefix(said, "Claim");
        goldenPrefix = prefix(said, "Golden");
        findingPrefix = prefix(said, "Finding");
    }

    private static byte[] prefix(JsonNode said, String name) {
        return ByteBuffer.allocate(FRAME).put((byte) 0).putInt(said.get("schema_ids").get(name).asInt()).array();
    }

    byte[] payload(byte[] framed) {
        if (!Arrays.equals(framed, 0, FRAME, claimPrefix, 0, FRAME)) {
            throw new IllegalArgumentException("not a claim of the bench");
        }
        return Arrays.copyOfRange(framed, FRAME, framed.length);
    }

    byte[] framed(byte[] prefix, byte[] payload) {
        return ByteBuffer.allocate(FRAME + payload.length).put(prefix).put(payload).array();
    }
}
