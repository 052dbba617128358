// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>

#include "vene/base/export.h"

namespace vene {

/// The value of an intervention's option. A nested list of numbers in JSON arrives as a float tensor.
using OptionValue = std::variant<bool, std::int64_t, double, std::string, torch::Tensor>;
using OptionValues = std::map<std::string, OptionValue>;

enum class OptionType : std::uint8_t { kBool, kInteger, kNumber, kString, kTensor };

/// Describes one option: from it come the parser, the errors, the docs page and `vene schema`.
struct OptionInfo {
  std::string name{};
  OptionType type = OptionType::kNumber;
  std::optional<OptionValue> default_value{};  ///< empty: the option must be given
  std::string doc{};                           ///< one sentence
  bool is_path = false;                        ///< a text that names a file, looked up from the folder of the config
};

/// "number", "integer" ...
VENE_API std::string option_type_name(OptionType type);

}  // namespace vene
