#!/usr/bin/env python3
"""One training step (an exchange of 16 rows, backward, Adam) of a rotation alone, no model around it, at 768 and 1,600 dimensions: vene's maps beside pyvene's
RotatedSpaceIntervention (64 columns exchanged) and LowRankRotatedSpaceIntervention (one direction), in one run.

    python3 benchmarks/rotation_maps_against_pyvene.py [--threads 2]

Needs build/bin/rotation_maps, and pyvene 0.1.8 in the environment that trace_against_pyvene.py makes (or $VENE_PYVENE_PYTHON).
"""
import argparse
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from trace_against_pyvene import outputs_of_both  # noqa: E402


def peer(threads):
    import pyvene
    import torch
    torch.set_num_threads(threads)
    for width in (768, 1600):
        for kind in ("full_rotation", "one_direction"):
            torch.manual_seed(0)
            full = kind == "full_rotation"
            intervention = pyvene.RotatedSpaceIntervention(embed_dim=width) if full else pyvene.LowRankRotatedSpaceIntervention(embed_dim=width, low_rank_dimension=1)
            base, source, target = (torch.randn(16, 1, width) for _ in range(3))
            subspaces = [list(range(64))] * 16 if full else None
            optimizer = torch.optim.Adam(intervention.parameters(), lr=1e-3)
            times = []
            for _ in range(4 if full and width > 1000 else 7):
                started = time.perf_counter()
                optimizer.zero_grad()
                (intervention(base, source, subspaces) * target).sum().backward()
                optimizer.step()
                times.append(time.perf_counter() - started)
            print(kind, width, statistics.median(times[1:]), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        return peer(args.threads)
    theirs, ours = outputs_of_both(__file__, args.threads, "rotation_maps")
    seconds = {tuple(line.split()[:2]): float(line.split()[2]) for line in theirs.splitlines() if len(line.split()) == 3}
    print(f"{'one step, milliseconds':24}{'width':>6}  {'map':20}{'pyvene':>10}{'vene':>9}{'ratio':>8}")
    for line in ours.splitlines():
        kind, width, name, time_taken = line.split()
        peer_time = seconds[kind, width]
        print(f"{kind:24}{width:>6}  {name:20}{peer_time * 1e3:10.2f}{float(time_taken) * 1e3:9.2f}{peer_time / float(time_taken):8.1f}")


if __name__ == "__main__":
    main()
