"""Pages are templates that come with the installation; what is put into them is escaped, and nothing may be missing."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest
from jinja2 import UndefinedError

import gerund
from gerund.core.html import fill_template, grouped, templates

SOURCE = Path(gerund.__file__).parent
NAMES = sorted(path.relative_to(SOURCE).as_posix() for kind in ("html", "css") for path in SOURCE.glob(f"*/**/*.{kind}"))


def test_templates_and_style_files_are_resources_of_the_package() -> None:
    assert {"core/page.html", "core/page.css", "diagnosis/doctor.html", "training/report/report.html"} <= set(NAMES)
    assert all(files("gerund").joinpath(name).is_file() for name in NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("html") and "static" not in name])
def test_every_template_is_valid_and_holds_no_script_and_no_address(name: str) -> None:
    text = files("gerund").joinpath(name).read_text(encoding="utf-8")
    templates().get_template(name)
    assert not re.search(r"<script|https?://|url\(|@import|[|]\s*safe", text)


def test_what_is_put_in_is_escaped() -> None:
    page = fill_template("core/page.html", title='<script>alert(1)</script> & "more"')
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;more&#34;" in page


def test_a_missing_name_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="title"):
        fill_template("core/page.html")


def test_findings_are_grouped_in_the_order_of_their_kinds() -> None:
    found = [{"area": "file", "kind": kind, "message": str(number)} for number, kind in enumerate(["b", "a", "b"])]
    assert [(group.kind, group.count, group.messages) for group in grouped(found)] == [("b", 2, ["0", "2"]), ("a", 1, ["1"])]
