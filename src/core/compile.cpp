// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "src/core/plan_data.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene {
namespace detail {
namespace {

std::string name_of(const Placement& placement) { return placement.where + " (" + placement.key + ")"; }

// Groups in order of first appearance; without group keys each representation is its own.
std::vector<std::size_t> group_of_representations(const IntervenableConfig& config, std::size_t& groups) {
  std::vector<ConfigKey> seen;
  std::vector<std::size_t> group;
  for (std::size_t i = 0; i < config.representations.size(); ++i) {
    const auto& key = config.representations[i].group_key;
    if (!key) {
      group.push_back(i);
      continue;
    }
    const auto found = std::find(seen.begin(), seen.end(), *key);
    group.push_back(static_cast<std::size_t>(found - seen.begin()));
    if (found == seen.end()) seen.push_back(*key);
  }
  groups = seen.empty() ? config.representations.size() : seen.size();
  return group;
}

const Site& site_of(const IntervenableConfig& config, std::size_t representation, const models::Model& model) {
  try {
    return model.sites().find(config.representations[representation].component, config.representations[representation].layer);
  } catch (const PlanError& error) {
    throw PlanError("representations[" + std::to_string(representation) + "]: " + error.what());
  }
}

RowTexts texts_of(const models::Batch& batch, const text::Tokenizer* tokenizer) {
  return RowTexts::of(batch.primary(), batch.attention_mask, batch.input_ids, tokenizer);
}

std::string hop_name(Mode mode, std::size_t group, std::size_t groups) {
  if (mode == Mode::kParallel) return "sources->base";
  return "source_" + std::to_string(group) + "->" + (group + 1 == groups ? "base" : "source_" + std::to_string(group + 1));
}

const UnitSelection& selection_of(const SideSelection& side, std::size_t index, std::size_t count, const std::string& where) {
  if (side.for_all) return side.units[0];
  if (side.units.size() != count) {
    throw LocationError(where + ": locations for " + std::to_string(side.units.size()) + " interventions, expected " + std::to_string(count));
  }
  return side.units[index];
}

// The sizes that a port promises for a site's value; empty when they are not known before the run.
std::vector<std::int64_t> expected_sizes(const Site& site, std::int64_t rows, std::int64_t positions) {
  std::vector<std::int64_t> sizes;
  for (Axis axis : site.axes) {
    switch (axis) {
      case Axis::kBatch: sizes.push_back(rows); break;
      case Axis::kPos:
      case Axis::kKey: sizes.push_back(positions); break;
      case Axis::kHead: sizes.push_back(site.heads); break;
      case Axis::kFeature: sizes.push_back(site.width); break;
    }
  }
  if (std::find(sizes.begin(), sizes.end(), 0) != sizes.end()) sizes.clear();
  return sizes;
}

void make_base_index(const Placement& placement, Side& side, const std::vector<std::int64_t>& sizes, torch::Device device) {
  side.index = make_index(placement, side, placement.site.axes, sizes, device);
  if (!side.index->any()) throw LocationError(name_of(placement) + ": the locations select no unit in any row");
  if (side.index->repeats() && !placement.traits.collects) {
    throw LocationError(name_of(placement) + ": a row lists the same unit twice, so what is written there is ambiguous");
  }
}

// A decoding step reads one token a row: locations pick within that.
Side decoding_side(const Side& side) {
  Side one = side;
  one.index.reset();
  one.texts.positions = 1;
  one.texts.begin.assign(one.texts.rows, 0);
  one.texts.end.assign(one.texts.rows, 1);
  one.texts.input_ids = torch::Tensor();
  one.texts.tokenizer = nullptr;
  one.where += ", in a decoding step";
  return one;
}

void set_decoding(const PlanData& plan, Placement& placement, torch::Device device) {
  const bool same = plan.generation->source_steps == SourceSteps::kSame;
  if (placement.reads_source && !same && !placement.source.selection && placement.source.texts.positions != 1) {
    throw PlanError(name_of(placement) + ": in a decoding step it would write the whole of the source's prompt at one token; give the source a position, let the source decode "
                    "too (source_steps \"same\"), or act in \"prompt\" only");
  }
  placement.base_decoding = decoding_side(placement.base);
  placement.source_decoding = decoding_side(placement.source);
  const std::vector<std::int64_t> sizes = expected_sizes(placement.site, placement.base.rows, 1);
  if (sizes.empty()) return;
  try {
    make_base_index(placement, placement.base_decoding, sizes, device);
    if (!placement.reads_source || !same) return;
    placement.source_decoding.index =
        make_index(placement, placement.source_decoding, placement.site.axes, expected_sizes(placement.site, placement.source.texts.rows, 1), device);
  } catch (const LocationError& error) {
    throw LocationError(std::string(error.what()) + " (a decoding step reads one token, the new one: position 0 or \"last\"; positions of the prompt take \"when\": \"prompt\")");
  }
}

void set_when(PlanData& plan, Placement& placement, const std::optional<When>& own, bool into_base) {
  if (!plan.generation) {
    if (own && !own->acts(0)) {
      throw PlanError(name_of(placement) + ": it acts " + (*own == When::decode() ? "in decoding steps" : "in " + own->text()) +
                      " only, and a run is the pass over the prompt; use generate");
    }
    return;
  }
  if (placement.unit == Unit::kStep) throw PlanError(name_of(placement) + ": unit 't' counts the calls of one run and is not for generation; give \"when\"");
  // What is written into a source's run acts there as it does in a run, unless the source generates too.
  if (!into_base && plan.generation->source_steps == SourceSteps::kPrompt) return;
  placement.when = own ? *own : plan.generation->when.value_or(placement.base.selection ? When::prompt() : When::both());
}

void set_locations(PlanData& plan, const RunRequest& request, const RowTexts& base_texts, const std::map<std::size_t, RowTexts>& source_texts,
                   const std::vector<std::optional<When>>& representation_when) {
  std::vector<std::string> hops;
  if (plan.mode == Mode::kParallel) {
    hops.push_back("sources->base");
  } else {
    for (std::size_t g = 0; g < plan.groups; ++g) hops.push_back(hop_name(plan.mode, g, plan.groups));
  }
  for (const auto& [name, hop] : request.locations.hops) {
    if (std::find(hops.begin(), hops.end(), name) == hops.end()) {
      throw ConfigError("unit_locations: no hop '" + name + "' in " + (plan.mode == Mode::kSerial ? "serial" : "parallel") + " mode" +
                        name_hint(name, hops));
    }
  }
  if (plan.mode == Mode::kSerial && !request.locations.empty()) {
    for (const std::string& name : hops) {
      if (!request.locations.hops.contains(name)) throw ConfigError("unit_locations: serial mode needs an entry for every hop, '" + name + "' is missing");
    }
  }
  std::vector<std::size_t> seen_in_group(plan.groups, 0);
  std::vector<std::size_t> group_sizes(plan.groups, 0);
  for (const Placement& placement : plan.placements) ++group_sizes[placement.group];
  const torch::Device device = plan.model->device();
  for (Placement& placement : plan.placements) {
    const std::string hop_key = hop_name(plan.mode, placement.group, plan.groups);
    const std::size_t index = plan.mode == Mode::kSerial ? seen_in_group[placement.group]++ : placement.representation;
    const std::size_t count = plan.mode == Mode::kSerial ? group_sizes[placement.group] : plan.placements.size();
    // What this representation writes into: the base, or in serial mode the next group's source.
    const bool into_base = plan.mode == Mode::kParallel || placement.group + 1 == plan.groups;
    const auto next = source_texts.find(placement.group + 1);
    const RowTexts& target = into_base || next == source_texts.end() ? base_texts : next->second;
    placement.base.texts = target;
    placement.base.rows = target.rows;
    placement.base.where = name_of(placement);
    placement.source.where = name_of(placement) + ", source";
    placement.source.rows = target.rows;
    if (const auto found = request.locations.hops.find(hop_key); found != request.locations.hops.end()) {
      const std::string where = "unit_locations[\"" + hop_key + "\"]";
      placement.base.selection = selection_of(found->second.base, index, count, where + ", base");
      placement.source.selection =
          found->second.source ? selection_of(*found->second.source, index, count, where + ", source") : placement.base.selection;
    }
    if (placement.skipped) continue;
    set_when(plan, placement, representation_when[placement.representation], into_base);
    if (placement.reads_source) {
      const RowTexts& texts = source_texts.at(plan.source_of_group[placement.group]);
      if (texts.rows != target.rows && texts.rows != 1) {
        throw PlanError(name_of(placement) + ": its source has " + std::to_string(texts.rows) + " rows, what it writes into has " +
                        std::to_string(target.rows) + " (a source of one row serves all)");
      }
      placement.source.texts = texts;
    }
    if (plan.generation && placement.when.decodes()) set_decoding(plan, placement, device);
    if (placement.unit == Unit::kStep) {
      make_steps(placement, placement.reads_source ? placement.source.texts.rows : target.rows, device);
      continue;
    }
    const std::vector<std::int64_t> base_sizes = expected_sizes(placement.site, target.rows, target.positions);
    if (!base_sizes.empty()) {
      if (placement.when.acts(0)) make_base_index(placement, placement.base, base_sizes, device);
      if (plan.reads_at(placement, 0)) {
        const RowTexts& texts = placement.source.texts;
        placement.source.index = make_index(placement, placement.source, placement.site.axes,
                                            expected_sizes(placement.site, texts.rows, texts.positions), device);
      }
    }
  }
}

void set_subspaces(PlanData& plan, const RunRequest& request) {
  const std::size_t given = request.subspaces.size();
  const std::size_t count = plan.placements.size();
  if (given > 1 && given != count) {
    throw ConfigError("subspaces: " + std::to_string(given) + " entries, expected 1 or one a representation (" + std::to_string(count) + ")");
  }
  for (Placement& placement : plan.placements) {
    if (given > 0) placement.subspace_ids = request.subspaces[given == 1 ? 0 : placement.representation];
    if (!placement.subspace_ids) {
      placement.subspace.emplace();
    } else if (const std::int64_t width = placement.intervention->subspace_width(placement.site.width); width > 0) {
      placement.subspace = compile_subspace(*placement.subspace_ids, placement.intervention->subspace_partition(), width, placement.base.rows,
                                            plan.model->device(), name_of(placement));
    }
  }
}

// Which representations get their source from a run, which from a constant, which go without.
void set_sources(PlanData& plan, const RunRequest& request) {
  const std::size_t given = request.sources.size();
  plan.sources_given = given;
  if (given > 1 && given != plan.groups) {
    throw PlanError("sources: " + std::to_string(given) + " given, expected " + std::to_string(plan.groups) +
                    " (one a group of representations; null for a group without) or a single one for all");
  }
  const std::size_t constants = request.source_representations.size();
  if (constants > 1 && constants != plan.placements.size()) {
    throw PlanError("source_representations: " + std::to_string(constants) + " given, expected 1 or one a representation (" +
                    std::to_string(plan.placements.size()) + ")");
  }
  std::vector<bool> wanted(plan.groups, false);
  std::size_t active = 0;
  for (Placement& placement : plan.placements) {
    const bool source_here = given > 0 && request.sources[given == 1 ? 0 : placement.group].has_value();
    placement.constant = placement.intervention->source_representation();
    if (constants > 0) {
      const torch::Tensor& constant = request.source_representations[constants == 1 ? 0 : placement.representation];
      const bool takes = placement.traits.needs_source || placement.traits.takes_source;
      if (constant.defined() && (takes || constants > 1)) {
        if (!takes) throw PlanError(name_of(placement) + ": a source representation is given, but this intervention takes no source");
        if (placement.constant.defined()) {
          throw PlanError(name_of(placement) + ": has a constant source of its own, and another is given in source_representations");
        }
        placement.constant = constant;
      }
    }
    if (placement.constant.defined()) {
      placement.constant = placement.constant.to(plan.model->device());
    } else if (placement.traits.needs_source) {
      if (source_here) {
        placement.reads_source = true;
      } else if (given == 0) {
        throw PlanError(name_of(placement) + ": this intervention needs a source, and none is given (sources, source_representations, or a source_representation in the config)");
      } else {
        placement.skipped = true;
      }
    } else if (placement.traits.takes_source && source_here) {
      placement.reads_source = true;
    }
    if (placement.reads_source) wanted[placement.group] = true;
    if (!placement.skipped) ++active;
  }
  if (active == 0) throw PlanError("every intervention is left out, because every source is null: nothing would happen");
  plan.group_has_source = wanted;
  bool any = false;
  for (std::size_t g = 0; g < plan.groups; ++g) {
    any = any || wanted[g];
    if (given > 1 && request.sources[g].has_value() && !wanted[g]) {
      throw PlanError("sources[" + std::to_string(g) + "]: a source is given, but no intervention of this group takes one; give null");
    }
  }
  if (given == 1 && request.sources[0].has_value() && !any) throw PlanError("sources: a source is given, but no intervention takes one");
  for (std::size_t g = 0; g < plan.groups; ++g) {
    std::size_t same = g;
    if (wanted[g] && plan.mode == Mode::kParallel) {
      for (std::size_t earlier = 0; earlier < g; ++earlier) {
        if (!wanted[earlier]) continue;
        if (given == 1 || same_input(*request.sources[earlier], *request.sources[g])) {
          same = plan.source_of_group[earlier];
          break;
        }
      }
    }
    plan.source_of_group.push_back(same);
  }
}

void add_passes(PlanData& plan) {
  auto act_on_target = [](const Placement& placement) { return placement.traits.collects ? Act::kCollect : Act::kWrite; };
  if (plan.mode == Mode::kParallel) {
    for (std::size_t g = 0; g < plan.groups; ++g) {
      if (!plan.group_has_source[g] || plan.source_of_group[g] != g) continue;
      Pass pass{g, {}, {}, true};
      for (const Placement& placement : plan.placements) {
        if (placement.reads_source && plan.source_of_group[placement.group] == g) pass.actions.push_back({Act::kRead, placement.representation});
      }
      plan.passes.push_back(std::move(pass));
    }
    Pass base{std::nullopt, {}, {}, plan.collect_only};
    for (const Placement& placement : plan.placements) {
      if (!placement.skipped) base.actions.push_back({act_on_target(placement), placement.representation});
    }
    plan.passes.push_back(std::move(base));
  } else {
    // Hop g: what group g read is written into the next source's run, while group g + 1 reads there.
    for (std::size_t g = 0; g <= plan.groups; ++g) {
      const bool is_base = g == plan.groups;
      if (!is_base && !plan.group_has_source[g]) continue;
      Pass pass{is_base ? std::nullopt : std::optional<std::size_t>(g), {}, {}, !is_base || plan.collect_only};
      // A group whose target has no run of its own cannot act.
      for (const Placement& placement : plan.placements) {
        if (!placement.skipped && placement.group + 1 == g) pass.actions.push_back({act_on_target(placement), placement.representation});
      }
      for (const Placement& placement : plan.placements) {
        if (!is_base && placement.reads_source && placement.group == g) pass.actions.push_back({Act::kRead, placement.representation});
      }
      plan.passes.push_back(std::move(pass));
    }
    for (const Placement& placement : plan.placements) {
      if (placement.skipped || placement.group + 1 == plan.groups || plan.group_has_source[placement.group + 1]) continue;
      throw PlanError(name_of(placement) + ": in serial mode it acts on the run of source " + std::to_string(placement.group + 1) + ", which is null");
    }
  }
  if (plan.generation && plan.generation->source_steps == SourceSteps::kSame) {
    for (Pass& pass : plan.passes) pass.ends_early = false;
  }
  if (plan.collect_only && std::none_of(plan.placements.begin(), plan.placements.end(), [](const Placement& p) { return p.traits.collects; })) {
    throw PlanError("collect_only is set, but no intervention collects");
  }
}

}  // namespace

RowTexts repeated(const RowTexts& texts, std::int64_t rows) {
  if (texts.rows == rows) return texts;
  RowTexts wide = texts;
  wide.rows = rows;
  wide.begin.assign(rows, texts.begin[0]);
  wide.end.assign(rows, texts.end[0]);
  if (texts.input_ids.defined()) wide.input_ids = texts.input_ids.expand({rows, -1});
  return wide;
}

UnitIndex make_index(const Placement& placement, const Side& side, const std::vector<Axis>& axes, const std::vector<std::int64_t>& sizes,
                     torch::Device device) {
  if (!side.selection) return {};
  const std::vector<AxisSelection>& selection = *side.selection;
  const std::size_t needed = placement.unit == Unit::kHeadPos ? 2 : 1;
  if (selection.size() != needed) {
    throw LocationError(side.where + ": unit '" + (needed == 2 ? "h.pos" : placement.unit == Unit::kPos ? "pos" : "h") + "' takes " +
                        (needed == 2 ? "heads and positions, {\"h\": ..., \"pos\": ...} or [heads, positions] each [row][unit]"
                                     : "one list of units, not heads and positions"));
  }
  auto size_of = [&](Axis axis) -> std::int64_t {
    const auto found = std::find(axes.begin(), axes.end(), axis);
    return found == axes.end() ? 0 : sizes[found - axes.begin()];
  };
  // The text that positions count in: the batch's rows, or, where the value is of another length, the value itself.
  RowTexts texts = side.texts;
  if (const std::int64_t positions = size_of(Axis::kPos); positions > 0 && positions != texts.positions) {
    texts.positions = positions;
    texts.begin.assign(texts.rows, 0);
    texts.end.assign(texts.rows, positions);
    texts.tokenizer = nullptr;
  }
  auto positions = [&](const AxisSelection& axis) { return resolve_positions(axis, texts.rows == 1 ? repeated(texts, side.rows) : texts, side.where); };
  auto heads = [&](const AxisSelection& axis) {
    return resolve_axis(axis, side.rows, std::max<std::int64_t>(size_of(Axis::kHead), 1), Axis::kHead, side.where);
  };
  const bool by_head = placement.unit != Unit::kPos;
  if (by_head && size_of(Axis::kHead) == 0) {
    throw LocationError(side.where + ": unit 'h' needs a value with heads, and " + site_text(placement.site) + " has none" +
                        (placement.site.component.empty() ? "" : "; the head_* components have"));
  }
  const AxisIndices first = by_head ? heads(selection[0]) : positions(selection[0]);
  const AxisIndices second = placement.unit == Unit::kHeadPos ? positions(selection[1]) : AxisIndices{};
  return UnitIndex(axes, sizes, placement.unit, first, second, side.rows, device, side.where);
}

bool same_input(const models::Batch& a, const models::Batch& b) {
  auto same = [](const torch::Tensor& x, const torch::Tensor& y) {
    if (x.defined() != y.defined()) return false;
    if (!x.defined() || x.is_same(y)) return true;
    // Token ids are few: comparing them costs far less than a forward. Gradients must reach the tensor they belong to.
    return x.scalar_type() == torch::kInt64 && y.scalar_type() == torch::kInt64 && x.device() == y.device() && x.sizes() == y.sizes() &&
           torch::equal(x, y);
  };
  if (a.extra.size() != b.extra.size()) return false;
  for (std::size_t i = 0; i < a.extra.size(); ++i) {
    if (!same(a.extra[i], b.extra[i])) return false;
  }
  return same(a.input_ids, b.input_ids) && same(a.attention_mask, b.attention_mask) && same(a.inputs_embeds, b.inputs_embeds);
}

}  // namespace detail

