# SPDX-License-Identifier: Apache-2.0
"""The interventions written plainly: forward hooks put on by hand, and one row, one unit at a time."""
import itertools

import numpy
import torch

NOISE_LEVEL = 0.13462981581687927


class Hooks:
    """Watches modules while a model runs: watch(site, f) calls f(value, module input) and puts what it returns in place."""

    def __init__(self, model):
        self.model, self.handles = model, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for handle in self.handles:
            handle.remove()

    def watch(self, site, change):
        module = self.model.get_submodule(site.path)

        def first(arguments, keywords):
            return arguments[0] if arguments else next(iter(keywords.values()))

        def before(_, arguments, keywords):
            value = change(first(arguments, keywords), None)
            if arguments:
                return (value, *arguments[1:]), keywords
            return arguments, keywords | {next(iter(keywords)): value}

        def after(_, arguments, keywords, output):
            value = change(output[0] if isinstance(output, tuple) else output, first(arguments, keywords))
            return (value, *output[1:]) if isinstance(output, tuple) else value

        if site.side == "in":
            self.handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        else:
            self.handles.append(module.register_forward_hook(after, with_kwargs=True))


def part_of(value, site):
    """The columns of a component, [batch, pos, width] or in heads [batch, pos, head, width]; a view of `value`."""
    if site.fused_heads is not None:
        heads = value.unflatten(-1, (site.fused_heads, -1)).chunk(3, dim=-1)[site.third]
        return heads if site.heads is not None else heads.flatten(-2)
    if site.third is not None:
        value = value.chunk(3, dim=-1)[site.third]
    if site.heads is not None:
        value = value.unflatten(-1, (site.heads, -1))
    return value


def put_part(value, site, part):
    """Writes back what part_of could not give a view of."""
    if site.fused_heads is not None and site.heads is None:
        value.unflatten(-1, (site.fused_heads, -1)).chunk(3, dim=-1)[site.third].copy_(part.unflatten(-1, (site.fused_heads, -1)))


def pick(row, unit, where, index):
    """The units of one row; where is None for all of it. None when the row lists none."""
    if where is None:
        return row.clone()
    if unit == "h.pos":
        heads, positions = where[0][index], where[1][index]
        if not heads or not positions:
            return None
        return torch.stack([torch.stack([row[position, head] for position in positions]) for head in heads])
    if not where[index]:
        return None
    return torch.stack([row[place] if unit == "pos" else row[:, place] for place in where[index]])


def put(row, unit, where, index, units):
    """Writes the units back into (a view of) a row."""
    if where is None:
        row[:] = units
    elif unit == "h.pos":
        for i, head in enumerate(where[0][index]):
            for j, position in enumerate(where[1][index]):
                row[position, head] = units[i, j]
    else:
        for i, place in enumerate(where[index]):
            if unit == "pos":
                row[place] = units[i]
            else:
                row[:, place] = units[i]


def changed(entry, base, source, columns, noise):
    new = base.clone()
    kind = entry["kind"]
    if kind == "zero":
        new[..., columns] = 0
    elif kind == "noise":
        new[..., columns] = base[..., columns] + noise[..., columns]
    elif kind == "mix":
        new[..., columns] = entry.get("scale", 0.5) * base[..., columns]
        if source is not None:
            new[..., columns] += source.expand_as(base)[..., columns]
    else:
        source = source.expand_as(base)[..., columns]
        new[..., columns] = {"vanilla": source, "skip": source, "addition": base[..., columns] + source, "subtraction": base[..., columns] - source}[kind]
    return new


def padded(rows, unit, whole):
    """Rows of units as one tensor, zeros where a row has none, and which are there (None when all are)."""
    unit_axes = 0 if whole else 2 if unit == "h.pos" else 1
    there = [row for row in rows if row is not None]
    shape = [max(row.shape[axis] for row in there) for axis in range(there[0].dim())]
    values = torch.zeros(len(rows), *shape)
    valid = torch.zeros(len(rows), *shape[:unit_axes], dtype=torch.bool)
    for index, row in enumerate(rows):
        if row is not None:
            values[(index, *map(slice, row.shape))] = row
            valid[(index, *map(slice, row.shape[:unit_axes]))] = True
    return values, None if valid.all() else valid


