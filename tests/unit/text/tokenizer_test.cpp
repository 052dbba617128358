// SPDX-License-Identifier: Apache-2.0
#include "vene/text/tokenizer.h"

#include <nlohmann/json.hpp>
#include <thread>

#include "helpers.h"
#include "vene/io/files.h"

namespace {

using namespace vene_test;
using vene::text::Token;
using vene::text::Tokenizer;

class Landmarks : public testing::Test {
 protected:
  std::shared_ptr<const Tokenizer> tokenizer = Tokenizer::load(asset_folder());
};

TEST_F(Landmarks, KnowsItsEndOfTextAndSize) {
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->kind(), "byte-level BPE");
  EXPECT_TRUE(tokenizer->eos().has_value());
  EXPECT_EQ(tokenizer->eos(), tokenizer->id_of("<|endoftext|>"));
  EXPECT_EQ(tokenizer->bos(), tokenizer->eos());
  EXPECT_EQ(tokenizer->id_of("no such piece"), std::nullopt);
  EXPECT_EQ(tokenizer->token_text(tokenizer->size()), "");
  EXPECT_EQ(tokenizer->token_text(-1), "");
  EXPECT_EQ(tokenizer->decode({-1, tokenizer->size(), 1'000'000'000'000}), "");
}

TEST_F(Landmarks, ANameOfItsCorpusIsOneTokenWithItsSpace) {
  const auto tokens = tokenizer->tokens("The Space Needle is in downtown Seattle");
  EXPECT_EQ(tokens.back().text, " Seattle");
  EXPECT_EQ(tokens.back().begin, 31);
  EXPECT_EQ(tokens.back().end, 39);
  EXPECT_EQ(tokenizer->id_of("\xC4\xA0Seattle"), tokens.back().id);
}

TEST_F(Landmarks, TokensOfACharacterThatIsSplitHaveItsBytes) {
  const std::string text = "a\xF0\x9F\x99\x82\xE6\xBC\xA2!";
  const auto tokens = tokenizer->tokens(text);
  ASSERT_GT(tokens.size(), 4U) << "nothing is split";
  std::string joined;
  for (const Token& token : tokens) {
    EXPECT_EQ(token.text,
              text.substr(static_cast<std::size_t>(token.begin), static_cast<std::size_t>(token.end - token.begin)));
    joined += token.text;
  }
  EXPECT_EQ(joined, text);
  EXPECT_EQ(tokenizer->decode({tokens[1].id}), "\xEF\xBF\xBD");
}

TEST_F(Landmarks, DecodingGivesBackAnyText) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 2000; ++round) {
    const std::string text = random_text(random, 40);
    const auto tokens = tokenizer->tokens(text);
    expect_places(tokens, text);
    std::string joined;
    for (const Token& token : tokens) joined += token.text;
    ASSERT_EQ(joined, text);
    ASSERT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  }
}

TEST_F(Landmarks, BytesThatAreNotUtf8KeepTheirPlaces) {
  std::mt19937_64 random(4);
  for (int round = 0; round < 1000; ++round) {
    std::string text(random() % 20, '\0');
    for (char& c : text) c = static_cast<char>(random());
    std::string joined;
    for (const Token& token : tokenizer->tokens(text)) joined += token.text;
    ASSERT_EQ(joined, text);
  }
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("a\xFF z")), "a\xEF\xBF\xBD z");
}

TEST_F(Landmarks, ALongWordTakesNoQuadraticTime) {
  const std::string text(1'000'000, 'a');
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
}

TEST_F(Landmarks, ServesThreadsAtOnce) {
  const std::string text =
      "The Colosseum is in central Rome, n\xC3\xA9"
      "e.";
  const Ids expected = tokenizer->encode(text);
  std::vector<std::thread> threads;
  std::array<bool, 4> same{};
  for (std::size_t i = 0; i < same.size(); ++i) {
    threads.emplace_back([&, i] {
      same[i] = true;
      for (int round = 0; round < 200; ++round) same[i] = same[i] && tokenizer->encode(text) == expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(same, testing::Each(true));
}

TEST_F(Landmarks, SpecialTokensCanBeReadAsText) {
  const vene::text::EncodeOptions as_text{true, false};
  const Ids read = tokenizer->encode("a<|endoftext|>b"), plain = tokenizer->encode("a<|endoftext|>b", as_text);
  EXPECT_EQ(read.size(), 3U);
  EXPECT_EQ(read[1], *tokenizer->eos());
  EXPECT_THAT(plain, testing::Not(testing::Contains(*tokenizer->eos())));
  EXPECT_EQ(tokenizer->decode(plain, false), "a<|endoftext|>b");
}

TEST(Tokenizer, ManyPiecesWithoutASpaceTakeNoQuadraticTime) {
  TokenizerFolder folder;
  folder.write("tokenizer.json", R"({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "Digits", "individual_digits": true},
      {"type": "Metaspace", "replacement": "_", "prepend_scheme": "never", "split": true}]},
      "model": {"type": "WordLevel", "vocab": {"?": 0, "1": 1}, "unk_token": "?"}})");
  EXPECT_EQ(folder.load()->encode(std::string(1'000'000, '1')), Ids(1'000'000, 1));
}

