// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vene/base/export.h"
#include "vene/hooks/site.h"

namespace vene::models {

/// What goes into a model. A language model takes `input_ids`, or `inputs_embeds` in their stead; a model on plain
/// tensors takes `inputs_embeds`, and `extra` for further arguments.
struct VENE_API Batch {
  torch::Tensor input_ids{};  ///< [batch, pos], int64
  /// [batch, pos], 1 for a token and 0 for padding, at either end; undefined: all tokens
  torch::Tensor attention_mask{};
  torch::Tensor inputs_embeds{};  ///< [batch, pos, d_model]
  std::vector<torch::Tensor> extra{};

  /// The tensor that says how many rows and positions there are.
  const torch::Tensor& primary() const { return input_ids.defined() ? input_ids : inputs_embeds; }
  std::int64_t rows() const { return primary().defined() ? primary().size(0) : 0; }
  std::int64_t positions() const { return primary().dim() > 1 ? primary().size(1) : 1; }
  Batch to(torch::Device device) const;
};

/// What comes out of it.
struct Output {
  torch::Tensor logits{};  ///< [batch, pos, vocabulary], or [batch, classes]; undefined for a model without a head
  torch::Tensor last_hidden_state{};  ///< [batch, pos, d_model], after the final norm
  std::vector<torch::Tensor> extra{};
  /// The logits, or without a head the last hidden state.
  const torch::Tensor& primary() const { return logits.defined() ? logits : last_hidden_state; }
};

/// Keys and values of the positions that a model has read, one pair a layer: [batch, key_value_heads, pos, d_head].
struct VENE_API KeyValueCache {
  std::vector<std::pair<torch::Tensor, torch::Tensor>> layers{};
  /// [batch, pos], boolean, of everything read so far; undefined while nothing is padded
  torch::Tensor attention_mask{};
  /// Buffers are made with room for so many positions at once. 0: they start at what is read and double when full.
  std::int64_t reserve = 0;
  /// Positions read so far, padding included.
  std::int64_t length() const { return layers.empty() || !layers[0].first.defined() ? 0 : layers[0].first.size(2); }
  /// The same cache with these rows (int64 indices, repeats allowed).
  KeyValueCache rows(const torch::Tensor& indices) const;

  /// Appends keys and values to a layer and returns all that it holds. They go into the layer's buffer where it has
  /// room, so that a decoding step allocates nothing; where gradients are wanted, or `layers` was set by hand, into new
  /// tensors.
  const std::pair<torch::Tensor, torch::Tensor>& append(std::int64_t layer, torch::Tensor keys, torch::Tensor values);
  /// Appends to `attention_mask`: [batch, pos], boolean.
  void append_mask(const torch::Tensor& mask);
  /// Buffers made so far, for those who count.
  std::int64_t allocations() const { return buffers_.allocations; }

 private:
  // What `layers` and `attention_mask` are the beginnings of. A copy of a cache starts without them: two caches never
  // write into one buffer.
  struct Buffers {
    std::vector<std::pair<torch::Tensor, torch::Tensor>> layers{};
    torch::Tensor mask{};
    std::int64_t allocations = 0;
    Buffers() = default;
    Buffers(const Buffers&) {}
    Buffers(Buffers&&) = default;
    Buffers& operator=(const Buffers&) { return *this = Buffers(); }
    Buffers& operator=(Buffers&&) = default;
    ~Buffers() = default;
    torch::Tensor grown(const torch::Tensor& held, torch::Tensor& buffer, torch::Tensor more, std::int64_t dim,
                        std::int64_t reserve);
  };
  Buffers buffers_{};
};

struct ForwardOptions {
  KeyValueCache* cache = nullptr;             ///< read and extended; positions continue after what it holds
  std::optional<std::int64_t> last_logits{};  ///< logits of the last n positions only; empty: of all
};

/// A model that can be run and looked into. Ports derive from it; `adapt` makes one of a user's own module.
class VENE_API Model : public torch::nn::Module {
 public:
  virtual Output forward(const Batch& batch, const ForwardOptions& options = {}) = 0;
  /// Throws ModelError, naming the offender, for a batch the model cannot read: tokens outside the vocabulary, a prompt
  /// longer than the context, a mask of another shape. `past` positions are already in a cache.
  virtual void check(const Batch& batch, std::int64_t past = 0) const { (void)batch, (void)past; }

  const SiteTable& sites() const { return sites_; }
  /// Whether a position's values depend on the positions after it, as an encoder's do: such a model keeps no key-value
  /// cache and does not generate.
  virtual bool reads_ahead() const { return false; }
  virtual std::int64_t layer_count() const { return 0; }
  virtual std::int64_t hidden_size() const { return 0; }
  virtual std::int64_t vocabulary_size() const { return 0; }
  virtual std::int64_t context_length() const { return 0; }  ///< 0: no limit
  /// Whether there are no positions beyond `context_length`, as where they are learned.
  virtual bool bound_to_context() const { return true; }
  virtual std::string architecture() const = 0;  ///< "gpt2", "llama" ... as in config.json's model_type
  /// The token embedding matrix [vocabulary, d_model]; undefined for a model without one.
  torch::Tensor token_embedding() const;
  torch::Device device() const;
  torch::ScalarType dtype() const;

 protected:
  SiteTable sites_;
};

/// What flows between the stages of a model that can be cut.
struct VENE_API StageState {
  torch::Tensor hidden{};          ///< [batch, pos, d_model]
  torch::Tensor attention_mask{};  ///< [batch, key pos], boolean, or undefined when nothing is padded
  torch::Tensor position_ids{};    ///< [batch, pos]
  KeyValueCache* cache = nullptr;
  /// So many of the last positions are wanted after the last block; 0: all. A model may then leave the others out
  /// there, where no hook looks at them; `hidden` has the wanted positions only.
  std::int64_t wanted = 0;
  /// The same state with these rows (int64 indices, repeats allowed). Not for a state with a cache.
  StageState rows(const torch::Tensor& indices) const;
  /// The rows of several states of the same length in one. Not for states with a cache.
  static StageState joined(const std::vector<StageState>& states);
};

/// A model that can be cut between its blocks: forward(batch) is finish(run(begin(batch), 0, L)).
class VENE_API StagedModel : public Model {
 public:
  Output forward(const Batch& batch, const ForwardOptions& options = {}) override;
  /// Embeddings: everything before the first block. Includes `check`.
  virtual StageState begin(const Batch& batch, KeyValueCache* cache = nullptr) = 0;
  /// Blocks [first, last).
  virtual StageState run(StageState state, std::int64_t first, std::int64_t last) = 0;
  /// Final norm and head. `positions` ([n] int64, or [batch, n]) picks the positions of `state.hidden` to compute
  /// logits for; undefined: all. The output's tensors have that many positions. `tokens` ([n] int64) picks the tokens
  /// (of a classifier the classes) that logits are wanted of, in that order; undefined: all. Hooks on the final norm
  /// and the head see every position and token all the same, so that their locations mean what they say.
  virtual Output finish(const StageState& state, const torch::Tensor& positions = {},
                        const torch::Tensor& tokens = {}) = 0;
};

}  // namespace vene::models