std::vector<std::shared_ptr<Intervention>> build_interventions(const IntervenableConfig& config, const models::Model& model,
                                                               const InterventionRegistry& registry) {
  std::vector<std::shared_ptr<Intervention>> interventions;
  std::vector<std::pair<ConfigKey, std::shared_ptr<Intervention>>> linked;
  for (std::size_t i = 0; i < config.representations.size(); ++i) {
    const RepresentationConfig& representation = config.representations[i];
    if (representation.intervention_link_key) {
      const auto found = std::find_if(linked.begin(), linked.end(), [&](const auto& link) { return link.first == *representation.intervention_link_key; });
      if (found != linked.end()) {
        interventions.push_back(found->second);
        continue;
      }
    }
    std::shared_ptr<Intervention> built = representation.intervention;
    if (!built) {
      InterventionSettings settings;
      const Site& site = detail::site_of(config, i, model);
      settings.width = site.width * representation.max_number_of_units;
      settings.low_rank_dimension = representation.low_rank_dimension;
      settings.latent_dim = representation.latent_dim;
      settings.subspace_partition = representation.subspace_partition;
      settings.source_representation = representation.source_representation;
      const InterventionInfo& info = registry.at(config.type_of(i));
      settings.options = representation.options;
      for (const OptionInfo& option : info.options) {
        if (!settings.options.contains(option.name) && option.default_value) settings.options[option.name] = *option.default_value;
      }
      built = info.build(settings);
      if (i < config.intervention_dimensions.size()) built->interchange_dim = config.intervention_dimensions[i];
    }
    if (representation.intervention_link_key) linked.emplace_back(*representation.intervention_link_key, built);
    interventions.push_back(std::move(built));
  }
  return interventions;
}

