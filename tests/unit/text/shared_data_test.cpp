// SPDX-License-Identifier: Apache-2.0
// Real tokenizers, read from the data folder.
#include <torch/nn/modules/linear.h>
#include <torch/serialize.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data_folder.h"
#include "helpers.h"
#include "vene/io/files.h"

namespace {

using namespace vene_test;
using testing::HasSubstr;
using vene::text::Token;
using vene::text::Tokenizer;

struct TokenizerCase {
  std::string text;
  Ids ids;
};

std::vector<TokenizerCase> published_cases(const std::filesystem::path& file) {
  std::vector<TokenizerCase> cases;
  const std::string all = vene::io::read_file(file.string() + ".inp"), split = "\n__ggml_vocab_test__\n";
  for (std::size_t at = 0; at <= all.size();) {
    const std::size_t end = std::min(all.find(split, at), all.size());
    cases.push_back({all.substr(at, end - at), {}});
    at = end + split.size();
  }
  std::ifstream ids(file.string() + ".out");
  std::string line;
  for (TokenizerCase& one : cases) {
    // The ids of a last, empty text are a line without so much as an end.
    if (!std::getline(ids, line) && (&one != &cases.back() || !one.text.empty()))
      ADD_FAILURE() << "fewer lines of ids than texts";
    std::istringstream numbers(line);
    for (std::int64_t id; numbers >> id;) one.ids.push_back(id);
  }
  return cases;
}

void check_published_cases(const Tokenizer& tokenizer, const std::filesystem::path& file) {
  const std::vector<TokenizerCase> cases = published_cases(file);
  EXPECT_EQ(cases.size(), 47U);
  for (const TokenizerCase& one : cases) {
    SCOPED_TRACE(testing::PrintToString(one.text));
    EXPECT_EQ(tokenizer.encode(one.text), one.ids);
    EXPECT_EQ(tokenizer.decode(one.ids), one.text);
    const auto tokens = tokenizer.tokens(one.text);
    expect_places(tokens, one.text);
    for (const Token& token : tokens) {
      EXPECT_EQ(token.text, one.text.substr(static_cast<std::size_t>(token.begin),
                                            static_cast<std::size_t>(token.end - token.begin)));
    }
  }
}

TEST(Gpt2Tokenizer, HoldsAllPublishedCases) {
  VENE_REQUIRE_DATA(data);
  const auto tokenizer = Tokenizer::load((*data / "gpt2-bpe").string());
  EXPECT_EQ(tokenizer->size(), 50257);
  EXPECT_EQ(tokenizer->encode(" Seattle"), Ids{7312});
  EXPECT_EQ(tokenizer->encode("The Space Needle is in downtown"), (Ids{464, 4687, 10664, 293, 318, 287, 9436}));
  EXPECT_EQ(tokenizer->encode("a<|endoftext|>"), (Ids{64, 50256}));
  check_published_cases(*tokenizer, *data / "tokenizer-cases" / "gpt-2");
}

TEST(Gpt2Tokenizer, GivesTheSameIdsInEachFormOfItsFiles) {
  VENE_REQUIRE_DATA(data);
  const std::filesystem::path bpe = *data / "gpt2-bpe";
  TokenizerFolder pair, one_file;
  pair.link("vocab.json", bpe / "encoder.json").link("merges.txt", bpe / "vocab.bpe");
  nlohmann::json json{{"added_tokens", {{{"id", 50256}, {"content", "<|endoftext|>"}, {"special", true}}}},
                      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
                      {"model",
                       {{"type", "BPE"},
                        {"vocab", nlohmann::json::parse(std::ifstream(bpe / "encoder.json"))},
                        {"merges", nlohmann::json::array()}}}};
  std::ifstream merges(bpe / "vocab.bpe");
  std::string line;
  std::getline(merges, line);
  while (std::getline(merges, line))
    json["model"]["merges"].push_back({line.substr(0, line.find(' ')), line.substr(line.find(' ') + 1)});
  one_file.write("tokenizer.json", json.dump());
  for (const auto& tokenizer : {pair.load(), one_file.load()}) {
    check_published_cases(*tokenizer, *data / "tokenizer-cases" / "gpt-2");
    EXPECT_EQ(tokenizer->encode("a<|endoftext|>b"), (Ids{64, 50256, 65}));
  }
}

TEST(NeoxTokenizer, HoldsAllPublishedCases) {
  VENE_REQUIRE_DATA(data);
  const auto tokenizer = Tokenizer::load((*data / "neox-tokenizer").string());
  EXPECT_EQ(tokenizer->encode(" he"), Ids{344});
  EXPECT_EQ(tokenizer->encode(" she"), Ids{703});
  EXPECT_EQ(tokenizer->encode(" walked because"), (Ids{7428, 984}));
  check_published_cases(*tokenizer, *data / "tokenizer-cases" / "mpt");
}

TEST(NeoxTokenizer, ComposesCharactersAndFindsAddedTokens) {
  VENE_REQUIRE_DATA(data);
  const auto tokenizer = Tokenizer::load((*data / "neox-tokenizer").string());
  EXPECT_EQ(tokenizer->encode("cafe\xCC\x81"), tokenizer->encode("caf\xC3\xA9"));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("cafe\xCC\x81")), "caf\xC3\xA9");
  EXPECT_EQ(tokenizer->tokens("cafe\xCC\x81 x").back().end, 8);
  EXPECT_EQ(tokenizer->encode(std::string(24, ' ')), Ids{50254});
  EXPECT_EQ(tokenizer->encode("<|endoftext|><|padding|>"), (Ids{0, 1}));
  EXPECT_EQ(tokenizer->decode({0, 344, 1}), " he");
  EXPECT_EQ(tokenizer->decode({0, 344}, false), "<|endoftext|> he");
}

