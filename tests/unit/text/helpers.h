// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <gmock/gmock.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "test_folder.h"
#include "vene/base/error.h"
#include "vene/text/tokenizer.h"

namespace vene_test {

using Ids = std::vector<std::int64_t>;

/// A folder of this test's own, gone with it.
class TokenizerFolder {
 public:
  TokenizerFolder& write(const std::string& name, const std::string& bytes);
  TokenizerFolder& link(const std::string& name, const std::filesystem::path& to);
  std::shared_ptr<const vene::text::Tokenizer> load() const { return vene::text::Tokenizer::load(folder_.path()); }
  /// The message of the IoError that loading must throw; it must be one line.
  std::string error() const;

 private:
  TestFolder folder_;
};

std::string utf8(char32_t code);
/// A text of up to `most` characters from many scripts, with spaces, controls, marks and emoji.
std::string random_text(std::mt19937_64& random, std::size_t most);

/// Fails unless tokens lie within the text, in order and without overlap.
void expect_places(const std::vector<vene::text::Token>& tokens, const std::string& text);

std::string asset_folder();
std::string golden_folder(const std::string& name);

}  // namespace vene_test
