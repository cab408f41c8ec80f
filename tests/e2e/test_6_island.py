"""A node works on while its parent is away: its own departments are merged at home, and above everything comes later."""

import pytest

from tests.e2e.network import CITY, COUNTY, INSURANCE, POLICE, SCHOOLS, Network, more_people
from tests.e2e.oracle_check import assert_all_hold_what_is_owed, assert_holds_what_is_owed
from tests.e2e.test_1_road import RESIDENT, resident_row

pytestmark = pytest.mark.stack


def test_the_county_works_on_while_the_city_is_stopped(network: Network) -> None:
    city = network.hold(CITY)
    city.stop()
    assert city.exit_code == 0
    try:
        with network.commit(POLICE) as police:
            police.raw.cursor().executemany(RESIDENT, [resident_row(person) for person in more_people(50, 4601)])
        network.execute(POLICE, "DELETE FROM hj.t_czrk WHERE rybh BETWEEN 170 AND 175")
        network.execute(INSURANCE, "UPDATE si.ac01 SET aae005 = '13800000001' WHERE aac001 BETWEEN 176 AND 190")
        network.catch_up(30, nodes=[COUNTY], sources=[POLICE, INSURANCE])
        assert_holds_what_is_owed(network, COUNTY)
        network.execute(SCHOOLS, "UPDATE edu.graduate SET level = 'HIGH' WHERE certificate_no BETWEEN 'AH00000160' AND 'AH00000180'")
        network.execute(POLICE, "UPDATE hj.t_czrk SET hjdz = '皖西路1号' WHERE rybh BETWEEN 4601 AND 4610")
    finally:
        network.release(CITY)
    assert_all_hold_what_is_owed(network)
