"""The bridge: from publishers' channels to numbered ticks, written in fenced batches."""
