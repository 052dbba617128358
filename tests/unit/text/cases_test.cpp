// SPDX-License-Identifier: Apache-2.0
// What the tokenizers library makes of the same texts (tests/golden/text/make_cases.py).
#include <fstream>
#include <nlohmann/json.hpp>

#include "helpers.h"

namespace {

using namespace vene_test;
using Json = nlohmann::json;

// Bytes to characters; a byte inside a character counts to its begin, or to its end.
std::int64_t character(const std::string& text, std::int64_t byte, bool round_up) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < byte; ++i)
    count += (static_cast<unsigned char>(text[static_cast<std::size_t>(i)]) & 0xC0) != 0x80;
  const bool inside = byte < static_cast<std::int64_t>(text.size()) &&
                      (static_cast<unsigned char>(text[static_cast<std::size_t>(byte)]) & 0xC0) == 0x80;
  return inside && !round_up ? count - 1 : count;
}

class Cases : public testing::TestWithParam<const char*> {
 protected:
  template <class Check>
  void each(Check check) const {
    static const Json kCases = Json::parse(std::ifstream(golden_folder("cases.json")));
    int count = 0;
    for (const Json& one : kCases) {
      if (one["tokenizer"] != GetParam()) continue;
      SCOPED_TRACE(one["text"].dump());
      check(one, one["text"].get<std::string>());
      ++count;
    }
    EXPECT_GT(count, 90);
  }
  std::shared_ptr<const vene::text::Tokenizer> tokenizer =
      vene::text::Tokenizer::load(std::string(GetParam()) == "landmarks" ? asset_folder() : golden_folder(GetParam()));
};

TEST_P(Cases, HaveTheIdsOfTheReference) {
  each([&](const Json& one, const std::string& text) {
    EXPECT_EQ(tokenizer->encode(text), one["ids"].get<Ids>());
    EXPECT_EQ(tokenizer->encode(text, false), one["plain"].get<Ids>());
  });
}

TEST_P(Cases, AreDecodedAsTheReferenceDoes) {
  each([&](const Json& one, const std::string& text) {
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), one["decoded"].get<std::string>());
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text), false), one["whole"].get<std::string>());
  });
}

// Of a character that normalisation composed, the reference gives the place of the first part only; ours covers every
// part, up to where the reference's next token begins.
TEST_P(Cases, HaveTheCharacterOffsetsOfTheReference) {
  each([&](const Json& one, const std::string& text) {
    const auto tokens = tokenizer->tokens(text);
    const Json& places = one["offsets"];
    ASSERT_EQ(tokens.size(), places.size());
    const std::int64_t length = character(text, static_cast<std::int64_t>(text.size()), true);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const std::int64_t begin = places[i][0], end = places[i][1];
      if (begin == 0 && end == 0) {  // added around the text: the reference has no place for it
        EXPECT_EQ(tokens[i].begin, tokens[i].end);
        continue;
      }
      EXPECT_EQ(character(text, tokens[i].begin, false), begin) << "token " << i;
      const std::int64_t ours = character(text, tokens[i].end, true);
      if (ours == end) continue;
      std::int64_t next = length;
      for (std::size_t later = i + 1; later < places.size() && next == length; ++later) {
        if (places[later][0] > begin) next = places[later][0];
      }
      EXPECT_TRUE(ours > end && ours == next)
          << "token " << i << " ends at " << ours << ", the reference's at " << end << ", the next begins at " << next;
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Reference, Cases, testing::Values("landmarks", "added", "template", "digits"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
