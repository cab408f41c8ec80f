"""The validation rules (校验规则) of a catalogue entry, compiled for one mapping: what a row must keep to say anything of a record.

A rule looks at one row alone, never at the clock or at other rows: so it decides the same at every replay and at every node. What the row
does not say (null, or a large value that the change did not carry) breaks no rule.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from sync_engine.model.claim import Value
from sync_engine.model.declaration import EntityType, ValidationRule

Values = Mapping[str, Value]
Check = Callable[[Values], str | None]
"""What is wrong with a row's values by item; None = nothing. It names rule and items, never a value."""


def compile_checks(entity: EntityType, items: Iterable[str]) -> tuple[Check, ...]:
    """The checks of all rules that concern these items, in the order of the catalogue entry."""
    said = set(items)
    return tuple(
        _named(rule, item, _keeps(rule, item, entity.items[item].type)) for rule in entity.validation for item in rule.items if item in said
    )


def _named(rule: ValidationRule, item: str, keeps: Callable[[Values], bool]) -> Check:
    broken = f"{rule.rule}: {item}: {rule.title.en}"
    return lambda values: None if values.get(item) is None or keeps(values) else broken


def _keeps(rule: ValidationRule, item: str, item_type: str) -> Callable[[Values], bool]:
    """Asked only where the item has a value."""
    if rule.matches is not None:
        pattern = re.compile(rule.matches)
        return lambda values: pattern.fullmatch(str(values[item])) is not None
    if rule.not_before is not None:
        other = rule.not_before
        return lambda values: values.get(other) is None or str(values[item]) >= str(values[other])
    ordered = ORDERED[item_type]
    least, most = (None if limit is None else ordered(limit) for limit in (rule.at_least, rule.at_most))
    return lambda values: (least is None or ordered(values[item]) >= least) and (most is None or ordered(values[item]) <= most)


ORDERED: Mapping[str, Callable[[Value], Any]] = {
    "integer": lambda value: int(str(value)),
    "decimal": lambda value: Decimal(str(value)),
    "date": str,
}
"""What values of an item are compared by; types that are not here have no order that a rule may ask for."""


def broken(checks: Iterable[Check], values: Values) -> str | None:
    """All that is wrong with a row, in one line; None = nothing."""
    return "; ".join(wrong for check in checks if (wrong := check(values)) is not None) or None
