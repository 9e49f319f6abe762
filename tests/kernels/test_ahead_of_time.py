"""Every Triton kernel compiled for A100 and H100/H200 without a GPU; its resources within limits."""

from __future__ import annotations

import pytest

pytest.importorskip("triton", reason="triton is not installed on this platform")

from benchmarks import resources

# Bytes that a thread may spill: none while the weights stay on chip; a streamed tile is loaded once a step anyway.
SPILL_LIMIT = {"resident": 0, "streamed": 128}
SPILL_LIMIT_WIDEST = 1024  # M 256 without a hidden layer: 65 536 weights pass through the registers in every step


@pytest.mark.parametrize("arch", resources.ARCHITECTURES, ids=lambda a: f"sm_{a}")
@pytest.mark.parametrize("case", resources.NAMED, ids=lambda c: f"{c[0]}-M{c[1]}-H{c[2]}")
def test_resources_within_limits(case, arch):
    rows = resources.measure(*case, arch)
    expected = 4 if case[0].startswith("dendritic") else 3
    assert len(rows) == expected
    for row in rows:
        limit = SPILL_LIMIT["streamed" if "streamed" in row.form else "resident"]
        if row.M == 256:
            limit = SPILL_LIMIT_WIDEST
        assert 0 < row.registers <= 65536 // (32 * row.warps)
        assert row.stack <= limit, f"{row.kernel} spills {row.stack} bytes"
        assert row.shared <= resources.SHARED_LIMIT[arch]
        assert row.ffma > 0


@pytest.mark.parametrize("case", resources.NAMED[:1] + resources.NAMED[4:7], ids=lambda c: c[0])
def test_sizes_of_one_compile_too(case):
    for name, constants, warps in resources.variants(*case):
        cubin, _ = resources.compile_kernel(name, constants, warps, 90, ones=True)
        assert cubin[:4] == b"\x7fELF"


def test_committed_table_names_every_kernel_and_size():
    text = resources.TABLE.read_text()
    for cell, M, H, B in resources.NAMED:
        for name, _, _ in resources.variants(cell, M, H, B):
            for arch in resources.ARCHITECTURES:
                assert any(
                    line.startswith(f"| {name} | {cell} | {M} | {H} |") and f"| {arch} |" in line
                    for line in text.splitlines()
                )
