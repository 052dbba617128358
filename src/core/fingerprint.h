// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <set>
#include <string>

#include "vene/config/intervenable_config.h"
#include "vene/models/model.h"

namespace vene::detail {

/// What tells one model from another: its sizes, and a hash over a sample of every parameter but those in `without`.
ModelFingerprint fingerprint(const models::Model& model, const std::set<std::string>& without);

}  // namespace vene::detail
