"""Traded volume from readings of the day's volume so far.

The readings of one session, in the order of their events, go up. Where they do not:

- a reading below the highest, but not below half of it, is a late or repeated one: adds nothing;
- 0 after a greater reading is a feed that does not know: adds nothing;
- a fall below half of the highest is a counter that began anew: what it shows was traded since,
  and it counts from there;
- a jump from there, from below half, back to the height before the fall or above it shows that the
  fall was a bad reading: only what is above that height was traded.

What was traded before the first reading of a session counts as traded at that reading.
"""

# Where the day's volume stands: the highest reading of the present counter, and the height from
# which the counter fell to begin anew (0: it did not).
Standing = tuple[int, int]

SESSION_START: Standing = (0, 0)


def advance(standing: Standing, reading: int) -> tuple[int, Standing]:
    """Return what was traded since the readings before, and where the volume stands now.

    Args:
        reading: the day's volume so far, at least 0.
    """
    highest, fallen_from = standing
    if reading > highest:
        if 2 * highest < fallen_from <= reading:
            return reading - fallen_from, (reading, 0)
        return reading - highest, (reading, fallen_from)
    if reading and 2 * reading < highest:
        return reading, (reading, highest)
    return 0, standing
