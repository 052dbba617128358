// SPDX-License-Identifier: Apache-2.0
// The files around a tokenizer's own: tokenizer_config.json, special_tokens_map.json, added_tokens.json, and what
// config.json says of special tokens. Private to text.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "src/text/added_tokens.h"
#include "src/text/pipeline.h"

namespace vene::text {

class Settings {
 public:
  explicit Settings(const std::filesystem::path& folder);

  /// "tokenizer_class" without "Fast"; where it says nothing, by the model's type. "": neither says.
  const std::string& tokenizer_class() const { return class_; }
  /// "bos" ...: the token's text, where one of the files says.
  std::optional<std::string> named(const std::string& name) const;
  /// A name's text, or what the class has where nothing is said.
  std::string named(const std::string& name, const char* otherwise) const;
  std::optional<bool> flag(const char* key) const;
  std::optional<std::string> text(const char* key) const;
  /// What generation_config.json and config.json say ends a generation, behind `eos` where there is one.
  std::vector<std::int64_t> ends(std::optional<std::int64_t> eos) const;
  /// The id that config.json gives a name.
  std::optional<std::int64_t> model_id(const std::string& name, std::int64_t size) const;

  /// Tokens that the files list, by their ids, then named ones and the further special ones.
  struct Listed {
    AddedToken token;
    std::optional<std::int64_t> id;
    bool named = false;  ///< by its text alone, which says nothing of how it is found
  };
  std::vector<Listed> listed() const;

  /// What a tokenizer of parts takes from all this: tokens, bos, eos and pad.
  void apply(PipelineParts& parts) const;
  /// What add_bos_token and add_eos_token put around a text; a tokenizer.json has its own say.
  void put_around(PipelineParts& parts) const;

 private:
  detail::Json tokenizer_, special_, added_, model_, generation_;
  std::string class_, folder_;
};

}  // namespace vene::text
