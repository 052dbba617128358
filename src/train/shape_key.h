// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "vene/train/example.h"

namespace vene::train {

/// What messages call an example.
std::string name_of(const Example& example, std::size_t row);

/// Examples with equal keys can be joined. PlanError for an example without labels or with more than one row; `row` is
/// its number.
std::string shape_key(const Example& example, std::size_t row);

}  // namespace vene::train
