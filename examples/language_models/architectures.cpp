// SPDX-License-Identifier: Apache-2.0
#include "architectures.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>
#include <map>

#include "vene/models/gpt2.h"
#include "vene/models/gpt_neox.h"
#include "vene/models/gru.h"

namespace language_models {
namespace {

using nlohmann::ordered_json;

// Whether a matrix writes into the residual stream.
bool writes_back(const std::string& name) {
  return name.ends_with("c_proj.weight") || name.ends_with("attention.dense.weight") ||
         name.ends_with("dense_4h_to_h.weight");
}

// GPT-2's rule: normal 0.02, what writes into the residual stream smaller by the depth. A recurrent cell has no norm in
// front of it: there, embeddings are wider and matrices keep the size of what they read, so that a state is not lost
// from step to step; its table of positions, which texts do not use, is zero.
void initialise(vene::models::Model& model, const Sizes& sizes) {
  const torch::NoGradGuard no_grad;
  const bool recurrent = sizes.architecture == "gru";
  for (auto& item : model.named_parameters()) {
    torch::Tensor& parameter = item.value();
    const std::string& name = item.key();
    if (name.find("ln_") != std::string::npos || name.find("norm") != std::string::npos) {
      parameter.fill_(name.ends_with("weight") ? 1.0 : 0.0);
    } else if (name.ends_with("bias") || (recurrent && name.ends_with("wpe.weight"))) {
      parameter.zero_();
    } else if (recurrent) {
      parameter.normal_(0.0, name.ends_with("wte.weight") ? 0.3 : 1.0 / std::sqrt(static_cast<double>(sizes.width)));
    } else {
      parameter.normal_(0.0, writes_back(name) ? 0.02 / std::sqrt(2.0 * static_cast<double>(sizes.layers)) : 0.02);
    }
  }
}

std::shared_ptr<vene::models::Model> gpt2(const Sizes& sizes) {
  vene::models::GPT2Options options;
  options.vocab_size = sizes.vocabulary;
  options.n_positions = sizes.context;
  options.n_embd = sizes.width;
  options.n_layer = sizes.layers;
  options.n_head = sizes.heads;
  return std::make_shared<vene::models::GPT2>(options);
}

ordered_json gpt2_config(const Sizes& sizes) {
  return {{"architectures", {"GPT2LMHeadModel"}},
          {"model_type", "gpt2"},
          {"vocab_size", sizes.vocabulary},
          {"n_positions", sizes.context},
          {"n_embd", sizes.width},
          {"n_layer", sizes.layers},
          {"n_head", sizes.heads},
          {"n_inner", nullptr},
          {"activation_function", "gelu_new"},
          {"layer_norm_epsilon", 1e-5},
          {"resid_pdrop", 0.0},
          {"embd_pdrop", 0.0},
          {"attn_pdrop", 0.0},
          {"scale_attn_weights", true},
          {"tie_word_embeddings", true}};
}

std::shared_ptr<vene::models::Model> gpt_neox(const Sizes& sizes) {
  vene::models::GPTNeoXOptions options;
  options.vocab_size = sizes.vocabulary;
  options.max_position_embeddings = sizes.context;
  options.hidden_size = sizes.width;
  options.num_hidden_layers = sizes.layers;
  options.num_attention_heads = sizes.heads;
  options.intermediate_size = 4 * sizes.width;
  return std::make_shared<vene::models::GPTNeoX>(options);
}

ordered_json gpt_neox_config(const Sizes& sizes) {
  return {{"architectures", {"GPTNeoXForCausalLM"}},
          {"model_type", "gpt_neox"},
          {"vocab_size", sizes.vocabulary},
          {"max_position_embeddings", sizes.context},
          {"hidden_size", sizes.width},
          {"num_hidden_layers", sizes.layers},
          {"num_attention_heads", sizes.heads},
          {"intermediate_size", 4 * sizes.width},
          {"hidden_act", "gelu"},
          {"layer_norm_eps", 1e-5},
          {"rotary_pct", 0.25},
          {"rotary_emb_base", 10000},
          {"use_parallel_residual", true},
          {"attention_bias", true},
          {"attention_dropout", 0.0},
          {"hidden_dropout", 0.0},
          {"tie_word_embeddings", false}};
}

std::shared_ptr<vene::models::Model> gru(const Sizes& sizes) {
  vene::models::GRUOptions options;
  options.h_dim = sizes.width;
  options.n_layer = sizes.layers;
  options.include_emb = true;
  options.vocab_size = sizes.vocabulary;
  options.max_position_embeddings = sizes.context;
  options.tie_word_embeddings = true;
  options.head = vene::models::GRUHead::kLanguageModel;
  return std::make_shared<vene::models::GRU>(options);
}

ordered_json gru_config(const Sizes& sizes) {
  return {{"architectures", {"GRULMHeadModel"}},
          {"model_type", "gru"},
          {"vocab_size", sizes.vocabulary},
          {"max_position_embeddings", sizes.context},
          {"h_dim", sizes.width},
          {"n_layer", sizes.layers},
          {"include_emb", true},
          {"include_bias", true},
          {"tie_word_embeddings", true}};
}

struct Recipe {
  std::shared_ptr<vene::models::Model> (*make)(const Sizes&);
  ordered_json (*config)(const Sizes&);
  std::string head;  // what checkpoints call "lm_head"
};

const std::map<std::string, Recipe>& recipes() {
  static const std::map<std::string, Recipe> all{{"gpt2", {gpt2, gpt2_config, "lm_head"}},
                                                 {"gpt_neox", {gpt_neox, gpt_neox_config, "embed_out"}},
                                                 {"gru", {gru, gru_config, "lm_head"}}};
  return all;
}

}  // namespace

std::vector<std::string> architectures() {
  std::vector<std::string> names;
  for (const auto& [name, recipe] : recipes()) names.push_back(name);
  return names;
}

std::shared_ptr<vene::models::Model> make(const Sizes& sizes) {
  std::shared_ptr<vene::models::Model> model = recipes().at(sizes.architecture).make(sizes);
  initialise(*model, sizes);
  return model;
}

ordered_json config(const Sizes& sizes, std::int64_t end_of_text) {
  ordered_json result = recipes().at(sizes.architecture).config(sizes);
  result["bos_token_id"] = end_of_text;
  result["eos_token_id"] = end_of_text;
  result["dtype"] = "float32";
  return result;
}

vene::io::NamedTensors weights(const Sizes& sizes, const vene::models::Model& model) {
  vene::io::NamedTensors tensors;
  for (const auto& item : model.named_parameters()) {
    tensors.emplace_back(
        item.key() == "lm_head.weight" ? recipes().at(sizes.architecture).head + ".weight" : item.key(),
        item.value().detach());
  }
  return tensors;
}

}  // namespace language_models
