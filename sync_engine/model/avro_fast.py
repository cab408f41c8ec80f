"""Claims and golden records straight from and to Avro payloads, without the dict of dicts between: the two records of the hot path.

Promises: the same claims as `avro.claim_of_datum` of what fastavro reads, the same bytes as fastavro writes. Knows only the layout that
`avro.claim_schema` and `avro.golden_schema` generate, with any items; for any other it raises OtherLayout, and fastavro is to be used.
With the compiled core, the functions here do what is not common.
The surprise: reading never looks at the end. Whoever runs past it meets an IndexError, or does not stand at the end in the last test.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sync_engine.model.claim import Claim, Kind, Value
from sync_engine.model.core import CORE, Core
from sync_engine.model.golden import CONFIRMED, LIFE_CYCLES, STATUSES, Golden

Datum = dict[str, Any]
Standing = tuple[int, bytes, str, str | None, dict[str, int]]
"""Of a golden record: version, digest, life-cycle, jurisdiction, what it has left."""
ReadClaim = Callable[[bytes, str], Claim]

STAMP_NUMBERS = 6
LONG_BITS = 64
PATTERNS_MAX = 10_000


class OtherLayout(Exception):
    """The schema is not one of those that this module knows."""


# --- layouts: what a schema must be, but for its items ---------------------------------------------------------------------------

_KINDS = list(Kind)
_CLAIM = (
    f"kind:{'|'.join(kind.name.lower() for kind in _KINDS)} source:string row:string mapping:string"
    " epoch:long phase:long major:long minor:long sub:long effective_ms:long moved_to:?string via:?string"
    " items:Items nulls:[string] withheld:[string] unchanged:{Stamp(6)} positions:{[long]} floor:?Stamp error:?Stamp"
)
_GOLDEN = (
    f"version:long digest:bytes life_cycle:{'|'.join(LIFE_CYCLES)} moved_to:?string jurisdiction:?string redirect:?string"
    f" items:Items statuses:{{{'|'.join(STATUSES)}}} flags:[string]"
    " catalogue_version:int effective_ms:long sources:{string} left:{long}"
)


def _items_of(schema: Datum, layout: str) -> dict[str, str]:
    """Item -> Avro type, in the order of the schema."""
    fields: list[Datum] = schema["fields"]
    if " ".join(f"{field['name']}:{_outline(field['type'])}" for field in fields) != layout:
        raise OtherLayout(schema["name"])
    items = next(field["type"]["fields"] for field in fields if field["name"] == "items")
    found = {item["name"]: _outline(item["type"]) for item in items}
    if not set(found.values()) <= {"?string", "?long", "?boolean"}:
        raise OtherLayout(f"items of {schema['name']}")
    return {item: kind[1:] for item, kind in found.items()}


def _outline(kind: Any) -> str:
    if isinstance(kind, str):
        return kind
    if isinstance(kind, list):
        return "?" + _outline(kind[1]) if len(kind) == 2 and kind[0] == "null" else "union"
    match kind["type"]:
        case "enum":
            return "|".join(kind["symbols"])
        case "array":
            return f"[{_outline(kind['items'])}]"
        case "map":
            return f"{{{_outline(kind['values'])}}}"
        case "record" if kind["name"] == "Items":
            return "Items"
        case "record" if all(field["type"] in ("long", "int") for field in kind["fields"]):
            return f"{kind['name']}({len(kind['fields'])})"
    return str(kind["type"])


# --- reading ---------------------------------------------------------------------------------------------------------------------

_KIND_OF_BYTE = {index << 1: int(kind) for index, kind in enumerate(_KINDS)}
_NO_EVIDENCE = b"\0" * 6
"""How nearly every claim ends: no nulls, none withheld or unchanged, no positions, no floor, no error."""


def claim_reader(written: Datum, wanted: Datum, start: int = 0, core: Core | None = CORE) -> ReadClaim:
    """A function from bytes, and the path, to the claim; it raises ValueError for bytes that are not of the schema `written`.

    The payload begins at `start`. `core` None: the pure function.
    Raises OtherLayout also where the items of the two schemas differ: that takes Avro's resolution.
    """
    items = tuple(_items_of(written, _CLAIM).items())
    if items != tuple(_items_of(wanted, _CLAIM).items()):
        raise OtherLayout(f"other items in {written['name']}")

    def read(payload: bytes, path: str) -> Claim:
        try:
            return _claim(payload, start, path, items)
        except (IndexError, KeyError, UnicodeDecodeError) as error:
            raise ValueError(f"{type(error).__name__} while decoding") from None

    return read if core is None else core.claim_reader(Claim, items, start, read)


def _claim(p: bytes, i: int, path: str, items: Sequence[tuple[str, str]]) -> Claim:
    kind = _KIND_OF_BYTE[p[i]]
    source, i = _read_text(p, i + 1)
    row, i = _read_text(p, i)
    mapping, i = _read_text(p, i)
    epoch, i = _read_number(p, i)
    phase, i = _read_number(p, i)
    major, i = _read_number(p, i)
    minor, i = _read_number(p, i)
    sub, i = _read_number(p, i)
    effective_ms, i = _read_number(p, i)
    moved_to, i = _read_text(p, i + 1) if _is_there(p[i]) else (None, i + 1)
    via, i = _read_text(p, i + 1) if _is_there(p[i]) else (None, i + 1)
    position = (epoch, phase, major, minor, sub)
    values, i = _read_items(p, i, items)
    if p[i:] == _NO_EVIDENCE:
        return Claim(source, row, mapping, kind, position, values, moved_to, (), {}, {}, None, effective_ms, path, via, None)
    nulls, i = _read_texts(p, i)
    withheld, i = _read_texts(p, i)
    unchanged, i = _read_stamps(p, i)
    positions, i = _read_positions(p, i)
    floor, i = _read_stamp(p, i + 1) if _is_there(p[i]) else (None, i + 1)
    error, i = _read_stamp(p, i + 1) if _is_there(p[i]) else (None, i + 1)
    if i != len(p):
        raise ValueError("bytes left over after the record" if i < len(p) else "the record ends too early")
    values.update(dict.fromkeys(nulls))
    return Claim(
        source, row, mapping, kind, position, values, moved_to, tuple(withheld), unchanged, positions, floor, effective_ms, path, via, error
    )


def _read_items(p: bytes, i: int, items: Iterable[tuple[str, str]]) -> tuple[dict[str, Value], int]:
    values: dict[str, Value] = {}
    for item, kind in items:
        branch = p[i]
        if not branch:
            i += 1
        elif branch != 2:
            raise ValueError("no such branch")
        elif kind == "string":
            n = p[i + 1]
            if n & 129:
                if n & 1 or p[i + 2] > 127:
                    values[item], i = _read_text(p, i + 1)
                    continue
                # A length of two bytes, as any text of 64 bytes and more has.
                i += 1
                n += (p[i + 1] << 7) - 128
            end = i + 2 + (n >> 1)
            values[item] = p[i + 2 : end].decode()
            i = end
        elif kind == "long":
            values[item], i = _read_number(p, i + 1)
        else:
            values[item] = _BOOLEANS[p[i + 1]]
            i += 2
    return values, i


_BOOLEANS = (False, True)


def _is_there(branch: int) -> bool:
    if branch > 2 or branch == 1:
        raise ValueError("no such branch")
    return branch == 2


def _read_number(p: bytes, i: int) -> tuple[int, int]:
    n = p[i]
    i += 1
    if n < 128:
        return n >> 1 ^ -(n & 1), i
    n &= 127
    shift = 7
    while (b := p[i]) > 127:
        n |= (b & 127) << shift
        shift += 7
        i += 1
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
    n |= b << shift
    if n >> LONG_BITS:
        raise ValueError("a number of more than 64 bits")
    return n >> 1 ^ -(n & 1), i + 1


def _read_text(p: bytes, i: int) -> tuple[str, int]:
    n = p[i]
    if n & 129:
        size, i = _read_number(p, i)
        if size < 0:
            raise ValueError("a text of negative size")
        return p[i : i + size].decode(), i + size
    end = i + 1 + (n >> 1)
    return p[i + 1 : end].decode(), end


def _entries(p: bytes, i: int) -> tuple[int, int]:
    """How many entries the block at i has; 0 = it was the last. A negative count is followed by the block's size in bytes."""
    count, i = _read_number(p, i)
    if count < 0:
        _, i = _read_number(p, i)
    return abs(count), i


