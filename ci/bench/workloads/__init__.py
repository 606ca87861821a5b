"""The workloads by subject; each module adds its own to `ci.bench.case.WORKLOADS` when imported."""
