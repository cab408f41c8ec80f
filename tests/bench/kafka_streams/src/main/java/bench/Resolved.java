package bench;

import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;

/** Content and findings of a record: a pure function of its slots (docs/merge.md, 5 and 6). Scopes do not occur in the bench. */
final class Resolved {
    static final int LIVE = 0, WITHDRAWN = 1, MOVED = 2, UNCONFIRMED = 3;
    static final int CONFIRMED = 0, FALLBACK = 1, WITHHELD = 2, UNVERIFIED = 3;
    private static final String[] LIFE_CYCLES = {"live", "withdrawn", "moved", "unconfirmed"};
    private static final String[] STATUSES = {"confirmed", "fallback", "withheld", "unverified"};
    private static final Text DISAGREEMENT = Text.of("disagreement"), TWO_AUTHORITIES = Text.of("two_authorities"),
        DUPLICATE_IN_SOURCE = Text.of("duplicate_in_source");

    private final Catalogue catalogue;
    private final Catalogue.Rules rules;
    private final List<Claim> live = new ArrayList<>(4);
    int lifeCycle;
    Text movedTo;
    Text jurisdiction;
    /** By item, the slot that won it; null where nobody knows. */
    final Claim[] winners;
    final int[] statuses;
    List<Finding> findings = List.of();

    Resolved(Catalogue catalogue, byte[] key, List<Claim> slots) {
        this.catalogue = catalogue;
        rules = catalogue.of(key);
        winners = new Claim[catalogue.items.length];
        statuses = new int[catalogue.items.length];
        for (Claim slot : slots) {
            if (slot.live()) {
                live.add(slot);
            }
        }
        lifeCycle(slots);
        if (lifeCycle == WITHDRAWN || lifeCycle == MOVED) {
            return;
        }
        items();
        Object region = winners[catalogue.jurisdiction] == null ? null : value(catalogue.jurisdiction);
        jurisdiction = region instanceof Text text ? text : null;
        if (slots.size() > 1) {
            findings();
        }
    }

    Object value(int item) {
        Object value = winners[item].values[item];
        return value == null ? Claim.NULL : value;
    }

    boolean isSpecial(int item) {
        return winners[item] != null && (statuses[item] != CONFIRMED || value(item) == Claim.NULL);
    }

    byte[] digest(Output out, byte[] key) {
        out.clear().octet('[');
        out.json(catalogue.entity);
        out.octet(',');
        out.jsonText(key);
        out.ascii(",\"");
        out.ascii(LIFE_CYCLES[lifeCycle]);
        out.ascii("\",");
        out.json(movedTo);
        out.octet(',');
        out.json(jurisdiction);
        out.ascii(",null,[");
        boolean first = true;
        for (int item = 0; item < winners.length; item++) {
            if (winners[item] != null) {
                out.ascii(first ? "[" : ",[");
                first = false;
                out.jsonText(catalogue.items[item].bytes);
                out.ascii(",\"");
                out.ascii(STATUSES[statuses[item]]);
                out.ascii("\",");
                out.json(value(item));
                out.octet(']');
            }
        }
        out.ascii("],[]]");
        return Finding.digest(out);
    }

    private void lifeCycle(List<Claim> slots) {
        for (Claim slot : live) {
            if (slot.source.departmentClass == rules.existence()) {
                lifeCycle = LIVE;
                return;
            }
        }
        lifeCycle = UNCONFIRMED;
        for (Claim slot : slots) {
            if (slot.source.departmentClass == rules.existence()) {
                if (slot.movedTo == null) {
                    lifeCycle = WITHDRAWN;
                    movedTo = null;
                    return;
                }
                lifeCycle = MOVED;
                movedTo = movedTo == null || slot.movedTo.compareTo(movedTo) > 0 ? slot.movedTo : movedTo;
            }
        }
    }

    private void items() {
        for (Catalogue.Authority rule : rules.authority()) {
            if (rule.together()) {
                decide(rule, rule.bits(), rule.items());
            } else {
                for (int item : rule.items()) {
                    decide(rule, 1L << item, item);
                }
            }
        }
    }

