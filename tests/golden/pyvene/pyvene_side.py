# SPDX-License-Identifier: Apache-2.0
"""pyvene doing an experiment, given every location in its canonical nested lists; and where it is known to go wrong."""
import contextlib
import io
import logging

import pyvene
import torch

CLASSES = {"vanilla": pyvene.VanillaIntervention, "addition": pyvene.AdditionIntervention, "subtraction": pyvene.SubtractionIntervention, "zero": pyvene.ZeroIntervention,
           "collect": pyvene.CollectIntervention, "skip": pyvene.SkipIntervention, "noise": pyvene.NoiseIntervention}
logging.disable(logging.WARNING)


def mix(scale):
    """The grid's user intervention: the source (if any) added to a multiple of the base, in the columns asked for."""
    def function(base, source, subspaces=None):
        result = base.clone()
        source = None if source is None else source.expand_as(base)
        for row in range(base.shape[0]):
            columns = slice(None) if subspaces is None else subspaces[row]
            result[row, ..., columns] = scale * base[row, ..., columns]
            if source is not None:
                result[row, ..., columns] += source[row, ..., columns]
        return result
    return function


def partition(parts):
    return None if parts is None else [part["columns"] if isinstance(part, dict) else part for part in parts]


def config_of(experiment):
    grouped = any("group_key" in entry for entry in experiment.representations)
    representations = []
    for index, entry in enumerate(experiment.representations):
        fields = {name: entry[name] for name in ("layer", "component", "unit", "max_number_of_units")}
        fields |= {"subspace_partition": partition(entry.get("subspace_partition")), "intervention_link_key": entry.get("intervention_link_key")}
        if entry.get("source_representation") is not None:
            fields["source_representation"] = torch.tensor(entry["source_representation"], dtype=torch.float32)
        if grouped:
            fields["group_key"] = experiment.group_of[index]
        if entry["kind"] == "mix":
            fields["intervention"] = mix(entry.get("scale", 0.5))
        else:
            fields["intervention_type"] = CLASSES[entry["kind"]]
        representations.append(pyvene.RepresentationConfig(**fields))
    return pyvene.IntervenableConfig(representations, mode=experiment.mode)


def canonical(where):
    return list(where) if isinstance(where, tuple) else where


def locations_of(experiment):
    if not experiment.locations_given:
        return None
    sides = [(canonical(source), canonical(base)) for source, base in experiment.where]
    if experiment.mode == "serial":
        locations = {}
        for group in range(experiment.groups):
            hop = f"source_{group}->" + ("base" if group + 1 == experiment.groups else f"source_{group + 1}")
            mine = [sides[index] for index in range(len(sides)) if experiment.group_of[index] == group]
            locations[hop] = ([source for source, _ in mine], [base for _, base in mine])
        return locations
    source_side = [source for source, _ in sides] if any(source is not None for source in experiment.sources) else None
    return {"sources->base": (source_side, [base for _, base in sides])}


def source_of(experiment, group):
    """A source of one row is spelled out for every row."""
    source, rows = experiment.sources[group], experiment.rows()
    if source is None:
        return None
    return {name: tensor.expand(rows, *tensor.shape[1:]) if tensor.shape[0] == 1 else tensor for name, tensor in source.items()}


def run(model, experiment):
    port = experiment.port
    with contextlib.redirect_stdout(io.StringIO()):
        if experiment.folder:
            intervenable = pyvene.IntervenableModel.load(str(experiment.folder), model)
        else:
            intervenable = pyvene.IntervenableModel(config_of(experiment), model)
    keys = list(intervenable.sorted_keys) if hasattr(intervenable, "sorted_keys") else list(intervenable.interventions)
    for key, dimension in zip(keys, experiment.dimensions):
        if dimension is not None and not experiment.folder:
            intervention = intervenable.interventions[key]
            (intervention[0] if isinstance(intervention, (tuple, list)) else intervention).set_interchange_dim(dimension)
    # Constants of the call; those of the config are in it.
    constants = {}
    for index, constant in enumerate(experiment.constants):
        entry = experiment.representations[index]
        if constant is None or entry.get("source_representation") is not None or entry.get("hidden_source_representation"):
            continue
        if constant.dim() == 2:
            constant = constant.expand(experiment.rows(), *constant.shape)
        constants[keys[index]] = constant.clone()
    sources = [source_of(experiment, group) for group in range(experiment.groups)]
    sources = [None if source is None else port.arguments(source) for source in sources] if experiment.given else None
    outputs = intervenable(port.arguments(experiment.base), sources, unit_locations=locations_of(experiment), source_representations=constants or None,
                           subspaces=experiment.subspaces if any(entry is not None for entry in experiment.subspaces) else None,
                           output_original_output=experiment.original)
    first, intervened = outputs
    collected = []
    if experiment.collects:
        first, collected = first
    result = {"intervened": port.primary(intervened)}
    if experiment.original:
        result["original"] = port.primary(first)
    for number, value in enumerate(collected):
        result[f"collected.{number}"] = value.detach().clone()
    return result


def ragged(where):
    sides = where if isinstance(where, tuple) else (where,)
    return any(side is not None and len({len(row) for row in side}) > 1 for side in sides)


def unit_counts(experiment, index):
    """Units of the gathered value, as pyvene counts them: (that it flattens into the width, positions)."""
    entry, (_, where) = experiment.representations[index], experiment.where[index]
    positions = texts_width(experiment.target(index))
    if where is None:
        return positions, positions
    if entry["unit"] == "h.pos":
        return len(where[0][0]), len(where[1][0])
    return len(where[0]), len(where[0]) if entry["unit"] == "pos" else positions


def texts_width(batch):
    return next(iter(batch.values())).shape[1]


