"""What had a build made is told in words, and found again by them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from probo_bitbucket import origins

IDS = st.integers(1, 2**63 - 1)


@given(id=IDS, found=st.booleans(), comment=IDS)
def test_whatever_a_delivery_led_to_leads_back_to_it(id: int, found: bool, comment: int) -> None:
    first = origins.delivery(id, found=found)
    by_hand = origins.comment(comment, first)
    again = origins.rebuild(origins.rebuild(by_hand))
    assert {origins.delivery_of(each) for each in (first, by_hand, again)} == {id}
    assert {origins.teller(each) for each in (first, by_hand)} == {origins.delivery(id)}
    assert [origins.is_delivery(each) for each in (first, by_hand, again)] == [True, False, False]
    assert again == origins.rebuild(by_hand)


def test_what_people_ask_for_elsewhere_leads_to_no_delivery() -> None:
    for origin in (origins.OPERATOR, origins.WEB_APP, origins.REHEARSAL):
        assert (origins.delivery_of(origin), origins.is_delivery(origin)) == (None, False)
        assert origins.teller(origin) == origin
