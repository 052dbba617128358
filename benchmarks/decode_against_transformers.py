#!/usr/bin/env python3
"""Greedy decoding of a GPT-Neo of TinyStories-33M's shape (4 layers, 768 wide, 16 heads, vocabulary 50257; random weights): vene beside
transformers' generate and pyvene's generate, with and without an addition on every layer, in one run.

    python3 benchmarks/decode_against_transformers.py [--tokens 64] [--rounds 3] [--threads N]

Uses the environment that benchmarks/trace_against_pyvene.py makes (or $VENE_PYVENE_PYTHON). The programs take turns; the best round counts.
Says whether all generated the same tokens.
"""
import argparse
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from trace_against_pyvene import CACHE, ROOT, environment  # noqa: E402


def peer(args):
    import torch
    from transformers import GPTNeoConfig, GPTNeoForCausalLM
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    config = GPTNeoConfig(hidden_size=768, num_layers=4, num_heads=16, max_position_embeddings=2048, attention_types=[[["global", "local"], 2]], window_size=256,
                          bos_token_id=None, eos_token_id=None)
    model = GPTNeoForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(0, 0.08)
    if not os.path.exists(os.path.join(args.folder, "model.safetensors")):
        model.save_pretrained(args.folder)
    import pyvene as pv
    push = 0.3 * model.transformer.wte.weight[3290].detach()
    added = pv.IntervenableModel(pv.IntervenableConfig([pv.RepresentationConfig(layer, "mlp_output", intervention_type=pv.AdditionIntervention) for layer in range(4)]), model)
    settings = dict(max_new_tokens=args.tokens, do_sample=False, pad_token_id=0)
    with torch.no_grad():
        for batch in (1, 16):
            ids = torch.arange(100, 108).expand(batch, -1).contiguous()
            inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            runs = {"plain": lambda: model.generate(**inputs, **settings), "added": lambda: added.generate(inputs, source_representations=push, **settings)[1]}
            best, said = {}, {}
            for _ in range(args.rounds):
                for what, run in runs.items():
                    started = time.perf_counter()
                    result = run()
                    best[what] = max(best.get(what, 0), batch * args.tokens / (time.perf_counter() - started))
                    said[what] = result[0].tolist()
            for what in runs:
                print(batch, what, f"{best[what]:.2f}", *said[what])


def rows(text):
    table = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[1] in ("plain", "added"):
            table[int(fields[0]), fields[1]] = (float(fields[2]), fields[3:])
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: one a core, as both take by themselves")
    parser.add_argument("--program", default=os.path.join(ROOT, "build", "bin", "decode"))
    parser.add_argument("--folder", default=os.path.join(CACHE, "decode_model"))
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        return peer(args)
    python = environment()
    os.makedirs(args.folder, exist_ok=True)
    environ = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
    command = [python, os.path.abspath(__file__), "--peer", "--tokens", str(args.tokens), "--rounds", "1", "--threads", str(args.threads), "--folder", args.folder]
    peers, ours = {}, {}
    for _ in range(args.rounds):
        for table, call in ((peers, command), (ours, [args.program, args.folder, str(args.tokens), "1", str(args.threads)])):
            for key, (speed, said) in rows(subprocess.run(call, env=environ, check=True, capture_output=True, text=True).stdout).items():
                table[key] = max(table.get(key, (0, said)), (speed, said))
    print(f"{args.tokens} new tokens, {args.threads} thread(s), tokens a second, best of {args.rounds}")
    for batch in (1, 16):
        plain, added, other, other_added = ours[batch, "plain"], ours[batch, "added"], peers[batch, "plain"], peers[batch, "added"]
        print(f"batch {batch:2}: plain    vene {plain[0]:8.1f}   transformers {other[0]:8.1f}   ratio {plain[0] / other[0]:.2f}   same tokens: {plain[1] == other[1]}")
        print(f"batch {batch:2}: addition vene {added[0]:8.1f}   pyvene       {other_added[0]:8.1f}   ratio {added[0] / other_added[0]:.2f}   same tokens: {added[1] == other_added[1]}"
              f"   cost over plain {100 * (plain[0] / added[0] - 1):.1f} %")


if __name__ == "__main__":
    main()
