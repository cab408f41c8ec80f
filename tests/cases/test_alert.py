"""Whom an alert is for: those who answer for the departments that it is about, as their files say."""

from sync_engine import declared
from sync_engine.model.alert import DEAD_LETTERS, FIRING, Alert, Responsible, addressed, alert_of
from tests.fakes.codec import FakeCodec

DECLARATIONS = declared.read()
ALERT = Alert("id", DEAD_LETTERS, FIRING, "warning", "jinan", {"source": "jinan/public_security"}, "", "", 1)
POLICE = Responsible(
    "jinan/public_security",
    "户政大队",
    "数据专员(公安)",
    "0564-0000001",
    "局长",
    "0564-0000000",
    {
        "level": "county",
        "region": "341502",
        "system": "household_registration",
        "business": "residents",
        "department": "金安区公安分局",
    },
)


def test_an_alert_names_who_answers_and_comes_back_from_its_bytes() -> None:
    alert = addressed(ALERT, ["jinan/public_security", "jinan/public_security", "nobody/knows"], DECLARATIONS.departments)

    assert alert.responsible == (POLICE,)
    codec = FakeCodec(DECLARATIONS)
    assert alert_of(codec.decode(codec.encode("sync.wire.Alert", alert.datum()))[1]) == alert


def test_an_alert_of_before_names_nobody() -> None:
    datum = ALERT.datum()
    del datum["responsible"]

    assert alert_of(datum) == ALERT
    assert addressed(ALERT, [""], DECLARATIONS.departments) == ALERT