    private void decide(Catalogue.Authority rule, long wanted, int... items) {
        for (int n = 0; n < rule.classes().length; n++) {
            Claim winner = null;
            for (Claim slot : live) {
                if (slot.source.departmentClass == rule.classes()[n] && (slot.known & wanted) != 0
                        && (winner == null || beats(rule, slot, winner))) {
                    winner = slot;
                }
            }
            if (winner != null) {
                for (int item : items) {
                    if ((winner.known >> item & 1) == 1) {
                        winners[item] = winner;
                        statuses[item] = winner.values[item] == null ? WITHHELD
                            : winner.isUnverified(item) ? UNVERIFIED : n == 0 ? CONFIRMED : FALLBACK;
                    }
                }
                return;
            }
        }
    }

    private static boolean beats(Catalogue.Authority rule, Claim one, Claim other) {
        if (rule.orderBy() >= 0) {
            Text mine = rank(one.values[rule.orderBy()]), theirs = rank(other.values[rule.orderBy()]);
            int order = mine == null || theirs == null ? (mine == null ? 0 : 1) - (theirs == null ? 0 : 1) : mine.compareTo(theirs);
            if (order != 0) {
                return order > 0;
            }
        }
        return one.compareSlot(other) < 0;
    }

    private static Text rank(Object value) {
        return value == null || value == Claim.NULL ? null : value instanceof Text text ? text : Text.of(value.toString());
    }

    // --- findings ---

    private void findings() {
        findings = new ArrayList<>(0);
        for (Catalogue.Compare rule : rules.compare()) {
            for (int item : rule.items()) {
                if (differ(item, rule.classes(), false)) {
                    findings.add(finding(DISAGREEMENT, rule.rule(), item, rule.classes(), null));
                }
            }
        }
        for (Catalogue.Authority rule : rules.authority()) {
            int[] authority = {rule.classes()[0]};
            for (int item : rule.items()) {
                if (differ(item, authority, true)) {
                    findings.add(finding(TWO_AUTHORITIES, rule.rule(), item, authority, null));
                }
            }
        }
        for (int n = 1; n < live.size(); n++) {
            Source source = live.get(n).source;
            if (live.indexOf(live.stream().filter(slot -> slot.source == source).findFirst().get()) != n) {
                duplicates(source);
            }
        }
    }

    /** Whether slots of these classes say different things, from at least two camps (classes, or sources). */
    private boolean differ(int item, int[] classes, boolean bySource) {
        Claim first = null;
        boolean different = false, camps = false;
        for (Claim slot : live) {
            Object value = slot.values[item];
            if (value != null && value != Claim.NULL && contains(classes, slot.source.departmentClass)) {
                if (first == null) {
                    first = slot;
                } else {
                    different |= !value.equals(first.values[item]);
                    camps |= bySource ? slot.source != first.source : slot.source.departmentClass != first.source.departmentClass;
                }
            }
        }
        return different && camps;
    }

    private void duplicates(Source source) {
        for (int item = 0; item < catalogue.items.length; item++) {
            if (rules.ruleOf()[item] >= 0) {
                Finding found = finding(DUPLICATE_IN_SOURCE, source.id, item, null, source);
                if (found.pairs().size() > 1 && !findings.contains(found)) {
                    findings.add(found);
                }
            }
        }
    }

    private Finding finding(Text kind, Text rule, int item, int[] classes, Source only) {
        TreeSet<Finding.Pair> pairs = new TreeSet<>((a, b) -> {
            int order = a.source().compareTo(b.source());
            return order != 0 ? order : compareValues(a.value(), b.value());
        });
        for (Claim slot : live) {
            Object value = slot.values[item];
            boolean named = only == null ? contains(classes, slot.source.departmentClass) : slot.source == only;
            if (named && value != null && value != Claim.NULL) {
                pairs.add(new Finding.Pair(slot.source.id, value));
            }
        }
        return new Finding(kind, rule, catalogue.items[item], new ArrayList<>(pairs));
    }

    @SuppressWarnings("unchecked")
    private static int compareValues(Object a, Object b) {
        return ((Comparable<Object>) a).compareTo(b);
    }

    private static boolean contains(int[] classes, int wanted) {
        for (int each : classes) {
            if (each == wanted) {
                return true;
            }
        }
        return false;
    }
}
