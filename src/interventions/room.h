// SPDX-License-Identifier: Apache-2.0
// What a config asks for is counted before it is made: a few bytes of JSON may name any number.
#pragma once
#include <cstdint>
#include <string>

namespace vene::detail {

/// Throws std::bad_alloc where `copies` float tensors of [rows, columns] do not fit into the memory that is free, and
/// ConfigError, naming what there are `rows` of, for more than any model has use for: the largest autoencoders that are
/// published have 2^20 latents.
void need_room(const std::string& name, std::int64_t rows, std::int64_t columns, int copies);

}  // namespace vene::detail