def _read_texts(p: bytes, i: int) -> tuple[list[str], int]:
    found: list[str] = []
    while True:
        entries, i = _entries(p, i)
        if not entries:
            return found, i
        for _ in range(entries):
            text, i = _read_text(p, i)
            found.append(text)


def _read_numbers(p: bytes, i: int) -> tuple[tuple[int, ...], int]:
    found: list[int] = []
    while True:
        entries, i = _entries(p, i)
        if not entries:
            return tuple(found), i
        for _ in range(entries):
            number, i = _read_number(p, i)
            found.append(number)


def _read_stamp(p: bytes, i: int) -> tuple[Any, int]:
    found = []
    for _ in range(STAMP_NUMBERS):
        number, i = _read_number(p, i)
        found.append(number)
    return tuple(found), i


def _read_map(p: bytes, i: int, read: Callable[[bytes, int], tuple[Any, int]]) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while True:
        entries, i = _entries(p, i)
        if not entries:
            return found, i
        for _ in range(entries):
            key, i = _read_text(p, i)
            found[key], i = read(p, i)


def _read_stamps(p: bytes, i: int) -> tuple[dict[str, Any], int]:
    return _read_map(p, i, _read_stamp)


def _read_positions(p: bytes, i: int) -> tuple[dict[str, Any], int]:
    return _read_map(p, i, _read_numbers)


