// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <utility>

#include "vene/models/model.h"
#include "vene/models/trusted_batches.h"

namespace vene::models {

struct LanguageModelLimits {
  std::int64_t vocabulary;  ///< token ids are below it
  std::int64_t context;     ///< most positions; 0: no limit
  std::int64_t width;       ///< of inputs_embeds
  torch::Device device;     ///< of the model
};

/// Throws ModelError for a batch that a language model cannot read: neither or both of input_ids and inputs_embeds, an
/// empty batch, wrong shapes or types, another device, too many positions after `past`, a token outside the vocabulary
/// (naming the first such row, position and id).
void check_language_batch(const Batch& batch, std::int64_t past, const LanguageModelLimits& limits);

/// Whether a check may look at a tensor's values (see TrustedBatches).
bool may_look_at(const torch::Tensor& tensor);

/// What `lookup` (of ids [batch, pos]) makes of token ids. On a device the ids of a forward are not looked at by the
/// host, which would have to wait: there one outside the vocabulary gives NaN, and with it a result that nobody takes
/// for an answer.
template <class Lookup>
torch::Tensor embedded_tokens(const torch::Tensor& ids, std::int64_t vocabulary, Lookup&& lookup) {
  if (ids.device().is_cpu()) return lookup(ids);
  const torch::Tensor known = ids.ge(0).logical_and_(ids.lt(vocabulary));
  return lookup(ids * known).masked_fill(known.logical_not().unsqueeze(-1), std::numeric_limits<double>::quiet_NaN());
}

/// Throws ModelError, naming the first that is not, unless each of the named sizes is positive.
void check_positive(std::initializer_list<std::pair<const char*, std::int64_t>> sizes);

/// Throws ModelError unless the first of two named sizes is a multiple of the second.
void check_multiple(const std::pair<const char*, std::int64_t>& whole,
                    const std::pair<const char*, std::int64_t>& part);

/// Throws ModelError unless 0 <= first <= last <= layers.
void check_stages(std::int64_t first, std::int64_t last, std::int64_t layers);

}  // namespace vene::models
