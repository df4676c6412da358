"""Sessions whose readings of the day's volume have noise between the good ones."""

from hypothesis import strategies as st


@st.composite
def noisy_sessions(draw: st.DrawFn) -> list[tuple[int, bool]]:
    """Readings in the order of events, and whether each is good.

    The first and the last are good, and noise comes in runs shorter than the good runs around it.
    """
    runs = draw(
        st.lists(
            st.lists(st.integers(1, 1000), min_size=1, max_size=8, unique=True),
            min_size=1,
            max_size=6,
        )
    )
    good = sorted(reading for run in runs for reading in run)
    session: list[tuple[int, bool]] = []
    at = 0
    for number, run in enumerate(runs):
        session += [(reading, True) for reading in good[at : at + len(run)]]
        at += len(run)
        if number + 1 < len(runs):
            most = min(len(run), len(runs[number + 1])) - 1
            noise = draw(st.lists(st.integers(1, 1500), max_size=most))
            session += [(reading, False) for reading in noise]
    return session
