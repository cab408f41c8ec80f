"""Every register of the sample network, in both kinds of database: what it says is what every tier, topic and table holds in the end."""

import pytest
import sqlalchemy as sa

from sync_engine.runtime.table_target import DRIVERS
from tests.e2e.network import POLICE, PROVINCE, Network, more_people
from tests.e2e.oracle_check import assert_all_hold_what_is_owed

pytestmark = pytest.mark.stack

CIVIL, MARKET, FRONT, UNITS = "jinan/civil_affairs", "jinan/market_regulation", "jinan/exchange_front", "jinan/human_resources"
HUOSHAN, FEIXI = "huoshan/public_security", "feixi/public_security"
PARCEL = "341502001001GB00001"


def test_registers_reach_every_tier_and_target(network: Network) -> None:
    execute = network.execute
    (groom, bride, child, elder) = more_people(4, 7001)
    enterprise, society, institution = (
        uscc(f"{registrar}341502MA2N0A1B{number}") for registrar, number in (("91", 1), ("51", 2), ("12", 3))
    )
    execute(
        MARKET,
        "INSERT INTO scjg.qy_jbxx VALUES"
        " (%s, %s, '金安示例贸易有限公司', %s, %s, '皖西路1号', '341502', 500.5, '1', '2015-06-18', '2015-06-18')",
        ["E-1", enterprise, groom.name, groom.id_number],
    )
    execute(MARKET, "INSERT INTO scjg.zzjgdm VALUES (1, %s, 'MA2N0A1B1', '金安示例贸易有限公司', '皖西路1号')", [enterprise])
    execute(FRONT, "INSERT INTO gs.nsr VALUES (1, %s, '金安示例贸易有限公司', %s, '03', '皖西路1号')", [enterprise, enterprise])
    execute(FRONT, "INSERT INTO ds.nsrxx VALUES (1, %s, '金安示例贸易有限公司', %s, '正常', '皖西路1号')", [enterprise, enterprise])
    execute(UNITS, "INSERT INTO si.ab01 VALUES (1, %s, '金安示例贸易有限公司', '1', '2015-07-01')", [enterprise])
    execute(
        CIVIL,
        "INSERT INTO mz.shzz VALUES (1, %s, '金安区书法协会', %s, %s, '梅山路2号', '341502', '1', '2012-03-04')",
        [society, bride.name, bride.id_number],
    )
    execute(
        FRONT,
        "INSERT INTO bb.jgsydw VALUES (1, %s, '金安区图书馆', %s, %s, '长安路3号', '341502', '正常', '2001-01-01')",
        [institution, elder.name, elder.id_number],
    )
    for number, person in enumerate((groom, bride, child, elder), start=7001):
        execute(
            POLICE,
            "INSERT INTO hj.t_czrk (rybh, gmsfhm, xm, xb, csrq, mz, hyzk, hjqh) VALUES (%s, %s, %s, %s, %s, '汉族', '20', '341502')",
            [number, person.id_number, person.name, person.sex, person.birth_date],
        )
    marriage = "INSERT INTO mz.hydj_jl VALUES (%s, %s, %s, %s, %s, %s, %s)"
    execute(CIVIL, marriage, [1, groom.id_number, groom.name, bride.id_number, bride.name, "J", "2020-05-20"])
    execute(CIVIL, "INSERT INTO mz.shjz VALUES (1, %s, %s, '01', '2023-01-01')", [elder.id_number, elder.name])
    execute(
        FRONT, "INSERT INTO wj.csyxzm VALUES ('S341502001', %s, %s, %s, %s)", [child.id_number, child.name, child.sex, child.birth_date]
    )
    execute(FRONT, "INSERT INTO gt.zd VALUES (%s, '0701', 1250.25, '皖西路1号', '341502')", [PARCEL])
    execute(FRONT, "INSERT INTO gh.ydgh VALUES ('G-1', %s, '居住用地', '0701', 2.50, '2018-01-01')", [PARCEL])
    execute(FRONT, "INSERT INTO js.sgxk VALUES ('X-1', %s, '0701')", [PARCEL])
    execute(FRONT, "INSERT INTO js.jzw VALUES ('JZ-1', '示例大厦', %s, 18, 21000.00, '2020-12-31', '341502')", [PARCEL])
    assert_all_hold_what_is_owed(network)

    record = network.golden(PROVINCE)["legal_person", enterprise]
    said = {item: (status, value) for item, status, value in record.content.items}
    assert said["registered_capital"] == ("confirmed", "500.5")
    assert said["legal_representative"] == ("confirmed", groom.name)
    assert record.sources["tax_status"] == f"{FRONT}/state_taxpayer"

    execute(CIVIL, marriage, [2, groom.id_number, groom.name, bride.id_number, bride.name, "L", "2025-05-20"])
    execute(MARKET, "UPDATE scjg.qy_jbxx SET regstate = '3', regcap = 600, apprdate = '2026-01-02' WHERE pripid = 'E-1'")
    execute(FRONT, "UPDATE gs.nsr SET nsrzt = '05' WHERE djxh = 1")
    execute(FRONT, "INSERT INTO wj.swzm VALUES ('D341502001', %s, %s, '2026-02-03', '1')", [elder.id_number, elder.name])
    execute(POLICE, "UPDATE hj.t_czrk SET swbz = '1' WHERE rybh = 7004")
    execute(FRONT, "DELETE FROM js.jzw WHERE jzwbh = 'JZ-1'")
    assert_all_hold_what_is_owed(network)


