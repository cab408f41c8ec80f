"""The local store of one lane's partition: a view of its changelogs, rebuilt from them when it is lost.

The surprise: the write-ahead log is off, and yet a kill -9 leaves no half batch. Values and changelog offsets stand in one WriteBatch and
one column family, so what survives is a prefix of the batches, and no offset is ahead of the data. The rest is read from the log again.
"""

import logging
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol, cast

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DataBlockIndexType,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from sync_engine.runtime.log import WorldFailure

logger = logging.getLogger(__name__)

RESERVED = b"\x00offset\x1f"
"""Keys that begin so hold the changelog offsets. No key of a stage begins with a NUL."""
_MIB = 1024 * 1024


class Store(Protocol):
    """One thread writes; any thread may read."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of the keys, in their order."""

    def write(self, changes: Mapping[bytes, bytes | None], offsets: Mapping[str, int]) -> None:
        """Atomically: values (None removes) and, per changelog topic, the next offset that this store reflects."""

    def offsets(self) -> dict[str, int]:
        """What `write` was last told of every changelog topic."""

    def scan(self, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Up to `limit` entries in key order that stand behind `after`; fewer only at the end. The offsets are not among them."""

    def wipe(self) -> None:
        """Forget everything."""

    def close(self) -> None:
        """Keep everything; may be called again."""


class Memory:
    """What all stores of a process share: many partitions must not cost many caches."""

    def __init__(self, cache_mib: int = 128, unwritten_mib: int = 64) -> None:
        """`cache_mib`: for blocks of data, of indexes and of filters."""
        self.cache = Cache(cache_mib * _MIB)
        # It does not stall writers: the changelog is the truth, and a store that is over the limit flushes the sooner.
        self.unwritten = WriteBufferManager(unwritten_mib * _MIB, False)


class RocksStore:
    """The store on disk. A folder has one store: WorldFailure while another has it open, a process that is still ending, say."""

    def __init__(self, path: Path, memory: Memory | None = None) -> None:
        self._path = path
        self._options = _options(memory or _of_this_process())
        self._is_open = False
        self._unlogged = WriteOptions()
        self._unlogged.disable_wal = True  # type: ignore[method-assign, assignment]  # an attribute, whatever its published type says
        path.mkdir(parents=True, exist_ok=True)
        try:
            self._open()
        except Exception as failure:
            if "lock" in str(failure).lower():
                raise WorldFailure(f"the store {path} is still open elsewhere") from failure
            # Rebuilt from the log sooner than examined: it holds nothing that is not there.
            logger.error("the store %s cannot be opened and is made anew: %s", path, failure)
            self.wipe()

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return cast(list[bytes | None], self._rocks.get(list(keys))) if keys else []

    def write(self, changes: Mapping[bytes, bytes | None], offsets: Mapping[str, int]) -> None:
        if not changes and not offsets:
            return
        batch = WriteBatch(raw_mode=True)
        put = batch.put
        for key, value in changes.items():
            assert not key.startswith(RESERVED), "a key of a stage begins like the store's own"
            if value is None:
                batch.delete(key)
            else:
                put(key, value)
        for topic, offset in offsets.items():
            put(RESERVED + topic.encode(), b"%d" % offset)
        self._rocks.write(batch, self._unlogged)

    def offsets(self) -> dict[str, int]:
        found = {}
        for key, value in self._entries(RESERVED):
            if not key.startswith(RESERVED):
                break
            found[key.removeprefix(RESERVED).decode()] = int(value)
        return found

    def scan(self, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        found: list[tuple[bytes, bytes]] = []
        for key, value in self._entries(after + b"\x00"):
            if len(found) == limit:
                break
            if not key.startswith(RESERVED):
                found.append((key, value))
        return found

    def wipe(self) -> None:
        if self._is_open:
            self._rocks.close()
        Rdict.destroy(str(self._path), self._options)
        self._open()

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._rocks.flush()
            self._rocks.close()

    def _open(self) -> None:
        # Without the column family's options said again, a store that exists is opened with default ones: no filter, no shared cache.
        self._rocks = Rdict(str(self._path), self._options, {"default": self._options})
        self._is_open = True

    def _entries(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        return cast(Iterator[tuple[bytes, bytes]], iter(self._rocks.items(from_key=start)))


class MemoryStore:
    """The same in memory."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._offsets: dict[str, int] = {}
        self._order: list[bytes] | None = None

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self._values.get(key) for key in keys]

    def write(self, changes: Mapping[bytes, bytes | None], offsets: Mapping[str, int]) -> None:
        assert not any(key.startswith(RESERVED) for key in changes), "a key of a stage begins like the store's own"
        for key, value in changes.items():
            if value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = value
        self._offsets.update(offsets)
        if changes:
            self._order = None

    def offsets(self) -> dict[str, int]:
        return dict(self._offsets)

    def scan(self, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        if self._order is None:
            self._order = sorted(self._values)
        first = bisect_right(self._order, after)
        return [(key, self._values[key]) for key in self._order[first : first + limit]]

    def wipe(self) -> None:
        self._values.clear()
        self._offsets.clear()
        self._order = None

    def close(self) -> None:
        return


@cache
def _of_this_process() -> Memory:
    return Memory()


def _options(memory: Memory) -> Options:
    """Point reads of small values, many of them of keys that are not there yet: so filters, in memory as well as on disk."""
    blocks = BlockBasedOptions()
    blocks.set_block_cache(memory.cache)
    # Indexes and filters grow with the keys on disk: outside of the cache nothing would limit them.
    blocks.set_cache_index_and_filter_blocks(True)
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(True)
    blocks.set_bloom_filter(10, False)  # a key that is not there costs 0.4 µs instead of 7
    blocks.set_block_size(4096)
    blocks.set_data_block_index_type(DataBlockIndexType.binary_and_hash())
    blocks.set_format_version(5)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(blocks)
    options.set_write_buffer_manager(memory.unwritten)
    options.set_write_buffer_size(32 * _MIB)
    options.set_max_write_buffer_number(2)  # one is written to while the other goes to disk
    options.set_memtable_whole_key_filtering(True)
    options.set_memtable_prefix_bloom_ratio(0.02)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_max_background_jobs(2)
    options.set_max_open_files(512)
    # Its own diary: short, and without the statistics of every ten minutes.
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(_MIB)
    options.set_stats_dump_period_sec(0)
    return options
