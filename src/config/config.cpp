// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "vene/config/intervenable_config.h"

namespace vene {
namespace {

bool same(const torch::Tensor& a, const torch::Tensor& b) {
  if (a.defined() != b.defined()) return false;
  return !a.defined() || (a.sizes() == b.sizes() && torch::equal(a.detach().to(torch::kCPU, torch::kFloat64),
                                                                 b.detach().to(torch::kCPU, torch::kFloat64)));
}

bool same(const OptionValues& a, const OptionValues& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, value] : a) {
    const auto found = b.find(name);
    if (found == b.end() || found->second.index() != value.index()) return false;
    if (const auto* tensor = std::get_if<torch::Tensor>(&value)) {
      if (!same(*tensor, std::get<torch::Tensor>(found->second))) return false;
    } else {
      const bool equal = std::visit(
          [&](const auto& held) {
            using T = std::decay_t<decltype(held)>;
            if constexpr (std::is_same_v<T, torch::Tensor>) {
              return true;
            } else {
              return held == std::get<T>(found->second);
            }
          },
          value);
      if (!equal) return false;
    }
  }
  return true;
}

std::string underscored(std::string text) {
  for (char& c : text) c = c == '.' ? '_' : c;
  return text;
}

}  // namespace

bool RepresentationConfig::operator==(const RepresentationConfig& other) const {
  return layer == other.layer && component == other.component && unit == other.unit &&
         max_number_of_units == other.max_number_of_units && low_rank_dimension == other.low_rank_dimension &&
         intervention_type == other.intervention_type && intervention == other.intervention &&
         subspace_partition == other.subspace_partition && group_key == other.group_key &&
         intervention_link_key == other.intervention_link_key && moe_key == other.moe_key &&
         same(source_representation, other.source_representation) &&
         hidden_source_representation == other.hidden_source_representation && latent_dim == other.latent_dim &&
         when == other.when && same(options, other.options) && layers == other.layers &&
         all_layers == other.all_layers && source_site == other.source_site && also_original == other.also_original;
}

bool IntervenableConfig::operator==(const IntervenableConfig& other) const {
  return representations == other.representations && intervention_types == other.intervention_types &&
         mode == other.mode && model_type == other.model_type && sorted_keys == other.sorted_keys &&
         intervention_dimensions == other.intervention_dimensions &&
         intervention_constant_sources == other.intervention_constant_sources &&
         model_fingerprint == other.model_fingerprint;
}

IntervenableConfig& IntervenableConfig::add_intervention(RepresentationConfig representation) {
  // A list of types has one entry a representation: the new one's own type joins it.
  if (intervention_types.size() > 1 && intervention_types.size() == representations.size()) {
    intervention_types.push_back(representation.intervention_type.empty() ? "vanilla"
                                                                          : representation.intervention_type);
  }
  representations.push_back(std::move(representation));
  return *this;
}

const std::string& IntervenableConfig::type_of(std::size_t i) const {
  static const std::string kVanilla = "vanilla";
  const std::string& own = representations.at(i).intervention_type;
  if (!own.empty()) return own;
  if (intervention_types.empty()) return kVanilla;
  return intervention_types.size() == 1 ? intervention_types[0] : intervention_types.at(i);
}

std::vector<std::string> representation_keys(const IntervenableConfig& config) {
  std::map<std::string, int> seen;
  std::vector<std::string> keys;
  for (const RepresentationConfig& representation : config.representations) {
    const bool path = representation.component.find('.') != std::string::npos;
    const std::string prefix = (path ? "" : "layer_" + std::to_string(representation.layer) + "_") + "comp_" +
                               underscored(representation.component) + "_unit_" + underscored(representation.unit) +
                               "_nunit_" + std::to_string(representation.max_number_of_units);
    keys.push_back(prefix + "#" + std::to_string(seen[prefix]++));
  }
  return keys;
}

}  // namespace vene
