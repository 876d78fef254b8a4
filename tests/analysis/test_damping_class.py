"""The names of the classes, and their order, which files and figures rely on."""

from heavyball_dynamics import DampingClass


def test_values_are_fixed():
    assert [(c.name, int(c)) for c in DampingClass] == [
        ("DIVERGENT", 0), ("MARGINAL", 1), ("UNDAMPED", 2), ("UNDERDAMPED", 3), ("CRITICAL", 4), ("OVERDAMPED", 5),
        ("ALTERNATING", 6),
    ]  # fmt: skip


def test_labels():
    assert DampingClass.CRITICAL.label == "critically damped"
    assert DampingClass(5).label == "overdamped"
    assert len({c.label for c in DampingClass}) == len(DampingClass)