TEST(Gpt2Tokenizer, DecodingGivesBackAnyText) {
  VENE_REQUIRE_DATA(data);
  const auto tokenizer = Tokenizer::load((*data / "gpt2-bpe").string());
  std::mt19937_64 random(8);
  for (int round = 0; round < 500; ++round) {
    const std::string text = random_text(random, 60);
    ASSERT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  }
}

TEST(SentencePiece, StoriesReferenceIsDecodedAndEncodedBack) {
  VENE_REQUIRE_DATA(data);
  const auto tokenizer = Tokenizer::load((*data / "stories260k").string());
  EXPECT_EQ(tokenizer->kind(), "SentencePiece BPE");
  EXPECT_EQ(tokenizer->size(), 512);
  EXPECT_EQ(tokenizer->bos(), 1);
  EXPECT_EQ(tokenizer->eos(), 2);
  const auto reference = nlohmann::json::parse(std::ifstream(*data / "stories260k" / "reference.json"));
  EXPECT_EQ(tokenizer->encode("Once upon a time"), reference["prompt_ids"].get<Ids>());
  EXPECT_EQ(tokenizer->encode("Once upon a time", false), (Ids{403, 407, 261, 378}));
  EXPECT_EQ(tokenizer->token_text(338), " She");
  EXPECT_EQ(tokenizer->token_text(346), " He");
  const std::string story = tokenizer->decode(reference["greedy200"].get<Ids>());
  EXPECT_TRUE(story.starts_with("Once upon a time")) << story;
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(story)), story);
}

TEST(SentencePiece, DecodingGivesBackAnyTextByItsBytes) {
  VENE_REQUIRE_DATA(data);
  for (const char* folder : {"stories260k", "mistral-spm"}) {
    const auto tokenizer = Tokenizer::load((*data / folder).string());
    std::mt19937_64 random(10);
    for (int round = 0; round < 500; ++round) {
      std::string text = random_text(random, 40);
      std::erase(text, '\0');
      const auto tokens = tokenizer->tokens(text);
      expect_places(tokens, text);
      ASSERT_EQ(tokenizer->decode(tokenizer->encode(text)), text) << folder << " " << testing::PrintToString(text);
    }
  }
}

TEST(SentencePiece, TokensHaveTheirTextAndPlace) {
  VENE_REQUIRE_DATA(data);
  const auto tokenizer = Tokenizer::load((*data / "stories260k").string());
  const std::string text = "Lily \xF0\x9F\x99\x82 saw";
  const auto tokens = tokenizer->tokens(text, false);
  expect_places(tokens, text);
  std::string joined;
  for (const Token& token : tokens) joined += token.text;
  EXPECT_EQ(joined, " " + text);
  EXPECT_EQ(tokens.front().begin, 0);
  EXPECT_EQ(tokens.back().end, static_cast<std::int64_t>(text.size()));
}