def standing_reader(written: Datum, wanted: Datum, start: int = 0) -> Callable[[bytes], Standing | None]:
    """A function from the bytes of a golden record to what a node's state keeps of it: a restore needs no more, and reads no items.

    It gives None for a record that has left a jurisdiction, which is to be read whole, and trusts the rest of the bytes: they are our own.
    Raises OtherLayout as `claim_reader`.
    """
    if tuple(_items_of(written, _GOLDEN).items()) != tuple(_items_of(wanted, _GOLDEN).items()):
        raise OtherLayout(f"other items in {written['name']}")

    def read(p: bytes) -> Standing | None:
        # Two ends of a map: nothing is in `left`. Whatever stands in it ends with a version, whose last byte is none.
        if not p.endswith(b"\0\0"):
            return None
        version, i = _read_number(p, start)
        size, i = _read_number(p, i)
        digest, i = p[i : i + size], i + size
        life_cycle = LIFE_CYCLES[p[i] >> 1]
        _, i = _read_text(p, i + 2) if _is_there(p[i + 1]) else (None, i + 2)
        jurisdiction = _read_text(p, i + 1)[0] if _is_there(p[i]) else None
        return version, digest, life_cycle, jurisdiction, {}

    return read


# --- writing ---------------------------------------------------------------------------------------------------------------------


def claim_writer(schema: Datum, prefix: bytes = b"") -> Callable[[Claim], bytes]:
    """A function from a claim to its payload with `prefix` before it."""
    write_items = _items_writer(_items_of(schema, _CLAIM))

    def write(claim: Claim) -> bytes:
        out = [prefix, _KIND_BYTE[claim.kind], _text(claim.source), _text(claim.row), _text(claim.mapping), *map(_number, claim.position)]
        out += (_number(claim.effective_ms), _optional_text(claim.moved_to), _optional_text(claim.via))
        fields, nulls = write_items([(item, CONFIRMED, value) for item, value in claim.values.items()])
        out += fields
        out.append(_texts([item for item, _ in nulls]))
        out.append(_texts(claim.withheld))
        out.append(_map((item, b"".join(map(_number, stamp))) for item, stamp in claim.unchanged.items()))
        out.append(_map((item, _block(map(_number, position))) for item, position in claim.positions.items()))
        out.append(_optional_stamp(claim.floor))
        out.append(_optional_stamp(claim.error))
        return b"".join(out)

    return write


