"""The soak of a whole server, in a version too small for meaningful numbers."""

import pytest

from benchmarks import soak

pytestmark = pytest.mark.proof("benchmarks")


def test_a_server_is_loaded_while_its_actors_are_killed(capsys: pytest.CaptureFixture[str]) -> None:
    """Every message is answered, no promise is broken, and what the server holds is counted twice."""
    figures = {figure.figure: figure.ours for figure in soak.figures(small=True)}
    assert figures["soak_messages"] == soak.SMALL.users * soak.SMALL.for_s / soak.SMALL.every_s
    assert figures["soak_kills"] > 3
    assert figures["soak_broken"] == 0
    assert 20 < figures["soak_mb_end"] <= figures["soak_mb_most"] * 1.1 < 1_000
    assert "bytes in use by malloc" in capsys.readouterr().err


def test_the_second_half_is_told_by_the_line_through_its_samples() -> None:
    """What happened before does not count, and one sample beside the line hardly does."""
    samples = [(second, 500.0 if second < 50 else 100.0 + second / 10) for second in range(101)]
    assert soak.second_half(samples) == pytest.approx((105.0, 110.0))
    samples[75] = (75, 150.0)
    start, end = soak.second_half(samples)
    assert end - start == pytest.approx(5.0, abs=0.1)


def test_actors_are_chosen_by_their_paths() -> None:
    tree = {"path": "/system/a", "children": [{"path": "/system/a/b", "children": []}]}
    assert list(soak.paths(tree)) == ["/system/a", "/system/a/b"]
    assert soak.fits("/system/a/b", ["a", "*"])
    assert not soak.fits("/system/a/b", ["*", "c"])
    assert not soak.fits("/system/a/b", ["a"])


def test_what_the_second_half_added_is_told_by_kind() -> None:
    """The kinds with the greatest difference first, whether there are more or fewer."""
    assert list(soak.grown({"a": 5, "b": 9}, {"a": 6, "c": 1_000})) == [
        "      +1,000 to        1,000 c",
        "          -9 to            0 b",
        "          +1 to            6 a",
    ]
