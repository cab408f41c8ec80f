"""What an entity key itself says of its entity: the attributes that stand in its characters, and the values that they can have.

A table, from which conditions of rules are checked and decided. Two nodes that hold one key read the same attributes in it, so a rule that
depends on them alone makes no difference between nodes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

Kind = Mapping[str, str]
"""Attribute -> value: what one key says of itself."""

USCC_KINDS = (
    *("11", "12", "13", "19"),  # 机构编制: state organs, public institutions, mass organisations, other
    *("21", "29"),  # 外交
    *("31", "32", "33", "34", "35", "39"),  # 司法行政: law firms, notaries, legal services, forensics, arbitration, other
    *("41", "49"),  # 文化
    *("51", "52", "53", "59"),  # 民政: associations, private non-enterprise units, foundations, other
    *("61", "62", "69"),  # 旅游
    *("71", "72", "79"),  # 宗教
    *("81", "89"),  # 工会
    *("91", "92", "93", "99"),  # 市场监管: enterprises, individual businesses, farmers' cooperatives, other
    *("A1", "A9"),  # 中央军委改革和编制办公室
    *("N1", "N2", "N3", "N9"),  # 农业农村: collective economic organisations of group, village, township
    "Y1",  # 其他
)
"""登记管理部门代码 and 机构类别代码 (GB 32100-2015, table 1 and its amendments)."""
PARCEL_OWNERSHIP = tuple("GJZ")
"""土地所有权类型: state, collective, undetermined or disputed (TD/T 1001, GB/T 37346)."""
PARCEL_USE = tuple("ABCDEFGHSWXY")
"""宗地特征码: collective ownership; construction land on, above, below ground; homestead, farmland, woodland, grassland, sea, other."""


@dataclass(frozen=True)
class KeyType:
    """A type of entity key."""

    places: Mapping[str, tuple[int, int]]
    """Attribute -> the characters that hold it: from, up to."""
    kinds: tuple[Kind, ...]
    """Every kind of key that the standard knows."""

    def kind_of(self, key: str) -> Kind:
        return {attribute: key[start:end] for attribute, (start, end) in self.places.items()}

    def values(self, attribute: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(kind[attribute] for kind in self.kinds))


PLAIN = KeyType({}, ({},))
KEY_TYPES: Mapping[str, KeyType] = {
    "resident_id": PLAIN,
    "uscc": KeyType({"registrar": (0, 1), "kind": (0, 2)}, tuple({"registrar": kind[0], "kind": kind} for kind in USCC_KINDS)),
    "parcel": KeyType(
        {"ownership": (12, 13), "use": (13, 14)},
        tuple({"ownership": ownership, "use": use} for ownership, use in product(PARCEL_OWNERSHIP, PARCEL_USE)),
    ),
    "string": PLAIN,
}


@dataclass(frozen=True)
class Condition:
    """Of a rule: for which kinds of key it stands. Without attributes it stands for every key."""

    values: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(attribute, the values of which it must have one)."""

    def holds(self, kind: Kind) -> bool:
        return all(kind.get(attribute) in allowed for attribute, allowed in self.values)


ALWAYS = Condition()
