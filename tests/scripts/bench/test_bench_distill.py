"""The benchmark of distillation: what its ratio says."""

from scripts.bench import distill


def test_the_ratio_is_of_what_is_left_without_the_teacher_round_by_round():
    found = distill.beyond([5.0, 9.0, 7.0], [2.0, 5.0, 4.0], [2.0, 2.0, 2.0])
    assert found["median"] == 1.5 and len(found["deciles"]) == 9


def test_a_small_case_has_all_that_the_table_shows(monkeypatch):
    monkeypatch.setattr(
        distill, "steps", lambda x, y: dict.fromkeys(("plain", "teacher", *DISTILLED), list)
    )
    found = distill.measured(3)
    assert set(found["ms_a_step"]) == {"plain", "teacher", *DISTILLED}
    assert all(set(found[f"{name}_to_plain"]) == {"cpu", "wall"} for name in DISTILLED)


DISTILLED = ("distilled", "distilled_inside")