def steps_fault(experiment):
    """The same of a recurrent model."""
    if experiment.rows() > 1:
        return "pyvene's steps fail on more than one row"
    for entry, (source, base) in zip(experiment.representations, experiment.where):
        if entry["kind"] in ("addition", "subtraction"):
            if any(row != sorted(row) for row in (base + (source or []))):
                return "pyvene pairs steps in order of time"
        elif entry["kind"] == "collect":
            return "pyvene collects every step"
        elif base[0] != list(range(texts_width(experiment.base))):
            return "pyvene acts on steps that are not listed"
    return None


def known_fault(experiment):
    """Why pyvene (the wheel, 0.1.8) cannot be the reference for an experiment, or None."""
    port = experiment.port
    if port.unmapped:
        return "pyvene (the wheel) has no map of this architecture"
    if port.recurrent:
        return steps_fault(experiment)
    for entry in experiment.representations:
        if entry["component"] in port.broken:
            return port.broken[entry["component"]]
        if entry["component"] in port.unsized and entry["kind"] != "mix":
            return port.unsized[entry["component"]]
    site_of, everything = experiment.site, [index for index in range(len(experiment.representations)) if not experiment.is_left_out(index)]
    if experiment.mode == "serial":
        if not experiment.locations_given:
            return "pyvene has no serial mode without locations"
        if any(experiment.group_of.count(group) > 1 for group in experiment.group_of):
            return "pyvene loses all but the last key of a group in serial mode"
        if any(experiment.constants[index] is not None for index in everything):
            return "pyvene skips constants in serial mode, or applies all of them to the base at once"
        for index in everything:
            if not experiment.reads_source(index):
                return "pyvene skips what needs no source in serial mode"
    for index in everything:
        entry, (source, base), site = experiment.representations[index], experiment.where[index], site_of(index)
        kind, unit = entry["kind"], entry["unit"]
        if ragged(base) or (source is not None and ragged(source)):
            return "pyvene has no ragged rows"
        if kind == "collect" and experiment.sources[experiment.group_of[index]] is not None:
            return "pyvene cannot collect in a group that has a source"
        if kind == "collect" and any(source is not None for source in experiment.sources) and experiment.given == 1 and experiment.groups > 1:
            return "pyvene cannot broadcast one source to a group that collects"
        one_by_one = kind == "mix" and site.third is None and experiment.subspaces[index] is None  # the split makes no difference
        if base is None and (site.third is not None or site.heads is not None) and not one_by_one:
            return "pyvene does not take a component out of the whole value without locations"
        if base is not None and port.unsplit and site.heads is not None:
            return "pyvene does not split this architecture's heads"
        if base is not None and unit == "pos" and site.heads is not None:
            return "pyvene cannot address positions of a head component"
        if kind == "skip" and entry["component"] in ("attention_input", "attention_output") and experiment.port.keyword_attention:
            return "pyvene's skip takes positional inputs only"
        if kind == "skip" and entry["component"] == "attention_output" and experiment.port.dropout:
            return "pyvene hooks attention_output at a dropout, whose input is not the attention's"
        if kind == "skip" and site.third is not None:
            return "pyvene splits the input of a fused projection as if it were its output"
        if kind == "noise":
            heads_together = unit != "pos" and base is not None and unit_counts(experiment, index)[1] != 4
            if unit_counts(experiment, index)[1] != 4 or heads_together:
                return "pyvene's noise is for exactly four positions"
            if entry["component"] in port.narrow:
                return "pyvene takes keys and values to be as wide as the queries"
            if "." in entry["component"]:
                return "pyvene's noise needs a component of known width"
            if experiment.subspaces[index] is not None:
                return "pyvene's noise ignores subspaces"
            if experiment.dimensions[index] is not None:
                return "pyvene's noise is as wide as the component"
            if "seed" in entry or "level" in entry:
                return "pyvene's noise has one seed and one level"
        subspaces = experiment.subspaces[index]
        if subspaces is not None:
            lengths = {len(row) for row in subspaces}
            parts = entry.get("subspace_partition")
            alike = all(row == subspaces[0] for row in subspaces)
            if kind == "collect" and unit_counts(experiment, index)[0] != 1:
                return "pyvene takes a collect's subspaces as columns of all its units side by side"
            if kind == "mix":
                if parts is not None:
                    return "pyvene gives a function the numbers of parts, not columns"
            elif not alike and len(lengths) == 1:
                if not (kind == "collect" and unit == "pos" and base is not None):
                    return "pyvene applies every row's subspaces to every example, or to units"
            elif not alike and kind == "collect":
                return "pyvene cannot stack different numbers of columns"
        if kind == "collect" and subspaces is None and "." not in entry["component"] and entry["max_number_of_units"] < unit_counts(experiment, index)[0]:
            return "pyvene cuts what it collects to max_number_of_units"
        if "intervention_link_key" in entry:
            mine = [i for i in everything if experiment.representations[i].get("intervention_link_key") == entry["intervention_link_key"]]
            overwritten = kind in ("vanilla", "skip") and subspaces is None  # whatever the base was
            if not overwritten and any(site_of(i) != site or experiment.where[i] != experiment.where[index] for i in mine):
                return "pyvene writes a link's first activation wherever the link acts"
        constant = experiment.constants[index]
        if constant is not None and kind == "mix" and entry.get("source_representation") is not None:
            return "pyvene gives a function no constant of the config"
        if constant is not None and constant.dim() > 1 and entry.get("source_representation") is not None:
            return "pyvene broadcasts only a vector out of the config"
        if constant is None and kind in ("vanilla", "addition", "subtraction", "skip") and source is not None and base is not None:
            if isinstance(base, list) and len(source[0]) != len(base[0]):
                return "pyvene does not broadcast one unit to several rows' units"
    return None
