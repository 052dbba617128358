// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <map>
#include <string>

#include "models/registry.h"
#include "vene/io/safetensors.h"

namespace vene::models {

/// A checkpoint's tensors under the names of the model with a head, and what the file calls them.
struct FileWeights {
  std::map<std::string, torch::Tensor> tensors;
  std::map<std::string, std::string> file_names;  ///< by the name here
  std::string wrapper, prefix;                    ///< taken from the file's names, and put before them
  std::map<std::string, std::string> absent;      ///< names in the file that its index lists and no shard has

  /// What the file calls a tensor or, if it has none of the name, would call it.
  std::string in_file(const std::string& here) const;
};

/// Gives a checkpoint's tensors their names here: the family's other spellings, a model without a head, and what those
/// who wrapped a model left before its names ("module.", "_orig_mod.", a second "model."). ModelError where two
/// tensors come to one name by that.
FileWeights named_weights(const io::NamedTensors& tensors, const Family& family, const std::string& where);

}  // namespace vene::models
