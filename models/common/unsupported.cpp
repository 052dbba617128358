// SPDX-License-Identifier: Apache-2.0
#include "models/common/unsupported.h"

#include <algorithm>
#include <vector>

#include "vene/base/error.h"

namespace vene::models {
namespace {

struct Switch {
  const char* field;
  std::vector<std::string> harmless;  // values, as JSON, that change nothing
};

// What some architecture of Hugging Face's reads from its config.json and computes differently for.
const std::vector<Switch>& switches() {
  static const std::vector<Switch> kSwitches{
      {"sliding_window", {"0"}},
      {"use_sliding_window", {"false"}},
      {"attention_chunk_size", {}},
      {"rope_scaling", {}},
      {"rope_parameters", {}},
      {"partial_rotary_factor", {"1", "1.0"}},
      {"rotary_pct", {"1", "1.0"}},
      {"no_rope_layers", {"[]"}},
      {"position_embedding_type", {"\"absolute\""}},
      {"alibi", {"false"}},
      {"attention_multiplier", {"1", "1.0"}},
      {"residual_multiplier", {"1", "1.0"}},
      {"embedding_multiplier", {"1", "1.0"}},
      {"logits_scaling", {"1", "1.0"}},
      {"logit_scale", {"1", "1.0"}},
      {"query_pre_attn_scalar", {}},
      {"attn_logit_softcapping", {}},
      {"final_logit_softcapping", {}},
      {"clip_qkv", {}},
      {"qk_layernorm", {"false"}},
      {"use_qk_norm", {"false"}},
      {"parallel_attn", {"false"}},
      {"use_parallel_residual", {"false"}},
      {"attention_types", {"[]"}},
      {"attention_layers", {"[]"}},
      {"window_size", {"0"}},
      {"use_bidirectional_attention", {"false"}},
      {"num_experts", {"0", "1"}},
      {"num_local_experts", {"0", "1"}},
      {"n_routed_experts", {"0", "1"}},
      {"add_cross_attention", {"false"}},
      {"is_encoder_decoder", {"false"}},
      {"is_folding_model", {"false"}},
  };
  return kSwitches;
}

}  // namespace

void refuse_unsupported(const ConfigReader& config) {
  if (const auto quantization = config.object("quantization_config")) {
    throw ModelError(config.where() + ": the checkpoint is quantised (quantization_config, quant_method '" +
                     quantization->text("quant_method", "unknown") +
                     "'), and quantised weights are not supported; expected float32, float16 or bfloat16 weights");
  }
  const bool windowless = config.unread("use_sliding_window") == "false";
  for (const auto& [field, harmless] : switches()) {
    const std::optional<std::string> value = config.unread(field);
    if (!value || std::find(harmless.begin(), harmless.end(), *value) != harmless.end()) continue;
    if (windowless && std::string(field) == "sliding_window") continue;
    throw ModelError(config.where() + ": field '" + field + "' is " + *value +
                     ", which this architecture does not support here" +
                     (harmless.empty() ? "; expected none" : "; expected " + harmless.front() + " or none"));
  }
  if (config.unread("layer_types")) {
    for (const std::string& type : config.texts("layer_types")) {
      if (type != "full_attention")
        throw ModelError(config.where() + ": field 'layer_types' has '" + type +
                         "', which this architecture does not support here; expected full_attention");
    }
  }
}

void refuse_decoder(const ConfigReader& config) {
  if (!config.boolean("is_decoder", false)) return;
  throw ModelError(
      config.where() +
      ": field 'is_decoder' is true, which this architecture does not support here; expected false or none");
}

}  // namespace vene::models
