// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "vene/base/export.h"
#include "vene/models/model.h"

namespace vene::models {

struct DecoderParts;  // models/common/decoder.h

/// What GPT-2, GPT-Neo, GPT-NeoX and the Llama family share: token embeddings, blocks of causal attention and MLP that
/// keep a key-value cache, a final norm and a head, which may be left out.
class VENE_API Decoder : public StagedModel {
 public:
  StageState begin(const Batch& batch, KeyValueCache* cache = nullptr) override;
  StageState run(StageState state, std::int64_t first, std::int64_t last) override;
  Output finish(const StageState& state, const torch::Tensor& positions = {},
                const torch::Tensor& tokens = {}) override;
  void check(const Batch& batch, std::int64_t past = 0) const override;

  std::int64_t layer_count() const override;
  std::int64_t hidden_size() const override;
  std::int64_t vocabulary_size() const override;
  std::int64_t context_length() const override;

  /// Whether there are no positions beyond `context_length`, since they are learned. Rotary ones go on: a batch beyond
  /// the context runs, and the first is told to `on_warning`.
  bool bound_to_context() const override;
  /// Who is told of it; by default a line on standard error.
  void on_warning(std::function<void(const std::string&)> warn);

 protected:
  /// To be called once, by the port's constructor: registers the parts under their names and declares the sites.
  void assemble(DecoderParts parts);

 private:
  struct Assembled;
  void declare_sites();
  void add_aliases();

  std::shared_ptr<Assembled> parts_;
};

}  // namespace vene::models
