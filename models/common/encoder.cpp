// SPDX-License-Identifier: Apache-2.0
#include "models/common/encoder.h"

#include <cmath>

#include "models/common/checks.h"
#include "vene/base/error.h"

namespace vene::models {

EncoderHeads::EncoderHeads(std::int64_t width, std::int64_t heads)
    : query(width, width),
      key(width, width),
      value(width, width),
      heads_(heads),
      scale_(1.0 / std::sqrt(static_cast<double>(width / heads))) {
  register_module("query", query);
  register_module("key", key);
  register_module("value", value);
  register_module("scores", scores);
  register_module("pattern", pattern);
}

IntermediateImpl::IntermediateImpl(std::int64_t width, std::int64_t inner, const std::string& activation_name)
    : dense(width, inner), activation(activation_name) {
  register_module("dense", dense);
  register_module("intermediate_act_fn", activation);
}

torch::Tensor IntermediateImpl::forward(const torch::Tensor& hidden) {
  return activation(dense(hidden));
}

torch::Tensor embedded_words(const Batch& batch, nn::Embedding& table) {
  return batch.input_ids.defined() ? embedded_tokens(batch.input_ids, table->weight.size(0), table)
                                   : batch.inputs_embeds.to(table->weight.scalar_type());
}

void add_encoder_aliases(SiteTable& sites, const std::string& body, std::int64_t layers, bool headless) {
  if (headless) sites.set_body(body);
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    const std::string self = body + ".encoder.layer." + std::to_string(layer) + ".attention.self.";
    for (const char* end : {".input", ".output"}) sites.add_alias(self + "dropout" + end, self + "pattern.output");
  }
}

void refuse_cache(const KeyValueCache* cache, const std::string& architecture) {
  if (cache != nullptr)
    throw ModelError(architecture + ": every position looks at the whole text, so there is no key-value cache");
}

}  // namespace vene::models
