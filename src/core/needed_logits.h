// SPDX-License-Identifier: Apache-2.0
// What reads logits says so where a model has none. Private.
#pragma once
#include <string>

#include "vene/base/error.h"
#include "vene/models/model.h"

namespace vene::detail {

/// The same logits; ModelError where they are undefined, as those of a model without a head are.
inline const torch::Tensor& needed_logits(const torch::Tensor& logits, const models::Model& model,
                                          const std::string& who) {
  if (logits.defined()) return logits;
  throw ModelError(who + " needs logits, and this model (" + model.architecture() +
                   ") has no head; load a checkpoint that has one");
}

}  // namespace vene::detail