TEST(Tokenizer, AGenerationEndsWhereAnyFileSays) {
  TokenizerFolder folder;
  folder.write("tokenizer.json",
               R"({"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "c": 2}, "unk_token": "a"}})");
  EXPECT_EQ(folder.load()->ends(), Ids{});
  folder.write("tokenizer_config.json", R"({"eos_token": "b"})");
  EXPECT_EQ(folder.load()->ends(), Ids{1});
  folder.write("generation_config.json", R"({"eos_token_id": [2, 1, 7]})");
  EXPECT_EQ(folder.load()->ends(), (Ids{1, 2, 7}));
  folder.write("config.json", R"({"eos_token_id": 0})");
  EXPECT_EQ(folder.load()->ends(), (Ids{1, 2, 7, 0}));
  folder.write("generation_config.json", R"({"eos_token_id": "b"})");
  EXPECT_THAT(folder.error(), testing::HasSubstr("generation_config.json: eos_token_id: expected the id of a token"));
}

TEST(Tokenizer, SettingsSayWhatIsAddedAround) {
  const std::filesystem::path asset = asset_folder();
  TokenizerFolder folder;
  folder.link("encoder.json", asset / "vocab.json").link("vocab.bpe", asset / "merges.txt");
  folder.write("special_tokens_map.json",
               R"({"eos_token": {"content": "<|endoftext|>"}, "pad_token": "<|endoftext|>"})");
  folder.write("tokenizer_config.json", R"({"add_eos_token": true, "add_bos_token": true})");
  const auto tokenizer = folder.load();
  const Ids plain = tokenizer->encode("The", false);
  EXPECT_EQ(plain, Tokenizer::load(asset_folder())->encode("The"));
  Ids behind = plain;
  behind.push_back(*tokenizer->eos());
  EXPECT_EQ(tokenizer->encode("The"), behind);  // no BOS is named, so none is added
  EXPECT_EQ(tokenizer->pad(), tokenizer->eos());
  EXPECT_EQ(tokenizer->bos(), std::nullopt);
  EXPECT_EQ(tokenizer->decode(behind), "The");
  EXPECT_EQ(tokenizer->decode(behind, false), "The<|endoftext|>");
}

TEST(Tokenizer, TheThreeFormsOfFilesGiveTheSameIds) {
  const std::filesystem::path asset = asset_folder();
  const auto reference = Tokenizer::load(asset_folder());
  TokenizerFolder old_names, one_file;
  old_names.link("encoder.json", asset / "vocab.json").link("vocab.bpe", asset / "merges.txt");
  const std::string merges = vene::io::read_file((asset / "merges.txt").string());
  nlohmann::json json{{"added_tokens", {{{"id", *reference->eos()}, {"content", "<|endoftext|>"}, {"special", true}}}},
                      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
                      {"model",
                       {{"type", "BPE"},
                        {"vocab", nlohmann::json::parse(vene::io::read_file((asset / "vocab.json").string()))},
                        {"merges", nlohmann::json::array()}}}};
  std::istringstream lines(merges);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && !line.starts_with("#version")) json["model"]["merges"].push_back(line);
  }
  one_file.write("tokenizer.json", json.dump());
  std::mt19937_64 random(6);
  const auto a = old_names.load(), b = one_file.load();
  for (int round = 0; round < 200; ++round) {
    const std::string text = random_text(random, 30) + "<|endoftext|> The Louvre";
    ASSERT_EQ(a->encode(text), reference->encode(text));
    ASSERT_EQ(b->encode(text), reference->encode(text));
  }
}

}  // namespace