def test_rows_of_mariadb_end_and_change_their_keys(network: Network) -> None:
    execute = network.execute
    was, becomes, kept = (uscc(f"91341502MA2N0B2C{number}") for number in (1, 2, 3))
    row = "INSERT INTO scjg.qy_jbxx (pripid, uniscid, entname, domdistrict, regstate) VALUES (%s, %s, %s, '341502', '1')"
    for pripid, code in (("E-11", was), ("E-12", kept)):
        execute(MARKET, row, [pripid, code, f"企业{pripid}"])
    execute(MARKET, "UPDATE scjg.qy_jbxx SET uniscid = %s WHERE pripid = 'E-11'", [becomes])
    execute(MARKET, "UPDATE scjg.qy_jbxx SET pripid = 'E-13' WHERE pripid = 'E-12'")
    execute(MARKET, "UPDATE scjg.qy_jbxx SET entname = NULL WHERE pripid = 'E-13'")
    with network.departments.connect(MARKET) as market:
        market.execute("DELETE FROM scjg.qy_jbxx")
        market.rollback()
    people = more_people(6, 7101)
    with network.commit(CIVIL) as civil:
        civil.many(
            "INSERT INTO mz.shjz VALUES (%s, %s, %s, '02', '2022-01-01')", [(n, p.id_number, p.name) for n, p in enumerate(people, 100)]
        )
    assert_all_hold_what_is_owed(network)
    execute(CIVIL, "TRUNCATE TABLE mz.shjz")
    execute(CIVIL, "INSERT INTO mz.shjz VALUES (100, %s, %s, '03', '2024-01-01')", [people[0].id_number, people[0].name])
    assert_all_hold_what_is_owed(network)


def test_a_person_moves_from_one_city_to_another(network: Network) -> None:
    """The county left behind, its city, the province and the other city: each ends with what it is owed."""
    (person,) = more_people(1, 7201)
    row = "INSERT INTO {} VALUES (%s, %s, %s, %s, %s, '01', %s, %s, %s, %s, '13900000000')"
    network.execute(
        HUOSHAN,
        row.format("ga.rkxx"),
        [1, person.id_number, person.name, "男", person.birth_date, "正常", "341525", "衡山镇1号", "2010-01-01"],
    )
    network.catch_up()
    assert ("natural_person", person.id_number) in network.golden("luan")
    network.execute(
        FEIXI,
        row.format("pop.resident"),
        [1, person.id_number, person.name, "M", person.birth_date, 1, "340123", "上派镇2号", "2026-03-01"],
    )
    network.execute(HUOSHAN, "DELETE FROM ga.rkxx WHERE id = 1")
    assert_all_hold_what_is_owed(network)
    assert network.golden(PROVINCE)["natural_person", person.id_number].content.jurisdiction == "340123"


def test_a_table_that_is_gone_holds_up_nobody_else(network: Network) -> None:
    given = sa.make_url(network.stack.endpoints.mariadb)
    owner = sa.create_engine(given.set(drivername=DRIVERS["mariadb"], database="bdc"))
    with owner.begin() as connection:
        connection.execute(sa.text("ALTER TABLE bdc.parcel RENAME TO bdc.hidden"))
    try:
        network.execute(FRONT, "UPDATE gt.zd SET zdmj = 1300.00")
        network.execute(FRONT, "INSERT INTO js.jzw VALUES ('JZ-2', '另一大厦', %s, 6, 3000.00, '2021-12-31', '341502')", [PARCEL])
        network.execute(POLICE, "UPDATE hj.t_czrk SET hjdz = '皖西路2号' WHERE rybh = 61")
        network.catch_up()
        with owner.connect() as connection:
            built = "SELECT count(*) FROM bdc.building WHERE building_number = 'JZ-2' AND sync_state = 'live'"
            network.wait("the other table of the same server goes on", lambda: connection.execute(sa.text(built)).scalar() == 1, 10)
            connection.rollback()
        alerts = lambda: {one["labels"].get("subscriber") for one in network.status("jinan")["alerts"] if one["kind"] == "subscriber_lag"}  # noqa: E731
        network.wait("it is an alert", lambda: alerts() == {"real_estate"}, 30)
    finally:
        with owner.begin() as connection:
            connection.execute(sa.text("ALTER TABLE bdc.hidden RENAME TO bdc.parcel"))
        owner.dispose()
    network.wait("nothing is parked", lambda: network.metric("jinan", "syncengine_delivery_pending", subscriber="real_estate") == 0, 90)
    assert_all_hold_what_is_owed(network)


ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def uscc(first: str) -> str:
    """A unified social credit code (GB 32100-2015) that begins so; filled with zeros to 17 characters."""
    body = first.ljust(17, "0")
    return body + ALPHABET[-sum(ALPHABET.index(character) * 3**place % 31 for place, character in enumerate(body)) % 31]
