"""The uids of inquiries: what they look like, and that the lease holds them."""

import pytest
from pydantic import ValidationError

from worker.config.settings import GivenSettings
from worker.domain.leases import MAX_LEASE_ID_LENGTH, InquiryUids, inquiry_uid
from worker.errors import SettingsError

ASKING = {
    "partner_id": "P1",
    "partner_secret": "s3cret",
    "inquiry_url": "http://127.0.0.1:9/inquire-token",
}


@pytest.mark.parametrize("prefix", ["I", "INQ", "ORDERS", "A-B_", "--"])
@pytest.mark.parametrize("length", [15, 12])
def test_a_lease_begins_with_the_uid_of_its_inquiry(prefix: str, length: int) -> None:
    lease_id = InquiryUids(prefix, length).lease_id()
    uid = inquiry_uid(lease_id)
    assert len(lease_id) == MAX_LEASE_ID_LENGTH
    assert lease_id.startswith(f"{uid}-")
    assert uid.startswith(prefix)
    assert len(uid) == length


def test_no_two_leases_share_an_id_or_a_uid() -> None:
    leases = {InquiryUids("ORDERS").lease_id() for _ in range(2000)}
    assert len({inquiry_uid(lease_id) for lease_id in leases}) == 2000


def test_the_uid_of_an_inquiry_is_no_longer_than_that_of_a_job() -> None:
    assert GivenSettings().inquiry_uids == InquiryUids("INQ", 15)
    settings = GivenSettings.model_validate({"inquiry_uid_prefix": "K", "uid_length": 10})
    assert settings.inquiry_uids == InquiryUids("K", 10)


@pytest.mark.parametrize("prefix", ["", "SEVENTY", "IN Q", "IN/Q", "ถาม", "INQ\n"])
def test_a_prefix_that_no_uid_can_begin_with_is_refused(prefix: str) -> None:
    with pytest.raises(ValidationError):
        GivenSettings.model_validate({"inquiry_uid_prefix": prefix})


@pytest.mark.parametrize(
    ("prefix", "length", "left"), [("INQ", 11, 8), ("ORDERS", 14, 8), ("I", 9, 8), ("ORDERS", 3, 0)]
)
def test_settings_that_leave_too_little_to_chance_are_refused(
    prefix: str, length: int, left: int
) -> None:
    given = {"inquiry_uid_prefix": prefix, "uid_length": length}
    settings = GivenSettings.model_validate(ASKING | given)
    told = rf"KPLUS_INQUIRY_UID_PREFIX leaves {left} characters of {length} to chance.*UID_LENGTH"
    with pytest.raises(SettingsError, match=told):
        settings.roster()
    assert GivenSettings.model_validate(ASKING | given | {"uid_length": 15}).roster()


def test_who_makes_no_inquiries_may_have_short_uids() -> None:
    settings = GivenSettings.model_validate(ASKING | {"inquiry_url": None, "uid_length": 5})
    assert len(settings.roster()) == 1
