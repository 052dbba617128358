// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <c10/util/Exception.h>
#include <c10/util/safe_numerics.h>

#include <algorithm>
#include <map>
#include <new>

#include "src/base/at_place.h"
#include "src/core/plan_data.h"
#include "vene/base/error.h"

namespace vene {
namespace {

std::string name_of(std::size_t representation) {
  return "representations[" + std::to_string(representation) + "]";
}

OptionValues with_defaults(const RepresentationConfig& representation, const InterventionInfo& info) {
  OptionValues options = representation.options;
  for (const OptionInfo& option : info.options) {
    if (option.default_value) options.try_emplace(option.name, *option.default_value);
  }
  return options;
}

bool same_source(const RepresentationConfig& a, const RepresentationConfig& b) {
  RepresentationConfig left, right;
  left.source_representation = a.source_representation;
  right.source_representation = b.source_representation;
  return left == right;
}

std::optional<std::int64_t> dimension_of(const IntervenableConfig& config, std::size_t i) {
  return i < config.intervention_dimensions.size() ? config.intervention_dimensions[i] : std::nullopt;
}

// The field in which a linked representation asks for something else than the one whose intervention it shares; empty:
// none. What it leaves out is the other's, as in pyvene.
std::string differing_field(const IntervenableConfig& config, std::size_t first, std::size_t other,
                            const InterventionRegistry& registry) {
  const RepresentationConfig& a = config.representations[first];
  const RepresentationConfig& b = config.representations[other];
  if (a.intervention || b.intervention) return b.intervention && a.intervention != b.intervention ? "intervention" : "";
  const InterventionInfo& info = registry.at(config.type_of(first));
  if (info.name != registry.at(config.type_of(other)).name) return "intervention_type";
  if (b.low_rank_dimension && a.low_rank_dimension != b.low_rank_dimension) return "low_rank_dimension";
  if (b.latent_dim && a.latent_dim != b.latent_dim) return "latent_dim";
  if (b.source_representation.defined() && !same_source(a, b)) return "source_representation";
  if (!b.subspace_partition.empty() && a.subspace_partition != b.subspace_partition) return "subspace_partition";
  if (dimension_of(config, other) && dimension_of(config, first) != dimension_of(config, other))
    return "intervention_dimensions";
  const OptionValues options = with_defaults(a, info);
  for (const auto& [name, value] : b.options) {
    const auto found = options.find(name);
    if (found == options.end() || !detail::same_value(found->second, value)) return name;
  }
  return "";
}

// A lone number stands for the whole width.
torch::Tensor constant_of(const RepresentationConfig& representation, const Site& site, const std::string& where) {
  return detail::spread_constant(representation.source_representation, site, where + ".source_representation");
}

std::int64_t width_of(const Site& site, const RepresentationConfig& representation, const std::string& where) {
  std::uint64_t width = 0;
  const bool too_large = c10::mul_overflows(static_cast<std::uint64_t>(site.width),
                                            static_cast<std::uint64_t>(representation.max_number_of_units), &width);
  if (too_large || width > INT64_MAX) {
    throw ConfigError(where + ".max_number_of_units: " + std::to_string(representation.max_number_of_units) +
                      " units of width " + std::to_string(site.width) + " are more than can be counted");
  }
  return static_cast<std::int64_t>(width);
}

// What LibTorch says where a tensor has no room.
bool is_out_of_memory(const std::string& message) {
  return message.find("allocate memory") != std::string::npos ||
         message.find("not enough memory") != std::string::npos || message.find("out of memory") != std::string::npos ||
         message.find("overflow") != std::string::npos;
}

std::shared_ptr<Intervention> build(const InterventionInfo& info, const InterventionSettings& settings,
                                    const std::string& where) {
  const std::string problem = where + ": the tensors of '" + info.name + "' do not fit into memory at a width of " +
                              std::to_string(settings.width);
  try {
    return info.build(settings);
  } catch (const std::bad_alloc&) {
    throw ConfigError(problem);
  } catch (const Error& error) {
    detail::rethrow_at(where, error);
  } catch (const c10::Error& error) {
    if (!is_out_of_memory(error.what_without_backtrace())) throw;
    throw ConfigError(problem);
  }
}

// Columns that are named before the run. `width`: of the value.
void check_columns(const Intervention& intervention, std::int64_t width, const std::string& where) {
  const std::int64_t columns = intervention.subspace_width(width);
  const SubspacePartition& partition = intervention.subspace_partition();
  for (std::size_t part = 0; part < partition.size() && columns > 0; ++part) {
    for (const std::int64_t column : partition[part]) {
      if (column >= -columns && column < columns) continue;
      throw ConfigError(where + ".subspace_partition[" + std::to_string(part) + "]: column " + std::to_string(column) +
                        " is out of range: there are " + std::to_string(columns));
    }
  }
}

// Leading columns; pyvene's folders give a low-rank rotation the width of its value.
void check_dimension(const Intervention& intervention, std::int64_t width, std::size_t representation) {
  const std::int64_t most = std::max(width, intervention.subspace_width(width));
  if (!intervention.interchange_dim || most <= 0 || *intervention.interchange_dim <= most) return;
  throw ConfigError("intervention_dimensions[" + std::to_string(representation) + "]: expected at most the width, " +
                    std::to_string(most) + ", got " + std::to_string(*intervention.interchange_dim));
}

}  // namespace

torch::Tensor detail::spread_constant(const torch::Tensor& constant, const Site& site, const std::string& where) {
  if (!constant.defined() || constant.dim() > 0) return constant;
  if (site.width <= 0)
    throw ConfigError(where + ": a lone number stands for the whole width, and that of " + site_text(site) +
                      " is not known before the run; give a list of numbers");
  return constant.expand({site.width}).contiguous();
}

bool detail::same_value(const OptionValue& a, const OptionValue& b) {
  RepresentationConfig left, right;
  left.options["value"] = a;
  right.options["value"] = b;
  return left == right;
}

std::vector<std::shared_ptr<Intervention>> build_interventions(const IntervenableConfig& config,
                                                               const models::Model& model,
                                                               const InterventionRegistry& registry) {
  std::vector<std::shared_ptr<Intervention>> interventions;
  std::map<ConfigKey, std::size_t> linked;
  for (std::size_t i = 0; i < config.representations.size(); ++i) {
    const RepresentationConfig& representation = config.representations[i];
    const Site& site = detail::site_of(config, i, model);
    const std::int64_t width = width_of(site, representation, name_of(i));
    if (representation.moe_key) throw ConfigError(name_of(i) + ".moe_key: this model has no experts; leave it out");
    if (representation.intervention_link_key) {
      const auto found = linked.find(*representation.intervention_link_key);
      if (found != linked.end()) {
        const std::shared_ptr<Intervention>& shared = interventions[found->second];
        std::string field = differing_field(config, found->second, i, registry);
        if (field.empty() && shared->width() > 0 && width > 0 && shared->width() != width) field = "width";
        if (!field.empty()) {
          throw ConfigError(name_of(i) + " shares the intervention of " + name_of(found->second) +
                            " (intervention_link_key), but its " + field + " differs");
        }
        interventions.push_back(shared);
        continue;
      }
      linked.emplace(*representation.intervention_link_key, i);
    }
    std::shared_ptr<Intervention> built = representation.intervention;
    if (!built) {
      InterventionSettings settings;
      settings.width = width;
      settings.low_rank_dimension = representation.low_rank_dimension;
      settings.latent_dim = representation.latent_dim;
      settings.subspace_partition = representation.subspace_partition;
      settings.source_representation = constant_of(representation, site, name_of(i));
      const InterventionInfo& info = registry.at(config.type_of(i));
      settings.options = with_defaults(representation, info);
      built = build(info, settings, name_of(i));
      if (const auto dimension = dimension_of(config, i)) built->interchange_dim = dimension;
      check_dimension(*built, width, i);
    }
    check_columns(*built, site.width, name_of(i));
    interventions.push_back(std::move(built));
  }
  return interventions;
}

}  // namespace vene
