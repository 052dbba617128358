// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "models/common/config_reader.h"

namespace vene::models {

/// Throws ModelError, naming the field, for a config.json that asks for something which changes a model's results and
/// which its port has not read: a quantised checkpoint, a sliding window, a multiplier, a soft cap. To be called after
/// the port was built from `config`.
void refuse_unsupported(const ConfigReader& config);

/// Throws ModelError for an encoder's config.json that makes a decoder of it ("is_decoder").
void refuse_decoder(const ConfigReader& config);

}  // namespace vene::models