def golden_writer(schema: Datum, prefix: bytes = b"", core: Core | None = CORE) -> Callable[[Golden], bytes]:
    """A function from a golden record to its payload with `prefix` before it. `core` None: the pure function."""
    items = _items_of(schema, _GOLDEN)
    write_items = _items_writer(items)
    sources: dict[tuple[str, ...], bytes] = {}

    def write(golden: Golden) -> bytes:
        content, digest = golden.content, golden.digest
        out = [prefix, _number(golden.version), _number(len(digest)), digest, _LIFE_CYCLE_BYTE[content.life_cycle]]
        out += (_optional_text(content.moved_to), _optional_text(content.jurisdiction), _optional_text(content.redirect))
        fields, special = write_items(content.items)
        out += fields
        out.append(_map((item, _STATUS_BYTE[status]) for item, status in special) if special else b"\0")
        out += (_texts(content.flags), _number(golden.catalogue_version), _number(golden.effective_ms))
        # There are few patterns of who wins what.
        pattern = (*golden.sources, *golden.sources.values())
        if (won := sources.get(pattern)) is None:
            if len(sources) == PATTERNS_MAX:
                sources.clear()
            won = sources[pattern] = _map((item, _text(source)) for item, source in golden.sources.items())
        out.append(won)
        out.append(_map((region, _number(version)) for region, version in golden.left.items()) if golden.left else b"\0")
        return b"".join(out)

    return write if core is None else core.golden_writer(prefix, tuple(items.items()), LIFE_CYCLES, STATUSES, write)


Known = Sequence[tuple[str, str, Value]]
"""(item, status, value)"""


def _items_writer(kinds: Mapping[str, str]) -> Callable[[Known], tuple[list[bytes], list[tuple[str, str]]]]:
    """A function from the items that are known to the fields of the Items record, and those that are null or not confirmed."""
    places = {kind: {item: place for place, item in enumerate(kinds) if kinds[item] == kind} for kind in ("string", "long", "boolean")}
    texts, numbers, booleans = places["string"], places["long"], places["boolean"]
    nothing = [b"\0"] * len(kinds)

    def write(items: Known) -> tuple[list[bytes], list[tuple[str, str]]]:
        fields = nothing.copy()
        special = []
        for item, status, value in items:
            if value.__class__ is str:
                encoded = value.encode()
                size = len(encoded)
                fields[texts[item]] = (_TEXT_SIZES[size] if size < _TEXT_SIZES_MAX else b"\2" + _number(size)) + encoded
            elif value is None:
                special.append((item, status))
                continue
            elif value is True or value is False:
                fields[booleans[item]] = b"\2\1" if value else b"\2\0"
            else:
                fields[numbers[item]] = b"\2" + _number(value)  # type: ignore[arg-type]  # texts are above
            if status != CONFIRMED:
                special.append((item, status))
        return fields, special

    return write


def _number(value: int) -> bytes:
    n = value << 1 ^ value >> 63
    if n < 128:
        return _BYTES[n]
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _number(len(encoded)) + encoded


def _optional_text(text: str | None) -> bytes:
    return b"\0" if text is None else b"\2" + _text(text)


def _optional_stamp(stamp: Sequence[int] | None) -> bytes:
    return b"\0" if stamp is None else b"\2" + b"".join(map(_number, stamp))


def _texts(texts: Sequence[str]) -> bytes:
    return _block(map(_text, texts)) if texts else b"\0"


def _block(entries: Iterable[bytes]) -> bytes:
    made = list(entries)
    return b"".join((_number(len(made)), *made, b"\0")) if made else b"\0"


def _map(entries: Iterable[tuple[str, bytes]]) -> bytes:
    return _block(_text(key) + value for key, value in entries)


_BYTES = [bytes((n,)) for n in range(128)]
_TEXT_SIZES_MAX = 1024
_TEXT_SIZES = [b"\2" + _number(size) for size in range(_TEXT_SIZES_MAX)]
_KIND_BYTE = {int(kind): _BYTES[index << 1] for index, kind in enumerate(_KINDS)}
_LIFE_CYCLE_BYTE = {name: _BYTES[index << 1] for index, name in enumerate(LIFE_CYCLES)}
_STATUS_BYTE = {name: _BYTES[index << 1] for index, name in enumerate(STATUSES)}
