// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "vene/core/intervenable_model.h"

namespace vene::detail {

/// Takes one intervention's tensors over. `constant`: it has a constant source.
void restore_state(Intervention& intervention, NamedTensors state, bool constant, const std::string& where);
/// The file of a representation, whose key is `key`, in a folder of pyvene's with this config.
std::string pyvene_archive(const std::string& folder, const IntervenableConfig& config, const std::string& key);
/// pyvene's config with its interchange_dim at most as wide as the sites here: of some sites older versions thought
/// wider.
IntervenableConfig within_widths(IntervenableConfig config, const models::Model& model);
/// Reads intkey_*.bin, one a representation, into a model built from pyvene's config.json.
void read_pyvene_tensors(const IntervenableModelImpl& model, const std::string& folder);

}  // namespace vene::detail
