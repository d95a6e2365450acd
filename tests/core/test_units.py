"""Time spans as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gerund.core.errors import UsageError
from gerund.core.units import budget, seconds


@given(
    st.integers(0, 10**6),
    st.integers(0, 999),
    st.sampled_from([("", 1), ("s", 1), ("m", 60), ("h", 3600), (" min", 60), ("H", 3600)]),
)
def test_a_time_span_is_its_number_times_its_unit(whole: int, thousandths: int, unit: tuple[str, int]) -> None:
    assert seconds(f"{whole}.{thousandths:03d}{unit[0]}") == pytest.approx((whole + thousandths / 1000) * unit[1])


@given(st.text(max_size=8))
def test_any_other_text_is_refused_with_a_sentence(text: str) -> None:
    try:
        assert seconds(text) >= 0
    except UsageError as error:
        assert "write 90s, 10m or 1.5h" in str(error)


def test_a_time_for_work_has_a_unit() -> None:
    assert (budget("90s"), budget("1.5h"), budget(90.0), budget(90)) == (90, 5400, 90, 90)
    for text in ("10", "1.5", " 3 "):
        with pytest.raises(UsageError, match="of what\\? Write "):
            budget(text)
