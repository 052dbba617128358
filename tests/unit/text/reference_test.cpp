// SPDX-License-Identifier: Apache-2.0
// What the tokenizers library makes of 200 texts with small tokenizers of every kind (make_tokenizers.py), and what
// transformers makes of folders of files (make_folders.py).
#include <fstream>
#include <nlohmann/json.hpp>

#include "helpers.h"

namespace {

using namespace vene_test;
using Json = nlohmann::json;

const Json& golden(const char* name) {
  static std::map<std::string, Json> read;
  Json& json = read[name];
  if (json.is_null()) json = Json::parse(std::ifstream(golden_folder(name)));
  return json;
}

// Characters before a byte; a byte inside a character counts to its begin, or to its end.
std::vector<std::int64_t> characters_before(const std::string& text, bool round_up) {
  std::vector<std::int64_t> before;
  std::int64_t count = 0;
  for (char byte : text) {
    const bool inside = (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
    before.push_back(inside && !round_up ? count - 1 : count);
    count += inside ? 0 : 1;
  }
  before.push_back(count);
  return before;
}

std::vector<std::string> names(const char* file) {
  std::vector<std::string> all;
  for (const auto& [name, unused] : golden(file).items()) all.push_back(name);
  return all;
}

class Reference : public testing::TestWithParam<std::string> {};

TEST_P(Reference, GivesTheIdsPlacesAndTextOfTheLibrary) {
  TokenizerFolder folder;
  folder.write("tokenizer.json", golden("tokenizers.json")[GetParam()].dump());
  const auto tokenizer = folder.load();
  ASSERT_NE(tokenizer, nullptr);
  const Json& expected = golden("tokenizer_results.json")[GetParam()];
  const Json& texts = golden("tokenizer_texts.json");
  ASSERT_EQ(texts.size(), 200U);
  ASSERT_EQ(expected["ids"].size(), texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::string text = texts[i].get<std::string>();
    SCOPED_TRACE(texts[i].dump());
    const auto tokens = tokenizer->tokens(text);
    const auto down = characters_before(text, false), up = characters_before(text, true);
    Ids ids, places;
    const Ids wanted = expected["places"][i].get<Ids>();
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      ids.push_back(tokens[t].id);
      // What is put around a text has no place, which the library writes as 0, 0.
      const bool nowhere = tokens[t].begin == tokens[t].end && 2 * t + 1 < wanted.size() && wanted[2 * t + 1] == 0;
      places.push_back(nowhere ? 0 : down[static_cast<std::size_t>(tokens[t].begin)]);
      places.push_back(nowhere ? 0 : up[static_cast<std::size_t>(tokens[t].end)]);
    }
    EXPECT_EQ(ids, expected["ids"][i].get<Ids>());
    EXPECT_EQ(tokenizer->encode(text), ids);
    EXPECT_EQ(places, wanted);
    const Json& decoded = expected["decoded"][i];
    const Json& skipped = decoded.is_array() ? decoded[0] : decoded;
    const Json& whole = decoded.is_array() ? decoded[1] : decoded;
    // Null where the library ends in a panic.
    if (skipped.is_string()) {
      EXPECT_EQ(tokenizer->decode(ids), skipped.get<std::string>());
    }
    if (whole.is_string()) {
      EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, false), false), whole.get<std::string>());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Library, Reference, testing::ValuesIn(names("tokenizers.json")), [](const auto& info) {
  std::string name = info.param;
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
});

TEST(ReferenceFiles, AreOfAllKinds) {
  EXPECT_GE(golden("tokenizers.json").size(), 100U);
  const std::string all = golden("tokenizers.json").dump();
  for (const char* type : {"BPE",
                           "Unigram",
                           "WordPiece",
                           "WordLevel",
                           "NFC",
                           "NFD",
                           "NFKC",
                           "NFKD",
                           "Lowercase",
                           "StripAccents",
                           "BertNormalizer",
                           "Replace",
                           "Prepend",
                           "Strip",
                           "Nmt",
                           "Precompiled",
                           "ByteLevel",
                           "Split",
                           "Digits",
                           "Metaspace",
                           "Whitespace",
                           "WhitespaceSplit",
                           "Punctuation",
                           "BertPreTokenizer",
                           "CharDelimiterSplit",
                           "UnicodeScripts",
                           "Sequence",
                           "TemplateProcessing",
                           "BertProcessing",
                           "RobertaProcessing",
                           "BPEDecoder",
                           "ByteFallback",
                           "Fuse",
                           "CTC"}) {
    EXPECT_NE(all.find("\"type\":\"" + std::string(type) + "\""), std::string::npos) << type;
  }
}

class Folders : public testing::TestWithParam<std::string> {};

TEST_P(Folders, GiveTheIdsOfTransformers) {
  const Json& one = golden("folders.json")[GetParam()];
  TokenizerFolder folder;
  for (const auto& [name, content] : one["files"].items())
    folder.write(name, content.is_string() ? content.get<std::string>() : content.dump());
  const auto tokenizer = folder.load();
  ASSERT_NE(tokenizer, nullptr);
  for (const Json& text : one["texts"]) {
    SCOPED_TRACE(text.dump());
    EXPECT_EQ(tokenizer->encode(text["text"].get<std::string>()), text["ids"].get<Ids>());
    EXPECT_EQ(tokenizer->encode(text["text"].get<std::string>(), false), text["plain"].get<Ids>());
  }
  const auto id = [&](const char* name) {
    return one[name].is_null() ? std::nullopt : std::optional(one[name].get<std::int64_t>());
  };
  EXPECT_EQ(tokenizer->bos(), id("bos"));
  EXPECT_EQ(tokenizer->eos(), id("eos"));
  EXPECT_EQ(tokenizer->pad(), id("pad"));
}

INSTANTIATE_TEST_SUITE_P(Transformers, Folders, testing::ValuesIn(names("folders.json")), [](const auto& info) {
  std::string name = info.param;
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
});

}  // namespace
