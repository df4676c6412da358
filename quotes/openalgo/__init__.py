"""OpenAlgo's protocol: programs written for OpenAlgo connect unchanged."""
