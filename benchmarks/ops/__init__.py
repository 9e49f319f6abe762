"""One file per op of KERNELS: its workloads, its inputs and who is measured beside it."""
