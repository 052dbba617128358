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

const Site& site_of(const IntervenableConfig& config, std::size_t representation, const models::Model& model) {
  const RepresentationConfig& at = config.representations[representation];
  if (const Site* site = model.sites().try_find(at.component, at.layer)) return *site;
  return at_place("representations[" + std::to_string(representation) + "]",
                  [&]() -> const Site& { return model.sites().find(at.component, at.layer); });
}

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
    placement.unit = parse_unit(config.representations[i].unit, placement.where + ".unit");
    placement.intervention = interventions[i];
    placement.traits = interventions[i]->traits();
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
      pass.table.on(place.site, place.phase, detail::make_hook(*plan, p, a), site_text(placement.site));
    }
  }
  return Plan(std::move(plan));
}

}  // namespace vene
