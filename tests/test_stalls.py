from tests.stalls import Stalls


def test_only_what_is_late_counts_and_only_between_the_two_moments() -> None:
    stalls = Stalls()
    stalls._late = [(100.0, 0.5), (110.0, 2.0), (112.0, 1.0)]
    assert stalls.longest() == 2.0
    assert stalls.between(105.0, 111.5) == 3.0
    assert stalls.between(101.0, 105.0) == 0.0
    assert Stalls().longest() == 0.0
