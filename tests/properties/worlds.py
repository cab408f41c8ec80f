"""Any small catalogue entry and the sources that speak of it, as declarations say them.

Values come from small pools, so that sources agree as often as they differ; the pools hold what JSON escapes and what it must not.
"""

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

SCOPE = "scope/up"
KEYS = ("91K1", "52K2")
"""Of two registrars (GB 32100), so that conditions on the key tell them apart."""
REGISTRARS = ("9", "5")
POOLS: dict[str, tuple[Any, ...]] = {
    "string": ("a", "b", "", '"\\/', "张三", "\u0001\n\u2028", "😀"),
    "integer": (-1, 0, 2, 10, 1 << 40, 3, 4),
    "boolean": (True, False, True, False, True, False, True),
}
UNCHANGED, NULL, WITHHELD = "unchanged", "null", "withheld"


@dataclass(frozen=True)
class World:
    """One entity, and the sources that speak of it."""

    entity: dict[str, Any]
    classes: dict[str, str]
    """Source -> department class."""
    spoken: dict[str, tuple[str, ...]]
    """Source -> the items that its table has columns for."""

    def class_of(self, source: str) -> str:
        return self.classes[source]

    @property
    def sources(self) -> list[str]:
        return sorted(self.classes)

    def value(self, item: str, choice: int) -> Any:
        pool = POOLS[self.entity["items"][item]["type"]]
        return pool[choice % len(pool)]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    items = [f"i{number}" for number in range(draw(st.integers(3, 6)))]
    types = {item: draw(st.sampled_from(("string", "string", "integer", "boolean"))) for item in items}
    names = [f"c{number}" for number in range(draw(st.integers(2, 4)))]
    texts = [item for item in items if types[item] == "string"]
    classes = {f"{name}/s{number}": name for name in names for number in range(draw(st.integers(1, 2)))}
    conditional = draw(st.booleans())
    existence = st.sampled_from(names)
    entity = {
        "entity": "thing",
        "key_type": "uscc",
        "existence": draw(existences(names)) if conditional else draw(existence),
        "jurisdiction": draw(st.sampled_from([*texts, None])),
        "items": {item: {"type": types[item]} for item in items},
        "authority": draw(conditional_authorities(items, names) if conditional else authorities(items, names)),
        "compare": draw(st.lists(comparisons(items, names, conditional), max_size=2)),
    }
    some = st.lists(st.sampled_from(items), min_size=1, unique=True)
    return World(entity, classes, {source: tuple(sorted(draw(some))) for source in classes})


@st.composite
def authorities(draw: st.DrawFn, items: list[str], names: list[str]) -> list[dict[str, Any]]:
    """Rules in which every item stands exactly once."""
    rule_of = {item: draw(st.integers(0, 2)) for item in items}
    rules = []
    for number in sorted(set(rule_of.values())):
        authority, *rest = draw(st.permutations(names))
        rules.append(
            {
                "rule": f"A{number}",
                "items": [item for item in items if rule_of[item] == number],
                "class": authority,
                "fallback": rest[: draw(st.integers(0, len(rest)))],
                "order_by": draw(st.sampled_from([*items, None])),
                "together": draw(st.booleans()),
            }
        )
    return rules


@st.composite
def existences(draw: st.DrawFn, names: list[str]) -> list[dict[str, Any]]:
    """A class for one registrar or for both, also none for the other."""
    registrars = draw(st.lists(st.sampled_from(REGISTRARS), min_size=1, unique=True))
    said: list[dict[str, Any]] = [{"when": {"registrar": [registrar]}, "class": draw(st.sampled_from(names))} for registrar in registrars]
    return said + ([{"class": draw(st.sampled_from(names))}] if draw(st.booleans()) else [])


@st.composite
def conditional_authorities(draw: st.DrawFn, items: list[str], names: list[str]) -> list[dict[str, Any]]:
    """Rules of their own for each registrar; some items have none for one of them."""
    rules: list[dict[str, Any]] = []
    for registrar in REGISTRARS:
        when = draw(st.sampled_from(({"registrar": [registrar]}, {"registrar": [registrar], "kind": ["91", "52"]})))
        spoken = draw(st.lists(st.sampled_from(items), unique=True, min_size=1))
        rules += [{**rule, "rule": f"{rule['rule']}-{registrar}", "when": when} for rule in draw(authorities(sorted(spoken), names))]
    return rules


@st.composite
def comparisons(draw: st.DrawFn, items: list[str], names: list[str], conditional: bool) -> dict[str, Any]:
    when = {"when": {"registrar": [draw(st.sampled_from(REGISTRARS))]}} if conditional and draw(st.booleans()) else {}
    return {
        **when,
        "rule": draw(st.sampled_from(("C1", "C2"))),
        "items": draw(st.lists(st.sampled_from(items), min_size=1, unique=True)),
        "classes": draw(st.lists(st.sampled_from(names), min_size=2, unique=True)),
    }
