// SPDX-License-Identifier: Apache-2.0
#include "models/registry.h"

#include <algorithm>

#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/models/gpt2.h"
#include "vene/models/gru.h"
#include "vene/models/llama.h"
#include "vene/models/mlp.h"

namespace vene::models {
namespace {

std::shared_ptr<Model> build_gpt2(const ConfigReader& config, bool head) {
  GPT2Options options;
  options.vocab_size = config.integer("vocab_size");
  options.n_positions = config.integer("n_positions", config.integer("n_ctx", options.n_positions));
  options.n_embd = config.integer("n_embd");
  options.n_layer = config.integer("n_layer");
  options.n_head = config.integer("n_head");
  options.n_inner = config.integer("n_inner", 0);
  options.activation_function = config.text("activation_function", options.activation_function);
  options.layer_norm_epsilon = config.number("layer_norm_epsilon", options.layer_norm_epsilon);
  options.tie_word_embeddings = config.boolean("tie_word_embeddings", true);
  options.scale_attn_weights = config.boolean("scale_attn_weights", true);
  options.scale_attn_by_inverse_layer_idx = config.boolean("scale_attn_by_inverse_layer_idx", false);
  options.language_model_head = head;
  return std::make_shared<GPT2>(options);
}

double positive(const ConfigReader& config, const std::string& field) {
  const double value = config.number(field);
  if (value <= 0) throw ModelError(config.where() + ": field '" + field + "': expected a positive number, got " + std::to_string(value));
  return value;
}

// rope_parameters since transformers 5, rope_theta and rope_scaling before.
void read_rotary(const ConfigReader& config, LlamaOptions& options) {
  options.rope_theta = config.number("rope_theta", options.rope_theta);
  const auto rope = config.object(config.has("rope_parameters") ? "rope_parameters" : "rope_scaling");
  if (!rope) return;
  options.rope_theta = rope->number("rope_theta", options.rope_theta);
  for (const char* kind : {"full_attention", "sliding_attention"}) {
    if (rope->has(kind)) throw ModelError(rope->where() + ": field '" + kind + "': rotary positions that differ from layer to layer are not supported");
  }
  if (const double part = rope->number("partial_rotary_factor", 1); part != 1) {
    throw ModelError(rope->where() + ": field 'partial_rotary_factor' is " + std::to_string(part) + ", which is not supported; expected 1 or none");
  }
  const std::string type = rope->text("rope_type", rope->text("type", "default"));
  if (type == "linear") {
    options.rope_factor = positive(*rope, "factor");
  } else if (type == "llama3") {
    RopeStretch stretch;
    stretch.factor = positive(*rope, "factor");
    stretch.low_freq_factor = positive(*rope, "low_freq_factor");
    stretch.high_freq_factor = positive(*rope, "high_freq_factor");
    stretch.original_max_position_embeddings = rope->integer("original_max_position_embeddings");
    if (stretch.high_freq_factor == stretch.low_freq_factor) throw ModelError(rope->where() + ": low_freq_factor and high_freq_factor are the same");
    options.rope_stretch = stretch;
  } else if (type != "default") {
    throw ModelError(rope->where() + ": rope_type '" + type + "' is not supported" + name_hint(type, {"default", "linear", "llama3"}));
  }
}

std::shared_ptr<Model> build_llama(const ConfigReader& config, bool head) {
  LlamaOptions options;
  options.vocab_size = config.integer("vocab_size");
  options.hidden_size = config.integer("hidden_size");
  options.intermediate_size = config.integer("intermediate_size");
  options.num_hidden_layers = config.integer("num_hidden_layers");
  options.num_attention_heads = config.integer("num_attention_heads");
  options.num_key_value_heads = config.integer("num_key_value_heads", 0);
  options.head_dim = config.integer("head_dim", 0);
  options.max_position_embeddings = config.integer("max_position_embeddings", options.max_position_embeddings);
  options.rms_norm_eps = config.number("rms_norm_eps", options.rms_norm_eps);
  options.hidden_act = config.text("hidden_act", options.hidden_act);
  options.attention_bias = config.boolean("attention_bias", false);
  options.mlp_bias = config.boolean("mlp_bias", false);
  options.tie_word_embeddings = config.boolean("tie_word_embeddings", false);
  read_rotary(config, options);
  options.language_model_head = head;
  return std::make_shared<Llama>(options);
}

std::shared_ptr<Model> build_gru(const ConfigReader& config, bool) {
  GRUOptions options;
  options.h_dim = config.integer("h_dim");
  options.n_layer = config.integer("n_layer");
  options.n_labels = config.integer("n_labels", options.n_labels);
  options.include_bias = config.boolean("include_bias", true);
  options.include_emb = config.boolean("include_emb", false);
  options.vocab_size = config.integer("vocab_size", options.vocab_size);
  options.max_position_embeddings = config.integer("max_position_embeddings", options.max_position_embeddings);
  options.tie_word_embeddings = config.boolean("tie_word_embeddings", false);
  const std::vector<std::string> names{"GRUModel", "GRUForClassification", "GRULMHeadModel"}, given = config.texts("architectures");
  const auto found = given.size() == 1 ? std::find(names.begin(), names.end(), given[0]) : names.end();
  if (found == names.end()) {
    throw ModelError(config.where() + ": architectures: expected one of " + join(names) + ", got " + (given.empty() ? "nothing" : join(given)));
  }
  options.head = static_cast<GRUHead>(found - names.begin());
  return std::make_shared<GRU>(options);
}

std::shared_ptr<Model> build_mlp(const ConfigReader& config, bool) {
  MLPOptions options;
  options.h_dim = config.integer("h_dim");
  options.n_layer = config.integer("n_layer");
  options.num_classes = config.integer("num_classes", options.num_classes);
  options.include_bias = config.boolean("include_bias", true);
  options.squeeze_output = config.boolean("squeeze_output", true);
  options.activation_function = config.text("activation_function", options.activation_function);
  if (config.boolean("include_emb", false)) throw ModelError(config.where() + ": an MLP with embeddings (include_emb) is not supported");
  return std::make_shared<MLPClassifier>(options);
}

}  // namespace

const std::vector<Family>& families() {
  static const std::vector<Family> kFamilies{
      {"gpt2", "transformer.", build_gpt2, {".attn.bias", ".attn.masked_bias"}},
      {"gru", "gru.", build_gru, {}},
      {"llama", "model.", build_llama, {".rotary_emb.inv_freq"}},
      {"mlp", "", build_mlp, {}},
  };
  return kFamilies;
}

const Family& family_of(const ConfigReader& config) {
  const std::string type = config.text("model_type");
  std::vector<std::string> known;
  for (const Family& family : families()) {
    if (family.model_type == type) return family;
    known.push_back(family.model_type);
  }
  throw ModelError(config.where() + ": unsupported model_type '" + type + "'; supported: " + join(known));
}

}  // namespace vene::models
