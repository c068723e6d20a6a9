"""A seeded fuzzer of the edge: mutated requests to a whole server in this process, and what must be true meanwhile and after it.

`scripts/fuzz --minutes n` runs it for as long as one likes, `tests/web/test_fuzz.py` for a moment. Each case is made from the seed
and its own number alone, so that `--only N` makes the same input again. Layers, each importing only those before it: mutations,
cases, target, campaign, __main__.
"""
