"""The metrics of a recorder."""

from quotes.history.recording.recorder import Recorder
from quotes.metrics.samples import Samples


class RecorderCollector:
    """Collects what a recorder counts."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __call__(self, samples: Samples) -> None:
        recorder, counters = self._recorder, self._recorder.counters
        is_leader = recorder.is_recording
        samples.add("quotes_recorder_leader", int(is_leader))
        samples.add("quotes_recorder_ticks_total", counters.recorded)
        samples.add("quotes_recorder_candle_writes_total", counters.candles)
        samples.add("quotes_candle_revisions_total", recorder.revised)
        samples.add("quotes_recorder_gaps_total", counters.gaps)
        samples.add("quotes_recorder_bad_entries_total", counters.bad)
        samples.add("quotes_recorder_refused_ticks_total", counters.refused)
        samples.add("quotes_recorder_lag_ticks", counters.behind if is_leader else None)
        for shard, position in recorder.positions.items():
            at_ms = int(position.partition("-")[0])
            samples.add("quotes_recorder_position_timestamp_seconds", at_ms / 1000, str(shard))
        samples.add("quotes_recorder_commit_seconds", recorder.commits.state())
        samples.add(
            "quotes_recorder_last_commit_timestamp_seconds",
            recorder.committed_ms / 1000 if recorder.committed_ms else None,
        )
        samples.add("quotes_recorder_failing", int(recorder.is_failing))