def run_steps(model, experiment):
    """The same of a recurrent model, whose sites are called once a step: a row's list says at which of them."""
    port, everything = experiment.port, range(len(experiment.representations))
    seen, collected, result = {}, {}, {}

    def reader(index):
        def read(value, _):
            seen.setdefault(index, []).append(part_of(value, experiment.site(index)).clone())
            return value
        return read

    def writer(index):
        entry, site, (source_steps, steps), constant = experiment.representations[index], experiment.site(index), experiment.where[index], experiment.constants[index]
        now, picked = itertools.count(), [[None] * len(row) for row in steps]
        collected_here = entry["kind"] == "collect"
        if collected_here:
            collected[index] = picked

        def write(value, _):
            step, new = next(now), value.clone()
            for number, row in enumerate(part_of(new, site)):
                columns = experiment.columns(index, number, row.shape[-1])
                for place, at in enumerate(steps[number]):
                    if at != step:
                        continue
                    if collected_here:
                        picked[number][place] = row[columns].clone()
                        continue
                    source = seen[index][source_steps[number][place]][number] if index in seen else constant
                    row[:] = changed(entry, row, source, columns, None)
            return new
        return write

    with torch.no_grad():
        result["original"] = port.forward(model, experiment.base)
        for group, source in enumerate(experiment.sources):
            with Hooks(model) as hooks:
                mine = [index for index in everything if experiment.group_of[index] == group and experiment.reads_source(index)]
                for index in mine:
                    hooks.watch(experiment.site(index), reader(index))
                if mine:
                    port.forward(model, source)
        with Hooks(model) as hooks:
            for index in everything:
                hooks.watch(experiment.site(index), writer(index))
            result["intervened"] = port.forward(model, experiment.base)
    for number, index in enumerate(sorted(collected)):
        values, valid = padded([torch.stack(row) for row in collected[index]], "t", False)
        result |= {f"collected.{number}": values} | ({} if valid is None else {f"collected.{number}.valid": valid})
    return result


def run(model, experiment):
    """{"original", "intervened", "collected.<i>", "collected.<i>.valid"}"""
    if experiment.port.recurrent:
        return run_steps(model, experiment)
    taken, collected = {}, {}

    def reader(index):
        entry, site, (where, _) = experiment.representations[index], experiment.site(index), experiment.where[index]

        def read(value, module_input):
            rows = part_of(module_input if entry["kind"] == "skip" and site.side == "out" else value, site)
            wanted = experiment.rows(experiment.target(index))
            taken[index] = [pick(rows[row if len(rows) > 1 else 0], entry["unit"], where, row) for row in range(wanted)]
            return value
        return read

    def writer(index):
        entry, site, (_, where) = experiment.representations[index], experiment.site(index), experiment.where[index]
        constant = experiment.constants[index]

        def write(value, _):
            new = value.clone()
            rows = part_of(new, site)
            bases = [pick(row, entry["unit"], where, number) for number, row in enumerate(rows)]
            noise = None
            if entry["kind"] == "noise":
                # One draw for the last two axes, the same in every row and head.
                draw = numpy.random.RandomState(entry.get("seed", 1)).randn(1, *padded(bases, entry["unit"], where is None)[0].shape[-2:])
                noise = torch.from_numpy(draw[0] * entry.get("level", NOISE_LEVEL)).float()
            for number, base in enumerate(bases):
                if base is None:
                    continue
                columns = experiment.columns(index, number, base.shape[-1])
                if entry["kind"] == "collect":
                    bases[number] = base[..., columns]
                    continue
                source = taken[index][number] if index in taken else None
                if constant is not None:
                    source = constant if constant.dim() <= base.dim() else constant[number if len(constant) > 1 else 0]
                put(rows[number], entry["unit"], where, number,
                    changed(entry, base, source, columns, None if noise is None else noise[:base.shape[-2]]))
            if entry["kind"] == "collect":
                collected[index] = padded(bases, entry["unit"], where is None)
                return value
            put_part(new, site, rows)
            return new
        return write

    def act(hooks, indices):
        for index in indices:
            if not experiment.is_left_out(index):
                hooks.watch(experiment.site(index), writer(index))

    port, everything = experiment.port, range(len(experiment.representations))
    result = {}
    with torch.no_grad():
        if experiment.original:
            result["original"] = port.forward(model, experiment.base)
        for group, source in enumerate(experiment.sources):
            mine = [index for index in everything if experiment.group_of[index] == group and experiment.reads_source(index)]
            if not mine:
                continue
            with Hooks(model) as hooks:
                if experiment.mode == "serial":
                    act(hooks, [index for index in everything if experiment.group_of[index] == group - 1])
                for index in mine:
                    hooks.watch(experiment.site(index), reader(index))
                port.forward(model, source)
        with Hooks(model) as hooks:
            act(hooks, [index for index in everything if experiment.mode == "parallel" or experiment.group_of[index] == experiment.groups - 1])
            result["intervened"] = port.forward(model, experiment.base)
    for number, index in enumerate(sorted(collected)):
        values, valid = collected[index]
        result[f"collected.{number}"] = values
        if valid is not None:
            result[f"collected.{number}.valid"] = valid
    return result
