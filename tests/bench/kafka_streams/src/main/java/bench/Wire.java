package bench;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** The Avro records of the bench, read and written without a generic datum between: claim, golden, finding. */
final class Wire {
    private final Catalogue catalogue;
    private byte[] p;
    private int i;

    Wire(Catalogue catalogue) {
        this.catalogue = catalogue;
    }

    // --- reading ---

    Claim claim(byte[] payload) {
        p = payload;
        i = 0;
        int kind = p[i++] / 2 + 1;
        Source source = source();
        Text row = text(), mapping = text();
        long[] position = numbers(5);
        long effectiveMs = number();
        Text movedTo = optionalText(), via = optionalText();
        Object[] values = items();
        for (int n = entries(); n > 0; n = entries()) {
            for (; n > 0; n--) {
                values[ordinal()] = Claim.NULL;
            }
        }
        long withheld = 0;
        for (int n = entries(); n > 0; n = entries()) {
            for (; n > 0; n--) {
                withheld |= 1L << ordinal();
            }
        }
        long[][] unchanged = null, positions = null;
        for (int n = entries(); n > 0; n = entries()) {
            unchanged = unchanged == null ? new long[values.length][] : unchanged;
            for (; n > 0; n--) {
                unchanged[ordinal()] = numbers(6);
            }
        }
        for (int n = entries(); n > 0; n = entries()) {
            positions = positions == null ? new long[values.length][] : positions;
            for (; n > 0; n--) {
                int item = ordinal(), size = entries();
                positions[item] = numbers(size);
                entries();
            }
        }
        long[] floor = p[i++] == 0 ? null : numbers(6);
        long[] error = p[i++] == 0 ? null : numbers(6);
        if (i != p.length) {
            throw new IllegalArgumentException("bytes left over after the claim");
        }
        Claim claim = new Claim(source, row, mapping, kind, position, values, movedTo, withheld, unchanged, positions, floor,
            effectiveMs, via, error);
        claim.raw = payload;
        return claim;
    }

    private Object[] items() {
        Object[] values = new Object[catalogue.items.length];
        for (int item = 0; item < values.length; item++) {
            if (p[i++] != 0) {
                values[item] = switch (catalogue.types[item]) {
                    case "integer" -> number();
                    case "boolean" -> p[i++] == 1;
                    default -> text();
                };
            }
        }
        return values;
    }

    private Source source() {
        int size = (int) number();
        for (Source source : catalogue.sources) {
            if (Arrays.equals(source.id.bytes, 0, source.id.bytes.length, p, i, i + size)) {
                i += size;
                return source;
            }
        }
        throw new IllegalArgumentException("an unknown source");
    }

    private int ordinal() {
        return Arrays.binarySearch(catalogue.items, text());
    }

    private long number() {
        long n = 0;
        for (int shift = 0;; shift += 7) {
            byte b = p[i++];
            n |= (b & 127L) << shift;
            if (b >= 0) {
                return n >>> 1 ^ -(n & 1);
            }
        }
    }

    private long[] numbers(int count) {
        long[] found = new long[count];
        for (int n = 0; n < count; n++) {
            found[n] = number();
        }
        return found;
    }

    private Text text() {
        int size = (int) number();
        i += size;
        return new Text(Arrays.copyOfRange(p, i - size, i));
    }

    private Text optionalText() {
        return p[i++] == 0 ? null : text();
    }

    private int entries() {
        long count = number();
        if (count < 0) {
            number();
        }
        return (int) Math.abs(count);
    }

    // --- writing ---

