package bench;

import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;
import org.bouncycastle.crypto.digests.Blake2bDigest;

/** A disagreement of a record's slots. Its id is the digest of its canonical JSON. */
record Finding(Text kind, Text rule, Text item, List<Pair> pairs) {
    record Pair(Text source, Object value) {}

    byte[] id(Text entity, byte[] key) {
        Output out = beginning(entity, key);
        out.octet(',');
        out.octet('[');
        for (int n = 0; n < pairs.size(); n++) {
            out.ascii(n == 0 ? "[" : ",[");
            out.json(pairs.get(n).source());
            out.octet(',');
            out.json(pairs.get(n).value());
            out.octet(']');
        }
        out.ascii("]]");
        return hex(out);
    }

    byte[] subject(Text entity, byte[] key) {
        Output out = beginning(entity, key);
        out.octet(']');
        return hex(out);
    }

    private Output beginning(Text entity, byte[] key) {
        Output out = new Output();
        out.octet('[');
        out.json(entity);
        out.octet(',');
        out.jsonText(key);
        for (Text each : List.of(kind, rule, item)) {
            out.octet(',');
            out.json(each);
        }
        return out;
    }

    private static byte[] hex(Output out) {
        return HexFormat.of().formatHex(digest(out)).getBytes(StandardCharsets.US_ASCII);
    }

    static byte[] digest(Output canonical) {
        Blake2bDigest blake = new Blake2bDigest(128);
        blake.update(canonical.buffer(), 0, canonical.size());
        byte[] digest = new byte[16];
        blake.doFinal(digest, 0);
        return digest;
    }
}
