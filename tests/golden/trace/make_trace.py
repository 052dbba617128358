# SPDX-License-Identifier: Apache-2.0
"""Causal tracing of the bundled model, one cell after another with plain PyTorch hooks: what `vene trace` must give.

Usage: python make_trace.py      (writes trace.json beside itself; torch 2.15, transformers 5.23, numpy)
"""
import json
import pathlib

import numpy
import torch
import transformers

assert torch.__version__.startswith("2.15."), torch.__version__
assert transformers.__version__.startswith("5.23."), transformers.__version__
here = pathlib.Path(__file__).parent
folder = here.parents[2] / "assets" / "landmarks-gpt2"
torch.set_num_threads(1)
model = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
tokenizer = transformers.GPT2Tokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
blocks = model.transformer.h
modules = {
    "block_output": lambda layer: blocks[layer],
    "mlp_activation": lambda layer: blocks[layer].mlp.act,
    "attention_output": lambda layer: blocks[layer].attn,
}


def first(output):
    return output[0] if isinstance(output, tuple) else output


def with_first(output, value):
    return (value, *output[1:]) if isinstance(output, tuple) else value


@torch.no_grad()
def trace(prompt, subject_positions, noise, seed, samples, window):
    ids = torch.tensor([tokenizer.encode(prompt)])
    clean = {}

    def keep(name, layer):
        return lambda module, arguments, output: clean.__setitem__((name, layer), first(output).clone())

    hooks = [find(layer).register_forward_hook(keep(name, layer)) for name, find in modules.items() for layer in range(len(blocks))]
    logits = model(ids).logits
    for hook in hooks:
        hook.remove()
    target = logits[0, -1].argmax().item()
    answer = lambda logits: torch.softmax(logits[:, -1].double(), -1)[:, target].mean().item()
    if noise is None:
        noise = 3 * model.transformer.wte.weight.float().std().item()
    draws = numpy.random.RandomState(seed).randn(samples, len(subject_positions), model.config.n_embd) * noise
    draws = torch.tensor(draws, dtype=torch.float32)
    rows = ids.expand(samples, -1)

    def corrupt(module, arguments, output):
        output = output.clone()
        output[:, subject_positions] += draws
        return output

    def restore(name, layer, position):
        def hook(module, arguments, output):
            value = first(output).clone()
            value[:, position] = clean[name, layer][0, position]
            return with_first(output, value)
        return hook

    corrupting = model.transformer.drop.register_forward_hook(corrupt)
    result = {"prompt": prompt, "subject_positions": subject_positions, "noise": noise, "seed": seed, "samples": samples, "window": window,
              "target_id": target, "clean": answer(logits), "corrupted": answer(model(rows).logits), "streams": {}}
    for name, find in modules.items():
        wide = 1 if name == "block_output" else window
        table = []
        for layer in range(len(blocks)):
            begin, end = max(0, layer - wide // 2), min(len(blocks), layer - (-wide // 2))
            row = []
            for position in range(ids.shape[1]):
                hooks = [find(l).register_forward_hook(restore(name, l, position)) for l in range(begin, end)]
                row.append(round(answer(model(rows).logits), 8))
                for hook in hooks:
                    hook.remove()
            table.append(row)
        result["streams"][name] = table
    corrupting.remove()
    return result


cases = [
    trace("The Space Needle is in downtown", [0, 1, 2], 0.13462981581687927, 1, 1, 10),
    trace("The Space Needle is in downtown", [0, 1, 2], None, 5, 3, 3),
]
(here / "trace.json").write_text(json.dumps(cases) + "\n")
print([(case["clean"], case["corrupted"]) for case in cases])
