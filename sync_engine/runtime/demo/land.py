"""Parcels and buildings as 国土, 规划 and 建设 know them."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal

from sync_engine.runtime.demo.people import REGION, STREETS
from sync_engine.runtime.demo.rows import Rows

MOST_BUILDINGS = 3
# GB/T 21010 and the words of the plan for it; most land is lived on.
USES = (("0701", "居住用地"), ("0501", "商业用地"), ("0701", "居住用地"), ("0601", "工业用地"), ("0801", "公共管理用地"))
_DISTRICTS = 20
_SUBDISTRICTS = 30

PARCEL = ("zddm", "zdyt", "zdmj", "zl", "qhdm")
PLAN = ("xmbh", "zddm", "ghyt", "tdyt", "rjl", "pzrq")
BUILDING = ("jzwbh", "jzwmc", "zddm", "dscs", "jzmj", "jgrq", "qhdm")
PERMIT = ("xkzh", "zddm", "yt")


def parcels(numbers: range, seed: int) -> Iterator[Rows]:
    """These parcels, their plans and permits, and the buildings on them."""
    yield Rows("jinan/exchange_front", "gt.zd", PARCEL, [_parcel(number, seed) for number in numbers])
    yield Rows("jinan/exchange_front", "gh.ydgh", PLAN, [_plan(number, seed) for number in numbers])
    yield Rows("jinan/exchange_front", "js.sgxk", PERMIT, [_permit(number, seed) for number in numbers])
    buildings = [_building(number, place, seed) for number in numbers for place in range(_buildings_on(number, seed))]
    if buildings:
        yield Rows("jinan/exchange_front", "js.jzw", BUILDING, buildings)


def parcel_code(number: int) -> str:
    """County, cadastral district and subdistrict, right (GB: state-owned, for building), number within the subdistrict."""
    rest, district = divmod(number - 1, _DISTRICTS)
    place, subdistrict = divmod(rest, _SUBDISTRICTS)
    if place >= 99_999:
        raise ValueError(f"a county of the sample has no room for parcel {number}")
    return f"{REGION}{district + 1:03d}{subdistrict + 1:03d}GB{place + 1:05d}"


def use_of(number: int, seed: int) -> tuple[str, str]:
    """The land use and the planned use that every department holds."""
    return USES[(number + seed) % len(USES)]


def _parcel(number: int, seed: int) -> tuple[object, ...]:
    location = f"六安市金安区{STREETS[(number + seed) % len(STREETS)]}{number % 800 + 1}号"
    return parcel_code(number), use_of(number, seed)[0], _area(number, seed), location, REGION


def _plan(number: int, seed: int) -> tuple[object, ...]:
    land_use, planned_use = use_of(number, seed)
    return (
        f"地字第{REGION}{number:09d}号",
        parcel_code(number),
        planned_use,
        land_use,
        Decimal(80 + (number * 17 + seed) % 300) / 100,
        _planned_on(number, seed),
    )


def _permit(number: int, seed: int) -> tuple[object, ...]:
    return f"{REGION}{_planned_on(number, seed):%Y}{number:08d}", parcel_code(number), use_of(number, seed)[0]


def _building(number: int, place: int, seed: int) -> tuple[object, ...]:
    code = parcel_code(number)
    storeys = 1 + (number * 5 + place + seed) % 33
    return (
        f"{code}F{place + 1:04d}",
        f"{place + 1}号楼",
        code,
        storeys,
        Decimal(storeys * 25_000 + number % 1_000) / 100,
        _planned_on(number, seed) + timedelta(days=700 + place * 30),
        REGION,
    )


def _buildings_on(number: int, seed: int) -> int:
    return (number + seed) % (MOST_BUILDINGS + 1)


def _area(number: int, seed: int) -> Decimal:
    return Decimal(50_000 + (number * 7_919 + seed * 101) % 9_000_000) / 100


def _planned_on(number: int, seed: int) -> date:
    return date(2005, 1, 1) + timedelta(days=(number * 389 + seed) % 6_500)
