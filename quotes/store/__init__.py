"""What Redis holds: names of keys, clients, latest prices, the tick log, the inbox and leases."""