// Values: transformers 5.24.
TEST(SentencePiece, TakesTheSettingsAroundIt) {
  VENE_REQUIRE_DATA(data);
  const std::string added = R"("added_tokens_decoder": {"512": {"content": "<|im_end|>", "special": true}}})";
  TokenizerFolder folder;
  folder.link("tokenizer.model", *data / "stories260k" / "tokenizer.model");
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizer", "eos_token": "<|im_end|>",
      "bos_token": "<s>", "unk_token": "<unk>", "add_bos_token": true, )" +
                                            added);
  const auto tokenizer = folder.load();
  EXPECT_EQ(tokenizer->size(), 513);
  EXPECT_EQ(tokenizer->eos(), 512);
  EXPECT_EQ(tokenizer->ends(), Ids{512});
  EXPECT_EQ(tokenizer->encode("Once upon a time<|im_end|> Lily"), (Ids{1, 403, 407, 261, 378, 512, 317}));
  EXPECT_EQ(tokenizer->encode("</s> Lily"), (Ids{1, 2, 317}));
  EXPECT_EQ(tokenizer->encode(" Lily"), (Ids{1, 317}));
  EXPECT_EQ(tokenizer->decode({317, 512}, false), "Lily<|im_end|>");
  EXPECT_EQ(tokenizer->decode({317, 512}), "Lily");
  EXPECT_GT(tokenizer->encode("<|im_end|>", vene::text::EncodeOptions{true, false}).size(), 5U);
  // "legacy" puts a space in front of every stretch.
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizer", "legacy": true, )" + added);
  EXPECT_EQ(folder.load()->encode("</s>Lily"), (Ids{2, 317}));
}

TEST(SentencePiece, ManyControlPiecesTakeNoQuadraticTime) {
  VENE_REQUIRE_DATA(data);
  const auto tokenizer = Tokenizer::load((*data / "stories260k").string());
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += "</s>";
  EXPECT_EQ(tokenizer->encode(text, false), Ids(300'000, 2));
}

TEST(NeoxTokenizer, ALongRunOfMarksTakesNoQuadraticTime) {
  VENE_REQUIRE_DATA(data);
  const auto tokenizer = Tokenizer::load((*data / "neox-tokenizer").string());
  std::string text = "e";
  for (int i = 0; i < 300'000; ++i) text += i % 2 == 0 ? "\xCC\x81" : "\xCC\xA3";  // acute above, dot below
  EXPECT_EQ(tokenizer->tokens(text).front().begin, 0);
  const std::string decoded = tokenizer->decode(tokenizer->encode(text));
  EXPECT_TRUE(decoded.starts_with("\xE1\xBA\xB9\xCC\xA3")) << "the dots come first";  // U+1EB9, U+0323
}

TEST(SentencePiece, AUnigramModelCutsAsItsReferenceDoes) {
  VENE_REQUIRE_DATA(data);
  TokenizerFolder folder;
  folder.link("tokenizer.model", *data / "sentencepiece-test" / "test_model.model");
  const auto tokenizer = folder.load();
  EXPECT_EQ(tokenizer->kind(), "SentencePiece unigram");
  EXPECT_EQ(tokenizer->size(), 1000);
  const Ids ids{9, 459, 11, 939, 44, 11, 4, 142, 82, 8, 28, 21, 132, 6};
  EXPECT_EQ(tokenizer->encode("I saw a girl with a telescope."), ids);
  EXPECT_EQ(tokenizer->decode(ids), "I saw a girl with a telescope.");
}

TEST(SentencePiece, ACutModelIsRefusedOrReadAndNeverMore) {
  VENE_REQUIRE_DATA(data);
  const std::string whole = vene::io::read_file((*data / "stories260k" / "tokenizer.model").string());
  int refused = 0;
  for (std::size_t size = 1; size < whole.size(); size += 211) {
    TokenizerFolder folder;
    folder.write("tokenizer.model", whole.substr(0, size));
    try {
      const auto tokenizer = folder.load();
      tokenizer->decode(tokenizer->encode("Once upon a time"));
    } catch (const vene::IoError& error) {
      EXPECT_THAT(error.what(), HasSubstr("not a SentencePiece model"));
      ++refused;
    }
  }
  EXPECT_GT(refused, 10);
}

// Both carry a protobuf of their own; in one process they must not take each other's.
TEST(SentencePiece, LivesBesideLibTorchsSerialisation) {
  VENE_REQUIRE_DATA(data);
  const auto before = Tokenizer::load((*data / "stories260k").string());
  std::stringstream stream;
  torch::nn::Linear written(3, 2), read(3, 2);
  torch::save(written, stream);
  torch::load(read, stream);
  EXPECT_TRUE(torch::equal(written->weight, read->weight));
  const auto after = Tokenizer::load((*data / "mistral-spm").string());
  EXPECT_EQ(before->decode(before->encode("Once upon a time")), "Once upon a time");
  EXPECT_EQ(after->decode(after->encode("Once upon a time")), "Once upon a time");
}

}  // namespace
