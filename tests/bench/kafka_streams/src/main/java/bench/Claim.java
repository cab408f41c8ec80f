package bench;

import java.util.Arrays;
import java.util.Objects;

/**
 * What one slot says of its record, and the join of two claims of one slot (docs/merge.md, 1 to 4). Sweeps do not occur in the bench.
 *
 * <p>Items go by their ordinal. A value is Text, Long, Boolean or NULL; Java's null is an item that the claim does not speak of.
 */
final class Claim {
    static final Object NULL = new Object();
    static final int ASSERT = 1, IN_ERROR = 2;

    final Source source;
    final Text row, mapping;
    final int kind;
    final long[] position;
    final Object[] values;
    final Text movedTo;
    /** Bits of the items that policy keeps back. */
    final long withheld;
    /** By item, the stamp at which it was said to be unchanged; null = none. */
    final long[][] unchanged;
    /** By item, its position where it is not the claim's; null = none. */
    final long[][] positions;
    final long[] floor;
    final long effectiveMs;
    final Text via;
    final long[] error;
    /** Bits of the items with a known cell. */
    final long known;
    /** The Avro bytes, without framing: what the store keeps. */
    byte[] raw;

    Claim(Source source, Text row, Text mapping, int kind, long[] position, Object[] values, Text movedTo, long withheld,
            long[][] unchanged, long[][] positions, long[] floor, long effectiveMs, Text via, long[] error) {
        this.source = source;
        this.row = row;
        this.mapping = mapping;
        this.kind = kind;
        this.position = position;
        this.values = values;
        this.movedTo = movedTo;
        this.withheld = withheld;
        this.unchanged = unchanged;
        this.positions = positions;
        this.floor = floor;
        this.effectiveMs = effectiveMs;
        this.via = via;
        this.error = error;
        long bits = withheld;
        for (int item = 0; item < values.length; item++) {
            if (values[item] != null) {
                bits |= 1L << item;
            }
        }
        known = bits;
    }

    boolean sameSlot(Claim other) {
        return source == other.source && row.equals(other.row) && mapping.equals(other.mapping);
    }

    int compareSlot(Claim other) {
        int order = source.id.compareTo(other.source.id);
        order = order != 0 ? order : row.compareTo(other.row);
        return order != 0 ? order : mapping.compareTo(other.mapping);
    }

    boolean live() {
        return (kind == ASSERT || kind == IN_ERROR) && (floor == null || Arrays.compare(stamp(), floor) >= 0);
    }

    long[] stamp() {
        return stamp(position, kind);
    }

    private static long[] stamp(long[] position, int rank) {
        long[] stamp = Arrays.copyOf(position, 6);
        stamp[5] = rank;
        return stamp;
    }

    boolean replacesAllBefore() {
        return floor == null && kind != IN_ERROR && unchanged == null;
    }

    long[] floorOf() {
        if (floor != null) {
            return floor;
        }
        return replacesAllBefore() ? stamp() : new long[] {position[0], 0, 0, 0, 0, 0};
    }

    long[] errorOf() {
        return kind == IN_ERROR ? stamp() : error;
    }

    long[] positionOf(int item) {
        return positions == null || positions[item] == null ? position : positions[item];
    }

    boolean isUnverified(int item) {
        long[] failed = errorOf();
        return failed != null && Arrays.compare(stamp(positionOf(item), ASSERT), failed) < 0;
    }

    boolean sameWord(Claim other) {
        return Arrays.equals(position, other.position) && kind == other.kind && Arrays.equals(values, other.values)
            && Objects.equals(movedTo, other.movedTo) && withheld == other.withheld && Arrays.deepEquals(unchanged, other.unchanged)
            && Arrays.deepEquals(positions, other.positions) && Arrays.equals(errorOf(), other.errorOf())
            && Arrays.equals(floorOf(), other.floorOf());
    }