    void claim(Output out, Claim claim) {
        out.number(claim.kind - 1);
        out.text(claim.source.id.bytes);
        out.text(claim.row.bytes);
        out.text(claim.mapping.bytes);
        out.stamp(claim.position);
        out.number(claim.effectiveMs);
        out.optionalText(claim.movedTo);
        out.optionalText(claim.via);
        List<Text> nulls = new ArrayList<>(), kept = new ArrayList<>();
        for (int item = 0; item < claim.values.length; item++) {
            item(out, item, claim.values[item]);
            if (claim.values[item] == Claim.NULL) {
                nulls.add(catalogue.items[item]);
            }
            if ((claim.withheld >> item & 1) == 1) {
                kept.add(catalogue.items[item]);
            }
        }
        texts(out, nulls);
        texts(out, kept);
        stamps(out, claim.unchanged, false);
        stamps(out, claim.positions, true);
        out.optionalStamp(claim.floor);
        out.optionalStamp(claim.error);
    }

    private void item(Output out, int item, Object value) {
        if (value == null || value == Claim.NULL) {
            out.octet(0);
            return;
        }
        out.octet(2);
        if (value instanceof Text text) {
            out.text(text.bytes);
        } else if (value instanceof Long number) {
            out.number(number);
        } else {
            out.octet((Boolean) value ? 1 : 0);
        }
    }

    private static void texts(Output out, List<Text> texts) {
        if (!texts.isEmpty()) {
            out.number(texts.size());
            texts.forEach(text -> out.text(text.bytes));
        }
        out.octet(0);
    }

    private void stamps(Output out, long[][] stamps, boolean asArray) {
        int count = stamps == null ? 0 : (int) Arrays.stream(stamps).filter(each -> each != null).count();
        if (count > 0) {
            out.number(count);
            for (int item = 0; item < stamps.length; item++) {
                if (stamps[item] != null) {
                    out.text(catalogue.items[item].bytes);
                    if (asArray) {
                        out.number(stamps[item].length);
                    }
                    out.stamp(stamps[item]);
                    if (asArray) {
                        out.octet(0);
                    }
                }
            }
        }
        out.octet(0);
    }

    void golden(Output out, Resolved resolved, long version, byte[] digest, long effectiveMs, Map<Text, Long> left) {
        out.number(version);
        out.text(digest);
        out.number(resolved.lifeCycle);
        out.optionalText(resolved.movedTo);
        out.optionalText(resolved.jurisdiction);
        out.octet(0);
        int special = 0, won = 0;
        for (int item = 0; item < catalogue.items.length; item++) {
            item(out, item, resolved.winners[item] == null ? null : resolved.value(item));
            special += resolved.isSpecial(item) ? 1 : 0;
            won += resolved.winners[item] == null ? 0 : 1;
        }
        if (special > 0) {
            out.number(special);
            for (int item = 0; item < catalogue.items.length; item++) {
                if (resolved.isSpecial(item)) {
                    out.text(catalogue.items[item].bytes);
                    out.number(resolved.statuses[item]);
                }
            }
        }
        out.octet(0);
        out.octet(0);
        out.number(catalogue.version);
        out.number(effectiveMs);
        if (won > 0) {
            out.number(won);
            for (int item = 0; item < catalogue.items.length; item++) {
                if (resolved.winners[item] != null) {
                    out.text(catalogue.items[item].bytes);
                    out.text(resolved.winners[item].source.id.bytes);
                }
            }
        }
        out.octet(0);
        if (!left.isEmpty()) {
            out.number(left.size());
            left.forEach((region, at) -> {
                out.text(region.bytes);
                out.number(at);
            });
        }
        out.octet(0);
    }

    void finding(Output out, Finding finding, byte[] key, boolean standing, long nowMs) {
        out.text(finding.id(catalogue.entity, key));
        out.text(finding.subject(catalogue.entity, key));
        out.text(catalogue.entity.bytes);
        out.text(key);
        out.text(finding.kind().bytes);
        out.text(finding.rule().bytes);
        out.text(finding.item().bytes);
        out.number(finding.pairs().size());
        for (Finding.Pair pair : finding.pairs()) {
            out.text(pair.source().bytes);
            Output value = new Output();
            value.json(pair.value());
            out.text(value.taken());
        }
        out.octet(0);
        out.octet(standing ? 1 : 0);
        out.number(nowMs);
    }
}
