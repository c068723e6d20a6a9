"""What `scripts/bench` measures. Each measure is one JSON line; ratios are of one run, the two sides taken in turn, best of five."""