Plan compile(const IntervenableConfig& config, std::shared_ptr<models::Model> model,
             const std::vector<std::shared_ptr<Intervention>>& interventions, const RunRequest& given) {
  auto plan = std::make_shared<detail::PlanData>();
  if (config.representations.empty()) throw PlanError("the config has no representations");
  RunRequest request = given;
  if (request.generation) {
    if (request.collect_only) throw PlanError("collect_only ends a run early, and a generation has more than one; leave it out");
    request.base = detail::left_padded(request.base, "base");
    for (std::size_t g = 0; g < request.sources.size() && request.generation->source_steps == SourceSteps::kSame; ++g) {
      if (request.sources[g]) request.sources[g] = detail::left_padded(*request.sources[g], "sources[" + std::to_string(g) + "]");
    }
  }
  if (!request.base.primary().defined() || request.base.rows() == 0) throw PlanError("base: expected at least one row, got an empty batch");
  plan->model = model;
  plan->mode = config.mode;
  plan->original = request.original;
  plan->collect_only = request.collect_only;
  plan->generation = request.generation;
  plan->tokenizer = request.tokenizer;
  const std::vector<std::string> keys = representation_keys(config);
  const std::vector<std::size_t> groups = detail::group_of_representations(config, plan->groups);
  for (std::size_t i = 0; i < config.representations.size(); ++i) {
    detail::Placement placement;
    placement.representation = i;
    placement.key = keys[i];
    placement.where = "representations[" + std::to_string(i) + "]";
    placement.site = detail::site_of(config, i, *model);
    placement.unit = parse_unit(config.representations[i].unit, placement.where + ".unit");
    placement.intervention = interventions[i];
    placement.traits = interventions[i]->traits();
    placement.group = groups[i];
    plan->placements.push_back(std::move(placement));
  }
  model->check(request.base);
  detail::set_sources(*plan, request);
  const RowTexts base_texts = detail::texts_of(request.base, request.tokenizer);
  plan->base_shape = request.base.primary().sizes().vec();
  std::map<std::size_t, RowTexts> source_texts;
  for (std::size_t g = 0; g < plan->groups; ++g) {
    if (!plan->group_has_source[g] || plan->source_of_group[g] != g) continue;
    const models::Batch& source = *request.sources[request.sources.size() == 1 ? 0 : g];
    if (!source.primary().defined() || source.rows() == 0) throw PlanError("sources[" + std::to_string(g) + "]: expected at least one row, got an empty batch");
    model->check(source);
    source_texts[g] = detail::texts_of(source, request.tokenizer);
    plan->source_shapes[g] = source.primary().sizes().vec();
  }
  std::vector<std::optional<When>> when;
  for (const RepresentationConfig& representation : config.representations) when.push_back(representation.when);
  detail::set_locations(*plan, request, base_texts, source_texts, when);
  detail::set_subspaces(*plan, request);
  detail::add_passes(*plan);
  for (std::size_t p = 0; p < plan->passes.size(); ++p) {
    detail::Pass& pass = plan->passes[p];
    for (std::size_t a = 0; a < pass.actions.size(); ++a) {
      const Site& site = plan->placements[pass.actions[a].placement].site;
      pass.table.on(site.id, site.phase, detail::make_hook(*plan, p, a), site_text(site));
    }
  }
  return Plan(std::move(plan));
}

}  // namespace vene
