"""The generated parts of docs/: settings from their table, topics from topics/, figures from docs/results/.

`python -m tests.declarations.documentation` writes them. Each stands in its page between two marker lines; the words around them are
written by hand. test_documentation.py fails on a drift.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sync_engine import declared
from sync_engine.format import FOREVER_MS, RETENTIONS
from sync_engine.model.declaration import TopicFamily
from sync_engine.setting_kinds import ConnectReference, DatabaseUrl, Options, PathText, SecretText, SecretTexts, Url
from sync_engine.settings import REQUIRED, TABLE, Setting
from sync_engine.shape import Kind, ListOf, Number, Text, Whole

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- generated: python -m tests.declarations.documentation -->\n", "<!-- end of the generated part -->\n"


def settings_table() -> str:
    rows = [f"| `{row.name}` | {_allowed(row.kind)} | {_default(row)} | {row.unit} | {row.help} |" for row in TABLE]
    return "\n".join(["| setting | allowed | default | unit | meaning |", "|---|---|---|---|---|", *rows]) + "\n"


def _allowed(kind: Kind) -> str:
    if isinstance(kind, Whole | Number):
        return f"{kind.least} to {kind.most}"
    if isinstance(kind, Url):
        return ", ".join(f"`{scheme}://…`" for scheme in kind.schemes)
    if isinstance(kind, ListOf):
        return "a list"
    words: Mapping[type, str] = {
        Text: "text",
        PathText: "a path",
        SecretText: "a secret",
        DatabaseUrl: "a secret: `postgresql://…`, `mariadb://…`, `mysql://…`",
        SecretTexts: "a list of secrets",
        ConnectReference: "`${file:PATH:KEY}`, as Kafka Connect resolves it",
        Options: "a table of options",
    }
    return words[type(kind)]


def _default(row: Setting) -> str:
    if row.default is REQUIRED:
        return "must be given"
    return "none" if row.default in (None, (), {}) else f"`{row.default}`"


def topics_table() -> str:
    return "\n".join(_topic(family) for _, family in sorted(declared.read().topics.items()))


def _topic(family: TopicFamily) -> str:
    values = " or ".join(f"`{value}`" for value in (family.value, *family.also))
    rows = {
        "key": family.key,
        "value": values,
        "partitions": str(family.partitions),
        "cleanup": f"{family.cleanup}, kept {_time(family.retention_ms)}",
        "deletions kept": _time(family.delete_retention_ms),
        "compacted after at most": _time(family.max_compaction_lag_ms),
        "written by": ", ".join(family.writes),
        "read by": ", ".join(family.reads) or "nobody",
    }
    lines = [f"## {family.name}", "", f"{family.description.zh}", f"{family.description.en}", "", "| | |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows.items() if value), ""])


def _time(ms: int | None) -> str:
    words = {FOREVER_MS: "for ever", **{value: word.replace("d", " d") for word, value in RETENTIONS.items()}}
    return "" if ms is None else words[ms]


def _results() -> dict[str, Any]:
    told: dict[str, Any] = json.loads((DOCS / "results" / "bench.json").read_text(encoding="utf-8"))
    return told


def bench_page() -> str:
    return f"{bench_table()}\n{lanes_table()}"


def lanes_table() -> str:
    lines = [
        "### Each stage alone",
        "",
        "| stage | engine, changes/s | plain loop | ratio | each round | CPU µs a change | plain loop | aim | reached |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, lane in _results()["lanes"].items():
        ours, theirs = lane["sides"]["engine"], lane["sides"]["plain"]
        rates = f"{ours['changes_per_second']:,.0f} | {theirs['changes_per_second']:,.0f} | {lane['ratio']:.2f}"
        rounds = ", ".join(f"{each:.2f}" for each in lane["ratios_per_round"])
        costs = f"{ours['cpu_us_per_change']:.1f} | {theirs['cpu_us_per_change']:.1f}"
        lines.append(f"| `{name}` | {rates} | {rounds} | {costs} | {lane['aim']:g} | {'yes' if lane['reached'] else 'no'} |")
    return "\n".join(lines) + "\n"


def sizing_table() -> str:
    told = _results()
    scale, lanes = told["scale"], told["lanes"]
    keys, changes = scale["keys"], told["settings"]["amount"]
    memory, disk = scale["memory"], scale["disk"]
    readies = [("without local state", scale["without_state"]), ("with it, after a stop", scale["with_state"])]
    readies.append(("with it, after a kill", scale["after_a_kill"]))
    costs = [(f"`{name}`", lane["sides"]["engine"]["cpu_us_per_change"], lane["bytes_per_change"]) for name, lane in lanes.items()]
    costs.insert(1, ("`resolve`", told["resolve"]["sides"]["engine"]["cpu_us_per_change"], changes["bytes_per_change"]))
    lines = [
        f"One node, {keys:,} keys of {scale['slots']} rows, worker on one core, broker on the other:",
        "",
        "| what | measured |",
        "|---|---|",
        f"| local state | {disk['state_bytes'] / keys:,.0f} bytes a key |",
        f"| `state` and `golden` at the broker, lz4, one copy | {disk['broker_bytes'] / keys:,.0f} bytes a key |",
        f"| resident memory at most | {memory['resident_max_mib']:,.0f} MiB: {memory['ratio']:.2f} of `worker.memory_mib` |",
        *(
            f"| ready {name} | {one['seconds']:.1f} s, {one['restore_seconds']:.1f} s of it restoring {one['records']:,} records"
            + (f": {one['keys_per_second']:,} keys/s, {one['records_per_second']:,} records/s |" if one["keys_per_second"] else " |")
            for name, one in readies
        ),
        f"| resolve at this size | {scale['change_at_scale']['cpu_us_per_change']:.1f} µs of CPU a change |",
        *(f"| resolve, processes: {one['processes']} | {one['cpu_us_per_change']:.1f} µs of CPU a change |" for one in scale["processes"]),
        f"| partitions that keep their owner | {'not restored' if scale['kept_partitions_are_not_restored'] else 'RESTORED'} |",
        "",
        "| stage | µs of CPU a change | bytes read a change |",
        "|---|---|---|",
        *(f"| {name} | {cpu:.1f} | {size:,.0f} |" for name, cpu, size in costs),
    ]
    return "\n".join(lines) + "\n"


SIZES = (1_000_000, 10_000_000, 100_000_000)
COPIES, LOAD_CORES, CHANGED_A_DAY, PEAK = 3, 8, 0.02, 10


def sizes_table() -> str:
    """The formulas of the page, worked out."""
    told = _results()
    scale, lanes = told["scale"], told["lanes"]
    cpu = {name: lane["sides"]["engine"]["cpu_us_per_change"] for name, lane in lanes.items()}
    state, broker = (scale["disk"][name] / scale["keys"] for name in ("state_bytes", "broker_bytes"))
    resolve, rows = scale["change_at_scale"]["cpu_us_per_change"], scale["slots"]
    each = cpu["ingest"] + resolve + cpu["link"]
    lines = ["| | 1 M records | 10 M | 100 M |", "|---|---|---|---|"]

    def row(name: str, form: Callable[[float], str]) -> None:
        lines.append(f"| {name} | {' | '.join(form(records) for records in SIZES)} |")

    def bytes_of_a_day(records: float) -> float:
        read = lanes["ingest"]["bytes_per_change"] + lanes["link"]["bytes_per_change"] + lanes["webhook"]["bytes_per_change"]
        return records * CHANGED_A_DAY * read

    row("local state of all workers, GB", lambda records: f"{records * state / 1e9:,.1f}")
    row(f"`state` and `golden` at the brokers, {COPIES} copies, GB", lambda records: f"{records * broker * COPIES / 1e9:,.0f}")
    row("the first load, hours of CPU", lambda records: f"{records * rows * each / 3.6e9:,.1f}")
    row(f"the first load on {LOAD_CORES} cores, hours", lambda records: f"{records * rows * each / 3.6e9 / LOAD_CORES:,.1f}")
    row(f"changes a second at the peak ({CHANGED_A_DAY:.0%} a day, peak {PEAK} times the mean)", lambda records: f"{_peak(records):,.0f}")
    row("cores busy at that peak, one webhook", lambda records: f"{_peak(records) * (each + cpu['webhook']) / 1e6:,.2f}")
    row("network into the workers a day, GB", lambda records: f"{bytes_of_a_day(records) / 1e9:,.1f}")
    row(f"restore from nothing, {LOAD_CORES} workers on a core each, minutes", lambda records: f"{_restore_minutes(records, scale):,.1f}")
    return "\n".join(lines) + "\n"


def _peak(records: float) -> float:
    return records * CHANGED_A_DAY / 86_400 * PEAK


def _restore_minutes(records: float, scale: Mapping[str, Any]) -> float:
    return float(records / scale["without_state"]["keys_per_second"] / LOAD_CORES / 60)


def bench_table() -> str:
    told = _results()
    resolve, asked = told["resolve"], told["settings"]
    amount, faust = asked["amount"], asked["amount_faust"]
    sides, ratios = [], []
    for name, side in resolve["sides"].items():
        rate, cost = (
            f"{side['changes_per_second']:,.0f} | {side['spread']:.0%}",
            f"{side['cpu_us_per_change']:.1f} | {side['cpu_spread']:.0%}",
        )
        sides.append(f"| `{name}` | {rate} | {cost} |")
    for name, ratio in resolve["ratios"].items():
        rounds = ", ".join(f"{one:.2f}" for one in resolve["ratios_per_round"][name])
        aim = f"{resolve['aims'][name]:g} | {'yes' if resolve['reached'][name] else 'no'}"
        ratios.append(f"| `{name}` | {ratio:.2f} | {resolve['ratios_cpu'][name]:.2f} | {rounds} | {aim} |")
    words = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    golden = resolve["sides"]["engine"]["outcome"]["golden_bytes_mean"]
    lines = [
        f"{asked['rounds']} rounds of {amount['changes']:,} changes behind {amount['warm_up']:,} of warm-up, "
        f"on {amount['keys']:,} records of {amount['load']:,} rows "
        f"(idiomatic Faust: {faust['changes']:,}, {faust['warm_up']:,}, {faust['keys']:,}, {faust['load']:,}). "
        f"{amount['bytes_per_change']:,.0f} bytes a change, {golden:,.0f} a golden record. "
        f"{asked['partitions']} partitions, {told['cpu_count']} cores.",
        "",
        f"{words}.",
        "",
        "| side | changes/s | spread | CPU µs a change | spread |",
        "|---|---|---|---|---|",
        *sides,
        "",
        "| the engine over | by wall time | by CPU | by wall time, each round | aim | reached |",
        "|---|---|---|---|---|---|",
        *ratios,
    ]
    return "\n".join(lines) + "\n"


GENERATED: Mapping[str, Callable[[], str]] = {
    "settings.md": settings_table,
    "topics.md": topics_table,
    "performance.md": bench_page,
    "sizing.md": lambda: f"{sizing_table()}\n{sizes_table()}",
}


def renewed(page: str) -> str:
    """The page as it should stand."""
    before, _, rest = (DOCS / page).read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{GENERATED[page]()}\n{END}{after}"


def main() -> None:
    for page in GENERATED:
        (DOCS / page).write_text(renewed(page), encoding="utf-8")


if __name__ == "__main__":
    main()
