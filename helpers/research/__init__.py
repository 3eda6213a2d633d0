"""Ideas put to the test, baselines, benchmarks, and the model for recordings of people."""
