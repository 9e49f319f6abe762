"""Human electrocardiogram, delay-embedded: D_stsp, D_H and the 20-step prediction error."""

from __future__ import annotations

from benchmarks.quality.reconstruction import run

TARGETS = {"d_stsp": (0.0, 4.3), "d_h": (0.0, 0.34), "pe_20": (0.0, 2.4e-3)}

if __name__ == "__main__":
    run("ecg", TARGETS, runs=3)
