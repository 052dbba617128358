#!/usr/bin/env python3
"""One training step (forward of base and source, backward, Adam) of three trained interventions at layer 6 of a GPT-2-small-shaped random
model, 16 rows of 6 tokens: vene beside pyvene in one run.

    python3 benchmarks/train_step_against_pyvene.py [--threads 2]

Needs build/bin/train_step, and pyvene 0.1.8 in the environment that trace_against_pyvene.py makes (or VENE_PYVENE_PYTHON).
"""
import argparse
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from trace_against_pyvene import ROOT, outputs_of_both

FOLDER = os.path.join(ROOT, ".cache", "gpt2-small-random")


def peer(threads):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(attn_pdrop=0, embd_pdrop=0, resid_pdrop=0)).eval()
    if not os.path.exists(os.path.join(FOLDER, "model.safetensors")):
        model.save_pretrained(FOLDER)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    import pyvene as pv
    base, source, labels = torch.randint(50257, (16, 6)), torch.randint(50257, (16, 6)), torch.randint(50257, (16,))
    for name, kind, subspaces in [("rotated_space", pv.RotatedSpaceIntervention, [[list(range(64))] * 16]), ("boundless_rotated_space", pv.BoundlessRotatedSpaceIntervention, None),
                                  ("low_rank_rotated_space", pv.LowRankRotatedSpaceIntervention, None)]:
        config = pv.IntervenableConfig([pv.RepresentationConfig(layer=6, component="block_output", low_rank_dimension=1, intervention_type=kind)])
        intervenable = pv.IntervenableModel(config, model)
        intervenable.disable_model_gradients()
        optimizer = torch.optim.Adam(intervenable.get_trainable_parameters(), lr=1e-3)
        times = []
        for _ in range(6):
            started = time.time()
            optimizer.zero_grad()
            _, output = intervenable({"input_ids": base}, [{"input_ids": source}], {"sources->base": ([[[3]] * 16], [[[3]] * 16])}, subspaces=subspaces)
            torch.nn.functional.cross_entropy(output.logits[:, -1], labels).backward()
            optimizer.step()
            times.append(time.time() - started)
        print(name, statistics.median(times[1:]), flush=True)
    with torch.no_grad():
        times = []
        for _ in range(5):
            started = time.time()
            model(base)
            times.append(time.time() - started)
    print("forward", min(times))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        return peer(args.threads)
    theirs, ours = outputs_of_both(__file__, args.threads, "train_step", FOLDER)
    seconds = {line.split()[0]: float(line.split()[1]) for line in theirs.splitlines() if len(line.split()) == 2}
    print(f"{'one step, seconds':26}{'pyvene':>9}{'vene':>9}{'ratio':>8}{'vene, nothing kept':>21}{'ratio':>8}")
    for line in ours.splitlines():
        name, *values = line.split()
        kept = float(values[0])
        row = f"{name:26}{seconds[name]:9.3f}{kept:9.3f}{seconds[name] / kept:8.1f}"
        if len(values) > 1:
            row += f"{float(values[1]):21.3f}{seconds[name] / float(values[1]):8.1f}"
        print(row)


if __name__ == "__main__":
    main()
