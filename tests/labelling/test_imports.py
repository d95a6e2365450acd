"""Labels of others come in as theirs, once, and can be undone like anything else."""

from __future__ import annotations

from gerund.data.annotations import read_annotations
from gerund.labelling.imports import import_annotations
from support.studios import named, studio_in

TABLE = """path,label,start,end,subject,status,by,at
one.mp4,left,0,3,mouse 1,confirmed,ana,2024-05-06
one.mp4,<b>odd</b>,4,5,,rejected,ben,
two.mp4,left,,,,,,
gone.mp4,left,0,1,,,,
one.mp4,,7,8,,,,
"""


def test_labels_of_others_are_theirs(folder, tmp_path, capsys):
    (folder / "theirs.csv").write_text(TABLE)
    rows = read_annotations(folder / "theirs.csv")
    with studio_in(folder, tmp_path / "cache") as desk:
        import_annotations(desk.library, rows, folder / "theirs.csv")
        import_annotations(desk.library, rows, folder / "theirs.csv")
        state = desk.project.state
        shown = [
            (state.labels[each.label].text, each.start, each.end, each.subject, each.status, each.by)
            for each in state.bouts.values()
        ]
        assert shown == [
            ("left", 0, 3, "mouse 1", "confirmed", "ana"),
            ("<b>odd</b>", 4, 5, "", "rejected", "ben"),
            ("left", 0, 15, "", "confirmed", ""),
        ]
        assert next(iter(state.bouts.values())).at == "2024-05-06"
        assert named(desk, "two")
        while desk.step(back=True, token=""):
            pass
        assert desk.project.state.bouts == {}
    assert "theirs.csv: 2 of 5 rows are left out" in capsys.readouterr().err
