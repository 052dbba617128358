// SPDX-License-Identifier: Apache-2.0
// Saved folders for the tests of inspect, push and pull.
#pragma once
#include "tests/unit/core/toy_model.h"
#include "vene/core/intervenable_model.h"

namespace vene_test {

/// A linked low-rank rotation at two layers, a constant at a third, and a part of the model that trained along.
inline void save_interventions(const std::string& folder) {
  vene::IntervenableModel intervenable(vene::IntervenableConfig::parse(R"({"mode": "parallel", "representations": [
      {"layer": 0, "intervention_type": "low_rank_rotated_space", "low_rank_dimension": 2, "intervention_link_key": "r"},
      {"layer": 2, "component": "mlp_output", "intervention_type": "low_rank_rotated_space", "low_rank_dimension": 2, "intervention_link_key": "r"},
      {"layer": 1, "intervention_type": "addition", "source_representation": [1, 2, 3, 4, 5, 6]}]})"),
                                       ToyModel::make());
  intervenable->enable_model_gradients({"block_1.out"});
  intervenable->save(folder);
}

}  // namespace vene_test
