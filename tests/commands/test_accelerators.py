from keras_videoprism.commands.accelerators import ACCELERATORS, Accelerator, Estimate, estimate

CHIP = Accelerator(flops=100.0, memory=1000.0, bandwidth=10.0, network=5.0)


def test_the_slowest_part_bounds_the_step():
    assert estimate(CHIP, 200, 10, 5, 1000) == Estimate(2, 1, 1, 2, True)
    assert estimate(CHIP, 200, 30, 5, 1001) == Estimate(2, 3, 1, 3, False)
    assert estimate(CHIP, 200, 30, 20, 0) == Estimate(2, 3, 4, 4, True)


def test_datasheets_have_plausible_units():
    """A chip takes between 50 and 1000 operations for each byte of memory that it reads."""
    for name, chip in ACCELERATORS.items():
        assert 50 < chip.flops / chip.bandwidth < 1000, name
        assert 1e10 < chip.memory < 2e11 and chip.network < chip.bandwidth, name
