package bench;

import java.util.Arrays;

/** A buffer that grows, with Avro's and JSON's ways of writing. One for each thread, used again and again. */
final class Output {
    private byte[] bytes = new byte[8192];
    private int size;

    Output clear() {
        size = 0;
        return this;
    }

    byte[] taken() {
        return Arrays.copyOf(bytes, size);
    }

    byte[] buffer() {
        return bytes;
    }

    int size() {
        return size;
    }

    void raw(byte[] added) {
        raw(added, 0, added.length);
    }

    void raw(byte[] added, int from, int length) {
        room(length);
        System.arraycopy(added, from, bytes, size, length);
        size += length;
    }

    void octet(int value) {
        room(1);
        bytes[size++] = (byte) value;
    }

    private void room(int wanted) {
        if (size + wanted > bytes.length) {
            bytes = Arrays.copyOf(bytes, Math.max(bytes.length * 2, size + wanted));
        }
    }

    // --- Avro ---

    void number(long value) {
        room(10);
        long n = (value << 1) ^ (value >> 63);
        while ((n & ~127L) != 0) {
            bytes[size++] = (byte) (n & 127 | 128);
            n >>>= 7;
        }
        bytes[size++] = (byte) n;
    }

    void text(byte[] utf8) {
        number(utf8.length);
        raw(utf8);
    }

    void optionalText(Text text) {
        if (text == null) {
            octet(0);
        } else {
            octet(2);
            text(text.bytes);
        }
    }

    void stamp(long[] stamp) {
        for (long each : stamp) {
            number(each);
        }
    }

    void optionalStamp(long[] stamp) {
        if (stamp == null) {
            octet(0);
        } else {
            octet(2);
            stamp(stamp);
        }
    }

    // --- JSON: UTF-8, no blanks, non-ASCII unescaped ---

    private static final byte[] HEX = "0123456789abcdef".getBytes();

    void json(Object value) {
        if (value == null || value == Claim.NULL) {
            ascii("null");
        } else if (value instanceof Text text) {
            jsonText(text.bytes);
        } else {
            ascii(value.toString());
        }
    }

    void jsonText(byte[] utf8) {
        octet('"');
        int from = 0;
        for (int i = 0; i < utf8.length; i++) {
            int c = utf8[i];
            if (c >= 0 && c < 32 || c == '"' || c == '\\') {
                raw(utf8, from, i - from);
                escaped(c);
                from = i + 1;
            }
        }
        raw(utf8, from, utf8.length - from);
        octet('"');
    }

    private void escaped(int c) {
        octet('\\');
        int place = "\"\\\b\f\n\r\t".indexOf(c);
        if (place >= 0) {
            octet("\"\\bfnrt".charAt(place));
        } else {
            ascii("u00");
            octet(HEX[c >> 4]);
            octet(HEX[c & 15]);
        }
    }

    void ascii(String text) {
        for (int i = 0; i < text.length(); i++) {
            octet(text.charAt(i));
        }
    }
}