    /** The slot of both; the argument itself when nothing of the other lives on. */
    static Claim join(Claim old, Claim next) {
        int order = Arrays.compare(next.position, old.position);
        if (order > 0 && next.replacesAllBefore() && (old.floor == null || Arrays.compare(old.floor, next.stamp()) <= 0)) {
            return next;
        }
        if (order < 0 && old.replacesAllBefore() && (next.floor == null || Arrays.compare(next.floor, old.stamp()) <= 0)) {
            return old;
        }
        return joinItems(old, next);
    }

    private static Claim joinItems(Claim old, Claim next) {
        int items = old.values.length;
        Claim head = Arrays.compare(next.stamp(), old.stamp()) > 0 ? next : old;
        long[] floor = greater(greater(old.floorOf(), next.floorOf()), new long[] {head.position[0], 0, 0, 0, 0, 0});
        Object[] values = new Object[items];
        long[][] positions = new long[items][];
        long[][] unchanged = new long[items][];
        long withheld = 0;
        for (int item = 0; item < items; item++) {
            Claim by = laterKnown(old, next, item, floor);
            if (by != null) {
                values[item] = by.values[item];
                withheld |= by.withheld & 1L << item;
                long[] at = by.positionOf(item);
                positions[item] = Arrays.equals(at, head.position) ? null : at;
            }
            long[] mark = greater(markOf(old, item, floor), markOf(next, item, floor));
            unchanged[item] = mark != null && (by == null || Arrays.compare(mark, stamp(by.positionOf(item), ASSERT)) > 0) ? mark : null;
        }
        Text movedTo = head.movedTo;
        if (Arrays.equals(old.stamp(), next.stamp()) && movedTo != null) {
            movedTo = old.movedTo == null || next.movedTo != null && next.movedTo.compareTo(old.movedTo) > 0 ? next.movedTo : old.movedTo;
        }
        long[] error = greater(atLeast(old.errorOf(), floor), atLeast(next.errorOf(), floor));
        Claim joined = new Claim(head.source, head.row, head.mapping, head.kind, head.position, values, movedTo, withheld,
            orNull(unchanged), orNull(positions), null, head.effectiveMs, head.via, head.kind == IN_ERROR ? null : error);
        if (!Arrays.equals(joined.floorOf(), floor)) {
            joined = new Claim(head.source, head.row, head.mapping, head.kind, head.position, values, movedTo, withheld,
                joined.unchanged, joined.positions, floor, head.effectiveMs, head.via, joined.error);
        }
        return joined.sameWord(old) ? old : joined.sameWord(next) ? next : joined;
    }

    private static Claim laterKnown(Claim old, Claim next, int item, long[] floor) {
        boolean inOld = old.knows(item, floor), inNext = next.knows(item, floor);
        if (!inOld || !inNext) {
            return inOld ? old : inNext ? next : null;
        }
        int order = Arrays.compare(next.positionOf(item), old.positionOf(item));
        return order > 0 || order == 0 && compareCells(next.values[item], old.values[item]) > 0 ? next : old;
    }

    private boolean knows(int item, long[] floor) {
        return (known >> item & 1) == 1 && Arrays.compare(stamp(positionOf(item), ASSERT), floor) >= 0;
    }

    /** Withheld, null, value; values by their canonical JSON. */
    private static int compareCells(Object a, Object b) {
        int rankA = a == null ? 0 : a == NULL ? 1 : 2, rankB = b == null ? 0 : b == NULL ? 1 : 2;
        if (rankA != rankB || rankA < 2) {
            return rankA - rankB;
        }
        Output x = new Output(), y = new Output();
        x.json(a);
        y.json(b);
        return Arrays.compareUnsigned(x.taken(), y.taken());
    }

    private static long[] markOf(Claim claim, int item, long[] floor) {
        return claim.unchanged == null ? null : atLeast(claim.unchanged[item], floor);
    }

    private static long[] atLeast(long[] stamp, long[] floor) {
        return stamp == null || Arrays.compare(stamp, floor) < 0 ? null : stamp;
    }

    private static long[] greater(long[] a, long[] b) {
        return a == null || b != null && Arrays.compare(b, a) > 0 ? b : a;
    }

    private static long[][] orNull(long[][] found) {
        for (long[] each : found) {
            if (each != null) {
                return found;
            }
        }
        return null;
    }
}
