package bench;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** A string as its UTF-8 bytes, as Avro's own Utf8: most texts are copied from input to output and never looked at. */
final class Text implements Comparable<Text> {
    final byte[] bytes;

    Text(byte[] bytes) {
        this.bytes = bytes;
    }

    static Text of(String text) {
        return new Text(text.getBytes(StandardCharsets.UTF_8));
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Text text && Arrays.equals(bytes, text.bytes);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(bytes);
    }

    @Override
    public int compareTo(Text other) {
        return Arrays.compareUnsigned(bytes, other.bytes);
    }

    @Override
    public String toString() {
        return new String(bytes, StandardCharsets.UTF_8);
    }
}
