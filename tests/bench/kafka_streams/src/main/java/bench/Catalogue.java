package bench;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** entity.yaml, compiled: items by ordinal, department classes by number, one set of rules for each kind of key. */
final class Catalogue {
    record Authority(Text rule, int[] items, long bits, int[] classes, int orderBy, boolean together) {}

    record Compare(Text rule, int[] items, int[] classes) {}

    /** `ruleOf`: by item, the number of its rule, -1 where no rule stands for this kind of key. */
    record Rules(int existence, List<Authority> authority, List<Compare> compare, int[] ruleOf) {}

    final Text entity;
    final int version;
    final int jurisdiction;
    final Text[] items;
    final String[] types;
    final Source[] sources;
    private final JsonNode entry;
    private final Map<String, Integer> ordinals = new HashMap<>();
    private final Map<String, Integer> classes = new HashMap<>();
    private final Map<String, Rules> byKind = new HashMap<>();

    Catalogue(JsonNode entry) {
        this.entry = entry;
        entity = Text.of(entry.get("entity").asText());
        version = entry.get("version").asInt();
        Map<String, String> sorted = new TreeMap<>();
        entry.get("items").fields().forEachRemaining(item -> sorted.put(item.getKey(), item.getValue().get("type").asText()));
        sorted.keySet().forEach(item -> ordinals.put(item, ordinals.size()));
        items = sorted.keySet().stream().map(Text::of).toArray(Text[]::new);
        types = sorted.values().toArray(String[]::new);
        jurisdiction = ordinals.get(entry.get("jurisdiction").asText());
        List<Source> found = new ArrayList<>();
        entry.get("sources").fields().forEachRemaining(
            source -> found.add(new Source(source.getKey(), classOf(source.getValue().get("class").asText()))));
        sources = found.toArray(Source[]::new);
    }

    /** The rules that stand for this key. What a USCC says of itself: `registrar`, its first character, and `kind`, its first two. */
    Rules of(byte[] key) {
        String kind = new String(key, 0, 2, StandardCharsets.US_ASCII);
        Rules rules = byKind.get(kind);
        if (rules == null) {
            rules = compile(kind);
            byKind.put(kind, rules);
        }
        return rules;
    }

    private Rules compile(String kind) {
        List<Authority> authority = new ArrayList<>();
        int[] ruleOf = new int[items.length];
        Arrays.fill(ruleOf, -1);
        for (JsonNode rule : entry.get("authority")) {
            if (holds(rule, kind)) {
                int[] ruled = ordinalsOf(rule.get("items"));
                long bits = 0;
                for (int item : ruled) {
                    ruleOf[item] = authority.size();
                    bits |= 1L << item;
                }
                int orderBy = rule.has("order_by") ? ordinals.get(rule.get("order_by").asText()) : -1;
                boolean together = rule.path("together").asBoolean();
                authority.add(new Authority(Text.of(rule.get("rule").asText()), ruled, bits, classesOf(rule), orderBy, together));
            }
        }
        List<Compare> compare = new ArrayList<>();
        for (JsonNode rule : entry.get("compare")) {
            if (holds(rule, kind)) {
                int[] ruled = Arrays.stream(ordinalsOf(rule.get("items"))).filter(item -> ruleOf[item] >= 0).toArray();
                int[] named = new int[rule.get("classes").size()];
                Arrays.setAll(named, i -> classOf(rule.get("classes").get(i).asText()));
                compare.add(new Compare(Text.of(rule.get("rule").asText()), ruled, named));
            }
        }
        return new Rules(existence(kind), authority, compare, ruleOf);
    }

    private int existence(String kind) {
        JsonNode said = entry.get("existence");
        if (!said.isArray()) {
            return classOf(said.asText());
        }
        for (JsonNode rule : said) {
            if (holds(rule, kind)) {
                return classOf(rule.get("class").asText());
            }
        }
        return -1;
    }

    private static boolean holds(JsonNode rule, String kind) {
        for (var condition : rule.path("when").properties()) {
            String value = condition.getKey().equals("registrar") ? kind.substring(0, 1) : kind;
            boolean found = false;
            for (JsonNode allowed : condition.getValue()) {
                found |= allowed.asText().equals(value);
            }
            if (!found) {
                return false;
            }
        }
        return true;
    }

    private int[] classesOf(JsonNode rule) {
        List<Integer> named = new ArrayList<>(List.of(classOf(rule.get("class").asText())));
        rule.path("fallback").forEach(each -> named.add(classOf(each.asText())));
        return named.stream().mapToInt(Integer::intValue).toArray();
    }

    private int[] ordinalsOf(JsonNode names) {
        int[] found = new int[names.size()];
        Arrays.setAll(found, i -> ordinals.get(names.get(i).asText()));
        return found;
    }

    private int classOf(String name) {
        Integer number = classes.putIfAbsent(name, classes.size());
        return number == null ? classes.size() - 1 : number;
    }
}
