"""The doctor's report on a data set as a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gerund.core.html import fill_template, grouped


def doctor_page(data: str, values: Mapping[str, Any]) -> str:
    """The page (HTML) about the data set called `data`, from `Diagnosis.values()`."""
    levels = {level: grouped(each for each in values["findings"] if each["level"] == level) for level in ("problem", "remark")}
    return fill_template("diagnosis/doctor.html", title=f"gerund doctor: {data}", levels=levels, **values)
