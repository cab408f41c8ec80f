"""What a run at scale has found: printed, and the part `scale` of docs/results/bench.json."""

import msgspec


class Memory(msgspec.Struct, frozen=True):
    setting_mib: int
    """worker.memory_mib"""
    resident_max_mib: float
    """After a restore of all keys and the changes behind it."""
    ratio: float


class Disk(msgspec.Struct, frozen=True):
    state_bytes: int
    """The worker's local state."""
    broker_bytes: int
    """State and golden topics, lz4, not compacted."""
    whole_of_sample: int
    """Of 5,000 keys that were looked up in the local state, those that were there with all their rows."""


class Ready(msgspec.Struct, frozen=True):
    """How soon a worker takes records."""

    seconds: float
    """From the application's start; joining the group included."""
    restore_seconds: float
    """From the moment at which it has its partitions."""
    records: int
    """That were read of the changelogs."""
    keys_per_second: int | None
    """Restored. None where nearly all was there."""
    records_per_second: int | None
    cpu_seconds: float
    """Of the restore, all threads."""


class Costs(msgspec.Struct, frozen=True):
    processes: int
    cpu_us_per_change: float
    changes_per_second: float


class Scale(msgspec.Struct, frozen=True):
    keys: int
    slots: int
    """Rows a key."""
    changes: int
    memory: Memory
    disk: Disk
    without_state: Ready
    with_state: Ready
    after_a_kill: Ready
    """With local state; changes were done meanwhile."""
    change_at_scale: Costs
    processes: list[Costs]
    kept_partitions_are_not_restored: bool


def show(found: Scale) -> None:
    disk, memory = found.disk, found.memory
    print(f"\n{found.keys:,} keys of {found.slots} rows; state {disk.state_bytes / 1e9:.2f} GB, broker {disk.broker_bytes / 1e9:.2f} GB")
    print(f"resident at most {memory.resident_max_mib:,.0f} MiB, setting {memory.setting_mib:,}: {memory.ratio:.2f}")
    for name in ("without_state", "with_state", "after_a_kill"):
        one: Ready = getattr(found, name)
        rate = f"{one.keys_per_second:,} keys/s, {one.records_per_second:,} records/s" if one.keys_per_second else ""
        restored = f"restore {one.restore_seconds:.2f} s, {one.records:,} records, {one.cpu_seconds} s of CPU"
        print(f"{name:<14} {one.seconds:>7.2f} s, {restored}  {rate}")
    for costs in (found.change_at_scale, *found.processes):
        print(f"{costs.processes} processes: {costs.cpu_us_per_change:.1f} µs of CPU a change, {costs.changes_per_second:,.0f} changes/s")
    print(f"partitions that keep their owner are not restored: {'yes' if found.kept_partitions_are_not_restored else 'NO'}")
