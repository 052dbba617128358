// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "src/base/at_place.h"
#include "src/core/plan_data.h"
#include "vene/base/error.h"

namespace vene {
namespace detail {
namespace {

RowTexts texts_of(const models::Batch& batch, const text::Tokenizer* tokenizer) {
  return RowTexts::of(batch.primary(), batch.attention_mask, batch.input_ids, tokenizer);
}

models::Batch first_row(const models::Batch& batch) {
  const auto row = [](const torch::Tensor& tensor, std::int64_t rows) {
    return tensor.defined() && tensor.dim() > 0 && tensor.size(0) == rows ? tensor.narrow(0, 0, 1) : tensor;
  };
  models::Batch one{row(batch.input_ids, batch.rows()),
                    row(batch.attention_mask, batch.rows()),
                    row(batch.inputs_embeds, batch.rows()),
                    {}};
  for (const torch::Tensor& extra : batch.extra) one.extra.push_back(row(extra, batch.rows()));
  return one;
}

void set_subspaces(PlanData& plan, const RunRequest& request) {
  const std::size_t given = request.subspaces.size();
  const std::size_t count = plan.placements.size();
  if (given > 1 && given != count) {
    throw ConfigError("subspaces: " + std::to_string(given) + " entries, expected 1 or one a representation (" +
                      std::to_string(count) + ")");
  }
  for (Placement& placement : plan.placements) {
    if (given > 0) placement.subspace_ids = request.subspaces[given == 1 ? 0 : placement.representation];
    if (!placement.subspace_ids) {
      placement.subspace.emplace();
    } else if (const std::int64_t width = placement.intervention->subspace_width(placement.site.width); width > 0) {
      placement.subspace = compile_subspace(*placement.subspace_ids, placement.intervention->subspace_partition(),
                                            width, placement.base.rows, plan.model->device(), name_of(placement));
    }
  }
}

}  // namespace

void check_mask(const models::Batch& batch, const RowTexts& texts, const std::string& where) {
  if (!batch.attention_mask.defined()) return;
  const torch::Tensor counts = batch.attention_mask.to(torch::kCPU).ne(0).sum(1);
  for (std::int64_t row = 0; row < texts.rows; ++row) {
    if (counts[row].item<std::int64_t>() != texts.end[row] - texts.begin[row])
      throw PlanError(where + ", row " + std::to_string(row) + ": the attention mask has a hole between tokens");
  }
}

std::vector<std::size_t> group_of_representations(const IntervenableConfig& config, std::size_t& groups) {
  std::map<ConfigKey, std::size_t> seen;
  std::vector<std::size_t> group;
  for (std::size_t i = 0; i < config.representations.size(); ++i) {
    const auto& key = config.representations[i].group_key;
    if (!key) {
      group.push_back(i);
      continue;
    }
    group.push_back(seen.emplace(*key, seen.size()).first->second);
  }
  groups = seen.empty() ? config.representations.size() : seen.size();
  return group;
}

namespace {

std::string axes_text(const Site& site) {
  std::string text;
  for (const Axis axis : site.axes) text += (text.empty() ? "" : ", ") + axis_name(axis);
  return "[" + text + "]";
}

const Site& found_at(const models::Model& model, const std::string& component, std::int64_t layer,
                     const std::string& where) {
  if (const Site* site = model.sites().try_find(component, layer)) return *site;
  return at_place(where, [&]() -> const Site& { return model.sites().find(component, layer); });
}

// What is read at one site is written at another, so it must be of its form.
void check_source_site(const Placement& placement, bool given) {
  if (!given) return;
  const std::string where = name_of(placement) + ", source_site: ";
  const Site &from = placement.source_site, &to = placement.site;
  if (!placement.traits.needs_source && !placement.traits.takes_source)
    throw PlanError(where + "this intervention takes no source");
  const auto misfit = [&](const std::string& here, const std::string& there) {
    throw PlanError(where + site_text(from) + " is " + here + ", and " + site_text(to) + ", where it is written, is " +
                    there);
  };
  if (!from.axes.empty() && !to.axes.empty() && from.axes != to.axes) misfit(axes_text(from), axes_text(to));
  if (from.heads > 0 && to.heads > 0 && from.heads != to.heads)
    misfit("of " + std::to_string(from.heads) + " heads", "of " + std::to_string(to.heads));
  if (from.width > 0 && to.width > 0 && from.width != to.width)
    misfit(std::to_string(from.width) + " wide", std::to_string(to.width));
  if (from.calls != to.calls)
    throw PlanError(where + site_text(from) + " and " + site_text(to) + " do not follow positions in one way");
}

void check_also_original(const Placement& placement, bool generates) {
  if (!placement.also_original) return;
  if (!placement.traits.collects)
    throw PlanError(name_of(placement) + ": also_original is for what collects, and this intervention does not");
  if (generates) throw PlanError(name_of(placement) + ": also_original is for a run, and this is a generation");
}

}  // namespace

const Site& site_of(const IntervenableConfig& config, std::size_t representation, const models::Model& model) {
  const RepresentationConfig& at = config.representations[representation];
  if (at.stands_for_several()) {
    throw PlanError("representations[" + std::to_string(representation) +
                    "] stands for several places; `expanded` makes a representation of each");
  }
  return found_at(model, at.component, at.layer, "representations[" + std::to_string(representation) + "]");
}

namespace {

const Site& source_site_of(const IntervenableConfig& config, std::size_t representation, const models::Model& model) {
  const RepresentationConfig& at = config.representations[representation];
  if (!at.source_site) return site_of(config, representation, model);
  return found_at(model, at.source_site->component.value_or(at.component), at.source_site->layer.value_or(at.layer),
                  "representations[" + std::to_string(representation) + "].source_site");
}

}  // namespace

}  // namespace detail

Plan compile(const IntervenableConfig& config, std::shared_ptr<models::Model> model,
             const std::vector<std::shared_ptr<Intervention>>& interventions, const RunRequest& given) {
  auto plan = std::make_shared<detail::PlanData>();
  if (config.representations.empty()) throw PlanError("the config has no representations");
  RunRequest request = given;
  if (request.generation) {
    if (request.collect_only)
      throw PlanError("collect_only ends a run early, and a generation has more than one; leave it out");
    request.base = detail::left_padded(request.base, "base");
    for (std::size_t g = 0; g < request.sources.size() && request.generation->source_steps == SourceSteps::kSame; ++g) {
      if (request.sources[g])
        request.sources[g] = detail::left_padded(*request.sources[g], "sources[" + std::to_string(g) + "]");
    }
  }
  if (!request.base.primary().defined() || request.base.rows() == 0)
    throw PlanError("base: expected at least one row, got an empty batch");
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
    placement.source_site = detail::source_site_of(config, i, *model);
    placement.unit = parse_unit(config.representations[i].unit, placement.where + ".unit");
    placement.intervention = interventions[i];
    placement.traits = interventions[i]->traits();
    placement.also_original = config.representations[i].also_original;
    detail::check_source_site(placement, config.representations[i].source_site.has_value());
    detail::check_also_original(placement, plan->generation.has_value());
    placement.group = groups[i];
    plan->placements.push_back(std::move(placement));
  }
  model->check(request.base);
  detail::set_sources(*plan, request);
  const RowTexts base_texts = detail::texts_of(request.base, request.tokenizer);
  detail::check_mask(request.base, base_texts, "base");
  plan->base_shape = {request.base.primary().sizes().vec(), request.base.attention_mask, base_texts};
  plan->probe = detail::first_row(request.base);
  std::map<std::size_t, RowTexts> source_texts;
  for (std::size_t g = 0; g < plan->groups; ++g) {
    if (!plan->group_has_source[g] || plan->source_of_group[g] != g) continue;
    const models::Batch& source = *request.sources[request.sources.size() == 1 ? 0 : g];
    if (!source.primary().defined() || source.rows() == 0)
      throw PlanError("sources[" + std::to_string(g) + "]: expected at least one row, got an empty batch");
    model->check(source);
    source_texts[g] = detail::texts_of(source, request.tokenizer);
    detail::check_mask(source, source_texts[g], "sources[" + std::to_string(g) + "]");
    plan->source_shapes[g] = {source.primary().sizes().vec(), source.attention_mask, source_texts[g]};
  }
  std::vector<std::optional<When>> when;
  for (const RepresentationConfig& representation : config.representations) when.push_back(representation.when);
  detail::set_locations(*plan, request, base_texts, source_texts, when);
  detail::set_subspaces(*plan, request);
  detail::add_passes(*plan);
  for (std::size_t p = 0; p < plan->passes.size(); ++p) {
    detail::Pass& pass = plan->passes[p];
    for (std::size_t a = 0; a < pass.actions.size(); ++a) {
      const detail::Placement& placement = plan->placements[pass.actions[a].placement];
      const detail::HookPlace place = detail::place_of(placement, pass.actions[a]);
      pass.table.on(place.site, place.phase, detail::make_hook(*plan, p, a),
                    site_text(detail::site_at(placement, pass.actions[a])));
    }
  }
  if (plan->original_pass) {
    detail::Pass& pass = *plan->original_pass;
    for (std::size_t a = 0; a < pass.actions.size(); ++a) {
      const Site& site = plan->placements[pass.actions[a].placement].site;
      pass.table.on(site.id, site.phase, detail::make_hook(*plan, 0, a), site_text(site));
    }
  }
  return Plan(std::move(plan));
}

}  // namespace vene
