from raytl.seeds import seed_for


def test_seeds_are_stable_and_independent() -> None:
    assert seed_for(0, "shuffle") == seed_for(0, "shuffle")
    names = [(0, "shuffle"), (1, "shuffle"), (0, "init"), ("0", "shuffle"), (0, "shuf", "fle")]
    assert len({seed_for(*name) for name in names}) == len(names)
    assert all(0 <= seed_for(i) < 2**31 for i in range(100))
