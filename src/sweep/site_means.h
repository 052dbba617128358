// SPDX-License-Identifier: Apache-2.0
// Means of values over texts. Private to the library.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "vene/hooks/site.h"
#include "vene/models/model.h"

namespace vene::detail {

/// The mean of each site's value over all tokens of all texts, of each head and feature its own: as the site has it, of
/// one row and one position. With `positional` over the texts that have a position, and as many positions as the
/// longest text has. Sums are in double precision.
std::vector<torch::Tensor> site_means(models::Model& model, const std::vector<Site>& sites,
                                      const std::vector<std::vector<std::int64_t>>& texts, bool positional);

}  // namespace vene::detail
