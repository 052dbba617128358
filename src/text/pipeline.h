// SPDX-License-Identifier: Apache-2.0
// A tokenizer of parts, as tokenizer.json describes one: tokens found as they stand, a normalizer, a pre-tokenizer, a
// model, a post-processor, a decoder. Private to text.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "src/text/added_tokens.h"
#include "src/text/decoders.h"
#include "src/text/post_processors.h"
#include "src/text/subword_model.h"
#include "vene/text/tokenizer.h"

namespace vene::text {

struct PipelineParts {
  std::unique_ptr<Step> normalizer{};  ///< null: none, as for the other parts
  std::unique_ptr<Step> pre_tokenizer{};
  std::unique_ptr<SubwordModel> model{};
  std::unique_ptr<PostProcessor> post_processor{};
  std::unique_ptr<Decoder> decoder{};
  AddedTokens added{};
  std::string kind{};  ///< empty: the model's
  std::optional<std::int64_t> bos{}, eos{}, pad{};
  std::vector<std::int64_t> ends{};

  std::optional<std::int64_t> id_of(std::string_view piece) const;
  /// Adds a token; its id is the one that its content has, or the next free one.
  void add(AddedToken token);
};

class Pipeline : public Tokenizer {
 public:
  explicit Pipeline(PipelineParts parts);
  std::vector<std::int64_t> encode(std::string_view text, const EncodeOptions& options) const override;
  std::vector<Token> tokens(std::string_view text, const EncodeOptions& options) const override;
  std::string decode(const std::vector<std::int64_t>& ids, bool skip_special) const override;
  std::string token_text(std::int64_t id) const override;
  std::optional<std::int64_t> id_of(std::string_view piece) const override { return parts_.id_of(piece); }
  std::int64_t size() const override { return size_; }
  std::string kind() const override { return parts_.kind.empty() ? parts_.model->kind() : parts_.kind; }

 private:
  std::vector<PlacedId> run(std::string_view text, const EncodeOptions& options) const;
  void encode_pieces(const Cut& cut, std::vector<PlacedId>& ids) const;

  PipelineParts parts_;
  std::int64_t size_ = 0;
};

}  // namespace vene::text
